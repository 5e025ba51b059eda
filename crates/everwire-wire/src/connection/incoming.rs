//! What the peer sends: bytes in, events out.

use std::ops::Range;

use super::progress::{Progress, Rest, take_header};
use super::{Connection, Role};
use crate::assembly::Assembly;
use crate::close;
use crate::codec::Codec;
use crate::error::Violation;
use crate::event::{Control, Event};
use crate::frame::{Header, Opcode};
use crate::mask;
use crate::message::{Kind, Payload};
use crate::utf8;

impl Connection {
    /// Take one event from the front of `input`, which is unmasked in place.
    ///
    /// Returns how many bytes were used, and the event. `None` means that all of `input` was used;
    /// what is unfinished is kept inside. A driver calls it again with the unused rest until it
    /// gets `None`.
    ///
    /// Cost: one pass over a whole message that was not compressed, and no copy. Inflating is done
    /// within the call and bounded by the limit on messages and by 1,032 bytes for each one of
    /// input: to share time fairly among connections, give compressed ones a few KiB a call.
    ///
    /// # Errors
    /// What the peer did wrong, judged from a frame's header before its payload is here, and else
    /// at the first byte that shows it. [`fail`](Self::fail) the connection then: later input is
    /// ignored, as it is after the peer's close frame.
    #[inline]
    pub fn receive(&mut self, input: &mut [u8], codec: &mut Codec) -> Result<(usize, Option<Event>), Violation> {
        let result = self.take_event(input, codec);
        if result.is_err() {
            self.stop_listening();
        }
        result
    }

    /// Where to read straight into, without a detour over a shared buffer: present within a plain
    /// data frame of which at least 64 KiB are still to come.
    ///
    /// It grows with what has arrived, at most doubling the memory, and is never longer than what
    /// the frame claims. Absent while streaming. Report what was read with
    /// [`filled`](Self::filled); [`receive`](Self::receive) may be used instead at any time.
    pub fn window(&mut self, codec: &mut Codec) -> Option<&mut [u8]> {
        let Progress::Payload(rest) = &self.progress else {
            return None;
        };
        if rest.opcode.is_control() || self.is_streaming || self.is_deaf() {
            return None;
        }
        self.message.as_mut()?.window(rest.claim(), codec)
    }

    /// The first `n` bytes of the [`window`](Self::window) were read. They are unmasked, checked,
    /// and may complete the message.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    ///
    /// # Panics
    /// If `n` is greater than the window.
    pub fn filled(&mut self, n: usize) -> Result<Option<Event>, Violation> {
        let result = self.take_filled(n);
        if result.is_err() {
            self.stop_listening();
        }
        result
    }

    /// Hand out messages in parts, as they arrive, or whole again.
    ///
    /// While it is on, each call of [`receive`](Self::receive) hands out what is there of the open
    /// message as an [`Event::Fragment`]; a message that lies in the input as one whole frame is
    /// still an [`Event::Message`]. Turned on within a message, it returns what was held. Turned
    /// off within a message of which a part was handed out, the rest comes as its last fragment.
    pub fn set_streaming(&mut self, on: bool) -> Option<Event> {
        self.is_streaming = on;
        if on { self.message.as_mut()?.hand_out(false) } else { None }
    }

    /// Whether input is ignored.
    #[inline]
    fn is_deaf(&self) -> bool {
        self.has_failed || self.received.is_some()
    }

    /// Ignore all further input, and free what was held of it.
    #[cold]
    pub(super) fn stop_listening(&mut self) {
        self.has_failed = true;
        self.control = None;
        self.free_received();
    }

    fn free_received(&mut self) {
        self.message = None;
        if let Some(contexts) = &mut self.contexts {
            contexts.history = Vec::new();
        }
    }

    #[inline]
    fn take_event(&mut self, input: &mut [u8], codec: &mut Codec) -> Result<(usize, Option<Event>), Violation> {
        if self.is_deaf() {
            return Ok((input.len(), None));
        }
        if let Some((kind, range)) = self.take_whole(input)? {
            let used = range.end;
            let payload = Payload::Input(range);
            return Ok((used, Some(Event::Message { kind, payload })));
        }
        self.take_parts(input, codec)
    }

    /// The short way: a plain message that lies as one whole frame at the front of the input.
    /// Returns where its payload is. `None`: it is something else, and nothing was used.
    ///
    /// PERF: 64 bytes of ASCII take about 12 ns, 16 KiB about 0.4 µs.
    #[inline]
    fn take_whole(&self, input: &mut [u8]) -> Result<Option<(Kind, Range<usize>)>, Violation> {
        if self.message.is_some() || !self.progress.is_between_frames() {
            return Ok(None);
        }
        let Some((header, start)) = Header::parse(input)? else {
            return Ok(None);
        };
        let Some(kind) = header.opcode.kind() else {
            return Ok(None);
        };
        let room = input.len() - start;
        if header.length > room.min(self.settings.max_message) as u64
            || !header.fin
            || header.rsv1
            || header.mask.is_some() != self.expects_mask()
        {
            return Ok(None);
        }
        let range = start..start + header.length as usize;
        let payload = &mut input[range.clone()];
        let is_ascii = match (header.mask, kind) {
            (Some(key), Kind::Text) => mask::apply_to_text(payload, key, 0),
            (Some(key), Kind::Binary) => {
                mask::apply(payload, key, 0);
                false
            }
            (None, _) => false,
        };
        if kind == Kind::Text && !is_ascii && !utf8::is_valid(payload) {
            return Err(utf8::Invalid.into());
        }
        Ok(Some((kind, range)))
    }

    /// The long way: anything, beginning and ending anywhere.
    fn take_parts(&mut self, input: &mut [u8], codec: &mut Codec) -> Result<(usize, Option<Event>), Violation> {
        let mut used = 0;
        loop {
            if let Progress::Head { bytes, len } = &mut self.progress {
                let Some((header, read)) = take_header(bytes, len, &input[used..])? else {
                    return Ok((input.len(), None));
                };
                used += read;
                self.begin_frame(header, codec)?;
            }
            let Progress::Payload(rest) = &self.progress else {
                continue;
            };
            let start = used;
            used += rest.claim().min(input.len() - start);
            let piece = &mut input[start..used];
            if let Some(key) = rest.mask {
                mask::apply(piece, key, 0);
            }
            let Some(rest) = self.progress.advance(piece.len()) else {
                continue;
            };
            let event = self.take_piece(rest, piece, start, codec)?;
            if event.is_some() || rest.length > 0 {
                return Ok((used, event));
            }
        }
    }

    /// Judge a frame by its header, and make ready for its payload.
    fn begin_frame(&mut self, header: Header, codec: &mut Codec) -> Result<(), Violation> {
        let Header { fin, rsv1, opcode, mask, length } = header;
        if mask.is_some() != self.expects_mask() {
            return Err(Violation::protocol(match self.settings.role {
                Role::Server => "frame of a client is not masked",
                Role::Client => "frame of a server is masked",
            }));
        }
        let kind = opcode.kind();
        let fault = match (kind, &self.message) {
            (Some(_), Some(_)) => Some("new message within a fragmented one"),
            (None, None) if opcode == Opcode::Continuation => Some("continuation of no message"),
            (None, _) if rsv1 => Some("RSV1 on a frame that begins no message"),
            (Some(_), _) if rsv1 && self.settings.deflate.is_none() => Some("RSV1 without an agreed extension"),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(Violation::protocol(fault));
        }
        if let Some(kind) = kind {
            let message = match self.settings.deflate.filter(|_| rsv1) {
                Some(agreed) => {
                    let contexts = self.contexts.as_mut();
                    let history = contexts.map(|it| std::mem::take(&mut it.history));
                    Assembly::compressed(kind, history.unwrap_or_default(), &agreed, codec)
                }
                None => Assembly::new(kind),
            };
            self.message = Some(Box::new(message));
        }
        if let Some(message) = self.message.as_ref().filter(|_| !opcode.is_control()) {
            let total = (message.total() as u64).saturating_add(length);
            if !message.is_compressed() && total > self.settings.max_message as u64 {
                return Err(Violation::too_big(self.settings.max_message));
            }
        }
        self.progress = Progress::Payload(Rest { length, mask, opcode, fin });
        Ok(())
    }

    /// Take an unmasked piece of a frame's payload, which lies at `at` in the input and is
    /// followed by `rest`.
    fn take_piece(
        &mut self,
        rest: Rest,
        piece: &[u8],
        at: usize,
        codec: &mut Codec,
    ) -> Result<Option<Event>, Violation> {
        if rest.opcode.is_control() {
            return self.take_control(rest, piece);
        }
        let Some(message) = self.message.as_deref_mut() else {
            return Ok(None);
        };
        let fin = rest.ends_message();
        let hands_out = fin || self.is_streaming;
        if hands_out && message.is_empty() && !message.is_compressed() {
            let event = message.pass(piece, at, fin)?;
            self.message.take_if(|_| fin);
            return Ok(event);
        }
        if message.is_compressed() {
            message.inflate(piece, fin, self.settings.max_message, codec)?;
        } else {
            message.push(piece, if rest.fin { rest.length } else { u64::MAX })?;
        }
        if fin {
            self.end_message(codec)
        } else if self.is_streaming {
            Ok(message.hand_out(false))
        } else {
            Ok(None)
        }
    }

    fn take_control(&mut self, rest: Rest, piece: &[u8]) -> Result<Option<Event>, Violation> {
        let control = match self.control.take() {
            None => Control::new(piece),
            Some(mut control) => {
                control.extend(piece);
                *control
            }
        };
        if rest.length > 0 {
            self.control = Some(Box::new(control));
            return Ok(None);
        }
        Ok(Some(match rest.opcode {
            Opcode::Ping => Event::Ping(control),
            Opcode::Pong => Event::Pong(control),
            _ => {
                let received = close::Received::parse(&control)?;
                self.received = Some(received.code);
                self.free_received();
                Event::Close(received)
            }
        }))
    }

    fn take_filled(&mut self, n: usize) -> Result<Option<Event>, Violation> {
        let (Progress::Payload(rest), Some(message)) = (&self.progress, &mut self.message) else {
            assert_eq!(n, 0, "there is no window");
            return Ok(None);
        };
        message.fill(n, rest.mask)?;
        if !self.progress.advance(n).is_some_and(|rest| rest.ends_message()) {
            return Ok(None);
        }
        message.check_end()?;
        let event = message.hand_out(true);
        self.message = None;
        Ok(event)
    }

    /// Hand out the rest of the open message, all of which has come.
    fn end_message(&mut self, codec: &mut Codec) -> Result<Option<Event>, Violation> {
        let Some(mut message) = self.message.take() else {
            return Ok(None);
        };
        message.check_end()?;
        let event = message.hand_out(true);
        let keeps = self.settings.deflate.is_some_and(|it| !it.peer_no_context_takeover);
        let history = message.recycle(codec);
        if keeps && !history.is_empty() {
            self.contexts().history = history;
        }
        Ok(event)
    }

    #[inline]
    fn expects_mask(&self) -> bool {
        self.settings.role == Role::Server
    }
}
