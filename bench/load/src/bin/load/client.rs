//! One connection of the load generator: opening, sending from the tape, receiving.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use everwire_load::frame::{self, CLOSE, FIN, PONG};
use everwire_load::stream::{Stream, is_not_ready};
use rustix::event::epoll::EventFlags;
use rustix::net::sockopt::{set_socket_linger, socket_error};

use crate::clock;
use crate::parser::{Incoming, Parser};
use crate::swarm::{Job, Plan};
use crate::tape::KEY;

/// The `Sec-WebSocket-Key` of every request is the RFC's example, so that checking the answer costs nothing.
pub const REQUEST_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const NORMAL_CLOSURE: [u8; 2] = 1000_u16.to_be_bytes();
const LONGEST_ANSWER: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Securing,
    Upgrading,
    Open,
}

/// Whether a connection still exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It does.
    Alive,
    /// The server closed it or it failed.
    Gone,
}

#[derive(Clone, Copy)]
enum Source {
    Control,
    Tape,
}

/// A connection and what is unfinished on it.
pub struct Client {
    stream: Stream,
    phase: Phase,
    started: u64,
    answer: Vec<u8>,
    parser: Parser,
    /// Bytes of the first unsent frame that were sent, and bytes that are still to be sent.
    offset: usize,
    pending: usize,
    /// Control frames that wait for the end of a data frame.
    control: Vec<u8>,
    /// What the kernel did not take: it has to be offered again before anything else (OpenSSL insists).
    refused: Option<Source>,
    interest: EventFlags,
}

impl Client {
    /// A connection that is being established and is watched for reading and writing.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            phase: Phase::Connecting,
            started: clock::now(),
            answer: Vec::new(),
            parser: Parser::default(),
            offset: 0,
            pending: 0,
            control: Vec::new(),
            refused: None,
            interest: EventFlags::IN | EventFlags::OUT,
        }
    }

    /// When the connection was begun.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Whether the upgrade was answered.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// What the poller should watch for from now on, if that is not what it watches for already.
    pub fn changed_interest(&mut self) -> Option<EventFlags> {
        let mut interest = EventFlags::IN;
        if self.phase == Phase::Connecting || self.refused.is_some() {
            interest |= EventFlags::OUT;
        }
        let changed = interest != self.interest;
        self.interest = interest;
        changed.then_some(interest)
    }

    /// Send `count` more messages from the tape.
    ///
    /// # Errors
    /// The connection failed.
    pub fn send(&mut self, count: usize, plan: &Plan) -> io::Result<()> {
        self.pending += count * plan.tape.frame();
        self.flush(plan)
    }

    /// Begin the closing handshake.
    ///
    /// # Errors
    /// The connection failed.
    pub fn close(&mut self, plan: &Plan) -> io::Result<()> {
        frame::append(&mut self.control, FIN | CLOSE, &NORMAL_CLOSURE, Some(KEY));
        self.flush(plan)
    }

    /// Have the kernel drop the connection without a trace, so that its port can be used again at once.
    pub fn abort(self) {
        // A failure leaves the port in TIME_WAIT, which only matters after tens of thousands of them.
        let _ = set_socket_linger(&self.stream, Some(std::time::Duration::ZERO));
    }

    /// The poller reported the connection: go on with whatever it is at.
    ///
    /// # Errors
    /// The server broke the protocol, or `job` failed: the run is void.
    pub fn on_ready(
        &mut self,
        index: usize,
        flags: EventFlags,
        scratch: &mut [u8],
        plan: &Plan,
        job: &mut impl Job,
    ) -> io::Result<Fate> {
        self.stream.wake();
        if !self.is_open() {
            match self.open(flags, plan) {
                Ok(rest) => {
                    job.opened(self, plan, clock::now())?;
                    if self.receive(index, &rest, plan, job)? == Fate::Gone {
                        return Ok(Fate::Gone);
                    }
                }
                Err(error) if is_not_ready(&error) => return Ok(Fate::Alive),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
                Err(_) => return Ok(Fate::Gone),
            }
        }
        if flags.contains(EventFlags::OUT) && self.flush(plan).is_err() {
            return Ok(Fate::Gone);
        }
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Ok(Fate::Gone),
                Ok(count) => {
                    if self.receive(index, &scratch[..count], plan, job)? == Fate::Gone {
                        return Ok(Fate::Gone);
                    }
                }
                Err(error) if is_not_ready(&error) => return Ok(Fate::Alive),
                Err(_) => return Ok(Fate::Gone),
            }
        }
    }

    /// Go on with opening; `WouldBlock` until it is done. Returns the frames that came with the answer.
    fn open(&mut self, flags: EventFlags, plan: &Plan) -> io::Result<Vec<u8>> {
        if self.phase == Phase::Connecting {
            socket_error(&self.stream)??;
            if !flags.contains(EventFlags::OUT) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.phase = Phase::Securing;
        }
        if self.phase == Phase::Securing {
            self.stream.handshake()?;
            // A request fits a fresh socket's buffer, and one TLS record.
            if self.stream.write(&plan.request)? != plan.request.len() {
                return Err(io::Error::other("the request was not taken whole"));
            }
            self.phase = Phase::Upgrading;
        }
        let mut buffer = [0; 4096];
        loop {
            let count = self.stream.read(&mut buffer)?;
            self.answer.extend_from_slice(&buffer[..count]);
            if let Some(rest) = upgraded(&self.answer)? {
                self.phase = Phase::Open;
                self.answer = Vec::new();
                return Ok(rest);
            }
            if count == 0 || self.answer.len() > LONGEST_ANSWER {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn receive(&mut self, index: usize, bytes: &[u8], plan: &Plan, job: &mut impl Job) -> io::Result<Fate> {
        let now = clock::now();
        let mut is_closed = false;
        self.parser.feed(bytes, plan.tape.payload(), plan.verify, |incoming| {
            match incoming {
                Incoming::Message => job.message(index, now)?,
                Incoming::Ping(payload) => frame::append(&mut self.control, FIN | PONG, payload, Some(KEY)),
                Incoming::Close => is_closed = true,
            }
            Ok(())
        })?;
        if is_closed || self.send(job.due(index, now), plan).is_err() { Ok(Fate::Gone) } else { Ok(Fate::Alive) }
    }

    /// Write what can be written: frames from the tape, and control frames between them.
    fn flush(&mut self, plan: &Plan) -> io::Result<()> {
        loop {
            let source = match self.refused.take() {
                Some(source) => source,
                None if self.offset == 0 && !self.control.is_empty() => Source::Control,
                None if self.pending > 0 => Source::Tape,
                None => return Ok(()),
            };
            let outcome = match source {
                Source::Control => self.stream.write(&self.control),
                Source::Tape => self.stream.write(plan.tape.run(self.offset, self.pending)),
            };
            match (outcome, source) {
                (Ok(count), Source::Control) => drop(self.control.drain(..count)),
                (Ok(count), Source::Tape) => {
                    self.pending -= count;
                    self.offset = (self.offset + count) % plan.tape.frame();
                }
                (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.refused = Some(source);
                    return Ok(());
                }
                (Err(error), _) => return Err(error),
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// What follows a complete answer, or `None` while it is incomplete.
fn upgraded(answer: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let find = |what: &[u8]| answer.windows(what.len()).position(|window| window == what);
    let Some(end) = find(b"\r\n\r\n") else { return Ok(None) };
    if !answer.starts_with(b"HTTP/1.1 101") || find(ACCEPT).is_none() {
        let text = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the upgrade was refused: {text}")));
    }
    Ok(Some(answer[end + 4..].to_vec()))
}
