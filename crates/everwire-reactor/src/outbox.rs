//! What a connection has still to send: frames in order, joined into few buffers, large shared ones by reference.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

/// A buffer that grew beyond this is not joined further, and not kept for reuse.
const BUFFER: usize = 64 * 1024;
/// A shared frame up to this size is copied: one contiguous write is cheaper than one more piece.
const COPY: usize = 1024;
/// How many empty outboxes a pool keeps: a broadcast to more allocates some.
const SPARES: usize = 1024;
/// How many of them keep a buffer of any size, and the size that the others keep.
const LARGE_SPARES: usize = 64;
const SMALL: usize = 4 * 1024;

enum Piece {
    Own(Vec<u8>),
    Shared(Arc<[u8]>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Own(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

/// Bytes that wait for the socket, in order.
#[derive(Default)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    /// How much of the first piece is already gone.
    sent: usize,
    bytes: usize,
    messages: usize,
    spare: Vec<u8>,
}

impl Outbox {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What the outbox counts for against a limit: its bytes, and `overhead` for every message since it was last empty.
    pub fn cost(&self, overhead: usize) -> usize {
        self.bytes + self.messages * overhead
    }

    /// Appends what `write` appends, as `messages` messages.
    pub fn append<R>(&mut self, messages: usize, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        if !matches!(self.pieces.back(), Some(Piece::Own(bytes)) if bytes.len() < BUFFER) {
            self.pieces.push_back(Piece::Own(std::mem::take(&mut self.spare)));
        }
        let Some(Piece::Own(tail)) = self.pieces.back_mut() else {
            unreachable!("the last piece was made just above");
        };
        let before = tail.len();
        let result = write(tail);
        self.bytes += tail.len() - before;
        self.messages += messages;
        result
    }

    /// Appends one encoded message that other outboxes share.
    pub fn append_shared(&mut self, frame: &Arc<[u8]>) {
        if frame.len() <= COPY {
            self.append(1, |out| out.extend_from_slice(frame));
        } else {
            self.pieces.push_back(Piece::Shared(Arc::clone(frame)));
            self.bytes += frame.len();
            self.messages += 1;
        }
    }

    /// The first piece, when it is all there is.
    pub fn single(&self) -> Option<&[u8]> {
        match self.pieces.len() {
            1 => Some(&self.pieces[0].bytes()[self.sent..]),
            _ => None,
        }
    }

    /// The first pieces, at most as many as `slices` has room for; how many were filled in.
    pub fn pieces<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (piece, slice) in self.pieces.iter().zip(slices.iter_mut()) {
            let skip = if count == 0 { self.sent } else { 0 };
            *slice = IoSlice::new(&piece.bytes()[skip..]);
            count += 1;
        }
        count
    }

    /// The bytes at the front that lie in one place.
    pub fn front(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| &piece.bytes()[self.sent..])
    }

    /// Forgets `count` bytes at the front: they were sent.
    pub fn consume(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(front) = self.pieces.front() {
            let left = front.bytes().len() - self.sent;
            if count < left {
                self.sent += count;
                return;
            }
            count -= left;
            self.sent = 0;
            if let Some(Piece::Own(mut bytes)) = self.pieces.pop_front()
                && bytes.capacity() <= 2 * BUFFER
                && bytes.capacity() > self.spare.capacity()
            {
                bytes.clear();
                self.spare = bytes;
            }
        }
        self.messages = 0;
    }

    /// Forgets everything behind the first piece, part of which may be with the peer already.
    pub fn keep_front(&mut self) {
        self.pieces.truncate(1);
        self.bytes = self.front().len();
        self.messages = self.messages.min(1);
    }

    /// Forgets everything that was not sent.
    pub fn clear(&mut self) {
        self.consume(self.bytes);
    }
}

/// Outboxes without content: connections that have nothing to send hold none.
#[derive(Default)]
pub struct Pool {
    #[allow(clippy::vec_box, reason = "a connection holds a box, and gets the same one back")]
    spares: Vec<Box<Outbox>>,
}

impl Pool {
    /// An empty outbox, the most recently used first.
    pub fn take(&mut self) -> Box<Outbox> {
        self.spares.pop().unwrap_or_default()
    }

    /// Keeps an outbox for the next one who needs it.
    pub fn give(&mut self, mut outbox: Box<Outbox>) {
        if self.spares.len() < SPARES {
            outbox.clear();
            if self.spares.len() >= LARGE_SPARES && outbox.spare.capacity() > SMALL {
                outbox.spare = Vec::new();
            }
            self.spares.push(outbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = outbox.pieces(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn small_frames_join_and_large_shared_ones_keep_their_place() {
        let mut outbox = Outbox::default();
        let small: Arc<[u8]> = Arc::from(*b"-small-");
        let large: Arc<[u8]> = vec![b'L'; COPY + 1].into();
        outbox.append(1, |out| out.extend_from_slice(b"first"));
        outbox.append_shared(&small);
        assert_eq!(outbox.single(), Some(&b"first-small-"[..]));
        outbox.append_shared(&large);
        outbox.append(1, |out| out.extend_from_slice(b"last"));
        assert_eq!(outbox.single(), None);
        assert_eq!(outbox.len(), 12 + COPY + 1 + 4);
        assert_eq!(outbox.cost(64), outbox.len() + 4 * 64);
        assert_eq!(text(&outbox), [&b"first-small-"[..], &large, b"last"].concat());
        outbox.consume(20);
        assert_eq!(text(&outbox), [&large[8..], b"last"].concat());
        outbox.consume(outbox.len());
        assert!(outbox.is_empty());
        assert_eq!(outbox.cost(64), 0);
        assert_eq!(outbox.front(), b"");
    }

    #[test]
    fn a_pool_hands_out_empty_outboxes() {
        let mut pool = Pool::default();
        let mut outbox = pool.take();
        outbox.append(1, |out| out.extend_from_slice(b"left over"));
        pool.give(outbox);
        assert!(pool.take().is_empty());
    }
}
