//! What a driver tells a shard to do.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use everwire_wire::handshake::{BadField, Offer, Refusal, Request, Response, Upgrade};
use everwire_wire::{Kind, Role, SendError};

use super::{LISTENER, Shard};
use crate::connection::{Conn, Head, Line, Opening, Phase, Refused};
use crate::event::Cause;
use crate::listener::Listener;
use crate::settings::Settings;
use crate::slots::Id;
use crate::socket::{Peer, Socket};
use crate::tls;

/// An answer to a request that was held back for the application.
pub enum Decision<'a> {
    /// Open the connection.
    Accept {
        /// What [`Shard::check`] returned.
        upgrade: &'a Upgrade,
        /// The subprotocol that was chosen.
        subprotocol: Option<&'a str>,
        /// Further fields of the response.
        fields: &'a [(String, String)],
    },
    /// Answer as the rules demand.
    Refuse(&'a Refusal),
    /// Answer with an ordinary response.
    Respond {
        /// Three digits.
        status: u16,
        /// The reason phrase; `None` for the usual one.
        reason: Option<&'a str>,
        /// The response's fields.
        fields: &'a [(String, String)],
        /// The response's body.
        body: &'a [u8],
    },
}

impl Shard {
    /// Accepts connections on a listening socket from now on.
    pub fn listen(&mut self, socket: Socket, settings: Arc<Settings>) -> io::Result<Id> {
        let fd = socket.fd();
        let id = self.listeners.insert(Listener { socket, settings, connections: 0, ready: true });
        self.accepting.push_back(id);
        if let Err(error) = self.poller.add(fd, id.to_bits() | LISTENER) {
            self.listeners.remove(id);
            return Err(error);
        }
        Ok(id)
    }

    /// Stops accepting on a listener and closes its socket; its connections stay.
    pub fn stop_listening(&mut self, id: Id) {
        if let Some(listener) = self.listeners.remove(id) {
            // A descriptor that is not registered (any more) has nothing to remove.
            let _ = self.poller.remove(listener.socket.fd());
        }
    }

    /// Begins the client's handshake on a connected socket; a TLS session must have been started.
    ///
    /// # Errors
    /// The offer holds something that must not be sent.
    pub fn connect(
        &mut self,
        socket: Socket,
        tls: Option<Box<tls::Session>>,
        offer: Offer,
        settings: Arc<Settings>,
    ) -> Result<Id, BadField> {
        socket.send_at_once();
        let peer = socket.peer();
        self.offer(Line::Socket(socket, tls), peer, offer, settings)
    }

    /// Begins the client's handshake on bytes that an outside driver carries.
    pub fn connect_outside(&mut self, peer: Peer, offer: Offer, settings: Arc<Settings>) -> Result<Id, BadField> {
        self.offer(Line::Outside, peer, offer, settings)
    }

    /// Begins a server's handshake on bytes that an outside driver carries.
    pub fn accept_outside(&mut self, peer: Peer, settings: Arc<Settings>) -> Id {
        self.ws.metrics.accepted += 1;
        self.add(Conn::new(Line::Outside, peer, settings, Opening::default(), self.ws.now))
    }

    fn offer(&mut self, line: Line, peer: Peer, offer: Offer, settings: Arc<Settings>) -> Result<Id, BadField> {
        self.ws.now = self.millis(Instant::now());
        let mut request = Vec::new();
        offer.write_request(&mut request)?;
        let id = self.add(Conn::new(line, peer, settings, Opening::client(offer), self.ws.now));
        if let Some(conn) = self.conns.get_mut(id) {
            conn.write_request(id, &request, &mut self.ws);
        }
        Ok(id)
    }

    /// Fresh random bytes for a client's key (RFC 6455 §4.1).
    pub fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        for piece in nonce.chunks_exact_mut(4) {
            piece.copy_from_slice(&self.ws.codec.masks.next_key());
        }
        nonce
    }

    /// Hands bytes over that an outside driver read; `last` if nothing comes after them. True if the driver is to stop reading
    /// until [`Event::Hungry`](crate::Event::Hungry).
    pub fn feed(&mut self, id: Id, bytes: &[u8], last: bool) -> bool {
        let is_sated = self.conns.get_mut(id).is_some_and(|conn| conn.feed(bytes, last));
        self.make_ready(id);
        is_sated
    }

    /// Whether there are connections with output for an outside driver.
    pub fn has_outside(&self) -> bool {
        !self.outside.is_empty()
    }

    /// Connections whose bytes an outside driver writes, with output to [take](Shard::take_output).
    pub fn take_outside(&mut self) -> Vec<Id> {
        std::mem::take(&mut self.outside)
    }

    /// Puts a connection back on that list: its driver takes output again.
    pub fn unblock_outside(&mut self, id: Id) {
        self.outside.push(id);
    }

    /// The output of such a connection, and whether it is to be closed once that is written.
    pub fn take_output(&mut self, id: Id) -> (Vec<u8>, bool) {
        let Some(conn) = self.conns.get_mut(id) else { return (Vec::new(), true) };
        let output = conn.take_output(id, &mut self.ws);
        self.collect_over(id);
        output
    }

    /// Whether the request in hand may become a WebSocket.
    pub fn check(&self, id: Id) -> Option<Result<Upgrade, Refusal>> {
        self.conns.get(id).filter(|conn| matches!(conn.phase, Phase::Asking)).map(Conn::check)
    }

    /// Answers a request that was held back. A connection that is gone, or was answered, is not answered again.
    ///
    /// # Errors
    /// A field that must not be sent; the request still waits.
    pub fn decide(&mut self, id: Id, decision: Decision<'_>) -> Result<(), BadField> {
        let Some(conn) = self.conns.get_mut(id) else { return Ok(()) };
        if !matches!(conn.phase, Phase::Asking) {
            return Ok(());
        }
        let ws = &mut self.ws;
        match decision {
            Decision::Accept { upgrade, subprotocol, fields } => conn.accept(id, upgrade, subprotocol, fields, ws)?,
            Decision::Refuse(refusal) => conn.refuse(id, refusal, ws),
            Decision::Respond { status, reason, fields, body } => {
                conn.respond(id, status, reason, fields, body, ws)?;
            }
        }
        self.make_ready(id);
        Ok(())
    }

    /// Queues a message of somebody who does not wait. It leaves at the next flush.
    pub fn send(&mut self, id: Id, kind: Kind, payload: &[u8]) -> Result<(), Refused> {
        match self.conns.get_mut(id) {
            Some(conn) => conn.send(id, kind, payload, &mut self.ws),
            None => Err(Refused::Wire(SendError::Closing)),
        }
    }

    /// Queues a message of somebody who has waited until output was below the high-water mark: no other limit holds then but
    /// [`Shard::piece`].
    pub fn send_waited(&mut self, id: Id, kind: Kind, payload: &[u8]) -> Result<(), Refused> {
        match self.conns.get_mut(id) {
            Some(conn) => conn.queue(id, kind, payload, &mut self.ws),
            None => Err(Refused::Wire(SendError::Closing)),
        }
    }

    /// How many of a payload's `length` bytes somebody who waits may queue at once; the rest of it goes in further parts.
    pub fn piece(&self, id: Id, length: usize) -> usize {
        self.conns.get(id).map_or(length, |conn| conn.piece(length))
    }

    /// Queues one part of a message of somebody who waits, before each, until output is below the high-water mark.
    pub fn send_fragment(&mut self, id: Id, kind: Kind, payload: &[u8], fin: bool) -> Result<(), Refused> {
        match self.conns.get_mut(id) {
            Some(conn) => conn.send_fragment(id, kind, payload, fin, &mut self.ws),
            None => Err(Refused::Wire(SendError::Closing)),
        }
    }

    /// Queues a ping; its pong comes as an event.
    pub fn ping(&mut self, id: Id, payload: &[u8]) -> Result<(), Refused> {
        match self.conns.get_mut(id) {
            Some(conn) => {
                conn.flags.wants_pongs = true;
                conn.send_ping(id, payload, &mut self.ws)
            }
            None => Err(Refused::Wire(SendError::Closing)),
        }
    }

    /// Queues a pong that nobody asked for.
    pub fn pong(&mut self, id: Id, payload: &[u8]) -> Result<(), Refused> {
        match self.conns.get_mut(id) {
            Some(conn) => conn.send_unasked_pong(id, payload, &mut self.ws),
            None => Err(Refused::Wire(SendError::Closing)),
        }
    }

    /// Begins the closing handshake; one that goes on already is not begun again.
    pub fn close(&mut self, id: Id, close: Option<(u16, &str)>) -> Result<(), SendError> {
        self.ws.now = self.millis(Instant::now());
        let conn = self.conns.get_mut(id).ok_or(SendError::Closing)?;
        conn.close(id, close, &mut self.ws)?;
        // The peer's close frame comes behind what it sent before.
        self.resume(id);
        Ok(())
    }

    /// Ends a connection without a closing handshake.
    pub fn abort(&mut self, id: Id) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.end(Some(Cause::Aborted));
        }
        self.collect_over(id);
    }

    /// Stops reading from a connection.
    pub fn pause(&mut self, id: Id) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.flags.paused = true;
        }
    }

    /// Reads from a paused connection again.
    pub fn resume(&mut self, id: Id) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.flags.paused = false;
        }
        self.make_ready(id);
    }

    /// Hands messages out in parts as they come, or whole again.
    pub fn set_streaming(&mut self, id: Id, on: bool) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.set_streaming(id, on, &mut self.ws);
        }
    }

    /// Whether output is above the high-water mark. If so, an event will tell when it has fallen.
    pub fn is_full(&mut self, id: Id) -> bool {
        self.conns.get_mut(id).is_some_and(Conn::is_full)
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

    /// The descriptor of a connection's socket, if it has one.
    pub fn descriptor(&self, id: Id) -> Option<RawFd> {
        match &self.conns.get(id)?.line {
            Line::Socket(socket, _) => Some(socket.fd()),
            Line::Outside => None,
        }
    }

    /// TLS of a connection, if it is in the core.
    pub fn tls(&self, id: Id) -> Option<&tls::Session> {
        match &self.conns.get(id)?.line {
            Line::Socket(_, tls) => tls.as_deref(),
            Line::Outside => None,
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

    /// Frees the head that the peer sent.
    pub fn drop_head(&mut self, id: Id) {
        if let Some(conn) = self.conns.get_mut(id)
            && !matches!(conn.phase, Phase::Asking)
        {
            conn.head = None;
            conn.account();
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

    /// Refuses a handshake that is under way; one whose head is still coming is answered all the same.
    pub fn refuse(&mut self, id: Id, refusal: &Refusal) {
        if let Some(conn) = self.conns.get_mut(id)
            && matches!(conn.phase, Phase::Opening(_) | Phase::Asking)
        {
            conn.refuse(id, refusal, &mut self.ws);
        }
    }
}
