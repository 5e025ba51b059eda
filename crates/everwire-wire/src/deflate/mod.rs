//! permessage-deflate (RFC 7692).

mod deflater;
mod inflater;
mod negotiation;

pub(crate) use deflater::Deflater;
pub(crate) use inflater::{Inflater, Outcome, remember};
pub use negotiation::{accept, check, offer};

use crate::limits;

/// The extension's name in `Sec-WebSocket-Extensions`.
pub const NAME: &str = "permessage-deflate";

/// The default level.
///
/// PERF: 8 KB of JSON shrink to 0.30 in 20 µs with level 1, to 0.21 in 32 µs with level 2, to 0.20
/// in 65 µs with level 6.
pub const LEVEL: u8 = 2;

/// Window bits of the frames that all receivers of a broadcast share: 4 KiB, small enough for
/// nearly every peer, and large enough for the messages that are broadcast.
pub const SHARED_WINDOW_BITS: u8 = 12;

/// The smallest window that we compress with; the library underneath knows no smaller one.
const MIN_WINDOW_BITS: u8 = 9;

/// The window of a peer that was not asked for a smaller one (RFC 7692 §7.1.2).
const MAX_WINDOW_BITS: u8 = 15;

/// What to offer (client) or to accept (server).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The server forgets its window after each message (RFC 7692 §7.1.1.1). On by default: a
    /// kept compressor costs 135–370 KiB a connection, and broadcasts can share frames.
    pub server_no_context_takeover: bool,
    /// The client forgets its window after each message (RFC 7692 §7.1.1.2). On by default: a
    /// kept window costs up to 32 KiB a connection.
    pub client_no_context_takeover: bool,
    /// The server's window is at most 2ⁿ bytes, n in 9–15 (other values count as the nearest of
    /// these); `None`: 15.
    pub server_max_window_bits: Option<u8>,
    /// The client's window is at most 2ⁿ bytes, n in 9–15 (other values count as the nearest of
    /// these); `None`: 15.
    pub client_max_window_bits: Option<u8>,
    /// How hard to compress, 1 (fast) to 9 (small).
    pub level: u8,
    /// Bytes of payload below which messages are sent plain.
    pub threshold: usize,
}

/// What both sides agreed to, seen from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// We forget our window after each message.
    pub our_no_context_takeover: bool,
    /// The peer forgets its window after each message.
    pub peer_no_context_takeover: bool,
    /// Our window is at most 2ⁿ bytes.
    pub our_window_bits: u8,
    /// The peer's window is at most 2ⁿ bytes.
    pub peer_window_bits: u8,
    /// How hard to compress, 1 (fast) to 9 (small).
    pub level: u8,
    /// Bytes of payload below which messages are sent plain.
    pub threshold: usize,
}

impl Agreed {
    /// Whether frames of [`frame::encode_compressed`](crate::frame::encode_compressed) may be sent
    /// on this connection: we keep no context that they would miss, and the window is large enough.
    pub fn takes_shared_frames(&self) -> bool {
        self.our_no_context_takeover && self.our_window_bits >= SHARED_WINDOW_BITS
    }

    /// Whether a message of `length` bytes is to be compressed.
    pub(crate) fn compresses(&self, length: usize) -> bool {
        length >= self.threshold && self.our_window_bits >= MIN_WINDOW_BITS
    }
}

impl Config {
    /// Bits of the server's window, 9–15.
    fn server_window(&self) -> u8 {
        window_bits(self.server_max_window_bits)
    }

    /// Bits of the client's window, 9–15.
    fn client_window(&self) -> u8 {
        window_bits(self.client_max_window_bits)
    }
}

fn window_bits(configured: Option<u8>) -> u8 {
    configured.unwrap_or(MAX_WINDOW_BITS).clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: None,
            client_max_window_bits: None,
            level: LEVEL,
            threshold: limits::COMPRESSION_THRESHOLD,
        }
    }
}
