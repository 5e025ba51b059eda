//! The head of an HTTP/1.1 message: where it ends, that its lines are sound, and its bytes kept as
//! they came (RFC 9112 §2–5).
//!
//! Strictness here is safety: whatever one reader takes for the end of a line and another does not
//! is how requests are smuggled past proxies. So a line ends with CR LF and nothing else, and no
//! control byte but the tab is let through. Every judgement depends on a position in the head
//! alone, never on how the bytes were split on their way.

use super::field::{self, Fields};
use super::malformed::{Malformed, shown};
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
            self.judge_length(buffer, limits)?;
            match (buffer.get(self.at), buffer.get(self.at + 1)) {
                (None, _) => break,
                (Some(b'\t'), _) => self.at += 1,
                (Some(b'\r'), _) if self.at + 2 > limits.head => return Err(too_long(buffer, limits)),
                (Some(b'\r'), None) => break,
                (Some(b'\r'), Some(b'\n')) if self.at == self.line_start => {
                    return Ok(Some(self.at + 2));
                }
                (Some(b'\r'), Some(b'\n')) => self.end_line(buffer, limits)?,
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

    fn judge_length(&self, buffer: &[u8], limits: &Limits) -> Result<(), Malformed> {
        let line_end = self.line_start.saturating_add(limits.line);
        if self.at > line_end && line_end < limits.head {
            let limit = limits.line;
            let line = buffer.get(self.line_start..line_end).unwrap_or_default();
            return Err(match self.lines {
                0 => Malformed::StartLineTooLong { limit },
                _ => Malformed::FieldTooLong { field: shown(line), limit },
            });
        }
        if self.at >= limits.head {
            return Err(too_long(buffer, limits));
        }
        Ok(())
    }

    fn end_line(&mut self, buffer: &[u8], limits: &Limits) -> Result<(), Malformed> {
        if self.lines > limits.fields {
            let line = buffer.get(self.line_start..self.at).unwrap_or_default();
            return Err(Malformed::TooManyFields { field: shown(line), limit: limits.fields });
        }
        self.lines += 1;
        self.at += 2;
        self.line_start = self.at;
        Ok(())
    }
}

/// Names the largest field of a head that is too long, by what of it lies within the limit: as much is here, however it came.
#[cold]
fn too_long(buffer: &[u8], limits: &Limits) -> Malformed {
    let head = buffer.get(..limits.head).unwrap_or(buffer);
    let fields = head.split(|byte| *byte == b'\n').skip(1).map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let largest = fields.max_by_key(|line| line.len()).filter(|line| !line.is_empty());
    Malformed::TooLong { largest: largest.map(|line| (shown(line), line.len())), limit: limits.head }
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
            start_line: u32::try_from(start_line).map_err(|_| Malformed::StartLineTooLong { limit: limits.line })?,
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
        let largest = Some(("Abc".to_owned(), 15));
        for (limits, error) in [
            (Limits { head: bytes.len() - 1, ..exact }, Malformed::TooLong { largest, limit: bytes.len() - 1 }),
            (Limits { line: 14, ..exact }, Malformed::FieldTooLong { field: "Abc".to_owned(), limit: 14 }),
            (Limits { line: 13, ..exact }, Malformed::StartLineTooLong { limit: 13 }),
            (Limits { fields: 1, ..exact }, Malformed::TooManyFields { field: "B".to_owned(), limit: 1 }),
            (Limits { head: 10, ..exact }, Malformed::TooLong { largest: None, limit: 10 }),
        ] {
            for length in 1..=bytes.len() {
                let mut reader = HeadReader::default();
                let mut ends = (length..bytes.len()).step_by(length).chain([bytes.len()]);
                let found = ends.find_map(|end| reader.find_end(&bytes[..end], &limits).err());
                assert_eq!(found.as_ref(), Some(&error), "in pieces of {length}");
            }
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
