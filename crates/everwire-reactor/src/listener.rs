//! A listening socket: accepting within a budget, and surviving the lack of descriptors.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use crate::settings::Settings;
use crate::socket::{Peer, Socket};

/// How long accepting pauses when descriptors or memory have run out: freed descriptors bring no new event.
pub(crate) const STARVED: Duration = Duration::from_millis(250);

pub(crate) struct Listener {
    pub socket: Socket,
    pub settings: Arc<Settings>,
    /// Connections that it accepted and that are not over.
    pub connections: u64,
    /// On the shard's list of listeners that may have somebody waiting.
    pub ready: bool,
}

/// What accepting brought.
pub(crate) enum Accepted {
    Connection(Socket, Peer),
    /// Nobody waits.
    Nobody,
    /// One attempt failed on the peer's side, or was interrupted: try again.
    Again,
    /// The process or system ran out of something: wait.
    Starved(io::Error),
}

impl Listener {
    pub fn accept(&self) -> Accepted {
        match self.socket.accept() {
            Ok((socket, peer)) => Accepted::Connection(socket, peer),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Accepted::Nobody,
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => Accepted::Starved(error),
                // accept(2): errors of the new connection are passed on, and mean nothing for the next one.
                Some(libc::EINTR | libc::ECONNABORTED | libc::EPROTO | libc::ENETDOWN | libc::EHOSTUNREACH) => {
                    Accepted::Again
                }
                Some(libc::ENETUNREACH | libc::EHOSTDOWN | libc::EPERM | libc::ENOPROTOOPT) => Accepted::Again,
                _ => Accepted::Starved(error),
            },
        }
    }
}
