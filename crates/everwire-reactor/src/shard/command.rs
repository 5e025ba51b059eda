//! What a driver tells a shard to do.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use everwire_wire::handshake::{BadField, Offer, Refusal, Upgrade};
use everwire_wire::{Kind, SendError};

use super::{LISTENER, Shard};
use crate::connection::{Conn, Line, Opening, Pause, Phase, Refused, Wrapping};
use crate::event::Cause;
use crate::listener::Listener;
use crate::settings::Settings;
use crate::slots::Id;
use crate::socket::{Peer, Socket};
use crate::source::Source;
use crate::tls;

/// Who does TLS for a client.
pub enum ClientTls {
    /// Nobody: there is none.
    None,
    /// The core: a session that was started.
    Core(Box<tls::Session>),
    /// The shard's driver: see [`Event::Ciphertext`](crate::Event::Ciphertext).
    Driver,
}

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

    /// Begins the client's handshake on a connected source.
    ///
    /// # Errors
    /// The offer holds something that must not be sent.
    pub fn connect(
        &mut self,
        source: Box<dyn Source>,
        peer: Peer,
        tls: ClientTls,
        offer: Offer,
        settings: Arc<Settings>,
        now: Instant,
    ) -> Result<Id, BadField> {
        let now = self.moment(now);
        let mut request = Vec::new();
        offer.write_request(&mut request)?;
        let wrapping = match tls {
            ClientTls::None => Wrapping::Plain,
            ClientTls::Core(session) => Wrapping::Core(session),
            ClientTls::Driver => Wrapping::Driver(Box::default()),
        };
        let id = self.add(Line::new(source, wrapping), peer, settings, Opening::client(offer), now);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.write_request(&request, &mut self.ws);
        }
        self.settle(id);
        Ok(id)
    }

    /// Begins a server's handshake on a connected source that no listener of ours accepted.
    pub fn accept(&mut self, source: Box<dyn Source>, peer: Peer, settings: Arc<Settings>, now: Instant) -> Id {
        let now = self.moment(now);
        self.ws.metrics.accepted += 1;
        let id = self.add(Line::new(source, Wrapping::Plain), peer, settings, Opening::default(), now);
        self.admit(id, now);
        self.settle(id);
        id
    }

    /// Fresh random bytes for a client's key (RFC 6455 §4.1).
    pub fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        for piece in nonce.chunks_exact_mut(4) {
            piece.copy_from_slice(&self.ws.codec.masks.next_key());
        }
        nonce
    }

    /// Answers a request that was held back. A connection that is gone, or was answered, is not answered again.
    ///
    /// # Errors
    /// A field that must not be sent; the request still waits.
    pub fn decide(&mut self, id: Id, decision: Decision<'_>, now: Instant) -> Result<(), BadField> {
        let now = self.moment(now);
        let Some(conn) = self.conns.get_mut(id) else { return Ok(()) };
        if !matches!(conn.phase, Phase::Asking) {
            return Ok(());
        }
        let ws = &mut self.ws;
        match decision {
            Decision::Accept { upgrade, subprotocol, fields } => conn.accept(upgrade, subprotocol, fields, now, ws)?,
            Decision::Refuse(refusal) => conn.refuse(refusal, now, ws),
            Decision::Respond { status, reason, fields, body } => {
                conn.respond(status, reason, fields, body, now, ws)?;
            }
        }
        self.make_ready(id);
        Ok(())
    }

    /// Queues a message of somebody who does not wait. It leaves at the next flush.
    pub fn send(&mut self, id: Id, kind: Kind, payload: &[u8]) -> Result<(), Refused> {
        match self.conns.get_mut(id) {
            Some(conn) => conn.send(kind, payload, &mut self.ws),
            None => Err(Refused::Wire(SendError::Closing)),
        }
    }

    /// Queues a message of somebody who has waited until output was below the high-water mark: no other limit holds then but
    /// [`Shard::piece`].
    pub fn send_waited(&mut self, id: Id, kind: Kind, payload: &[u8]) -> Result<(), Refused> {
        match self.conns.get_mut(id) {
            Some(conn) => conn.queue(kind, payload, &mut self.ws),
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
            Some(conn) => conn.send_fragment(kind, payload, fin, &mut self.ws),
            None => Err(Refused::Wire(SendError::Closing)),
        }
    }

    /// Queues a ping; its pong comes as an event.
    pub fn ping(&mut self, id: Id, payload: &[u8]) -> Result<(), Refused> {
        match self.conns.get_mut(id) {
            Some(conn) => {
                conn.flags.wants_pongs = true;
                conn.send_ping(payload, &mut self.ws)
            }
            None => Err(Refused::Wire(SendError::Closing)),
        }
    }

    /// Queues a pong that nobody asked for.
    pub fn pong(&mut self, id: Id, payload: &[u8]) -> Result<(), Refused> {
        match self.conns.get_mut(id) {
            Some(conn) => conn.send_unasked_pong(payload, &mut self.ws),
            None => Err(Refused::Wire(SendError::Closing)),
        }
    }

    /// Begins the closing handshake; one that goes on already is not begun again. From now on nothing pauses reading: the peer's
    /// close frame comes behind what it sent before.
    pub fn close(&mut self, id: Id, close: Option<(u16, &str)>, now: Instant) -> Result<(), SendError> {
        let now = self.moment(now);
        let conn = self.conns.get_mut(id).ok_or(SendError::Closing)?;
        conn.close(close, now, &mut self.ws)?;
        self.make_ready(id);
        Ok(())
    }

    /// Ends a connection that was [idle](crate::Event::Idle) for too long.
    pub fn close_idle(&mut self, id: Id, now: Instant) {
        let now = self.moment(now);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.close_idle(now, &mut self.ws);
        }
    }

    /// Ends a connection without a closing handshake.
    pub fn abort(&mut self, id: Id) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.end(Some(Cause::Aborted));
        }
        self.collect_over(id);
    }

    /// Stops reading from a connection, for one reason.
    pub fn pause(&mut self, id: Id, reason: Pause) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.flags.paused.set(reason, true);
        }
    }

    /// That reason is gone: the connection is read again if there is no other.
    pub fn resume(&mut self, id: Id, reason: Pause) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.flags.paused.set(reason, false);
            conn.on_resumed();
        }
        self.make_ready(id);
    }

    /// Hands messages out in parts as they come, or whole again.
    pub fn set_streaming(&mut self, id: Id, on: bool, now: Instant) {
        let now = self.moment(now);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.set_streaming(on, now, &mut self.ws);
        }
    }

    /// Whether output is above the high-water mark. If so, an event will tell when it has fallen.
    pub fn is_full(&mut self, id: Id) -> bool {
        self.conns.get_mut(id).is_some_and(Conn::is_full)
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

    /// Refuses a handshake that is under way; one whose head is still coming is answered all the same, one whose TLS is not
    /// ready cannot be.
    pub fn refuse(&mut self, id: Id, refusal: &Refusal, now: Instant) {
        let now = self.moment(now);
        if let Some(conn) = self.conns.get_mut(id)
            && matches!(conn.phase, Phase::Opening(_) | Phase::Asking)
        {
            conn.withdraw(&mut self.ws);
            if conn.line.is_handshaking() {
                conn.end(Some(Cause::Refused(refusal.status, refusal.reason.to_string())));
            } else {
                conn.refuse(refusal, now, &mut self.ws);
            }
        }
        self.collect_over(id);
    }
}
