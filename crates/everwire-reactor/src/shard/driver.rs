//! TLS that is not ours: the shard's driver turns ciphertext into plaintext, and the reverse.
//!
//! The reactor reads and writes the socket, and keeps every rule about time, limits and ends. It hands ciphertext out as
//! [`Event::Ciphertext`](crate::Event::Ciphertext) and reads on when [`Shard::unwrapped`] brought the answer; it lists who has
//! output to encrypt in [`Shard::take_wraps`], and writes what [`Shard::wrapped`] brings.

use std::time::Instant;

use super::Shard;
use crate::connection::{Foreign, Wrapping};
use crate::slots::Id;

/// What a driver made of ciphertext.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrapped<'a> {
    /// What the peer said.
    pub plain: &'a [u8],
    /// What TLS itself has to say to the peer.
    pub outgoing: &'a [u8],
    /// The handshake is done.
    pub is_open: bool,
    /// The peer said goodbye: nothing follows.
    pub is_closed: bool,
}

impl Shard {
    /// Takes a driver's answer to ciphertext; a client's first message is the answer to none.
    pub fn unwrapped(&mut self, id: Id, answer: &Unwrapped<'_>) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Wrapping::Driver(foreign) = &mut conn.line.wrapping else { return };
        foreign.unwraps = false;
        foreign.is_open |= answer.is_open;
        foreign.queue(answer.outgoing);
        conn.take_plain(answer.plain, answer.is_closed);
        conn.wake_for_output(&mut self.ws);
        self.make_ready(id);
    }

    /// The next connection that has output to encrypt, or is to say goodbye.
    pub fn next_wrap(&mut self) -> Option<Id> {
        self.ws.wraps.pop_front()
    }

    /// Whether there is one.
    pub fn has_wraps(&self) -> bool {
        !self.ws.wraps.is_empty()
    }

    /// Output of such a connection, and whether TLS is to say goodbye behind it.
    pub fn take_portion(&mut self, id: Id) -> (Vec<u8>, bool) {
        match self.conns.get_mut(id) {
            Some(conn) => conn.take_portion(),
            None => (Vec::new(), false),
        }
    }

    /// Takes what that became; with `is_last` TLS says nothing more.
    pub fn wrapped(&mut self, id: Id, outgoing: &[u8], is_last: bool) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(foreign) = foreign_of(&mut conn.line.wrapping) else { return };
        foreign.wraps = false;
        foreign.is_closed |= is_last;
        foreign.queue(outgoing);
        conn.wake_for_output(&mut self.ws);
    }

    /// The driver's TLS failed: the connection ends, after the alert that is in `outgoing`.
    pub fn fail_tls(&mut self, id: Id, outgoing: &[u8], text: String, now: Instant) {
        let now = self.moment(now);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.is_over() {
            return;
        }
        let Some(foreign) = foreign_of(&mut conn.line.wrapping) else { return };
        foreign.unwraps = false;
        foreign.is_closed = true;
        foreign.queue(outgoing);
        conn.on_tls_failure(text, now, &mut self.ws);
    }
}

fn foreign_of(wrapping: &mut Wrapping) -> Option<&mut Foreign> {
    match wrapping {
        Wrapping::Driver(foreign) => Some(foreign),
        Wrapping::Plain | Wrapping::Core(_) => None,
    }
}
