//! An incoming message of which only a part has arrived.

use crate::codec::Codec;
use crate::deflate::{Agreed, Inflater, Outcome, remember};
use crate::error::Violation;
use crate::event::Event;
use crate::limits;
use crate::mask;
use crate::message::{Kind, Payload};
use crate::utf8;

/// The bytes of the open message, and what is known about them.
///
/// Fragments are joined as they come, so that the memory is that of their bytes, however many they
/// are.
pub(crate) struct Assembly {
    kind: Kind,
    /// The first `held` bytes are the message's; what follows is a window to read into.
    buffer: Vec<u8>,
    held: usize,
    /// How many of the held bytes are known to be whole code points; for text only.
    valid: usize,
    /// Bytes of the message so far, those handed out included.
    total: usize,
    /// Whether a part of the message was handed out.
    parted: bool,
    inflation: Option<Box<Inflation>>,
}

/// What a compressed message needs while it is open.
struct Inflation {
    inflater: Inflater,
    /// What came before the held bytes, as far as the peer may refer to it.
    history: Vec<u8>,
    /// Bytes of history that are kept.
    window: usize,
    /// The peer forgets its window at the end of the message.
    ends_with_message: bool,
}

impl Assembly {
    pub fn new(kind: Kind) -> Self {
        Self { kind, buffer: Vec::new(), held: 0, valid: 0, total: 0, parted: false, inflation: None }
    }

    /// A compressed message, which may refer back to `history`.
    pub fn compressed(kind: Kind, history: Vec<u8>, agreed: &Agreed, codec: &mut Codec) -> Self {
        let mut inflater = codec.inflater();
        inflater.begin(&history);
        let window = 1 << agreed.peer_window_bits;
        let ends_with_message = agreed.peer_no_context_takeover;
        let inflation = Box::new(Inflation { inflater, history, window, ends_with_message });
        Self { inflation: Some(inflation), ..Self::new(kind) }
    }

    pub fn is_compressed(&self) -> bool {
        self.inflation.is_some()
    }

    /// Whether nothing is held that has to go before the next piece.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Bytes of the message so far, those handed out included.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Bytes of memory that the message takes.
    pub fn memory(&self) -> usize {
        let inflation = self.inflation.as_ref();
        self.buffer.capacity() + inflation.map_or(0, |it| it.history.capacity() + limits::INFLATER)
    }

    /// Hold an unmasked piece of plain payload. At most `rest` bytes of the message come after it.
    pub fn push(&mut self, piece: &[u8], rest: u64) -> Result<(), Violation> {
        if let Some(room) = self.buffer.get_mut(self.held..self.held + piece.len()) {
            room.copy_from_slice(piece);
            return self.grow(piece.len());
        }
        self.buffer.truncate(self.held);
        if self.buffer.capacity() - self.held < piece.len() {
            let rest = usize::try_from(rest).unwrap_or(usize::MAX);
            let double = self.held.min(piece.len().saturating_add(rest));
            self.buffer.reserve_exact(piece.len().max(double));
        }
        self.buffer.extend_from_slice(piece);
        self.grow(piece.len())
    }

    /// Hand out an unmasked piece of plain payload where it lies, at `at` in the input, while
    /// nothing is held. A code point that it cuts off is held. `None`: there is nothing else, and
    /// the message goes on.
    pub fn pass(&mut self, piece: &[u8], at: usize, fin: bool) -> Result<Option<Event>, Violation> {
        let whole = match self.kind {
            Kind::Text => utf8::whole_points(piece)?,
            Kind::Binary => piece.len(),
        };
        self.push(&piece[whole..], 0)?;
        self.total += whole;
        if fin {
            self.check_end()?;
        } else if whole == 0 {
            return Ok(None);
        }
        Ok(Some(self.event(Payload::Input(at..at + whole), fin)))
    }

    /// Where to read the next of `claim` bytes of payload into.
    ///
    /// Its size depends on what has arrived, not on the claim: at most as much again, and at least
    /// [`limits::WINDOW`] bytes, once [`limits::WINDOW_AFTER`] are here. A buffer that an earlier
    /// message has left may be longer.
    pub fn window(&mut self, claim: usize, codec: &mut Codec) -> Option<&mut [u8]> {
        if self.is_compressed() || claim < limits::WINDOW || self.held < limits::WINDOW_AFTER {
            return None;
        }
        if self.buffer.len() - self.held < limits::WINDOW
            && let Some(mut spare) = codec.buffer(self.held + limits::WINDOW)
        {
            spare[..self.held].copy_from_slice(&self.buffer[..self.held]);
            codec.give_back(std::mem::replace(&mut self.buffer, spare));
        }
        if self.buffer.len() - self.held < limits::WINDOW {
            let room = self.held.max(limits::WINDOW).min(claim);
            self.buffer.reserve_exact(self.held + room - self.buffer.len());
            self.buffer.resize(self.held + room, 0);
        }
        let end = self.buffer.len().min(self.held + claim);
        Some(&mut self.buffer[self.held..end])
    }

    /// `length` bytes of payload were read into the window.
    pub fn fill(&mut self, length: usize, mask: Option<[u8; 4]>) -> Result<(), Violation> {
        for start in (0..length).step_by(limits::SWEEP) {
            let length = limits::SWEEP.min(length - start);
            let piece = &mut self.buffer[self.held..self.held + length];
            let is_ascii = mask.is_some_and(|key| mask::apply_to_text(piece, key, start));
            if is_ascii && self.valid == self.held {
                self.valid += length;
            }
            self.grow(length)?;
        }
        Ok(())
    }

    /// Inflate a piece of compressed payload; `fin` says that it is the message's last.
    pub fn inflate(&mut self, mut piece: &[u8], fin: bool, limit: usize, codec: &mut Codec) -> Result<(), Violation> {
        // Taken out meanwhile; after an error nobody asks for it.
        let Some(mut inflation) = self.inflation.take() else {
            return Ok(());
        };
        let scratch = codec.scratch();
        let mut is_full = false;
        while is_full || !piece.is_empty() {
            let step = inflation.inflater.step(piece, scratch);
            // What fits is checked first: which of two faults is reported must not depend on how
            // the network cut the input.
            let fits = step.produced.min(limit - self.total);
            self.buffer.extend_from_slice(&scratch[..fits]);
            self.grow(fits)?;
            if fits < step.produced {
                return Err(Violation::too_big(limit));
            }
            match step.outcome {
                Outcome::Paused => {}
                Outcome::Ended => inflation.inflater.resume(&inflation.history, &self.buffer)?,
                Outcome::Corrupt => return Err(Violation::payload("compressed data is corrupt")),
            }
            is_full = step.produced == scratch.len();
            piece = &piece[step.used..];
        }
        if fin {
            inflation.inflater.finish()?;
        }
        self.inflation = Some(inflation);
        Ok(())
    }

    /// Hand out what is held, of text only whole code points. `None`: there is nothing, and the
    /// message goes on.
    pub fn hand_out(&mut self, fin: bool) -> Option<Event> {
        let whole = if self.kind == Kind::Text { self.valid } else { self.held };
        if whole == 0 && !fin {
            return None;
        }
        let rest = self.buffer[whole..self.held].to_vec();
        let mut bytes = std::mem::replace(&mut self.buffer, rest);
        bytes.truncate(whole);
        (self.held, self.valid) = (self.held - whole, 0);
        if let Some(inflation) = self.inflation.as_deref_mut()
            && !(fin && inflation.ends_with_message)
        {
            remember(&mut inflation.history, &bytes, inflation.window);
        }
        Some(self.event(Payload::Owned(bytes), fin))
    }

    /// Give back what a compressed message needed. Returns what later messages may refer to.
    pub fn recycle(self, codec: &mut Codec) -> Vec<u8> {
        let Some(inflation) = self.inflation else {
            return Vec::new();
        };
        codec.recycle(inflation.inflater);
        inflation.history
    }

    /// The end of the message has come.
    ///
    /// # Errors
    /// 1007 if it is within a code point.
    pub fn check_end(&self) -> Result<(), Violation> {
        if self.kind == Kind::Text && self.valid < self.held {
            return Err(Violation::payload("text ends within a UTF-8 sequence"));
        }
        Ok(())
    }

    /// `length` more bytes in the buffer are the message's.
    fn grow(&mut self, length: usize) -> Result<(), Violation> {
        self.held += length;
        self.total += length;
        if self.kind == Kind::Text && self.valid < self.held {
            self.valid += utf8::whole_points(&self.buffer[self.valid..self.held])?;
        }
        Ok(())
    }

    fn event(&mut self, payload: Payload, fin: bool) -> Event {
        let kind = self.kind;
        if fin && !self.parted {
            return Event::Message { kind, payload };
        }
        self.parted = true;
        Event::Fragment { kind, payload, fin }
    }
}
