//! A connection's bytes: the source that carries them, and the TLS that they may be wrapped in.

use std::io::{self, ErrorKind};

use crate::metrics::Metrics;
use crate::source::Source;
use crate::tls;

/// What carries the bytes, and what is around them.
pub(crate) struct Line {
    pub source: Box<dyn Source>,
    pub wrapping: Wrapping,
}

/// What stands between the source and the frames.
pub(crate) enum Wrapping {
    /// Nothing.
    Plain,
    /// TLS in the core.
    Core(Box<tls::Session>),
    /// TLS that the shard's driver does: it gets the ciphertext and gives the plaintext, and the reverse.
    Driver(Box<Foreign>),
}

/// What the reactor keeps of TLS that somebody else does.
#[derive(Default)]
pub(crate) struct Foreign {
    /// Ciphertext that waits for the source.
    outgoing: Vec<u8>,
    /// How much of it is gone.
    sent: usize,
    /// The handshake is done: there can be plaintext.
    pub is_open: bool,
    /// The driver has ciphertext to unwrap: nothing more is read before it answers.
    pub unwraps: bool,
    /// The driver is asked to wrap output, or to say goodbye.
    pub wraps: bool,
    /// Its goodbye is in what waits, or it can say none.
    pub is_closed: bool,
}

impl Foreign {
    /// Queues ciphertext for the source.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.outgoing.drain(..std::mem::take(&mut self.sent));
        self.outgoing.extend_from_slice(bytes);
    }

    fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    fn consume(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.outgoing.len() {
            self.outgoing = Vec::new();
            self.sent = 0;
        }
    }
}

impl Line {
    pub fn new(source: Box<dyn Source>, wrapping: Wrapping) -> Self {
        Line { source, wrapping }
    }

    /// Whether nothing can be said to the peer yet.
    pub fn is_handshaking(&self) -> bool {
        match &self.wrapping {
            Wrapping::Plain => false,
            Wrapping::Core(session) => session.is_handshaking(),
            Wrapping::Driver(foreign) => !foreign.is_open,
        }
    }

    /// Bytes that it holds.
    pub fn held(&self) -> usize {
        match &self.wrapping {
            Wrapping::Plain => 0,
            Wrapping::Core(session) => session.held(),
            Wrapping::Driver(foreign) => foreign.outgoing.capacity(),
        }
    }

    /// Whether ciphertext waits for the source.
    pub fn has_ciphertext(&self) -> bool {
        match &self.wrapping {
            Wrapping::Plain => false,
            Wrapping::Core(session) => !session.outgoing().is_empty(),
            Wrapping::Driver(foreign) => !foreign.outgoing().is_empty(),
        }
    }

    /// Writes ciphertext until none waits; false if the source takes no more.
    pub fn write_ciphertext(&mut self, metrics: &mut Metrics) -> io::Result<bool> {
        loop {
            let bytes = match &self.wrapping {
                Wrapping::Plain => return Ok(true),
                Wrapping::Core(session) => session.outgoing(),
                Wrapping::Driver(foreign) => foreign.outgoing(),
            };
            if bytes.is_empty() {
                return Ok(true);
            }
            match self.source.write(bytes) {
                Ok(count) => {
                    metrics.written += count as u64;
                    match &mut self.wrapping {
                        Wrapping::Plain => {}
                        Wrapping::Core(session) => session.sent(count),
                        Wrapping::Driver(foreign) => foreign.consume(count),
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
