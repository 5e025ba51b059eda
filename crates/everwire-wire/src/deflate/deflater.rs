//! Compressing our own messages (RFC 7692 §7.2.1).

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status, compress_bound};

use crate::limits;

/// What a sender removes from the end of each message.
const TAIL: [u8; 4] = *b"\x00\x00\xff\xff";

/// A compressor. With context takeover one connection owns it; without, it serves any connection
/// and forgets everything by [`reset`](Self::reset).
pub(crate) struct Deflater {
    stream: Deflate,
    window_bits: u8,
}

impl Deflater {
    /// A compressor with a window of 2 to the `window_bits` bytes (9–15) and a level from 1 to 9;
    /// other values count as the nearest of these.
    pub fn new(level: u8, window_bits: u8) -> Self {
        let window_bits = window_bits.clamp(9, 15);
        let stream = Deflate::new_with_config(DeflateConfig {
            level: i32::from(level).clamp(1, 9),
            window_bits: -i32::from(window_bits),
            mem_level: i32::from(window_bits) - 7,
            ..DeflateConfig::default()
        });
        Self { stream, window_bits }
    }

    /// Bytes of memory that it takes: a hash table of fixed size, and what grows with the window.
    pub fn memory(&self) -> usize {
        131 * 1024 + (15 << self.window_bits) / 2
    }

    /// Forget the window.
    pub fn reset(&mut self) {
        self.stream.reset();
    }

    /// Append the compressed `payload` to `packed`, which is empty, flushed to a byte boundary;
    /// without the tail if it ends its message.
    pub fn deflate(&mut self, payload: &[u8], fin: bool, packed: &mut Vec<u8>) {
        let mut input = payload;
        loop {
            let step = compress_bound(input.len()).clamp(64, limits::STEP);
            let start = packed.len();
            packed.resize(start + step, 0);
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.compress(input, &mut packed[start..], DeflateFlush::SyncFlush);
            debug_assert!(matches!(status, Ok(Status::Ok | Status::BufError)), "{status:?}");
            let produced = (self.stream.total_out() - written) as usize;
            packed.truncate(start + produced);
            input = &input[(self.stream.total_in() - read) as usize..];
            if produced < step {
                break;
            }
        }
        if fin {
            match packed.strip_suffix(&TAIL) {
                Some(stripped) => packed.truncate(stripped.len()),
                // A second flush with nothing between yields nothing: the header of an empty
                // stored block stands for it (RFC 7692 §7.2.3.6).
                None => packed.push(0),
            }
        }
    }
}
