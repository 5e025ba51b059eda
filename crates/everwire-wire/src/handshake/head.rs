//! The head of an HTTP/1.1 message: where it ends, that its lines are sound, and its bytes kept as
//! they came (RFC 9112 §2–5).
//!
//! Strictness here is safety: whatever one reader takes for the end of a line and another does not
//! is how requests are smuggled past proxies. So a line ends with CR LF and nothing else, and no
//! control byte but the tab is let through. Every judgement depends on a position in the head
//! alone, never on how the bytes were split on their way.

use std::fmt;

use super::field::{self, Fields};
use super::scan;
use crate::limits;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the head with its blank line; default [`limits::HEAD`].
    pub head: usize,
    /// Bytes of one line without its CR LF; default [`limits::LINE`].
    pub line: usize,
    /// Number of fields; default [`limits::FIELDS`].
    pub fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: limits::HEAD, line: limits::LINE, fields: limits::FIELDS }
    }
}

/// What is wrong with a head, whoever sent it; its text says it in a sentence.
///
/// Becomes a [`Refusal`](super::Refusal) on a server and [`Rejected`](super::Rejected) on a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The first byte is that of a TLS handshake.
    Tls,
    /// An empty line stands where the first line should.
    EmptyStart,
    /// LF without CR.
    BareLf,
    /// CR without LF.
    BareCr,
    /// NUL or another control byte.
    ControlByte,
    /// A line begins with a space or a tab: obsolete line folding (RFC 9112 §5.2).
    Folded,
    /// A field's line has no colon.
    NoColon,
    /// A field's name is empty or no token; also a space before the colon (RFC 9112 §5.1).
    FieldName,
    /// The first line is longer than [`Limits::line`].
    StartLineTooLong,
    /// A field's line is longer than [`Limits::line`].
    FieldTooLong,
    /// More than [`Limits::fields`].
    TooManyFields,
    /// Longer than [`Limits::head`].
    TooLong,
    /// The bytes given are not one head that ends with its blank line.
    Cut,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "this port speaks plain HTTP, not TLS: use ws:// instead of wss://",
            Self::EmptyStart => "the head begins with an empty line",
            Self::BareLf => "a line of the head ends with LF alone: end it with CR LF",
            Self::BareCr => "a CR in the head is not followed by LF",
            Self::ControlByte => "the head holds a control byte",
            Self::Folded => "a field is folded over several lines: write it on one line",
            Self::NoColon => "a field has no colon",
            Self::FieldName => "a field's name is not a token that ends at its colon",
            Self::StartLineTooLong => "the first line of the head is too long",
            Self::FieldTooLong => "a field is too long",
            Self::TooManyFields => "the head has too many fields",
            Self::TooLong => "the head is too long",
            Self::Cut => "the head does not end with its blank line",
        })
    }
}

impl std::error::Error for Malformed {}

/// Finds the end of a head whose bytes arrive bit by bit, reading each byte once.
#[derive(Clone, Debug, Default)]
pub struct HeadReader {
    /// The first byte that was not judged yet.
    at: usize,
    line_start: usize,
    /// Lines that were completed.
    lines: usize,
}

impl HeadReader {
    /// Returns the length of the head including its blank line, or `None` while it is incomplete.
    /// What lies behind that length is not looked at.
    ///
    /// `buffer` holds everything received so far: each call sees the bytes of the call before, and
    /// possibly more behind them. Cost: linear in the new bytes.
    ///
    /// # Errors
    /// The first thing that is wrong, also while the head is incomplete. Field names are judged
    /// only when the head is parsed.
    pub fn find_end(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, Malformed> {
        while let Some(rest) = buffer.get(self.at..).filter(|rest| !rest.is_empty()) {
            self.judge_line_start(rest)?;
            self.at += scan::find_control(rest).unwrap_or(rest.len());
            self.judge_length(limits)?;
            match (buffer.get(self.at), buffer.get(self.at + 1)) {
                (None, _) => break,
                (Some(b'\t'), _) => self.at += 1,
                (Some(b'\r'), _) if self.at + 2 > limits.head => return Err(Malformed::TooLong),
                (Some(b'\r'), None) => break,
                (Some(b'\r'), Some(b'\n')) if self.at == self.line_start => {
                    return Ok(Some(self.at + 2));
                }
                (Some(b'\r'), Some(b'\n')) => self.end_line(limits)?,
                (Some(b'\r'), Some(_)) => return Err(Malformed::BareCr),
                (Some(b'\n'), _) => return Err(Malformed::BareLf),
                (Some(_), _) => return Err(Malformed::ControlByte),
            }
        }
        Ok(None)
    }

    fn judge_line_start(&self, rest: &[u8]) -> Result<(), Malformed> {
        if self.at != self.line_start {
            return Ok(());
        }
        match (self.lines, rest.first()) {
            (0, Some(0x16)) => Err(Malformed::Tls),
            (0, Some(b'\r')) => Err(Malformed::EmptyStart),
            (1.., Some(b' ' | b'\t')) => Err(Malformed::Folded),
            _ => Ok(()),
        }
    }

    fn judge_length(&self, limits: &Limits) -> Result<(), Malformed> {
        let line_end = self.line_start.saturating_add(limits.line);
        if self.at > line_end && line_end < limits.head {
            return Err(if self.lines == 0 { Malformed::StartLineTooLong } else { Malformed::FieldTooLong });
        }
        if self.at >= limits.head {
            return Err(Malformed::TooLong);
        }
        Ok(())
    }

    fn end_line(&mut self, limits: &Limits) -> Result<(), Malformed> {
        if self.lines > limits.fields {
            return Err(Malformed::TooManyFields);
        }
        self.lines += 1;
        self.at += 2;
        self.line_start = self.at;
        Ok(())
    }
}

/// A sound head: one exact allocation, parsed again on each access.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Head {
    bytes: Box<[u8]>,
    start_line: u32,
}

impl Head {
    /// Keeps a copy of `bytes`, which are exactly one head with its blank line.
    pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Malformed> {
        if HeadReader::default().find_end(bytes, limits)? != Some(bytes.len()) {
            return Err(Malformed::Cut);
        }
        let start_line = scan::find(b'\r', bytes).ok_or(Malformed::Cut)?;
        let head = Self {
            bytes: bytes.into(),
            start_line: u32::try_from(start_line).map_err(|_| Malformed::StartLineTooLong)?,
        };
        field::judge_names(head.lines())?;
        Ok(head)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn start_line(&self) -> &[u8] {
        self.bytes.get(..self.start_line as usize).unwrap_or_default()
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields::new(self.lines())
    }

    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields().filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The lines of the fields, and the blank line.
    fn lines(&self) -> &[u8] {
        self.bytes.get(self.start_line as usize + 2..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        HeadReader::default().find_end(bytes, &Limits::default())
    }

    #[test]
    fn what_follows_the_head_is_not_looked_at() {
        assert_eq!(find(b"GET / HTTP/1.1\r\nA: b\r\n\r\n\0\n\r"), Ok(Some(24)));
    }

    #[test]
    fn an_unfinished_head_is_not_an_error() {
        for part in ["", "G", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\nA: b\r\n\r"] {
            assert_eq!(find(part.as_bytes()), Ok(None), "{part:?}");
        }
    }

    #[test]
    fn each_limit_is_exact() {
        let bytes = b"GET / HTTP/1.1\r\nAbc: 0123456789\r\nB: c\r\n\r\n";
        let exact = Limits { head: bytes.len(), line: 15, fields: 2 };
        assert_eq!(HeadReader::default().find_end(bytes, &exact), Ok(Some(bytes.len())));
        for (limits, error) in [
            (Limits { head: bytes.len() - 1, ..exact }, Malformed::TooLong),
            (Limits { line: 14, ..exact }, Malformed::FieldTooLong),
            (Limits { line: 13, ..exact }, Malformed::StartLineTooLong),
            (Limits { fields: 1, ..exact }, Malformed::TooManyFields),
        ] {
            assert_eq!(HeadReader::default().find_end(bytes, &limits), Err(error));
        }
    }

    #[test]
    fn the_end_is_found_again_when_asked_again() {
        let mut reader = HeadReader::default();
        let bytes = b"GET / HTTP/1.1\r\n\r\nrest";
        assert_eq!(reader.find_end(bytes, &Limits::default()), Ok(Some(18)));
        assert_eq!(reader.find_end(bytes, &Limits::default()), Ok(Some(18)));
    }
}
