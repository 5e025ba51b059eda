//! Output: frames into the outbox, the outbox through TLS into the socket.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;

use everwire_wire as wire;
use everwire_wire::frame::Header;
use everwire_wire::{Kind, SendError};

use super::closing::Then;
use super::{Conn, Line, Phase};
use crate::event::{Cause, Event};
use crate::outbox::{Outbox, Shared};
use crate::poller::Poller;
use crate::slots::Id;
use crate::socket::Socket;
use crate::workspace::Workspace;

/// Payloads from here on are offered to the socket at once, from where they are, when nothing waits before them.
const AT_ONCE: usize = 64 * 1024;
/// Bytes of a message that is sent in pieces, because the output limit has no room for the whole: so much of it is copied at a time.
const PIECE: usize = 256 * 1024;
/// Plaintext that is encrypted in one go.
const CHUNK: usize = 64 * 1024;

/// Why a message was not queued. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The rules of the protocol forbid it.
    Wire(SendError),
    /// The output limit would be passed.
    Full,
}

impl Conn {
    /// Bytes of output that wait.
    pub fn output_len(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.len())
    }

    /// Whether output is above the high-water mark; if so, [`Event::Drained`] will tell when it has fallen.
    pub fn is_full(&mut self) -> bool {
        let full = self.output_len() > self.settings.limits.write_high as usize;
        self.flags.full |= full;
        full
    }

    /// Queues one message for somebody who does not wait.
    pub fn send(&mut self, id: Id, kind: Kind, payload: &[u8], ws: &mut Workspace) -> Result<(), Refused> {
        self.check_room(payload.len())?;
        self.queue(id, kind, payload, ws)
    }

    /// How many of a payload's `length` bytes may be queued at once by somebody who waits for room before, whatever room there is:
    /// all, unless they are more than the output limit.
    pub fn piece(&self, length: usize) -> usize {
        let output = self.settings.limits.output as usize;
        if length <= output { length } else { PIECE.min(output) }
    }

    /// Queues one message, or writes it at once if it is large and nothing is in its way.
    pub fn queue(&mut self, id: Id, kind: Kind, payload: &[u8], ws: &mut Workspace) -> Result<(), Refused> {
        let Phase::Open(wire) = &mut self.phase else { return Err(Refused::Wire(SendError::Closing)) };
        if payload.len() >= AT_ONCE
            && let Line::Socket(socket, None) = &self.line
            && self.outbox.as_ref().is_none_or(|outbox| outbox.is_empty())
            && let Some(plain) = wire.plain_header(kind, payload.len()).map_err(Refused::Wire)?
        {
            let mut header = Vec::with_capacity(Header::MAX);
            plain.write(&mut header);
            ws.metrics.sent += 1;
            let pieces = [IoSlice::new(&header), IoSlice::new(payload)];
            // Any error comes again, and is dealt with, when the rest is flushed.
            let written = socket.write_vectored(&pieces).unwrap_or_default();
            ws.metrics.written += written as u64;
            let rest = payload.len() + header.len() - written;
            if rest > 0 {
                let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
                outbox.append(1, |out| {
                    out.reserve_exact(rest);
                    out.extend_from_slice(header.get(written..).unwrap_or_default());
                    out.extend_from_slice(&payload[written.saturating_sub(header.len())..]);
                });
                self.wake_for_output(id, ws);
            }
            return Ok(());
        }
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(1, |out| wire.send(kind, payload, &mut ws.codec, out)).map_err(Refused::Wire)?;
        ws.metrics.sent += 1;
        self.wake_for_output(id, ws);
        Ok(())
    }

    /// Queues one part of a message, for somebody who waits for room before each.
    pub fn send_fragment(
        &mut self,
        id: Id,
        kind: Kind,
        payload: &[u8],
        fin: bool,
        ws: &mut Workspace,
    ) -> Result<(), Refused> {
        let Phase::Open(wire) = &mut self.phase else { return Err(Refused::Wire(SendError::Closing)) };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        let result = outbox.append(1, |out| wire.send_fragment(kind, payload, fin, &mut ws.codec, out));
        result.map_err(Refused::Wire)?;
        ws.metrics.sent += u64::from(fin);
        self.wake_for_output(id, ws);
        Ok(())
    }

    /// Queues a message that was encoded once for many connections.
    pub fn send_shared(&mut self, id: Id, frame: &Arc<Shared>, ws: &mut Workspace) -> Result<(), Refused> {
        self.check_room(frame.bytes().len())?;
        match &self.phase {
            Phase::Open(wire) if wire.state() != wire::State::Open => return Err(Refused::Wire(SendError::Closing)),
            Phase::Open(wire) if wire.is_mid_send() => return Err(Refused::Wire(SendError::MidMessage)),
            Phase::Open(_) => {}
            _ => return Err(Refused::Wire(SendError::Closing)),
        }
        self.outbox.get_or_insert_with(|| ws.pool.take()).append_shared(frame);
        ws.metrics.sent += 1;
        self.wake_for_output(id, ws);
        Ok(())
    }

    /// Whether frames encoded for many connections may be sent here: no (`None`), plain ones, or compressed ones too.
    pub fn shares_frames(&self) -> Option<bool> {
        match &self.phase {
            Phase::Open(wire) if wire.role() == wire::Role::Client => None,
            Phase::Open(wire) => match wire.deflate() {
                None => Some(false),
                Some(agreed) => agreed.takes_shared_frames().then_some(true),
            },
            _ => Some(false),
        }
    }

    /// Queues a ping.
    pub fn send_ping(&mut self, id: Id, payload: &[u8], ws: &mut Workspace) -> Result<(), Refused> {
        self.control(id, ws, |wire, codec, out| wire.send_ping(payload, codec, out))
    }

    /// Queues a pong that nobody asked for.
    pub fn send_unasked_pong(&mut self, id: Id, payload: &[u8], ws: &mut Workspace) -> Result<(), Refused> {
        self.control(id, ws, |wire, codec, out| wire.send_pong(payload, codec, out))
    }

    fn control(
        &mut self,
        id: Id,
        ws: &mut Workspace,
        write: impl FnOnce(&mut wire::Connection, &mut wire::Codec, &mut Vec<u8>) -> Result<(), SendError>,
    ) -> Result<(), Refused> {
        self.check_room(125)?;
        let Phase::Open(wire) = &mut self.phase else { return Err(Refused::Wire(SendError::Closing)) };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(1, |out| write(wire, &mut ws.codec, out)).map_err(Refused::Wire)?;
        self.wake_for_output(id, ws);
        Ok(())
    }

    fn check_room(&self, more: usize) -> Result<(), Refused> {
        let limits = &self.settings.limits;
        let overhead = limits.message_overhead as usize;
        let cost = self.outbox.as_ref().map_or(0, |outbox| outbox.cost(overhead));
        if cost + more + overhead > limits.output as usize { Err(Refused::Full) } else { Ok(()) }
    }

    /// Writes what the socket takes, then does what was to be done after the last byte.
    pub fn flush(&mut self, id: Id, poller: &Poller, ws: &mut Workspace) {
        self.flags.dirty = false;
        match self.write_all(ws) {
            Ok(true) => self.on_flushed(id, poller, ws),
            Ok(false) => self.watch(id, true, poller),
            Err(cause) => self.on_write_error(id, cause, ws),
        }
        let low = self.settings.limits.write_high as usize / 4;
        if self.flags.full && self.output_len() <= low {
            self.flags.full = false;
            ws.events.push(Event::Drained(id));
        }
        if self.unanswered.is_some() && self.output_len() <= low {
            self.answer_ping(id, ws);
        }
        self.account();
    }

    /// Takes all output of a connection whose bytes an outside driver writes, and whether it is to hang up afterwards.
    pub fn take_output(&mut self, id: Id, ws: &mut Workspace) -> (Vec<u8>, bool) {
        self.flags.dirty = false;
        let mut bytes = Vec::new();
        if let Some(outbox) = &mut self.outbox {
            while !outbox.is_empty() {
                let front = outbox.front();
                bytes.extend_from_slice(front);
                let count = front.len();
                outbox.consume(count);
            }
        }
        if self.flags.full {
            self.flags.full = false;
            ws.events.push(Event::Drained(id));
        }
        let then = self.closing.as_ref().map_or(Then::Stay, |closing| closing.then);
        if then == Then::Drop {
            self.phase = Phase::Over;
        }
        self.account();
        (bytes, then != Then::Stay)
    }

    fn on_flushed(&mut self, id: Id, poller: &Poller, ws: &mut Workspace) {
        if let Some(outbox) = self.outbox.take() {
            ws.pool.give(outbox);
        }
        self.watch(id, false, poller);
        let then = self.closing.as_mut().map(|closing| std::mem::take(&mut closing.then));
        match (then, &self.line) {
            (Some(Then::HalfClose), Line::Socket(socket, _)) => socket.shutdown_write(),
            (Some(Then::Drop), Line::Socket(..)) => self.phase = Phase::Over,
            _ => {}
        }
    }

    /// The peer takes nothing more; what it said before may still lie in the socket, so reading finds the end.
    fn on_write_error(&mut self, id: Id, cause: Cause, ws: &mut Workspace) {
        if let Some(outbox) = self.outbox.take() {
            ws.pool.give(outbox);
        }
        if !self.is_open() {
            return self.end(Some(cause));
        }
        self.flags.readable = true;
        self.flags.ended = true;
        if !self.flags.ready {
            self.flags.ready = true;
            ws.ready.push_back(id);
        }
    }

    /// Registers for writability only while the socket refuses more.
    fn watch(&mut self, id: Id, on: bool, poller: &Poller) {
        if self.flags.blocked == on {
            return;
        }
        if let Line::Socket(socket, _) = &self.line {
            match poller.watch_writable(socket.fd(), id.to_bits(), on) {
                Ok(()) => self.flags.blocked = on,
                Err(error) => self.end(Some(Cause::Io(error))),
            }
        }
    }

    /// Whether everything went out.
    fn write_all(&mut self, ws: &mut Workspace) -> Result<bool, Cause> {
        let ends = self.closing.as_ref().is_some_and(|closing| closing.then != Then::Stay);
        let Line::Socket(socket, tls) = &mut self.line else { return Ok(false) };
        let Some(tls) = tls else {
            return match &mut self.outbox {
                Some(outbox) => write_outbox(socket, outbox, ws),
                None => Ok(true),
            };
        };
        loop {
            while !tls.outgoing().is_empty() {
                match socket.write(tls.outgoing()) {
                    Ok(count) => {
                        ws.metrics.written += count as u64;
                        tls.sent(count);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(Cause::Io(error)),
                }
            }
            match &mut self.outbox {
                Some(outbox) if !outbox.is_empty() && !tls.is_handshaking() => {
                    let front = outbox.front();
                    let count = front.len().min(CHUNK);
                    tls.encrypt(&front[..count]).map_err(|failure| Cause::Tls(failure.to_string()))?;
                    outbox.consume(count);
                }
                Some(outbox) if !outbox.is_empty() => return Ok(false),
                _ if ends => {
                    tls.close();
                    if tls.outgoing().is_empty() {
                        return Ok(true);
                    }
                }
                _ => return Ok(true),
            }
        }
    }
}

fn write_outbox(socket: &Socket, outbox: &mut Outbox, ws: &mut Workspace) -> Result<bool, Cause> {
    while !outbox.is_empty() {
        let result = match outbox.single() {
            Some(bytes) => socket.write(bytes),
            None => {
                let mut slices = [IoSlice::new(&[]); 16];
                let count = outbox.pieces(&mut slices);
                socket.write_vectored(&slices[..count])
            }
        };
        match result {
            Ok(count) => {
                ws.metrics.written += count as u64;
                outbox.consume(count);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Cause::Io(error)),
        }
    }
    Ok(true)
}
