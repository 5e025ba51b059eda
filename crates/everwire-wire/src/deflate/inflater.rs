//! Decompressing the messages of a peer (RFC 7692 §7.2.2).
//!
//! Between two messages no state is kept in an [`Inflater`]; what a peer with context takeover may
//! refer to is kept as plain bytes, see [`remember`]. That is smaller than a whole inflater, lets
//! any inflater serve any connection, and makes the end of a deflate stream in the midst of the
//! data (a block with BFINAL, §7.2.3.4) nothing special: the inflater begins anew with the same
//! window.

use zlib_rs::{Inflate, InflateFlush, Status};

use crate::error::Violation;
use crate::limits;

/// Bytes that a sender removes from the end of each message (RFC 7692 §7.2.1), followed by an
/// empty final block: after it, an inflater that was not in the midst of something is at the end
/// of its stream.
const TAIL: [u8; 9] = *b"\x00\x00\xff\xff\x01\x00\x00\xff\xff";

/// Bytes that the farthest reference reaches back, in any deflate stream.
const WINDOW: usize = 32 * 1024;

/// Inflates one message after the other, of any connection.
pub(crate) struct Inflater {
    stream: Inflate,
    /// No byte was read since the stream began.
    fresh: bool,
    /// The last byte read.
    last: u8,
    /// How many streams ended within this message.
    ended: usize,
}

/// What one step did.
pub(crate) struct Step {
    /// Bytes read from the input.
    pub used: usize,
    /// Bytes written to the output; if they fill it, there may be more to come.
    pub produced: usize,
    pub outcome: Outcome,
}

/// How a step ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// At the end of the input or of the output.
    Paused,
    /// At the end of the stream: [`Inflater::resume`] before the next step.
    Ended,
    /// At data that is no deflate stream. What was produced came before it.
    Corrupt,
}

impl Inflater {
    pub fn new() -> Self {
        Self { stream: Inflate::new(false, 15), fresh: true, last: 0, ended: 0 }
    }

    /// Begin a message that may refer back to `history`.
    pub fn begin(&mut self, history: &[u8]) {
        self.ended = 0;
        self.restart(history, &[]);
    }

    /// Go on after a stream has ended within a message; what follows may refer back to `history`
    /// and to `held`, which came after it.
    ///
    /// # Errors
    /// 1008 if that happened more often than any honest peer would do it: each time costs a copy
    /// of the window.
    pub fn resume(&mut self, history: &[u8], held: &[u8]) -> Result<(), Violation> {
        self.ended += 1;
        if self.ended > limits::FINAL_BLOCKS {
            return Err(Violation::policy("compressed message with too many final blocks"));
        }
        self.restart(history, held);
        Ok(())
    }

    /// Inflate from `input` into `output` until one of them is at its end, or the stream is.
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let (read, written) = (self.stream.total_in(), self.stream.total_out());
        let status = self.stream.decompress(input, output, InflateFlush::SyncFlush);
        let used = (self.stream.total_in() - read) as usize;
        let produced = (self.stream.total_out() - written) as usize;
        if let Some(&last) = input[..used].last() {
            self.fresh = false;
            self.last = last;
        }
        let is_paused = used == input.len() || produced == output.len();
        let outcome = match status {
            Ok(Status::StreamEnd) => Outcome::Ended,
            Ok(Status::Ok | Status::BufError) if is_paused => Outcome::Paused,
            _ => Outcome::Corrupt,
        };
        Step { used, produced, outcome }
    }

    /// End a message after all its bytes were inflated.
    ///
    /// # Errors
    /// 1007 if the data breaks off within a block. A message that ends with a final block needs no
    /// tail; one whose sender did not remove the tail is taken too (its last byte tells: the
    /// header of the removed block leaves the top bits zero).
    pub fn finish(&mut self) -> Result<(), Violation> {
        if self.fresh {
            return Ok(());
        }
        let tail = if self.last < 0x20 { &TAIL[..] } else { &TAIL[4..] };
        let step = self.step(tail, &mut [0; 1]);
        if step.outcome == Outcome::Ended && step.used == tail.len() && step.produced == 0 {
            Ok(())
        } else {
            Err(Violation::payload("compressed message breaks off"))
        }
    }

    fn restart(&mut self, history: &[u8], held: &[u8]) {
        self.fresh = true;
        self.stream.reset(false);
        if held.len() < WINDOW {
            self.refer_to(history);
        }
        self.refer_to(&held[held.len().saturating_sub(WINDOW)..]);
    }

    fn refer_to(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let result = self.stream.set_dictionary(bytes);
            debug_assert!(result.is_ok(), "a raw stream takes any dictionary");
        }
    }
}

/// Append `bytes` to `history`, of which only the last `window` bytes are kept.
pub(crate) fn remember(history: &mut Vec<u8>, bytes: &[u8], window: usize) {
    let bytes = &bytes[bytes.len().saturating_sub(window)..];
    let excess = (history.len() + bytes.len()).saturating_sub(window);
    history.drain(..excess);
    history.extend_from_slice(bytes);
}
