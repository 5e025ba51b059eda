//! The body of an answer that is no handshake: where it ends, and as much of it as is wanted.

use super::chunked::{Chunked, Piece};

/// How the body behind a head is delimited (RFC 9112 §6.3). A bad or contradictory length counts
/// as none: nothing is read after the body of an answer to a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// That many bytes.
    Length(u64),
    /// By the chunked coding.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// Collects a body that arrives bit by bit, without its coding for transfer, up to a limit. Other codings than the chunked one,
/// which no client of ours asks for, stay on.
#[derive(Clone, Debug)]
pub struct BodyReader {
    framing: Framing,
    /// Bytes that are still wanted.
    room: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Framing {
    /// What is wanted is all that comes.
    Plain,
    Chunked(Chunked),
}

impl BodyReader {
    /// Reads at most `limit` bytes of a body.
    pub fn new(body: Body, limit: usize) -> Self {
        let (framing, room) = match body {
            Body::Length(length) => (Framing::Plain, usize::try_from(length).unwrap_or(usize::MAX).min(limit)),
            Body::UntilClose => (Framing::Plain, limit),
            Body::Chunked => (Framing::Chunked(Chunked::default()), limit),
        };
        Self { framing, room, bytes: Vec::new() }
    }

    /// Takes what came of it. What cannot be decoded ends the body with what came before.
    pub fn take(&mut self, mut input: &[u8]) {
        while let Some((piece, rest)) = self.next_piece(input) {
            let piece = piece.get(..self.room).unwrap_or(piece);
            self.bytes.extend_from_slice(piece);
            self.room -= piece.len();
            input = rest;
        }
    }

    /// Whether nothing more is wanted.
    pub fn is_complete(&self) -> bool {
        self.room == 0
    }

    /// What came so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Memory that it holds.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// What came.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn next_piece<'a>(&mut self, input: &'a [u8]) -> Option<Piece<'a>> {
        if input.is_empty() || self.room == 0 {
            return None;
        }
        let Framing::Chunked(chunked) = &mut self.framing else { return Some((input, &[])) };
        let next = chunked.next(input);
        if next.is_err() || chunked.is_over() {
            self.room = 0;
        }
        next.ok()?
    }
}

/// No body.
impl Default for BodyReader {
    fn default() -> Self {
        Self::new(Body::Length(0), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"3\r\nabc\r\n3;x\r\ndef\r\n0\r\nA: b\r\n\r\nmore";

    /// What is read of `bytes` in pieces, and whether nothing more is wanted.
    fn read(body: Body, limit: usize, bytes: &[u8]) -> (String, bool) {
        let mut results = [usize::MAX, 1, 2, 5].map(|length| {
            let mut reader = BodyReader::new(body, limit);
            bytes.chunks(length).for_each(|piece| reader.take(piece));
            let is_complete = reader.is_complete();
            (String::from_utf8(reader.into_bytes()).expect("text"), is_complete)
        });
        assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
        std::mem::take(&mut results[0])
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        for (body, bytes, text, is_complete) in [
            (Body::Length(0), &b"more"[..], "", true),
            (Body::Length(3), b"abcdef", "abc", true),
            (Body::Length(9), b"abcdef", "abcdef", false),
            (Body::Length(u64::MAX), b"abc", "abc", false),
            (Body::UntilClose, b"abcdef", "abcdef", false),
            (Body::Chunked, CHUNKED, "abcdef", true),
            (Body::Chunked, &CHUNKED[..CHUNKED.len() - 8], "abcdef", false),
            (Body::Chunked, b"3\r\nabcX", "abc", true),
            (Body::Chunked, b"<html>", "", true),
        ] {
            assert_eq!(read(body, 100, bytes), (text.to_owned(), is_complete), "{body:?} {bytes:?}");
        }
    }

    #[test]
    fn no_more_is_kept_than_the_limit() {
        for (body, bytes) in
            [(Body::Length(6), &b"abcdef"[..]), (Body::UntilClose, b"abcdef"), (Body::Chunked, CHUNKED)]
        {
            for limit in 0..6 {
                assert_eq!(read(body, limit, bytes), ("abcdef"[..limit].to_owned(), true), "{body:?} {limit}");
            }
        }
    }

    #[test]
    fn by_default_there_is_none() {
        let mut reader = BodyReader::default();
        reader.take(b"abc");
        assert!(reader.is_complete() && reader.into_bytes().is_empty());
    }
}
