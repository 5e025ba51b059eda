//! Output: frames into the outbox, the outbox through TLS into the socket.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;

use everwire_wire as wire;
use everwire_wire::frame::Header;
use everwire_wire::{Kind, SendError};

use super::closing::Then;
use super::{Conn, Phase, Wrapping};
use crate::event::{Cause, Event};
use crate::moment::Moment;
use crate::outbox::{Outbox, Shared};
use crate::poller::Poller;
use crate::source::Source;
use crate::workspace::Workspace;

/// Payloads from here on are offered to the socket at once, from where they are, when nothing waits before them.
const AT_ONCE: usize = 64 * 1024;
/// Bytes of a message that is sent in pieces, because the output limit has no room for the whole: so much of it is copied at a time.
const PIECE: usize = 256 * 1024;
/// Plaintext that is encrypted in one go.
const CHUNK: usize = 64 * 1024;

/// Plaintext that a driver is given to encrypt in one go.
const PORTION: usize = 256 * 1024;

/// How far writing came.
enum Written {
    /// Everything went out.
    All,
    /// The source takes no more; the poller tells when it does.
    Blocked,
    /// TLS has to do something first.
    Waiting,
}

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
    pub fn send(&mut self, kind: Kind, payload: &[u8], ws: &mut Workspace) -> Result<(), Refused> {
        self.check_room(payload.len())?;
        self.queue(kind, payload, ws)
    }

    /// How many of a payload's `length` bytes may be queued at once by somebody who waits for room before, whatever room there is:
    /// all, unless they are more than the output limit.
    pub fn piece(&self, length: usize) -> usize {
        let output = self.settings.limits.output as usize;
        if length <= output { length } else { PIECE.min(output) }
    }

    /// Queues one message, or writes it at once if it is large and nothing is in its way.
    pub fn queue(&mut self, kind: Kind, payload: &[u8], ws: &mut Workspace) -> Result<(), Refused> {
        let Phase::Open(wire) = &mut self.phase else { return Err(Refused::Wire(SendError::Closing)) };
        if payload.len() >= AT_ONCE
            && let Wrapping::Plain = self.line.wrapping
            && self.outbox.as_ref().is_none_or(|outbox| outbox.is_empty())
            && let Some(plain) = wire.plain_header(kind, payload.len()).map_err(Refused::Wire)?
        {
            let mut header = Vec::with_capacity(Header::MAX);
            plain.write(&mut header);
            ws.metrics.sent += 1;
            let pieces = [IoSlice::new(&header), IoSlice::new(payload)];
            // Any error comes again, and is dealt with, when the rest is flushed.
            let written = self.line.source.write_vectored(&pieces).unwrap_or_default();
            self.clock.written += written as u64;
            ws.metrics.written += written as u64;
            let rest = payload.len() + header.len() - written;
            if rest > 0 {
                let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
                outbox.append(1, |out| {
                    out.reserve_exact(rest);
                    out.extend_from_slice(header.get(written..).unwrap_or_default());
                    out.extend_from_slice(&payload[written.saturating_sub(header.len())..]);
                });
                self.wake_for_output(ws);
            }
            return Ok(());
        }
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(1, |out| wire.send(kind, payload, &mut ws.codec, out)).map_err(Refused::Wire)?;
        ws.metrics.sent += 1;
        self.wake_for_output(ws);
        Ok(())
    }

    /// Queues one part of a message, for somebody who waits for room before each.
    pub fn send_fragment(&mut self, kind: Kind, payload: &[u8], fin: bool, ws: &mut Workspace) -> Result<(), Refused> {
        let Phase::Open(wire) = &mut self.phase else { return Err(Refused::Wire(SendError::Closing)) };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        let result = outbox.append(1, |out| wire.send_fragment(kind, payload, fin, &mut ws.codec, out));
        result.map_err(Refused::Wire)?;
        ws.metrics.sent += u64::from(fin);
        self.wake_for_output(ws);
        Ok(())
    }

    /// Queues a message that was encoded once for many connections.
    pub fn send_shared(&mut self, frame: &Arc<Shared>, ws: &mut Workspace) -> Result<(), Refused> {
        self.check_room(frame.bytes().len())?;
        match &self.phase {
            Phase::Open(wire) if wire.state() != wire::State::Open => return Err(Refused::Wire(SendError::Closing)),
            Phase::Open(wire) if wire.is_mid_send() => return Err(Refused::Wire(SendError::MidMessage)),
            Phase::Open(_) => {}
            _ => return Err(Refused::Wire(SendError::Closing)),
        }
        self.outbox.get_or_insert_with(|| ws.pool.take()).append_shared(frame);
        ws.metrics.sent += 1;
        self.wake_for_output(ws);
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
    pub fn send_ping(&mut self, payload: &[u8], ws: &mut Workspace) -> Result<(), Refused> {
        self.control(ws, |wire, codec, out| wire.send_ping(payload, codec, out))
    }

    /// Queues a pong that nobody asked for.
    pub fn send_unasked_pong(&mut self, payload: &[u8], ws: &mut Workspace) -> Result<(), Refused> {
        self.control(ws, |wire, codec, out| wire.send_pong(payload, codec, out))
    }

    fn control(
        &mut self,
        ws: &mut Workspace,
        write: impl FnOnce(&mut wire::Connection, &mut wire::Codec, &mut Vec<u8>) -> Result<(), SendError>,
    ) -> Result<(), Refused> {
        self.check_room(125)?;
        let Phase::Open(wire) = &mut self.phase else { return Err(Refused::Wire(SendError::Closing)) };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(1, |out| write(wire, &mut ws.codec, out)).map_err(Refused::Wire)?;
        self.wake_for_output(ws);
        Ok(())
    }

    fn check_room(&self, more: usize) -> Result<(), Refused> {
        let limits = &self.settings.limits;
        let overhead = limits.message_overhead as usize;
        let cost = self.outbox.as_ref().map_or(0, |outbox| outbox.cost(overhead));
        if cost + more + overhead > limits.output as usize { Err(Refused::Full) } else { Ok(()) }
    }

    /// Queues a heartbeat; false if the connection is closing. There is room for one, however much waits: what waits is the
    /// reason to ask.
    pub(super) fn send_heartbeat(&mut self, payload: &[u8], ws: &mut Workspace) -> bool {
        let Phase::Open(wire) = &mut self.phase else { return false };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        let is_queued = outbox.append(1, |out| wire.send_ping(payload, &mut ws.codec, out)).is_ok();
        self.wake_for_output(ws);
        is_queued
    }

    /// Writes what the source takes, then does what was to be done after the last byte.
    pub fn flush(&mut self, poller: &Poller, now: Moment, ws: &mut Workspace) {
        self.flags.dirty = false;
        let had_output = self.output_len() > 0;
        match self.write_all(ws) {
            Ok(Written::All) => {
                if let Some(closing) = &mut self.closing
                    && had_output
                {
                    // The peer has its time to finish from now on.
                    closing.since = closing.since.max(now);
                }
                self.on_flushed(poller, ws);
            }
            Ok(Written::Blocked) => self.watch(true, poller),
            Ok(Written::Waiting) => self.watch(false, poller),
            Err(cause) => self.on_write_error(cause, ws),
        }
        let low = self.settings.limits.write_high as usize / 4;
        if self.flags.full && self.output_len() <= low {
            self.flags.full = false;
            ws.events.push(Event::Drained(self.id));
        }
        if self.unanswered.is_some() && self.output_len() <= low {
            self.answer_ping(ws);
        }
        self.account();
    }

    /// Takes output that a driver is to encrypt, and whether TLS is to say goodbye behind it.
    pub fn take_portion(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        if let Some(outbox) = &mut self.outbox {
            while !outbox.is_empty() && bytes.len() < PORTION {
                let front = outbox.front();
                let count = front.len().min(PORTION - bytes.len());
                bytes.extend_from_slice(&front[..count]);
                outbox.consume(count);
            }
        }
        (bytes, self.output_len() == 0 && self.ends())
    }

    /// Whether nothing will be said after what is queued.
    fn ends(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.then != Then::Stay)
    }

    fn on_flushed(&mut self, poller: &Poller, ws: &mut Workspace) {
        if let Some(outbox) = self.outbox.take() {
            ws.pool.give(outbox);
        }
        self.watch(false, poller);
        match self.closing.as_mut().map(|closing| std::mem::take(&mut closing.then)) {
            Some(Then::HalfClose) => self.line.source.shutdown_write(),
            Some(Then::Drop) => self.enter(Phase::Over),
            Some(Then::Stay) | None => {}
        }
    }

    /// The peer takes nothing more; what it said before may still lie in the socket, so reading finds the end.
    fn on_write_error(&mut self, cause: Cause, ws: &mut Workspace) {
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
            ws.ready.push_back(self.id);
        }
    }

    /// Registers for writability only while the source refuses more.
    fn watch(&mut self, on: bool, poller: &Poller) {
        if self.flags.blocked == on {
            return;
        }
        self.flags.blocked = on;
        if let Some(fd) = self.line.source.descriptor()
            && let Err(error) = poller.watch_writable(fd, self.id.to_bits(), on)
        {
            self.end(Some(Cause::Io(error)));
        }
    }

    fn write_all(&mut self, ws: &mut Workspace) -> Result<Written, Cause> {
        let before = ws.metrics.written;
        let written = self.write_some(ws);
        self.clock.written += ws.metrics.written - before;
        written
    }

    fn write_some(&mut self, ws: &mut Workspace) -> Result<Written, Cause> {
        let ends = self.ends();
        loop {
            if !self.line.write_ciphertext(&mut ws.metrics).map_err(Cause::Io)? {
                return Ok(Written::Blocked);
            }
            let is_handshaking = self.line.is_handshaking();
            let outbox = self.outbox.as_mut().filter(|outbox| !outbox.is_empty());
            match (&mut self.line.wrapping, outbox) {
                (Wrapping::Plain, Some(outbox)) => return write_outbox(&*self.line.source, outbox, ws),
                (Wrapping::Plain, None) => return Ok(Written::All),
                (_, Some(_)) if is_handshaking => return Ok(Written::Waiting),
                (Wrapping::Core(session), Some(outbox)) => {
                    let front = outbox.front();
                    let count = front.len().min(CHUNK);
                    session.encrypt(&front[..count]).map_err(|failure| Cause::Tls(failure.to_string()))?;
                    outbox.consume(count);
                }
                (Wrapping::Core(session), None) if ends => {
                    session.close();
                    if session.outgoing().is_empty() {
                        return Ok(Written::All);
                    }
                }
                (Wrapping::Driver(foreign), outbox) if outbox.is_some() || (ends && !foreign.is_closed) => {
                    if !std::mem::replace(&mut foreign.wraps, true) {
                        ws.wraps.push_back(self.id);
                    }
                    return Ok(Written::Waiting);
                }
                (Wrapping::Core(_) | Wrapping::Driver(_), _) => return Ok(Written::All),
            }
        }
    }
}

fn write_outbox(source: &dyn Source, outbox: &mut Outbox, ws: &mut Workspace) -> Result<Written, Cause> {
    while !outbox.is_empty() {
        let result = match outbox.single() {
            Some(bytes) => source.write(bytes),
            None => {
                let mut slices = [IoSlice::new(&[]); 16];
                let count = outbox.pieces(&mut slices);
                source.write_vectored(&slices[..count])
            }
        };
        match result {
            Ok(count) => {
                ws.metrics.written += count as u64;
                outbox.consume(count);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Written::Blocked),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Cause::Io(error)),
        }
    }
    Ok(Written::All)
}
