//! One connection: its phase, its buffers, its place in time.
//!
//! [`phase`] has the table of what leads where. Every step ends with what the socket, the peer or the application said applied in
//! the order it came. A step never removes the connection itself: it enters [`Phase::Over`], and the shard collects it.

mod closing;
mod heartbeat;
mod line;
mod opening;
pub(crate) mod phase;
mod reading;
mod writing;

pub(crate) use closing::Closing;
pub(crate) use heartbeat::Clock;
pub(crate) use line::{Foreign, Line, Wrapping};
pub(crate) use opening::Opening;
pub(crate) use phase::Phase;
pub use writing::Refused;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use everwire_wire as wire;
use everwire_wire::Control;
use everwire_wire::handshake::{Request, Response};

use crate::event::Cause;
use crate::memory::Member;
use crate::moment::Moment;
use crate::outbox::Outbox;
use crate::settings::Settings;
use crate::slots::Id;
use crate::socket::Peer;
use crate::workspace::Workspace;

/// Bytes of messages that are read past a pause to find the end that is known to lie behind them: more than a socket buffers,
/// unless they are compressed.
const AHEAD: usize = 16 * 1024 * 1024;
/// Bytes of output that a connection may have queued since they were counted; writing counts them all.
const UNCOUNTED: usize = 64 * 1024;

/// The head that the peer sent, kept for the application until it is dropped.
pub(crate) enum Head {
    Request(Request),
    Response(Response),
}

impl Head {
    fn len(&self) -> usize {
        match self {
            Head::Request(request) => request.as_bytes().len(),
            Head::Response(response) => response.as_bytes().len(),
        }
    }
}

pub(crate) struct Conn {
    /// Its place in the shard.
    pub id: Id,
    pub phase: Phase,
    pub line: Line,
    pub settings: Arc<Settings>,
    /// The listener that accepted it.
    pub listener: Option<Id>,
    pub peer: Peer,
    /// The client's address, as far as proxies can be trusted.
    pub client: Option<IpAddr>,
    pub head: Option<Head>,
    pub outbox: Option<Box<Outbox>>,
    pub closing: Option<Box<Closing>>,
    pub clock: Clock,
    /// Input that was read and not looked at: the application was not ready for it.
    stash: Vec<u8>,
    /// The newest ping that was not answered, because the peer does not read.
    unanswered: Option<Box<Control>>,
    /// Bytes of messages that were handed out although the application takes none, because the peer's end lies behind them.
    ahead: usize,
    /// What it holds alone, in the process-wide account.
    memory: Member,
    /// Bytes of output when that was counted.
    counted: usize,
    pub flags: Flags,
}

/// Why a connection is not read; each reason has one owner, and reading goes on when none is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The application said so.
    Application = 1,
    /// Enough received messages wait for it.
    Queue = 2,
}

/// The reasons that hold.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pauses(u8);

impl Pauses {
    pub fn set(&mut self, pause: Pause, on: bool) {
        if on {
            self.0 |= pause as u8;
        } else {
            self.0 &= !(pause as u8);
        }
    }

    pub fn any(self) -> bool {
        self.0 != 0
    }
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    /// The socket may have something to read.
    pub readable: bool,
    /// The socket will say no more after what is there: a short read does not mean that it is empty.
    pub ended: bool,
    /// Nothing comes after the stash: TLS said so.
    pub finished: bool,
    /// Who does not want input now.
    pub paused: Pauses,
    /// On the shard's ready list.
    pub ready: bool,
    /// On the shard's list of those with output.
    pub dirty: bool,
    /// The socket took no more; the poller tells when it does.
    pub blocked: bool,
    /// Output rose above the high-water mark and somebody waits for it to fall.
    pub full: bool,
    /// The application waits for pongs of its own pings.
    pub wants_pongs: bool,
    /// Its address is counted in the shard's table.
    pub counted: bool,
    /// More than the listener takes: to be answered with 503.
    pub surplus: bool,
    /// A PROXY header has still to come.
    pub proxy: bool,
    /// The handshake was completed once.
    pub opened: bool,
}

impl Conn {
    pub fn new(id: Id, line: Line, peer: Peer, settings: Arc<Settings>, opening: Opening, now: Moment) -> Self {
        let proxy = settings.proxy_protocol;
        Conn {
            id,
            phase: Phase::Opening(Box::new(opening)),
            line,
            settings,
            listener: None,
            peer,
            client: peer.ip(),
            head: None,
            outbox: None,
            closing: None,
            clock: Clock::new(now),
            stash: Vec::new(),
            unanswered: None,
            ahead: 0,
            memory: Member::new(),
            counted: 0,
            flags: Flags { proxy, ..Flags::default() },
        }
    }

    /// Goes on to another phase, as the table of [`phase`] allows.
    pub(super) fn enter(&mut self, phase: Phase) {
        let (from, to) = (self.phase.stage(), phase.stage());
        debug_assert!(from == to || phase::is_allowed(from, to), "{from:?} to {to:?}");
        self.phase = phase;
    }

    /// Where the client is, as far as proxies can be trusted. The port is the peer's: proxies do not tell another.
    pub fn address(&self) -> Option<SocketAddr> {
        let port = match self.peer {
            Peer::Tcp(address) => address.port(),
            Peer::Local => 0,
        };
        self.client.map(|address| SocketAddr::new(address, port))
    }

    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether messages can be sent: the handshake is done and the closing handshake has not begun.
    pub fn is_open(&self) -> bool {
        matches!(&self.phase, Phase::Open(wire) if wire.state() == wire::State::Open)
    }

    /// Whether input waits for the application instead of being read. Once the peer has hung up, what it left is all that will
    /// ever come: it is read to the end, within a bound, so that the end is noticed.
    pub fn is_paused(&self) -> bool {
        match &self.phase {
            Phase::Asking => true,
            Phase::Open(wire) => {
                let looks_ahead = self.flags.ended && self.ahead < AHEAD;
                self.flags.paused.any() && wire.state() == wire::State::Open && !looks_ahead
            }
            _ => false,
        }
    }

    /// Whether serving it would make progress.
    pub fn has_input(&self) -> bool {
        !self.is_over()
            && !self.is_paused()
            && !self.is_unwrapping()
            && (self.flags.readable || self.flags.finished || !self.stash.is_empty())
    }

    /// Whether the driver has ciphertext to unwrap.
    fn is_unwrapping(&self) -> bool {
        matches!(&self.line.wrapping, Wrapping::Driver(foreign) if foreign.unwraps)
    }

    /// One reason not to read is gone.
    pub fn on_resumed(&mut self) {
        if !self.flags.paused.any() {
            self.ahead = 0;
        }
    }

    /// Memory that closing it would free: its own, and what it shares with nobody, or (`in_part`) its part of what it shares.
    pub fn burden(&self, in_part: bool) -> usize {
        self.memory.bytes() + self.outbox.as_ref().map_or(0, |outbox| outbox.shared(in_part))
    }

    /// Brings the process-wide account up to date. What is shared with other connections is charged where it was made.
    pub fn account(&mut self) {
        let phase = match &self.phase {
            Phase::Opening(opening) => opening.held(),
            Phase::Open(wire) => wire.buffered(),
            _ => 0,
        };
        let head = self.head.as_ref().map_or(0, Head::len);
        let body = self.closing.as_ref().map_or(0, |closing| closing.body.memory());
        let outbox = self.outbox.as_ref().map_or(0, |outbox| outbox.held());
        self.counted = self.output_len();
        self.memory.set(phase + self.line.held() + head + body + outbox + self.stash.capacity());
    }

    /// Ends the connection now; `cause` is kept only if there was none before.
    pub fn end(&mut self, cause: Option<Cause>) {
        let closing = self.closing.get_or_insert_default();
        if closing.ending.cause.is_none() {
            closing.ending.cause = cause;
        }
        self.enter(Phase::Over);
    }

    /// Gives back what it shares with others; the last thing that happens to it.
    pub fn release(&mut self, ws: &mut Workspace) {
        if let Some(outbox) = self.outbox.take() {
            ws.pool.give(outbox);
        }
        if let (true, Some(address)) = (self.flags.counted, self.client) {
            ws.addresses.release(address);
        }
    }

    pub fn wake_for_output(&mut self, ws: &mut Workspace) {
        if !self.flags.dirty {
            self.flags.dirty = true;
            ws.dirty.push_back(self.id);
        }
        if self.output_len() > self.counted + UNCOUNTED {
            self.account();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_takes_at_most_600_bytes() {
        // Its place in the table, and the places that the other tables have for it; an open, quiet connection owns nothing else.
        let place = size_of::<Option<Conn>>() + 2 * size_of::<u32>();
        let timer = 2 * size_of::<u64>();
        assert!(place + timer <= 600, "{place} + {timer}");
    }
}
