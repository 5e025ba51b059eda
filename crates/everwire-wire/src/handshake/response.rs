//! The head of a response, as a client receives it (RFC 9112 §4).

use std::fmt;

use super::body::Body;
use super::field::{self, Fields};
use super::head::{Head, Limits};
use super::offer::Rejected;

/// A response's head. Costs one exact allocation, and 24 bytes; everything is parsed on access.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    head: Head,
}

impl Response {
    /// Reads `head`, which is exactly one head with its blank line, as
    /// [`HeadReader::find_end`](super::HeadReader::find_end) delimits it. Behind it begins the
    /// body, or after 101 the first frame.
    ///
    /// # Errors
    /// [`Rejected::Invalid`] if it is no sound HTTP/1 head.
    pub fn parse(head: &[u8], limits: &Limits) -> Result<Self, Rejected> {
        let head = Head::parse(head, limits)?;
        match head.start_line() {
            [
                b'H',
                b'T',
                b'T',
                b'P',
                b'/',
                b'1',
                b'.',
                b'0'..=b'9',
                b' ',
                b'1'..=b'5',
                b'0'..=b'9',
                b'0'..=b'9',
                b' ',
                ..,
            ] => Ok(Self { head }),
            _ => Err(Rejected::Invalid(
                "the response does not begin with \"HTTP/1.1\", a status and a reason".to_owned(),
            )),
        }
    }

    /// The head as it was received.
    pub fn as_bytes(&self) -> &[u8] {
        self.head.as_bytes()
    }

    /// The status code, 100–599.
    pub fn status(&self) -> u16 {
        let digits = self.head.start_line().get(9..12).unwrap_or_default();
        digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit.wrapping_sub(b'0')))
    }

    /// The reason phrase; may be empty.
    pub fn reason(&self) -> &[u8] {
        self.head.start_line().get(13..).unwrap_or_default()
    }

    /// The x of HTTP/1.x.
    pub fn minor_version(&self) -> u8 {
        self.head.start_line().get(7).map_or(0, |digit| digit.wrapping_sub(b'0'))
    }

    /// Whether another head follows this one: a status of 1xx, but not 101 (RFC 9110 §15.2).
    pub fn is_interim(&self) -> bool {
        self.status() < 200 && self.status() != 101
    }

    /// How the body is delimited, if this is no answer to HEAD or CONNECT.
    pub fn body(&self) -> Body {
        if matches!(self.status(), 100..=199 | 204 | 304) {
            return Body::Length(0);
        }
        match self.all("Transfer-Encoding").flat_map(field::elements).last() {
            Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => return Body::Chunked,
            Some(_) => return Body::UntilClose,
            None => {}
        }
        let mut lengths = self.all("Content-Length");
        match (lengths.next().and_then(decimal), lengths.next()) {
            (Some(length), None) => Body::Length(length),
            _ => Body::UntilClose,
        }
    }

    /// All fields, in the order they were sent in.
    pub fn fields(&self) -> Fields<'_> {
        self.head.fields()
    }

    /// The value of the first field of that name, in any case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.head.field(name)
    }

    /// The values of all fields of that name, in any case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.head.all(name)
    }

    /// Whether a comma-separated list, over all fields of that name, has `token` in any case.
    pub(super) fn has_token(&self, name: &str, token: &[u8]) -> bool {
        self.all(name).any(|value| field::has_token(value, token))
    }
}

/// Shows the status only: fields carry credentials.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).finish_non_exhaustive()
    }
}

fn decimal(value: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(value).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(text: &str) -> Result<Response, Rejected> {
        Response::parse(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn parts_of_the_status_line() {
        let parsed = response("HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n").expect("valid");
        assert_eq!((parsed.status(), parsed.reason(), parsed.minor_version()), (404, &b"Not Found"[..], 1));
        assert_eq!(parsed.field("a"), Some(&b"b"[..]));
        let parsed = response("HTTP/1.0 503 \r\n\r\n").expect("valid");
        assert_eq!((parsed.status(), parsed.reason(), parsed.minor_version()), (503, &b""[..], 0));
    }

    #[test]
    fn other_status_lines_are_refused() {
        for line in [
            "HTTP/1.1 101",
            "HTTP/2 200 OK",
            "HTTP/2.0 200 OK",
            "HTTP/1.1 99 Low",
            "HTTP/1.1 600 High",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 20x OK",
            "http/1.1 200 OK",
            " HTTP/1.1 200 OK",
            "HTTP/1.10 200 OK",
            "ICY 200 OK",
            "200 OK",
            "HTTP/1.1 2000 OK",
        ] {
            assert!(response(&format!("{line}\r\n\r\n")).is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_body_is_delimited() {
        for (fields, body) in [
            ("", Body::UntilClose),
            ("Content-Length: 12\r\n", Body::Length(12)),
            ("Content-Length: +12\r\n", Body::UntilClose),
            ("Content-Length:\r\n", Body::UntilClose),
            ("Content-Length: 1\r\nContent-Length: 2\r\n", Body::UntilClose),
            ("Content-Length: 99999999999999999999\r\n", Body::UntilClose),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Body::Chunked),
            ("Transfer-Encoding: gzip, Chunked\r\n", Body::Chunked),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Body::Chunked),
            ("Transfer-Encoding: chunked, gzip\r\n", Body::UntilClose),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", Body::Chunked),
            ("Transfer-Encoding: ,\r\nContent-Length: 1\r\n", Body::Length(1)),
        ] {
            let parsed = response(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).expect(fields);
            assert_eq!(parsed.body(), body, "{fields:?}");
        }
        assert_eq!(response("HTTP/1.1 204 \r\nContent-Length: 1\r\n\r\n").expect("valid").body(), Body::Length(0));
    }

    #[test]
    fn interim_responses_are_not_the_answer() {
        for (status, is_interim) in [(100, true), (101, false), (103, true), (200, false)] {
            let parsed = response(&format!("HTTP/1.1 {status} x\r\n\r\n")).expect("valid");
            assert_eq!(parsed.is_interim(), is_interim);
        }
    }
}
