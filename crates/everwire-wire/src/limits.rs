//! Every number that bounds something in this crate.

/// Bytes of an HTTP head, request or response, including its blank line. Browsers send 1–2 KiB;
/// 16 KiB leaves room for large cookies and is what nginx and Node allow.
pub const HEAD: usize = 16 * 1024;

/// Fields of an HTTP head. Behind several proxies a browser's request has about 40.
pub const FIELDS: usize = 100;

/// Bytes of one line of an HTTP head: the request line, or a field's name and value.
pub const LINE: usize = 8 * 1024;

/// Elements of a list in a handshake: subprotocols, or extensions and their parameters together.
/// Browsers send at most a few; 64 keeps what a list of one-letter elements takes in memory small.
pub const LIST: usize = 64;

/// Digits of a chunk's size (RFC 9112 §7.1): more than 16 do not fit in 64 bits.
pub const CHUNK_DIGITS: usize = 16;

/// Bytes of all chunk extensions and trailers of one body, which are skipped: as many as a head has.
pub const CHUNK_EXTRAS: usize = HEAD;

/// Bytes of a PROXY protocol header (version 2), with its fixed part of 16: what the protocol's
/// authors hold to arrive in one segment everywhere. Addresses take at most 216, the rest is for
/// additions that are skipped.
pub const PROXY: usize = 536;

/// Bytes of a control frame's payload (RFC 6455 §5.5).
pub const CONTROL: usize = 125;

/// Bytes of a close frame's reason: a control payload without the two bytes of the code
/// (RFC 6455 §5.5.1).
pub const REASON: usize = CONTROL - 2;

/// Bytes that must be still to come of a frame before its payload is read straight into the
/// message's own buffer. Below this a copy out of the shared read buffer costs less than the
/// additional system call.
pub const WINDOW: usize = 64 * 1024;

/// Bytes of the open message that must be here before a window is opened, so that a claim in a
/// header alone pins no memory.
pub const WINDOW_AFTER: usize = 16 * 1024;

/// Bytes that one step of inflating or deflating produces at most. The limit on messages is
/// checked after each step; small enough to stay in the first two cache levels.
pub const STEP: usize = 32 * 1024;

/// Bytes that are unmasked and then checked at once, so that the second pass finds them in the
/// first cache level.
pub const SWEEP: usize = 16 * 1024;

/// Payload bytes below which a message is sent plain although compression was agreed: without
/// context takeover, small messages hardly shrink.
pub const COMPRESSION_THRESHOLD: usize = 1024;

/// Deflate streams that may end within one compressed message. A sender needs one at most for each
/// of its flushes; each costs us a copy of the window, about a microsecond for a few bytes sent.
pub const FINAL_BLOCKS: usize = 1024;

/// Inflaters that one codec keeps for the next compressed message.
pub const SPARE_INFLATERS: usize = 4;

/// Bytes of memory that an inflater takes: its window, and tables.
pub const INFLATER: usize = 47 * 1024;

/// Buffers of large messages that one codec keeps for the next ones: memory that is used again needs
/// neither clearing nor the kernel.
pub const SPARE_BUFFERS: usize = 4;

/// Bytes of such a buffer at most.
pub const SPARE_BUFFER: usize = 2 * 1024 * 1024;

/// Bytes of compressed output that a codec keeps allocated between messages.
pub const SPARE_OUTPUT: usize = 256 * 1024;
