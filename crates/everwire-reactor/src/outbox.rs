//! What a connection has still to send: frames in order, joined into few buffers, large shared ones by reference.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use crate::memory::Charge;

/// A buffer that grew beyond this is not joined further, and not kept for reuse.
const BUFFER: usize = 64 * 1024;
/// The same in messages: what they cost beside their bytes is forgiven when their buffer has left, no later.
const MESSAGES: usize = 1024;
/// A shared frame up to this size is copied: one contiguous write is cheaper than one more piece.
const COPY: usize = 1024;
/// How many empty outboxes a pool keeps: a broadcast to more allocates some.
const SPARES: usize = 1024;
/// How many of them keep a buffer of any size, and the size that the others keep.
const LARGE_SPARES: usize = 64;
const SMALL: usize = 4 * 1024;
/// How many pieces an outbox in the pool keeps room for.
const ROOM: usize = 64;

/// An encoded message that several outboxes hold. It is charged once, until the last of them has sent it.
pub struct Shared {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl Shared {
    /// Takes an encoded message.
    pub fn new(bytes: Vec<u8>) -> Arc<Self> {
        let charge = Charge::new(bytes.capacity());
        Arc::new(Shared { bytes, _charge: charge })
    }

    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that lie in one place, and how many messages end in them.
struct Piece {
    store: Store,
    messages: usize,
}

enum Store {
    Own(Vec<u8>),
    Shared(Arc<Shared>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match &self.store {
            Store::Own(bytes) => bytes,
            Store::Shared(frame) => &frame.bytes,
        }
    }

    /// Memory that only this outbox holds.
    fn own(&self) -> usize {
        match &self.store {
            Store::Own(bytes) => bytes.capacity(),
            Store::Shared(_) => 0,
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
    /// Memory of the pieces that are not shared.
    own: usize,
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

    /// What the outbox counts for against a limit: its bytes, and `overhead` for every message that waits.
    pub fn cost(&self, overhead: usize) -> usize {
        self.bytes + self.messages * overhead
    }

    /// Memory that it holds alone. What it shares with others is charged elsewhere.
    pub fn held(&self) -> usize {
        self.own + self.spare.capacity() + self.pieces.capacity() * size_of::<Piece>()
    }

    /// Memory that would be free without the shared frames in it: of those that others hold, too, an equal part if `in_part`,
    /// else nothing.
    pub fn shared(&self, in_part: bool) -> usize {
        let share = |piece: &Piece| match &piece.store {
            Store::Own(_) => 0,
            Store::Shared(frame) => match Arc::strong_count(frame) {
                1 => frame.bytes.capacity(),
                holders if in_part => frame.bytes.capacity() / holders,
                _ => 0,
            },
        };
        self.pieces.iter().map(share).sum()
    }

    /// Memory of the first piece, which may be in the middle of a frame and has to leave before anything else can.
    pub fn front_memory(&self) -> usize {
        self.pieces.front().map_or(0, |piece| piece.own().max(piece.bytes().len()))
    }

    /// Appends what `write` appends, as `messages` messages.
    pub fn append<R>(&mut self, messages: usize, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let joins = |piece: &Piece| match &piece.store {
            Store::Own(bytes) => bytes.len() < BUFFER && piece.messages < MESSAGES,
            Store::Shared(_) => false,
        };
        if !self.pieces.back().is_some_and(joins) {
            let bytes = std::mem::take(&mut self.spare);
            self.own += bytes.capacity();
            self.pieces.push_back(Piece { store: Store::Own(bytes), messages: 0 });
        }
        let Some(Piece { store: Store::Own(tail), messages: count }) = self.pieces.back_mut() else {
            unreachable!("the last piece was made just above");
        };
        let (length, capacity) = (tail.len(), tail.capacity());
        let result = write(tail);
        self.own += tail.capacity() - capacity;
        if tail.len() > length {
            self.bytes += tail.len() - length;
            self.messages += messages;
            *count += messages;
        }
        result
    }

    /// Appends one encoded message that other outboxes share.
    pub fn append_shared(&mut self, frame: &Arc<Shared>) {
        if frame.bytes.len() <= COPY {
            self.append(1, |out| out.extend_from_slice(&frame.bytes));
        } else {
            self.pieces.push_back(Piece { store: Store::Shared(Arc::clone(frame)), messages: 1 });
            self.bytes += frame.bytes.len();
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
            self.own -= front.own();
            self.messages -= front.messages;
            if let Some(Piece { store: Store::Own(mut bytes), .. }) = self.pieces.pop_front()
                && bytes.capacity() <= 2 * BUFFER
                && bytes.capacity() > self.spare.capacity()
            {
                bytes.clear();
                self.spare = bytes;
            }
        }
    }

    /// Forgets everything behind the first piece, part of which may be with the peer already.
    pub fn keep_front(&mut self) {
        self.pieces.truncate(1);
        self.pieces.shrink_to_fit();
        self.spare = Vec::new();
        self.bytes = self.front().len();
        (self.own, self.messages) = self.pieces.front().map_or((0, 0), |piece| (piece.own(), piece.messages));
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
            outbox.pieces.shrink_to(ROOM);
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
        let small = Shared::new(b"-small-".to_vec());
        let large = Shared::new(vec![b'L'; COPY + 1]);
        outbox.append(1, |out| out.extend_from_slice(b"first"));
        outbox.append_shared(&small);
        assert_eq!(outbox.single(), Some(&b"first-small-"[..]));
        outbox.append_shared(&large);
        outbox.append(1, |out| out.extend_from_slice(b"last"));
        assert_eq!(outbox.single(), None);
        assert_eq!(outbox.len(), 12 + COPY + 1 + 4);
        assert_eq!(outbox.cost(64), outbox.len() + 4 * 64);
        assert_eq!(text(&outbox), [&b"first-small-"[..], large.bytes(), b"last"].concat());
        outbox.consume(20);
        assert_eq!(text(&outbox), [&large.bytes()[8..], b"last"].concat());
        outbox.consume(outbox.len());
        assert!(outbox.is_empty());
        assert_eq!(outbox.cost(64), 0);
        assert_eq!(outbox.front(), b"");
    }

    #[test]
    fn what_messages_cost_is_forgiven_as_they_leave_not_when_all_have_left() {
        let mut outbox = Outbox::default();
        let frame = [0; 4];
        for _ in 0..4 * MESSAGES {
            outbox.append(1, |out| out.extend_from_slice(&frame));
        }
        // A reader that keeps pace: as much leaves as comes, and the backlog stays.
        for _ in 0..1_000_000 {
            outbox.append(1, |out| out.extend_from_slice(&frame));
            outbox.consume(frame.len());
        }
        assert_eq!(outbox.len(), 4 * MESSAGES * frame.len());
        assert!(outbox.cost(64) <= outbox.len() + 5 * MESSAGES * 64, "{}", outbox.cost(64));
        assert!(outbox.pieces.len() <= 6, "{}", outbox.pieces.len());
    }

    #[test]
    fn what_was_not_written_costs_nothing() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.append(1, |_| Err::<(), _>("refused")), Err("refused"));
        assert_eq!(outbox.cost(64), 0);
    }

    #[test]
    fn memory_is_that_of_its_own_pieces_and_falls_as_they_leave() {
        let mut outbox = Outbox::default();
        outbox.append(1, |out| out.extend_from_slice(&[0; BUFFER]));
        outbox.append(1, |out| out.extend_from_slice(&[0; 8 * BUFFER]));
        outbox.append_shared(&Shared::new(vec![0; 100 * BUFFER]));
        outbox.append(1, |out| out.extend_from_slice(&[0; BUFFER]));
        assert_eq!(outbox.own, 10 * BUFFER);
        outbox.consume(2 * BUFFER);
        // The rest of a piece that is half gone is still all there.
        assert_eq!((outbox.own, outbox.spare.capacity()), (9 * BUFFER, BUFFER));
        assert_eq!(outbox.front_memory(), 8 * BUFFER);
        outbox.keep_front();
        assert_eq!((outbox.own, outbox.len()), (8 * BUFFER, 7 * BUFFER));
        assert!(outbox.held() < 9 * BUFFER);
        outbox.clear();
        assert_eq!((outbox.own, outbox.messages), (0, 0));
    }

    #[test]
    fn a_shared_frame_is_free_with_its_last_holder_only() {
        let frame = Shared::new(vec![0; 10 * BUFFER]);
        let mut outboxes: Vec<Outbox> = (0..5).map(|_| Outbox::default()).collect();
        for outbox in &mut outboxes {
            outbox.append_shared(&frame);
        }
        drop(frame);
        assert!(outboxes.iter().all(|outbox| outbox.shared(false) == 0 && outbox.shared(true) == 2 * BUFFER));
        outboxes.truncate(1);
        assert_eq!(outboxes[0].shared(false), 10 * BUFFER);
        assert!(outboxes[0].held() < BUFFER);
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
