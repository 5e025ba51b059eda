//! Where in a frame the input ended.

use crate::error::Violation;
use crate::frame::{Header, Opcode};

/// Where in a frame the input ended.
pub(super) enum Progress {
    /// Within a header, of which these bytes have come.
    Head { bytes: [u8; Header::MAX], len: u8 },
    /// Within the payload.
    Payload(Rest),
}

/// What is still to come of a frame.
#[derive(Clone, Copy)]
pub(super) struct Rest {
    pub length: u64,
    /// Rotated, so that its first byte is for the next byte of payload.
    pub mask: Option<[u8; 4]>,
    pub opcode: Opcode,
    pub fin: bool,
}

impl Progress {
    /// Between two frames.
    pub const START: Self = Self::Head { bytes: [0; Header::MAX], len: 0 };

    #[inline]
    pub fn is_between_frames(&self) -> bool {
        matches!(self, Self::Head { len: 0, .. })
    }

    /// `n` more bytes of the payload have come. Returns what is still to come after them; if that
    /// is nothing, the next frame may begin.
    pub fn advance(&mut self, n: usize) -> Option<Rest> {
        let Self::Payload(rest) = self else {
            return None;
        };
        rest.length -= n as u64;
        if let Some(key) = &mut rest.mask {
            key.rotate_left(n % 4);
        }
        let rest = *rest;
        if rest.length == 0 {
            *self = Self::START;
        }
        Some(rest)
    }
}

impl Rest {
    /// Bytes still to come, as far as memory could hold them.
    pub fn claim(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// Whether nothing of the message comes any more.
    pub fn ends_message(&self) -> bool {
        self.fin && self.length == 0
    }
}

/// Complete the header of which `len` bytes were kept. Returns it, and how many bytes of `input`
/// it took. `None`: it took all of them and is still not whole.
pub(super) fn take_header(
    kept: &mut [u8; Header::MAX],
    len: &mut u8,
    input: &[u8],
) -> Result<Option<(Header, usize)>, Violation> {
    if *len == 0
        && let Some(found) = Header::parse(input)?
    {
        return Ok(Some(found));
    }
    let start = usize::from(*len);
    let more = input.len().min(Header::MAX - start);
    kept[start..start + more].copy_from_slice(&input[..more]);
    match Header::parse(&kept[..start + more])? {
        Some((header, end)) => Ok(Some((header, end - start))),
        None => {
            *len += more as u8;
            Ok(None)
        }
    }
}
