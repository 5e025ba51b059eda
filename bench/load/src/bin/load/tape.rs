//! The messages to send, framed and masked once: sending any number of them is one slice.

use std::ops::Range;

use everwire_load::frame::{self, BINARY, FIN, TEXT};

/// The masking key of every frame. Any but zero will do: what a server must do about it does not depend on it.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The same frame several times in a row.
pub struct Tape {
    frames: Vec<u8>,
    payload: Vec<u8>,
    frame: usize,
}

impl Tape {
    /// A tape for at most `depth` unsent messages of `size` bytes.
    pub fn new(size: usize, binary: bool, depth: usize) -> Self {
        let payload = payload(size, binary);
        let first = FIN | if binary { BINARY } else { TEXT };
        let mut frames = Vec::new();
        frame::append(&mut frames, first, &payload, Some(KEY));
        let frame = frames.len();
        // One frame more than can be unsent: a run may begin inside the first.
        Self { frames: frames.repeat(depth + 1), payload, frame }
    }

    /// The payload of each message.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Bytes of one frame.
    pub fn frame(&self) -> usize {
        self.frame
    }

    /// `length` bytes of frames that begin `offset` bytes inside a frame.
    pub fn run(&self, offset: usize, length: usize) -> &[u8] {
        let Range { start, end } = offset..offset + length;
        &self.frames[start..end]
    }
}

/// Bytes without a short period, so that a shifted or repeated piece is noticed; letters for a text message.
fn payload(size: usize, binary: bool) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let high = (state >> 56) as u8;
        if binary { high } else { b'a' + high % 26 }
    };
    (0..size).map(|_| byte()).collect()
}
