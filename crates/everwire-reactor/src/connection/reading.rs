//! Input: from the socket through TLS into frames, in place in the shard's scratch buffer.

use std::io::ErrorKind;
use std::ops::Range;
use std::time::{Duration, Instant};

use everwire_wire as wire;
use everwire_wire::{Control, Kind, State};

use super::closing::Then;
use super::{Conn, Line, Phase};
use crate::event::{Cause, Event, Payload};
use crate::slots::Id;
use crate::workspace::{KEPT, READ, Workspace};

/// Messages that one connection may hand out in a row before others have their turn.
const TURN: usize = 64;
/// Compressed input that is inflated in one step: at deflate's best ratio, four megabytes.
const SLICE: usize = 4 * 1024;
/// How long one connection may inflate before others have their turn.
const INFLATING: Duration = Duration::from_micros(250);

impl Conn {
    /// Takes one read's worth of input and turns it into events.
    pub fn serve(&mut self, id: Id, ws: &mut Workspace) {
        if self.is_paused() {
            self.look_for_end();
        } else if !self.stash.is_empty() {
            self.serve_stash(id, ws);
        } else if self.flags.finished {
            self.on_eof();
        } else if self.flags.readable && !self.read_into_window(id, ws) {
            self.read_into_scratch(id, ws);
        }
        self.account();
    }

    /// Takes bytes that an outside driver read; nothing more comes after the last. Whether so much waits that the driver is
    /// to stop; [`Event::Hungry`] tells when it is to go on.
    pub fn feed(&mut self, bytes: &[u8], last: bool) -> bool {
        self.stash.extend_from_slice(bytes);
        self.flags.finished |= last;
        if last && matches!(self.phase, Phase::Asking) && self.check().is_ok() {
            self.end(Some(Cause::Eof));
        }
        self.flags.sated |= self.stash.len() > READ;
        self.account();
        self.flags.sated
    }

    /// Hands input out in parts as it comes, or in whole messages again.
    pub fn set_streaming(&mut self, id: Id, on: bool, ws: &mut Workspace) {
        if let Phase::Open(wire) = &mut self.phase
            && let Some(event) = wire.set_streaming(on)
        {
            self.on_event(id, event, 0, ws);
        }
        self.account();
    }

    /// A paused connection is not read, but a dead one is noticed; and whoever asks for a WebSocket and leaves before the answer.
    fn look_for_end(&mut self) {
        if let (true, Line::Socket(socket, _)) = (self.flags.ended, &self.line)
            && let Some(error) = socket.take_error()
        {
            self.end(Some(Cause::Io(error)));
        } else if self.flags.ended && matches!(self.phase, Phase::Asking) && self.check().is_ok() {
            self.end(Some(Cause::Eof));
        }
    }

    fn serve_stash(&mut self, id: Id, ws: &mut Workspace) {
        let stash = std::mem::take(&mut self.stash);
        let start = ws.used;
        let piece = stash.len().min(READ);
        ws.scratch[start..start + piece].copy_from_slice(&stash[..piece]);
        self.take(id, start..start + piece, ws);
        if !matches!(self.phase, Phase::Lingering | Phase::Over) {
            self.stash.extend_from_slice(&stash[piece..]);
        }
        if self.stash.is_empty() && std::mem::take(&mut self.flags.sated) {
            ws.events.push(Event::Hungry(id));
        }
    }

    /// Reads the rest of a large message straight into its own buffer; false if there is none.
    fn read_into_window(&mut self, id: Id, ws: &mut Workspace) -> bool {
        let (Line::Socket(socket, None), Phase::Open(wire)) = (&self.line, &mut self.phase) else { return false };
        let Some(window) = wire.window(&mut ws.codec) else { return false };
        let room = window.len();
        match socket.read(window) {
            Ok(0) => self.on_eof(),
            Ok(count) => {
                ws.metrics.read += count as u64;
                self.clock.heard(ws.now);
                self.flags.readable = count == room || self.flags.ended;
                match wire.filled(count) {
                    Ok(Some(event)) => self.on_event(id, event, 0, ws),
                    Ok(None) => {}
                    Err(violation) => self.on_violation(id, violation, ws),
                }
            }
            Err(error) => self.on_read_error(error),
        }
        true
    }

    fn read_into_scratch(&mut self, id: Id, ws: &mut Workspace) {
        let Line::Socket(socket, tls) = &mut self.line else { return };
        let start = ws.used;
        let room = &mut ws.scratch[start..start + READ + KEPT];
        let kept = match tls {
            Some(tls) if !self.flags.proxy => tls.restore(room),
            _ => 0,
        };
        let mut count = match socket.read(&mut room[kept..kept + READ]) {
            Ok(0) => return self.on_eof(),
            Ok(count) => count,
            Err(error) => return self.on_read_error(error),
        };
        ws.metrics.read += count as u64;
        self.flags.readable = count == READ || self.flags.ended;
        if self.flags.proxy {
            match self.take_proxy_header(id, start..start + count, ws) {
                Some(left) => count = left,
                None => return,
            }
        }
        let Line::Socket(_, Some(tls)) = &mut self.line else { return self.take(id, start..start + count, ws) };
        let received = tls.receive(&mut ws.scratch[start..start + kept + count]);
        if !tls.outgoing().is_empty() || (self.outbox.is_some() && !tls.is_handshaking()) {
            self.wake_for_output(id, ws);
        }
        match received {
            Ok(received) => {
                self.take(id, start..start + received.plain, ws);
                self.flags.finished |= received.closed;
            }
            Err(failure) => self.on_tls_failure(id, &failure, ws),
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
    pub(super) fn take(&mut self, id: Id, mut input: Range<usize>, ws: &mut Workspace) {
        if input.is_empty() {
            return;
        }
        self.clock.heard(ws.now);
        while matches!(self.phase, Phase::Opening(_)) && !input.is_empty() {
            input.start = self.take_head(id, input.clone(), ws);
        }
        match self.phase {
            Phase::Asking => self.stash.extend_from_slice(&ws.scratch[input]),
            Phase::Open(_) => self.take_frames(id, input, ws),
            Phase::Refused => self.take_body(&ws.scratch[input]),
            Phase::Opening(_) | Phase::Lingering | Phase::Over => {}
        }
    }

    fn take_frames(&mut self, id: Id, mut input: Range<usize>, ws: &mut Workspace) {
        let mut count = 0;
        let inflating = matches!(&self.phase, Phase::Open(wire) if wire.deflate().is_some()).then(Instant::now);
        while !input.is_empty() {
            let Phase::Open(wire) = &mut self.phase else { return };
            if count == TURN || inflating.is_some_and(|since| since.elapsed() > INFLATING) {
                self.stash.extend_from_slice(&ws.scratch[input]);
                return;
            }
            let end = if inflating.is_some() { input.end.min(input.start + SLICE) } else { input.end };
            match wire.receive(&mut ws.scratch[input.start..end], &mut ws.codec) {
                Ok((_, None)) => input.start = end,
                // PERF: said here too, so that the most frequent event is not moved about with the room for the largest.
                Ok((used, Some(wire::Event::Message { kind, payload }))) => {
                    self.on_message(id, kind, payload, input.start, ws);
                    input.start += used;
                    count += 1;
                }
                Ok((used, Some(event))) => {
                    self.on_event(id, event, input.start, ws);
                    input.start += used;
                    count += 1;
                }
                Err(violation) => return self.on_violation(id, violation, ws),
            }
        }
    }

    #[inline]
    fn on_message(&mut self, id: Id, kind: Kind, payload: wire::Payload, base: usize, ws: &mut Workspace) {
        self.clock.message(ws.now);
        ws.metrics.received += 1;
        let payload = claim(payload, base, ws);
        ws.events.push(Event::Message(id, kind, payload));
    }

    /// Applies one event of the wire; payload ranges are relative to `base` in the scratch buffer.
    fn on_event(&mut self, id: Id, event: wire::Event, base: usize, ws: &mut Workspace) {
        match event {
            wire::Event::Message { kind, payload } => self.on_message(id, kind, payload, base, ws),
            wire::Event::Fragment { kind, payload, fin } => {
                self.clock.message(ws.now);
                ws.metrics.received += u64::from(fin);
                let payload = claim(payload, base, ws);
                ws.events.push(Event::Fragment(id, kind, payload, fin));
            }
            wire::Event::Ping(payload) => self.on_ping(id, payload, ws),
            wire::Event::Pong(payload) => self.on_pong(id, payload, ws),
            wire::Event::Close(received) => self.on_close(id, received, ws),
        }
    }

    fn on_ping(&mut self, id: Id, payload: Control, ws: &mut Workspace) {
        if !self.clock.allows_ping(ws.now, self.settings.limits.pings_per_second) {
            return self.close_for_limit(id, 1008, "too many pings", ws);
        }
        if self.output_len() < self.settings.limits.write_high as usize {
            self.send_pong(id, &payload, ws);
        } else {
            self.unanswered = Some(Box::new(payload));
        }
    }

    /// Answers the newest ping that came while the peer did not read.
    pub(super) fn answer_ping(&mut self, id: Id, ws: &mut Workspace) {
        if let Some(payload) = self.unanswered.take() {
            self.send_pong(id, &payload, ws);
        }
    }

    fn send_pong(&mut self, id: Id, payload: &[u8], ws: &mut Workspace) {
        let Phase::Open(wire) = &mut self.phase else { return };
        if wire.state() != State::Open {
            return;
        }
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        if outbox.append(1, |out| wire.send_pong(payload, &mut ws.codec, out)).is_ok() {
            self.wake_for_output(id, ws);
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
