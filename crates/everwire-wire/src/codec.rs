//! What the connections of one shard share.

use crate::deflate::{Deflater, Inflater};
use crate::limits;
use crate::mask;

/// What one shard shares between its connections: masking keys, compressors, spare inflaters and
/// scratch memory. All of it is made when it is first needed.
pub struct Codec {
    /// Keys for the frames that clients send.
    pub masks: mask::Source,
    /// Compressors without context takeover, by level and window bits.
    deflaters: Vec<((u8, u8), Deflater)>,
    inflaters: Vec<Inflater>,
    buffers: Vec<Vec<u8>>,
    packed: Vec<u8>,
    scratch: Vec<u8>,
}

impl Codec {
    /// A codec that has allocated nothing yet.
    pub fn new() -> Self {
        Self {
            masks: mask::Source::new(),
            deflaters: Vec::new(),
            inflaters: Vec::new(),
            buffers: Vec::new(),
            packed: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Compress `payload` with a compressor that knows nothing of earlier ones; `fin` says that it
    /// ends its message.
    pub(crate) fn deflate(&mut self, level: u8, window_bits: u8, payload: &[u8], fin: bool) -> &[u8] {
        let key = (level, window_bits);
        let at = match self.deflaters.iter().position(|(other, _)| *other == key) {
            Some(at) => at,
            None => {
                self.deflaters.push((key, Deflater::new(level, window_bits)));
                self.deflaters.len() - 1
            }
        };
        let deflater = &mut self.deflaters[at].1;
        deflater.reset();
        pack(&mut self.packed, deflater, payload, fin)
    }

    /// Compress `payload` with the compressor that a connection owns.
    pub(crate) fn deflate_with(&mut self, own: &mut Deflater, payload: &[u8], fin: bool) -> &[u8] {
        pack(&mut self.packed, own, payload, fin)
    }

    /// An inflater, to be given back by [`recycle`](Self::recycle) at the end of the message.
    pub(crate) fn inflater(&mut self) -> Inflater {
        self.inflaters.pop().unwrap_or_else(Inflater::new)
    }

    pub(crate) fn recycle(&mut self, inflater: Inflater) {
        if self.inflaters.len() < limits::SPARE_INFLATERS {
            self.inflaters.push(inflater);
        }
    }

    /// Takes back the payload of a large message that its receiver has copied, to be the buffer of a
    /// later one.
    pub fn give_back(&mut self, buffer: Vec<u8>) {
        let is_useful = (limits::WINDOW..=limits::SPARE_BUFFER).contains(&buffer.capacity());
        if is_useful && self.buffers.len() < limits::SPARE_BUFFERS {
            self.buffers.push(buffer);
        }
    }

    /// A buffer that was given back and has more than `capacity` bytes. What is in it has no meaning.
    pub(crate) fn buffer(&mut self, capacity: usize) -> Option<Vec<u8>> {
        let at = self.buffers.iter().position(|buffer| buffer.len() > capacity)?;
        Some(self.buffers.swap_remove(at))
    }

    /// [`limits::STEP`] bytes to write a step's output to.
    pub(crate) fn scratch(&mut self) -> &mut [u8] {
        self.scratch.resize(limits::STEP, 0);
        &mut self.scratch
    }
}

fn pack<'a>(packed: &'a mut Vec<u8>, deflater: &mut Deflater, payload: &[u8], fin: bool) -> &'a [u8] {
    packed.clear();
    packed.shrink_to(limits::SPARE_OUTPUT);
    deflater.deflate(payload, fin, packed);
    packed
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}
