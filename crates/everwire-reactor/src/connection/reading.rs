//! Input: from the socket through TLS into frames, in place in the shard's scratch buffer.

use std::io::ErrorKind;
use std::ops::Range;

use everwire_wire as wire;
use everwire_wire::{Control, Kind, State};

use super::closing::Then;
use super::{Conn, Phase, Wrapping};
use crate::event::{Cause, Event, Payload};
use crate::moment::Moment;
use crate::workspace::{KEPT, READ, Workspace};

/// Messages that one connection may hand out in a row before others have their turn.
const TURN: usize = 64;
/// Compressed input that is inflated in one step: at deflate's best ratio, four megabytes.
const SLICE: usize = 4 * 1024;
/// Bytes that one connection may inflate before others have their turn: about a quarter of a millisecond.
const INFLATED: usize = 256 * 1024;

impl Conn {
    /// Takes one read's worth of input and turns it into events.
    pub fn serve(&mut self, now: Moment, ws: &mut Workspace) {
        if self.is_paused() {
            self.look_for_end();
        } else if !self.stash.is_empty() {
            self.serve_stash(now, ws);
        } else if self.flags.finished {
            self.on_eof();
        } else if self.flags.readable && !self.read_into_window(now, ws) {
            self.read_into_scratch(now, ws);
        }
        self.account();
    }

    /// Takes what a driver made of ciphertext; nothing comes after it if `closed`.
    pub fn take_plain(&mut self, bytes: &[u8], closed: bool) {
        if !matches!(self.phase, Phase::Lingering | Phase::Over) {
            self.stash.extend_from_slice(bytes);
        }
        self.flags.finished |= closed;
        self.account();
    }

    /// Hands input out in parts as it comes, or in whole messages again.
    pub fn set_streaming(&mut self, on: bool, now: Moment, ws: &mut Workspace) {
        if let Phase::Open(wire) = &mut self.phase
            && let Some(event) = wire.set_streaming(on)
        {
            self.on_event(event, 0, now, ws);
        }
        self.account();
    }

    /// A connection that is not read is dead if it failed. A client that hung up does not wait for its WebSocket any more; one
    /// that asked for a page may have said all that it had to say.
    fn look_for_end(&mut self) {
        if !self.flags.ended {
            return;
        }
        if let Some(error) = self.line.source.take_error() {
            self.end(Some(Cause::Io(error)));
        } else if matches!(self.phase, Phase::Asking) && self.check().is_ok() {
            self.end(Some(Cause::Eof));
        }
    }

    fn serve_stash(&mut self, now: Moment, ws: &mut Workspace) {
        let stash = std::mem::take(&mut self.stash);
        let start = ws.used;
        let piece = stash.len().min(READ);
        ws.scratch[start..start + piece].copy_from_slice(&stash[..piece]);
        self.take(start..start + piece, now, ws);
        if !matches!(self.phase, Phase::Lingering | Phase::Over) {
            self.stash.extend_from_slice(&stash[piece..]);
        }
    }

    /// Reads the rest of a large message straight into its own buffer; false if there is none.
    fn read_into_window(&mut self, now: Moment, ws: &mut Workspace) -> bool {
        let (Wrapping::Plain, Phase::Open(wire)) = (&self.line.wrapping, &mut self.phase) else { return false };
        let Some(window) = wire.window(&mut ws.codec) else { return false };
        let room = window.len();
        match self.line.source.read(window) {
            Ok(0) => self.on_eof(),
            Ok(count) => {
                ws.metrics.read += count as u64;
                self.clock.heard(now);
                self.flags.readable = count == room || self.flags.ended;
                match wire.filled(count) {
                    Ok(Some(event)) => self.on_event(event, 0, now, ws),
                    Ok(None) => {}
                    Err(violation) => self.on_violation(violation, now, ws),
                }
            }
            Err(error) => self.on_read_error(error),
        }
        true
    }

    fn read_into_scratch(&mut self, now: Moment, ws: &mut Workspace) {
        let start = ws.used;
        let room = &mut ws.scratch[start..start + READ + KEPT];
        // What is discarded need not be decrypted.
        let is_wrapped = !self.flags.proxy && !matches!(self.phase, Phase::Lingering);
        let kept = match &mut self.line.wrapping {
            Wrapping::Core(session) if is_wrapped => session.restore(room),
            _ => 0,
        };
        let mut count = match self.line.source.read(&mut room[kept..kept + READ]) {
            Ok(0) => return self.on_eof(),
            Ok(count) => count,
            Err(error) => return self.on_read_error(error),
        };
        ws.metrics.read += count as u64;
        self.flags.readable = count == READ || self.flags.ended;
        if matches!(self.phase, Phase::Lingering) {
            return;
        }
        if self.flags.proxy {
            match self.take_proxy_header(start..start + count, now, ws) {
                Some(left) => count = left,
                None => return,
            }
        }
        match &mut self.line.wrapping {
            Wrapping::Plain => self.take(start..start + count, now, ws),
            Wrapping::Core(session) => {
                let received = session.receive(&mut ws.scratch[start..start + kept + count]);
                if self.line.has_ciphertext() || (self.outbox.is_some() && !self.line.is_handshaking()) {
                    self.wake_for_output(ws);
                }
                match received {
                    Ok(received) => {
                        self.take(start..start + received.plain, now, ws);
                        self.flags.finished |= received.closed;
                    }
                    Err(failure) => self.on_tls_failure(failure.to_string(), now, ws),
                }
            }
            Wrapping::Driver(foreign) => {
                foreign.unwraps = true;
                ws.used = ws.used.max(start + count);
                ws.events.push(Event::Ciphertext(self.id, Payload::Scratch(start..start + count)));
            }
        }
    }

    fn on_read_error(&mut self, error: std::io::Error) {
        match error.kind() {
            ErrorKind::WouldBlock => self.flags.readable = false,
            ErrorKind::Interrupted => {}
            _ => {
                self.flags.readable = false;
                self.end(Some(Cause::Io(error)));
            }
        }
    }

    /// Gives plaintext in the scratch buffer to whom it belongs in this phase.
    pub(super) fn take(&mut self, mut input: Range<usize>, now: Moment, ws: &mut Workspace) {
        if input.is_empty() {
            return;
        }
        self.clock.heard(now);
        while matches!(self.phase, Phase::Opening(_)) && !input.is_empty() {
            input.start = self.take_head(input.clone(), now, ws);
        }
        match self.phase {
            Phase::Asking => self.stash.extend_from_slice(&ws.scratch[input]),
            Phase::Open(_) => self.take_frames(input, now, ws),
            Phase::Refused => self.take_body(&ws.scratch[input]),
            Phase::Opening(_) | Phase::Lingering | Phase::Over => {}
        }
    }

    fn take_frames(&mut self, mut input: Range<usize>, now: Moment, ws: &mut Workspace) {
        let mut count = 0;
        let inflates = matches!(&self.phase, Phase::Open(wire) if wire.deflate().is_some());
        let mut inflated = 0;
        while !input.is_empty() {
            let Phase::Open(wire) = &mut self.phase else { return };
            if count == TURN || inflated > INFLATED {
                self.stash.extend_from_slice(&ws.scratch[input]);
                return;
            }
            let end = if inflates { input.end.min(input.start + SLICE) } else { input.end };
            let before = if inflates { wire.buffered() } else { 0 };
            match wire.receive(&mut ws.scratch[input.start..end], &mut ws.codec) {
                Ok((_, None)) => {
                    if inflates {
                        inflated += wire.buffered().saturating_sub(before);
                    }
                    input.start = end;
                }
                // PERF: said here too, so that the most frequent event is not moved about with the room for the largest.
                Ok((used, Some(wire::Event::Message { kind, payload }))) => {
                    if inflates {
                        inflated += payload.len();
                    }
                    self.on_message(kind, payload, input.start, now, ws);
                    input.start += used;
                    count += 1;
                }
                Ok((used, Some(event))) => {
                    self.on_event(event, input.start, now, ws);
                    input.start += used;
                    count += 1;
                }
                Err(violation) => return self.on_violation(violation, now, ws),
            }
        }
    }

    #[inline]
    fn on_message(&mut self, kind: Kind, payload: wire::Payload, base: usize, now: Moment, ws: &mut Workspace) {
        self.clock.message(now);
        if self.flags.paused.any() {
            self.ahead += payload.len();
        }
        ws.metrics.received += 1;
        let payload = claim(payload, base, ws);
        ws.events.push(Event::Message(self.id, kind, payload));
    }

    /// Applies one event of the wire; payload ranges are relative to `base` in the scratch buffer.
    fn on_event(&mut self, event: wire::Event, base: usize, now: Moment, ws: &mut Workspace) {
        match event {
            wire::Event::Message { kind, payload } => self.on_message(kind, payload, base, now, ws),
            wire::Event::Fragment { kind, payload, fin } => {
                self.clock.message(now);
                if self.flags.paused.any() {
                    self.ahead += payload.len();
                }
                ws.metrics.received += u64::from(fin);
                let payload = claim(payload, base, ws);
                ws.events.push(Event::Fragment(self.id, kind, payload, fin));
            }
            wire::Event::Ping(payload) => self.on_ping(payload, now, ws),
            wire::Event::Pong(payload) => self.on_pong(payload, now, ws),
            wire::Event::Close(received) => self.on_close(received, now, ws),
        }
    }

    fn on_ping(&mut self, payload: Control, now: Moment, ws: &mut Workspace) {
        if !self.clock.allows_ping(now, self.settings.limits.pings_per_second) {
            return self.close_for_limit(1008, "too many pings", now, ws);
        }
        if self.output_len() < self.settings.limits.write_high as usize {
            self.send_pong(&payload, ws);
        } else {
            self.unanswered = Some(Box::new(payload));
        }
    }

    /// Answers the newest ping that came while the peer did not read.
    pub(super) fn answer_ping(&mut self, ws: &mut Workspace) {
        if let Some(payload) = self.unanswered.take() {
            self.send_pong(&payload, ws);
        }
    }

    fn send_pong(&mut self, payload: &[u8], ws: &mut Workspace) {
        let Phase::Open(wire) = &mut self.phase else { return };
        if wire.state() != State::Open {
            return;
        }
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        if outbox.append(1, |out| wire.send_pong(payload, &mut ws.codec, out)).is_ok() {
            self.wake_for_output(ws);
        }
    }

    /// The peer will send nothing more.
    fn on_eof(&mut self) {
        self.flags.readable = false;
        let complete = match &self.phase {
            Phase::Open(wire) => wire.state() == State::Closed,
            Phase::Lingering => true,
            _ => false,
        };
        if complete && self.output_len() > 0 {
            // Who closed one direction still listens in the other: the answer leaves first.
            self.flags.finished = false;
            self.closing.get_or_insert_default().then = Then::Drop;
            return;
        }
        self.end(if complete { None } else { Some(Cause::Eof) });
    }
}

/// Where a payload of the wire is in the batch; what is in the scratch buffer stays there until the batch is done.
fn claim(payload: wire::Payload, base: usize, ws: &mut Workspace) -> Payload {
    match payload {
        wire::Payload::Input(range) => {
            let range = base + range.start..base + range.end;
            ws.used = ws.used.max(range.end);
            Payload::Scratch(range)
        }
        wire::Payload::Owned(bytes) => {
            ws.owned += bytes.len();
            Payload::Owned(bytes)
        }
    }
}
