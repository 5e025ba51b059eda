//! The chunked coding of a body whose length nobody knew when it began (RFC 9112 §7.1).

use super::field;
use crate::limits;

/// Takes the chunked coding off bytes that arrive bit by bit. Keeps none of them: extensions and
/// trailers are looked at only as far as it takes to find their ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunked {
    at: Place,
    /// What is left of the chunk, or what is known of its size.
    size: u64,
    /// Digits of the size that were read.
    digits: usize,
    /// Bytes of extensions and trailers that were skipped.
    skipped: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    Extension,
    /// The LF behind a size.
    SizeEnd,
    Data,
    /// The CR and the LF behind a chunk.
    DataCr,
    DataEnd,
    /// A trailer's line, or the empty one that ends everything.
    Line,
    Trailer,
    TrailerEnd,
    /// The last LF.
    LastEnd,
    Over,
}

/// Bytes of the body, and what lies behind them in the input.
pub(super) type Piece<'a> = (&'a [u8], &'a [u8]);

/// Bytes that are no chunked body, or say too little with too many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadChunk;

impl Chunked {
    /// The next piece of the body in `input`; `None` if there is none: `input` is used up, or the body is [over](Self::is_over).
    pub(super) fn next<'a>(&mut self, mut input: &'a [u8]) -> Result<Option<Piece<'a>>, BadChunk> {
        while self.at != Place::Over {
            if self.at == Place::Data {
                let length = usize::try_from(self.size).unwrap_or(usize::MAX).min(input.len());
                self.size -= length as u64;
                if self.size == 0 {
                    self.at = Place::DataCr;
                }
                return Ok(input.split_at_checked(length).filter(|(piece, _)| !piece.is_empty()));
            }
            let [byte, rest @ ..] = input else { break };
            self.at = self.step(*byte)?;
            input = rest;
        }
        Ok(None)
    }

    /// Whether the last chunk and the trailers were read.
    pub(super) fn is_over(&self) -> bool {
        self.at == Place::Over
    }

    fn step(&mut self, byte: u8) -> Result<Place, BadChunk> {
        match (self.at, byte) {
            (Place::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte),
            (Place::Size, b'\r') if self.digits > 0 => Ok(Place::SizeEnd),
            // Spaces before an extension, and behind a size that some servers fill up with them.
            (Place::Size, b';' | b' ' | b'\t') if self.digits > 0 => self.skip(byte, Place::Extension),
            (Place::Extension, b'\r') => Ok(Place::SizeEnd),
            (Place::Extension, _) => self.skip(byte, Place::Extension),
            (Place::SizeEnd, b'\n') if self.size == 0 => Ok(Place::Line),
            (Place::SizeEnd, b'\n') => Ok(Place::Data),
            (Place::DataCr, b'\r') => Ok(Place::DataEnd),
            (Place::DataEnd, b'\n') => {
                self.digits = 0;
                Ok(Place::Size)
            }
            (Place::Line, b'\r') => Ok(Place::LastEnd),
            (Place::Trailer, b'\r') => Ok(Place::TrailerEnd),
            (Place::Line | Place::Trailer, _) => self.skip(byte, Place::Trailer),
            (Place::TrailerEnd, b'\n') => Ok(Place::Line),
            (Place::LastEnd, b'\n') => Ok(Place::Over),
            _ => Err(BadChunk),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<Place, BadChunk> {
        let value = char::from(byte).to_digit(16).ok_or(BadChunk)?;
        self.digits += 1;
        if self.digits > limits::CHUNK_DIGITS {
            return Err(BadChunk);
        }
        self.size = self.size << 4 | u64::from(value);
        Ok(Place::Size)
    }

    fn skip(&mut self, byte: u8, place: Place) -> Result<Place, BadChunk> {
        self.skipped += 1;
        if self.skipped > limits::CHUNK_EXTRAS || !field::is_value(&[byte]) {
            return Err(BadChunk);
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body that `bytes` hold, and whether it is over; read in pieces of `length`.
    fn read(bytes: &[u8], length: usize) -> (Vec<u8>, Result<bool, BadChunk>) {
        let mut chunked = Chunked::default();
        let mut body = Vec::new();
        for mut piece in bytes.chunks(length) {
            loop {
                match chunked.next(piece) {
                    Ok(Some((data, rest))) => {
                        body.extend_from_slice(data);
                        piece = rest;
                    }
                    Ok(None) => break,
                    Err(bad) => return (body, Err(bad)),
                }
            }
        }
        (body, Ok(chunked.is_over()))
    }

    fn both_ways(bytes: &[u8]) -> (Vec<u8>, Result<bool, BadChunk>) {
        let whole = read(bytes, usize::MAX);
        for length in [1, 2, 3, 7] {
            assert_eq!(read(bytes, length), whole, "{:?} in pieces of {length}", bytes.escape_ascii().to_string());
        }
        whole
    }

    #[test]
    fn chunks_are_joined() {
        for (coded, body) in [
            ("0\r\n\r\n", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc"),
            ("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789"),
            ("0000a\r\n0123456789\r\n000\r\n\r\n", "0123456789"),
            ("3;name=\"value\";b\r\nabc\r\n0;last\r\n\r\n", "abc"),
            ("3   \r\nabc\r\n0 ; x\r\n\r\n", "abc"),
            ("4\r\n\r\n0\r\r\n0\r\n\r\n", "\r\n0\r"),
            ("1\r\na\r\n0\r\nDigest: b\r\nX:\tc\r\n\r\n", "a"),
            ("1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK", "a"),
        ] {
            assert_eq!(both_ways(coded.as_bytes()), (body.as_bytes().to_vec(), Ok(true)), "{coded:?}");
        }
    }

    #[test]
    fn what_is_cut_off_gives_what_came() {
        let coded = b"3;x\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n";
        for end in 0..coded.len() {
            let (body, state) = both_ways(&coded[..end]);
            assert_eq!(state, Ok(false));
            assert!(b"abcde".starts_with(&body));
        }
        assert_eq!(both_ways(&coded[..7]).0, b"ab");
    }

    #[test]
    fn what_is_no_chunk_ends_the_body() {
        for (coded, body) in [
            ("\r\n", ""),
            (";x\r\n", ""),
            ("-1\r\n", ""),
            ("+1\r\na", ""),
            ("0x1\r\na", ""),
            ("g\r\n", ""),
            ("1\na\r\n", ""),
            ("1\r\r\na", ""),
            ("1;x\ny\r\na", ""),
            ("1;\0\r\na", ""),
            ("3\r\nabcd\r\n", "abc"),
            ("3\r\nabc\n0\r\n", "abc"),
            ("3\r\nabc\r\nno\r\n", "abc"),
            ("1\r\na\r\n0\r\nA: b\n\r\n", "a"),
            ("1\r\na\r\n0\r\n\r\r", "a"),
            ("00000000000000001\r\na", ""),
            ("fffffffffffffffff\r\na", ""),
        ] {
            assert_eq!(both_ways(coded.as_bytes()), (body.as_bytes().to_vec(), Err(BadChunk)), "{coded:?}");
        }
    }

    #[test]
    fn the_largest_size_is_only_a_claim() {
        assert_eq!(both_ways(b"ffffffffffffffff\r\nabc"), (b"abc".to_vec(), Ok(false)));
    }

    #[test]
    fn extensions_and_trailers_are_bounded_together() {
        let extension = ";".repeat(limits::CHUNK_EXTRAS - 5);
        let coded = |trailer: &str| format!("1{extension}\r\na\r\n0\r\n{trailer}\r\n\r\n");
        assert_eq!(both_ways(coded("A: bc").as_bytes()), (b"a".to_vec(), Ok(true)));
        assert_eq!(both_ways(coded("A: bcd").as_bytes()), (b"a".to_vec(), Err(BadChunk)));
    }
}
