//! What a driver may ask a shard.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use everwire_wire::Role;
use everwire_wire::handshake::{Refusal, Request, Response, Upgrade};

use super::Shard;
use crate::connection::{Conn, Head, Phase, Wrapping};
use crate::slots::Id;
use crate::socket::Peer;
use crate::tls;

impl Shard {
    /// Whether the request in hand may become a WebSocket.
    pub fn check(&self, id: Id) -> Option<Result<Upgrade, Refusal>> {
        self.conns.get(id).filter(|conn| matches!(conn.phase, Phase::Asking)).map(Conn::check)
    }

    /// Whether messages can be sent.
    pub fn is_open(&self, id: Id) -> bool {
        self.conns.get(id).is_some_and(Conn::is_open)
    }

    /// Bytes of output that wait.
    pub fn output_len(&self, id: Id) -> usize {
        self.conns.get(id).map_or(0, Conn::output_len)
    }

    /// Round trip of the last answered heartbeat.
    pub fn latency(&self, id: Id) -> Option<Duration> {
        self.conns.get(id)?.latency()
    }

    /// Whom the connection leads to: the socket's peer, or whom a PROXY header named.
    pub fn peer(&self, id: Id) -> Option<Peer> {
        self.conns.get(id).map(|conn| conn.peer)
    }

    /// The client's address, as far as proxies can be trusted.
    pub fn client(&self, id: Id) -> Option<SocketAddr> {
        self.conns.get(id)?.address()
    }

    /// The descriptor of a connection's source, if it has one.
    pub fn descriptor(&self, id: Id) -> Option<RawFd> {
        self.conns.get(id)?.line.source.descriptor()
    }

    /// TLS of a connection, if it is in the core.
    pub fn tls(&self, id: Id) -> Option<&tls::Session> {
        match &self.conns.get(id)?.line.wrapping {
            Wrapping::Core(session) => Some(session),
            Wrapping::Plain | Wrapping::Driver(_) => None,
        }
    }

    /// Takes the request that a server's connection began with; the engine needs it no more once it is decided.
    pub fn request(&self, id: Id) -> Option<&Request> {
        match self.conns.get(id)?.head.as_ref()? {
            Head::Request(request) => Some(request),
            Head::Response(_) => None,
        }
    }

    /// The extensions that such a request agrees on with us, as the response names them.
    pub fn extension(&self, id: Id) -> Option<String> {
        let upgrade = self.request(id)?.upgrade().ok()?;
        let config = self.conns.get(id)?.settings.deflate.as_ref()?;
        upgrade.deflate(config).map(|(_, extension)| extension)
    }

    /// The response that a client's connection began with.
    pub fn response(&self, id: Id) -> Option<&Response> {
        match self.conns.get(id)?.head.as_ref()? {
            Head::Response(response) => Some(response),
            Head::Request(_) => None,
        }
    }

    /// The listener that accepted a connection.
    pub fn listener(&self, id: Id) -> Option<Id> {
        self.conns.get(id)?.listener
    }

    /// Which side of the connection we are.
    pub fn role(&self, id: Id) -> Option<Role> {
        self.conns.get(id).map(|conn| conn.settings.role)
    }

    /// Connections of a listener that are still in their opening handshake.
    pub fn opening(&self, listener: Id) -> Vec<Id> {
        let is_opening =
            |conn: &Conn| conn.listener == Some(listener) && matches!(conn.phase, Phase::Opening(_) | Phase::Asking);
        self.conns.iter().filter(|(_, conn)| is_opening(conn)).map(|(id, _)| id).collect()
    }
}
