//! Frame headers and the mask: RFC 6455 §5.2 and §5.3, for peers that are known to be well-behaved.

/// The bit of a header's first byte that marks the last frame of a message.
pub const FIN: u8 = 0x80;

/// Opcodes, RFC 6455 §11.8.
pub const TEXT: u8 = 1;
/// A frame of bytes.
pub const BINARY: u8 = 2;
/// The closing handshake.
pub const CLOSE: u8 = 8;
/// A question whether the peer is alive.
pub const PING: u8 = 9;
/// The answer to a ping.
pub const PONG: u8 = 10;

/// The longest header: two bytes, eight of length, four of mask.
pub const LONGEST_HEADER: usize = 14;

/// The longest payload of a control frame, RFC 6455 §5.5.
pub const LONGEST_CONTROL: usize = 125;

/// One decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// FIN, reserved bits and opcode, as they came.
    pub first: u8,
    /// Bytes of payload that follow the header.
    pub length: usize,
    /// The masking key, when the frame is masked.
    pub key: Option<[u8; 4]>,
    /// Bytes that the header itself takes.
    pub size: usize,
}

impl Header {
    /// The frame's opcode.
    pub fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    /// Whether this frame ends its message.
    pub fn is_final(&self) -> bool {
        self.first & FIN != 0
    }

    /// Whether this is a close, ping or pong.
    pub fn is_control(&self) -> bool {
        self.opcode() >= CLOSE
    }
}

/// The header at the start of `bytes`, or `None` while some of it is missing.
pub fn decode(bytes: &[u8]) -> Option<Header> {
    let &[first, second, ..] = bytes else { return None };
    let (length, size) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(array(bytes, 2)?)), 4),
        127 => (u64::from_be_bytes(array(bytes, 2)?) as usize, 10),
        short => (usize::from(short), 2),
    };
    if second & 0x80 == 0 {
        return Some(Header { first, length, key: None, size });
    }
    Some(Header { first, length, key: Some(array(bytes, size)?), size: size + 4 })
}

/// Write a header to the start of `out`, which must have room for it, and return its size.
pub fn encode(first: u8, length: usize, key: Option<[u8; 4]>, out: &mut [u8]) -> usize {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let size = unmasked_size(length);
    out[0] = first;
    match size {
        2 => out[1] = mask_bit | length as u8,
        4 => {
            out[1] = mask_bit | 126;
            out[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out[1] = mask_bit | 127;
            out[2..10].copy_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let Some(key) = key else { return size };
    out[size..size + 4].copy_from_slice(&key);
    size + 4
}

/// Append one whole frame, masked when there is a key.
pub fn append(out: &mut Vec<u8>, first: u8, payload: &[u8], key: Option<[u8; 4]>) {
    let mut header = [0; LONGEST_HEADER];
    let size = encode(first, payload.len(), key, &mut header);
    out.extend_from_slice(&header[..size]);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut out[start..], key);
    }
}

/// The size of the header of an unmasked frame with `length` bytes of payload.
pub fn unmasked_size(length: usize) -> usize {
    match length {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Mask or unmask a payload in place.
pub fn mask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

fn array<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_a_round_trip_at_every_length_form() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
            for key in [None, Some([1, 2, 3, 4])] {
                let mut bytes = [0; LONGEST_HEADER];
                let size = encode(FIN | BINARY, length, key, &mut bytes);
                assert_eq!(decode(&bytes[..size]), Some(Header { first: FIN | BINARY, length, key, size }));
                assert_eq!(decode(&bytes[..size - 1]), None);
            }
        }
    }

    #[test]
    fn the_word_wise_mask_equals_the_naive_one() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).collect();
            let naive: Vec<u8> = plain.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
            let mut fast = plain.clone();
            mask(&mut fast, key);
            assert_eq!(fast, naive);
        }
    }
}
