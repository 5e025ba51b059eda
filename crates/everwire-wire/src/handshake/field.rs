//! Fields of a head: names, values, tokens and lists of tokens (RFC 9110 §5).

use std::fmt;

use super::malformed::Malformed;
use super::scan;

/// A field, or another part of a head, that may not be sent; nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadField {
    /// Whose value it is, such as a field's name.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl BadField {
    pub(super) fn new(name: &str, problem: &'static str) -> Self {
        Self { name: name.to_owned(), problem }
    }
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} may not be sent: {}", self.name, self.problem)
    }
}

impl std::error::Error for BadField {}

/// The fields of a head in order: each one's name as it was sent, and its value without the
/// white space around it. A value may hold any bytes but controls.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    lines: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(lines: &'a [u8]) -> Self {
        Self { lines }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (line, rest) = split_line(self.lines)?;
        let colon = scan::find(b':', line)?;
        let (name, value) = line.split_at_checked(colon)?;
        self.lines = rest;
        Some((str::from_utf8(name).ok()?, trim(value.get(1..)?)))
    }
}

/// Checks the names of all fields in `lines`, which end with the head's blank line.
pub(super) fn judge_names(mut lines: &[u8]) -> Result<(), Malformed> {
    while let Some((line, rest)) = split_line(lines) {
        let name = line.iter().position(|byte| !TOKEN[usize::from(*byte)]);
        match name.map(|end| (end, line.get(end))) {
            None => return Err(Malformed::NoColon),
            Some((1.., Some(b':'))) => lines = rest,
            Some(_) if !line.contains(&b':') => return Err(Malformed::NoColon),
            Some(_) => return Err(Malformed::FieldName),
        }
    }
    Ok(())
}

/// Whether `text` is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// Whether `text` can stand in a line: no control byte but the tab.
pub(super) fn is_value(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// Without the spaces and tabs around it.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let mut text = trim_start(text);
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Without the spaces and tabs before it.
pub(super) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// The token at the front, which may be empty, and what follows it.
pub(super) fn split_token(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !TOKEN[usize::from(*byte)]).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// The content of the quoted string at the front (RFC 9110 §5.6.4), and what follows it; `None`
/// if there is none, or it has no end.
pub(super) fn split_quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let [b'"', rest @ ..] = text else {
        return None;
    };
    let mut rest = rest;
    let mut content = Vec::new();
    loop {
        match rest {
            [b'"', rest @ ..] => return Some((content, rest)),
            [b'\\', byte, tail @ ..] | [byte, tail @ ..] => {
                content.push(*byte);
                rest = tail;
            }
            [] => return None,
        }
    }
}

/// The elements of a comma-separated list without quoted strings. Empty ones are skipped
/// (RFC 9110 §5.6.1.2).
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Whether a comma-separated list has `token` among its elements, in any case.
pub(super) fn has_token(value: &[u8], token: &[u8]) -> bool {
    elements(value).any(|element| element.eq_ignore_ascii_case(token))
}

/// Checks a field that a caller wants to be sent.
pub(super) fn check(name: &str, value: &str) -> Result<(), BadField> {
    if !is_token(name.as_bytes()) {
        return Err(BadField::new(name, "the name is not a token"));
    }
    if !is_value(value.as_bytes()) {
        return Err(BadField::new(name, "the value holds a control character"));
    }
    Ok(())
}

/// Checks the fields that a caller adds to a handshake, none of which may be one of the
/// handshake's own or change how the message is framed.
pub(super) fn check_added(fields: &[(String, String)]) -> Result<(), BadField> {
    for (name, value) in fields {
        check(name, value)?;
        if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(BadField::new(name, "the handshake itself decides this field"));
        }
    }
    Ok(())
}

/// Appends one line. The parts were checked before.
pub(super) fn write(name: &str, value: &str, out: &mut Vec<u8>) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The first line without its CR LF, and what follows it; `None` at the blank line.
fn split_line(lines: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = scan::find(b'\r', lines).filter(|end| *end > 0)?;
    let (line, rest) = lines.split_at_checked(end)?;
    Some((line, rest.get(2..)?))
}

/// Fields that a handshake writes itself.
const OWN: [&str; 10] = [
    "Connection",
    "Content-Length",
    "Host",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "Transfer-Encoding",
    "Upgrade",
];

/// Bytes that a token consists of (RFC 9110 §5.6.2).
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut marks: &[u8] = b"!#$%&'*+-.^_`|~";
    while let [mark, rest @ ..] = marks {
        table[*mark as usize] = true;
        marks = rest;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        for token in ["a", "websocket", "x-y_z.1", "!#$%&'*+-.^_`|~"] {
            assert!(is_token(token.as_bytes()), "{token:?}");
        }
        for other in ["", " ", "a b", "a/b", "a:b", "(a)", "\u{e9}", "a\0", "a,b", "\"a\""] {
            assert!(!is_token(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn elements_skip_what_is_empty() {
        let elements: Vec<_> = elements(b", a ,,\tb c,").collect();
        assert_eq!(elements, [&b"a"[..], b"b c"]);
    }

    #[test]
    fn fields_come_in_order_and_trimmed() {
        let fields: Vec<_> = Fields::new(b"A:b\r\nc: \t d\xE9 \r\nE:\r\n\r\n").collect();
        assert_eq!(fields, [("A", &b"b"[..]), ("c", b"d\xE9"), ("E", b"")]);
    }

    #[test]
    fn names_are_judged() {
        for (lines, verdict) in [
            ("A: b\r\n\r\n", Ok(())),
            ("\r\n", Ok(())),
            ("A b\r\n\r\n", Err(Malformed::NoColon)),
            ("Ab\r\n\r\n", Err(Malformed::NoColon)),
            ("A : b\r\n\r\n", Err(Malformed::FieldName)),
            (": b\r\n\r\n", Err(Malformed::FieldName)),
            ("A: b\r\nC@: d\r\n\r\n", Err(Malformed::FieldName)),
        ] {
            assert_eq!(judge_names(lines.as_bytes()), verdict, "{lines:?}");
        }
    }

    #[test]
    fn nothing_breaks_out_of_a_field() {
        assert_eq!(check("X-A", "b\tc \u{e9}"), Ok(()));
        for (name, value) in
            [("X-A", "b\r\nC: d"), ("X-A", "b\n"), ("X-A", "b\0"), ("X A", ""), ("", ""), ("X\r\nY", "")]
        {
            assert!(check(name, value).is_err(), "{name:?} {value:?}");
        }
    }
}
