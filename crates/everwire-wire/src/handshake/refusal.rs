//! A server's answer to a handshake that it does not take.

use std::borrow::Cow;
use std::fmt;

use super::field;
use super::malformed::Malformed;
use super::stamp::Stamp;
use super::status::reason_phrase;

/// Why a server does not take a handshake, as an HTTP answer. The driver writes it and closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code, 400 or above.
    pub status: u16,
    /// What was wrong and what to do about it, in a sentence for the developer who sees it; the
    /// body of the answer. Of what the peer sent it repeats the name of a field at most, shortened and escaped.
    pub reason: Cow<'static, str>,
    /// Fields that the status calls for, such as `Allow` or `Retry-After`.
    pub fields: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal without further fields.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, reason: reason.into(), fields: Vec::new() }
    }

    /// The same with one field more.
    #[must_use]
    pub fn with_field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Appends the whole answer: head and body, but not to `HEAD` (`to_head`).
    ///
    /// A field that cannot stand on one line is left out rather than let it break out.
    pub fn write(&self, stamp: &Stamp<'_>, to_head: bool, out: &mut Vec<u8>) {
        let body = self.reason.as_bytes();
        let head = format!("HTTP/1.1 {} {}\r\n", self.status, reason_phrase(self.status));
        out.extend_from_slice(head.as_bytes());
        stamp.write(&[], out);
        for (name, value) in &self.fields {
            if field::check(name, value).is_ok() {
                field::write(name, value, out);
            }
        }
        field::write("Content-Type", "text/plain; charset=utf-8", out);
        field::write("Content-Length", &(body.len() + 1).to_string(), out);
        field::write("Connection", self.connection(), out);
        out.extend_from_slice(b"\r\n");
        if !to_head {
            out.extend_from_slice(body);
            out.push(b'\n');
        }
    }

    /// Whoever sends `Upgrade` names it in `Connection` (RFC 9110 §7.8).
    fn connection(&self) -> &'static str {
        let offers_upgrade = self.fields.iter().any(|(name, _)| *name == "Upgrade");
        if offers_upgrade { "close, Upgrade" } else { "close" }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, reason_phrase(self.status), self.reason)
    }
}

impl std::error::Error for Refusal {}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        let status = match malformed {
            Malformed::StartLineTooLong { .. } => 414,
            Malformed::FieldTooLong { .. } | Malformed::TooManyFields { .. } | Malformed::TooLong { .. } => 431,
            _ => 400,
        };
        Self::new(status, malformed.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn written(refusal: &Refusal, server: Option<&str>) -> String {
        let mut out = Vec::new();
        refusal.write(&Stamp { date: DATE, server }, false, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn an_answer_is_whole() {
        let refusal = Refusal::new(405, "use GET").with_field("Allow", "GET");
        assert_eq!(
            written(&refusal, Some("everwire")),
            "HTTP/1.1 405 Method Not Allowed\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Server: everwire\r\nAllow: GET\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 8\r\nConnection: close\r\n\r\nuse GET\n"
        );
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let mut out = Vec::new();
        Refusal::new(405, "use GET").write(&Stamp { date: DATE, server: None }, true, &mut out);
        assert!(out.ends_with(b"Content-Length: 8\r\nConnection: close\r\n\r\n"), "{out:?}");
    }

    #[test]
    fn a_field_that_would_break_out_is_left_out() {
        let refusal = Refusal::new(400, "no").with_field("X-A", "b\r\nC: d");
        let text = written(&refusal, Some("a\nb"));
        assert!(!text.contains("X-A") && !text.contains("Server"), "{text}");
    }

    #[test]
    fn upgrade_is_named_in_connection() {
        let text = written(&Refusal::new(426, "no").with_field("Upgrade", "websocket"), None);
        assert!(text.contains("\r\nConnection: close, Upgrade\r\n"), "{text}");
    }
}
