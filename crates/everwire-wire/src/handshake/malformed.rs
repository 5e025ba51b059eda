//! What can be wrong with a head, told so that whoever reads it knows what to change.

use std::fmt;

use super::scan;

/// What is wrong with a head, whoever sent it; its text says it in a sentence.
///
/// Becomes a [`Refusal`](super::Refusal) on a server and [`Rejected`](super::Rejected) on a client. Fields are named as
/// [`shown`] shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The first line is longer than [`Limits::line`](super::Limits::line).
    StartLineTooLong {
        /// That limit.
        limit: usize,
    },
    /// A field's line is longer than [`Limits::line`](super::Limits::line).
    FieldTooLong {
        /// Its name.
        field: String,
        /// That limit.
        limit: usize,
    },
    /// More than [`Limits::fields`](super::Limits::fields).
    TooManyFields {
        /// The name of the first that is too many.
        field: String,
        /// That limit.
        limit: usize,
    },
    /// Longer than [`Limits::head`](super::Limits::head).
    TooLong {
        /// The name and the bytes of the largest field within the limit; none if the first line takes all of it.
        largest: Option<(String, usize)>,
        /// That limit.
        limit: usize,
    },
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
            Self::Cut => "the head does not end with its blank line",
            Self::StartLineTooLong { limit } => {
                return write!(f, "the first line of the head is longer than limits.line ({limit} bytes)");
            }
            Self::FieldTooLong { field, limit } => {
                return write!(f, "the field \"{field}\" is longer than limits.line ({limit} bytes)");
            }
            Self::TooManyFields { field, limit } => {
                return write!(f, "the head has more fields than limits.fields ({limit}): \"{field}\" is one too many");
            }
            Self::TooLong { largest, limit } => {
                write!(f, "the head is longer than limits.head ({limit} bytes)")?;
                return match largest {
                    Some((field, size)) => write!(f, ": its largest field is \"{field}\" with {size} bytes"),
                    None => Ok(()),
                };
            }
        })
    }
}

impl std::error::Error for Malformed {}

/// Bytes of a field's name that are shown; no common one is longer.
const SHOWN: usize = 40;

/// The name at the front of a field's line, for people: shortened, and escaped so that it cannot pass for anything else.
pub(super) fn shown(line: &[u8]) -> String {
    let name = line.get(..scan::find(b':', line).unwrap_or(line.len())).unwrap_or_default();
    match name.get(..SHOWN) {
        Some(front) if name.len() > SHOWN => format!("{}...", front.escape_ascii()),
        _ => name.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_short_and_escaped() {
        for (line, name) in
            [(&b"Cookie: a=b"[..], "Cookie"), (b"Cookie", "Cookie"), (b"", ""), (b"a\"<b>\xE9\\: c", r#"a\"<b>\xe9\\"#)]
        {
            assert_eq!(shown(line), name);
        }
        assert_eq!(shown(&[b'a'; SHOWN]), "a".repeat(SHOWN));
        assert_eq!(shown(&[b'a'; SHOWN + 1]), "a".repeat(SHOWN) + "...");
    }

    #[test]
    fn what_is_too_much_names_limit_and_setting() {
        let field = || "Cookie".to_owned();
        for (malformed, text) in [
            (
                Malformed::StartLineTooLong { limit: 9 },
                "the first line of the head is longer than limits.line (9 bytes)",
            ),
            (
                Malformed::FieldTooLong { field: field(), limit: 9 },
                "the field \"Cookie\" is longer than limits.line (9 bytes)",
            ),
            (
                Malformed::TooManyFields { field: field(), limit: 9 },
                "the head has more fields than limits.fields (9): \"Cookie\" is one too many",
            ),
            (
                Malformed::TooLong { largest: Some((field(), 7)), limit: 9 },
                "the head is longer than limits.head (9 bytes): its largest field is \"Cookie\" with 7 bytes",
            ),
            (Malformed::TooLong { largest: None, limit: 9 }, "the head is longer than limits.head (9 bytes)"),
        ] {
            assert_eq!(malformed.to_string(), text);
        }
    }
}
