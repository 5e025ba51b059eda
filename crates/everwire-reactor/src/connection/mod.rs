//! One connection: its phase, its buffers, its place in time.
//!
//! ```text
//!            request read            accepted              both close frames, or failed
//! Opening ──────────────▶ Asking ──────────────▶ Open ──────────────▶ Lingering ──▶ Over
//!    │ (client: response)                                                ▲            ▲
//!    └── refused or failed ──────────────────────────────────────────────┘   ends ────┘
//! ```
//! Every step ends with what the socket, the peer or the application said applied in the order it came. A step never removes the
//! connection itself: it sets [`Phase::Over`], and the shard collects it.

mod closing;
mod heartbeat;
mod opening;
mod reading;
mod writing;

pub(crate) use closing::Closing;
pub(crate) use heartbeat::Clock;
pub(crate) use opening::Opening;
pub use writing::Refused;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use everwire_wire as wire;
use everwire_wire::Control;
use everwire_wire::handshake::{Request, Response};

use crate::event::Cause;
use crate::memory::Member;
use crate::outbox::Outbox;
use crate::settings::Settings;
use crate::slots::Id;
use crate::socket::{Peer, Socket};
use crate::tls;
use crate::workspace::Workspace;

/// Bytes of output that a connection may have queued since they were counted; writing counts them all.
const UNCOUNTED: usize = 64 * 1024;

/// Where a connection is in its life.
pub(crate) enum Phase {
    /// The opening handshake: TLS, PROXY header, head.
    Opening(Box<Opening>),
    /// A server's request waits for the application's decision.
    Asking,
    /// A client's handshake was refused; the answer's body is still coming.
    Refused,
    /// Frames.
    Open(wire::Connection),
    /// The last output is leaving; input is discarded until the peer hangs up.
    Lingering,
    /// To be removed.
    Over,
}

/// Where the bytes come from and go to.
pub(crate) enum Line {
    /// A socket of ours, perhaps with TLS on it.
    Socket(Socket, Option<Box<tls::Session>>),
    /// A driver that feeds bytes and takes output.
    Outside,
}

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
    /// What it holds alone, in the process-wide account.
    memory: Member,
    /// Bytes of output when that was counted.
    counted: usize,
    pub flags: Flags,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    /// The socket may have something to read.
    pub readable: bool,
    /// The socket will say no more after what is there: a short read does not mean that it is empty.
    pub ended: bool,
    /// Nothing comes after the stash: TLS or the outside driver said so.
    pub finished: bool,
    /// An outside driver was told to stop, because enough waits in the stash.
    pub sated: bool,
    /// The application does not take messages.
    pub paused: bool,
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
    pub fn new(line: Line, peer: Peer, settings: Arc<Settings>, opening: Opening, now: u64) -> Self {
        let proxy = settings.proxy_protocol;
        Conn {
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
            memory: Member::new(),
            counted: 0,
            flags: Flags { proxy, ..Flags::default() },
        }
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

    /// Whether input waits for the application instead of being read.
    pub fn is_paused(&self) -> bool {
        match self.phase {
            Phase::Asking => true,
            Phase::Open(_) => self.flags.paused,
            _ => false,
        }
    }

    /// Whether serving it would make progress.
    pub fn has_input(&self) -> bool {
        !self.is_over() && !self.is_paused() && (self.flags.readable || self.flags.finished || !self.stash.is_empty())
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
        let tls = match &self.line {
            Line::Socket(_, Some(tls)) => tls.held(),
            _ => 0,
        };
        let head = self.head.as_ref().map_or(0, Head::len);
        let body = self.closing.as_ref().map_or(0, |closing| closing.body.capacity());
        let outbox = self.outbox.as_ref().map_or(0, |outbox| outbox.held());
        self.counted = self.output_len();
        self.memory.set(phase + tls + head + body + outbox + self.stash.capacity());
    }

    /// Ends the connection now; `cause` is kept only if there was none before.
    pub fn end(&mut self, cause: Option<Cause>) {
        let closing = self.closing.get_or_insert_default();
        if closing.ending.cause.is_none() {
            closing.ending.cause = cause;
        }
        self.phase = Phase::Over;
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

    fn wake_for_output(&mut self, id: Id, ws: &mut Workspace) {
        if !self.flags.dirty {
            self.flags.dirty = true;
            ws.dirty.push_back(id);
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
