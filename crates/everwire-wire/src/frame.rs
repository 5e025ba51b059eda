//! Frame headers (RFC 6455 §5.2), and whole frames for broadcasts.

use crate::codec::Codec;
use crate::deflate;
use crate::error::Violation;
use crate::limits;
use crate::mask;
use crate::message::Kind;

/// What a frame is (RFC 6455 §5.2, §11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The next part of a fragmented message.
    Continuation = 0x0,
    /// A text message, or its first part.
    Text = 0x1,
    /// A binary message, or its first part.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// A ping.
    Ping = 0x9,
    /// A pong.
    Pong = 0xA,
}

/// The head of a frame (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// Set on the first frame of a compressed message (RFC 7692 §6).
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The masking key, if the frame is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload, at most 2⁶³ − 1.
    pub length: u64,
}

impl Opcode {
    /// Whether frames of this kind are control frames: at most 125 bytes, never fragmented, and
    /// allowed between the frames of a message (RFC 6455 §5.5).
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    /// The kind of message that a frame of this kind begins.
    #[inline]
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Text => Some(Kind::Text),
            Self::Binary => Some(Kind::Binary),
            _ => None,
        }
    }

    #[inline]
    fn parse(nibble: u8) -> Result<Self, Violation> {
        Ok(match nibble {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return Err(Violation::protocol(format!("opcode {nibble} is reserved"))),
        })
    }
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Binary => Self::Binary,
        }
    }
}

impl Header {
    /// Bytes of the longest header.
    pub const MAX: usize = 14;

    /// Read a header from the front of `bytes`; also returns how many bytes it takes. `None`:
    /// more bytes are needed.
    ///
    /// # Errors
    /// 1002, as soon as the bytes that are there show it: a reserved bit other than RSV1, a
    /// reserved opcode, a control frame that is fragmented, compressed or too long, a length that
    /// is not in its shortest form or has its top bit set.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        if first & (RSV2 | RSV3) != 0 {
            return Err(Violation::protocol("a reserved bit is set"));
        }
        let opcode = Opcode::parse(first & 0x0F)?;
        let (fin, rsv1) = (first & FIN != 0, first & RSV1 != 0);
        if opcode.is_control() && (!fin || rsv1) {
            return Err(Violation::protocol("control frame is fragmented or compressed"));
        }
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        let short = second & 0x7F;
        if opcode.is_control() && usize::from(short) > limits::CONTROL {
            return Err(Violation::protocol("control frame of more than 125 bytes"));
        }
        let (length, end) = match short {
            LENGTH_16 => match bytes[2..].first_chunk() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
                None => return Ok(None),
            },
            LENGTH_64 => match bytes[2..].first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        if end > 2 && (length < LENGTH_16.into() || end == 10 && length <= u16::MAX.into()) {
            return Err(Violation::protocol("frame length is not in its shortest form"));
        }
        if length > i64::MAX as u64 {
            return Err(Violation::protocol("frame length has its top bit set"));
        }
        let (mask, end) = match (second & MASKED, bytes[end..].first_chunk()) {
            (0, _) => (None, end),
            (_, Some(key)) => (Some(*key), end + 4),
            (_, None) => return Ok(None),
        };
        Ok(Some((Self { fin, rsv1, opcode, mask, length }, end)))
    }

    /// Append the header, with its length in the shortest form.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let fin = if self.fin { FIN } else { 0 };
        let rsv1 = if self.rsv1 { RSV1 } else { 0 };
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        out.push(fin | rsv1 | self.opcode as u8);
        if self.length < LENGTH_16.into() {
            out.push(masked | self.length as u8);
        } else if let Ok(length) = u16::try_from(self.length) {
            out.push(masked | LENGTH_16);
            out.extend_from_slice(&length.to_be_bytes());
        } else {
            out.push(masked | LENGTH_64);
            out.extend_from_slice(&self.length.to_be_bytes());
        }
        if let Some(key) = self.mask {
            out.extend_from_slice(&key);
        }
    }
}

/// Append an unmasked, uncompressed data frame with a whole message: one frame for all receivers
/// of a broadcast.
pub fn encode(kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    write(Opcode::from(kind), false, true, None, payload, out);
}

/// Append the same frame compressed, for every connection whose
/// [`Agreed::takes_shared_frames`](crate::deflate::Agreed::takes_shared_frames) is true.
///
/// Returns false, and appends nothing, when compression would not make the frame smaller.
pub fn encode_compressed(kind: Kind, payload: &[u8], codec: &mut Codec, out: &mut Vec<u8>) -> bool {
    let packed = codec.deflate(deflate::LEVEL, deflate::SHARED_WINDOW_BITS, payload, true);
    let smaller = packed.len() < payload.len();
    if smaller {
        write(Opcode::from(kind), true, true, None, packed, out);
    }
    smaller
}

/// Append a whole frame, its payload masked if there is a key.
#[inline]
pub(crate) fn write(opcode: Opcode, rsv1: bool, fin: bool, mask: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(Header::MAX + payload.len());
    Header { fin, rsv1, opcode, mask, length: payload.len() as u64 }.write(out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        mask::apply(&mut out[start..], key, 0);
    }
}

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;
const MASKED: u8 = 0x80;
/// The short length that says: the length follows in 16 bits.
const LENGTH_16: u8 = 126;
/// The short length that says: the length follows in 64 bits.
const LENGTH_64: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_header_is_read_back() {
        for length in [0, 125, 126, 65535, 65536, i64::MAX as u64] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let header = Header { fin: true, rsv1: true, opcode: Opcode::Text, mask, length };
                let mut bytes = Vec::new();
                header.write(&mut bytes);
                assert!(bytes.len() <= Header::MAX);
                assert_eq!(Header::parse(&bytes), Ok(Some((header, bytes.len()))));
                for cut in 0..bytes.len() {
                    assert_eq!(Header::parse(&bytes[..cut]), Ok(None), "{cut} bytes");
                }
            }
        }
    }

    #[test]
    fn every_first_byte_is_read_or_refused() {
        for first in 0..=u8::MAX {
            let result = Header::parse(&[first, 0]);
            let known = matches!(first & 0x0F, 0..=2 | 8..=10) && first & (RSV2 | RSV3) == 0;
            let whole = first & 0x08 == 0 || first & (FIN | RSV1) == FIN;
            assert_eq!(result.is_ok(), known && whole, "{first:#x}");
        }
    }

    #[test]
    fn a_frame_for_all_is_not_masked() {
        let mut out = Vec::new();
        encode(Kind::Text, b"hi", &mut out);
        assert_eq!(out, b"\x81\x02hi");
    }
}
