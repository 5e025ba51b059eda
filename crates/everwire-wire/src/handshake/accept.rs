//! What a server answers: 101, or any other response that a program wants to give instead.

use super::field::{self, BadField};
use super::key::Key;
use super::stamp::Stamp;
use super::status::reason_phrase;

/// What a server's 101 says besides the answer to the key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Acceptance<'a> {
    /// One of the subprotocols that were offered.
    pub subprotocol: Option<&'a str>,
    /// The value of `Sec-WebSocket-Extensions`, from [`Upgrade::deflate`](super::Upgrade::deflate).
    pub extension: Option<&'a str>,
    /// Fields that the program adds.
    pub fields: &'a [(String, String)],
}

/// What a server says instead of 101.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status, from 200 to 599.
    pub status: u16,
    /// The reason phrase; `None` for the standard one.
    pub reason: Option<&'a str>,
    /// Its fields. What they say about the length, the encoding for transfer or the connection is left out.
    pub fields: &'a [(String, String)],
    /// Its body; 204 and 304 go without.
    pub body: &'a [u8],
}

/// Appends the response that accepts a handshake (RFC 6455 §4.2.2). Frames may follow it at once.
///
/// # Errors
/// A part that cannot stand on a line, a subprotocol that is no token, or an added field that
/// the handshake itself decides. Nothing was appended.
pub fn write_accept(
    key: &Key,
    acceptance: &Acceptance<'_>,
    stamp: &Stamp<'_>,
    out: &mut Vec<u8>,
) -> Result<(), BadField> {
    let Acceptance { subprotocol, extension, fields } = *acceptance;
    if subprotocol.is_some_and(|token| !field::is_token(token.as_bytes())) {
        return Err(BadField::new(PROTOCOL, "a subprotocol is a token"));
    }
    field::check(EXTENSIONS, extension.unwrap_or_default())?;
    field::check_added(fields)?;
    stamp.check()?;

    out.extend_from_slice(ACCEPTED);
    out.extend_from_slice(&key.accept());
    out.extend_from_slice(b"\r\n");
    for (name, value) in [(PROTOCOL, subprotocol), (EXTENSIONS, extension)] {
        if let Some(value) = value {
            field::write(name, value, out);
        }
    }
    stamp.write(fields, out);
    for (name, value) in fields {
        field::write(name, value, out);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends a whole response other than 101, after which the driver closes.
///
/// `Content-Length` and `Connection: close` are written here. An answer to `HEAD` (`to_head`) goes without the
/// body, and has the length all the same (RFC 9110 §9.3.2).
///
/// # Errors
/// A status outside 200–599, or a part that cannot stand on a line. Nothing was appended.
pub fn write_answer(answer: &Answer<'_>, to_head: bool, stamp: &Stamp<'_>, out: &mut Vec<u8>) -> Result<(), BadField> {
    let Answer { status, reason, fields, body } = *answer;
    if !(200..600).contains(&status) {
        return Err(BadField::new("status", "a final response has a status from 200 to 599"));
    }
    let reason = reason.unwrap_or(reason_phrase(status));
    field::check("reason", reason)?;
    for (name, value) in fields {
        field::check(name, value)?;
    }
    stamp.check()?;

    out.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
    stamp.write(fields, out);
    for (name, value) in fields {
        if !FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name)) {
            field::write(name, value, out);
        }
    }
    let has_body = !matches!(status, 204 | 304);
    if has_body {
        field::write("Content-Length", &body.len().to_string(), out);
    }
    out.extend_from_slice(b"Connection: close\r\n\r\n");
    if has_body && !to_head {
        out.extend_from_slice(body);
    }
    Ok(())
}

const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: ";

const FRAMING: [&str; 4] = ["Connection", "Content-Length", "Keep-Alive", "Transfer-Encoding"];

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

    fn field(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    const STAMP: Stamp<'static> = Stamp { date: "Sun, 06 Nov 1994 08:49:37 GMT", server: Some("everwire") };

    fn accepted(acceptance: &Acceptance<'_>, stamp: &Stamp<'_>) -> Result<String, BadField> {
        let mut out = Vec::new();
        let written = write_accept(&Key::parse(KEY).expect("valid"), acceptance, stamp, &mut out);
        assert!(written.is_ok() || out.is_empty());
        written.map(|()| String::from_utf8(out).expect("text"))
    }

    fn answered(answer: &Answer<'_>, stamp: &Stamp<'_>) -> Result<String, BadField> {
        let mut out = Vec::new();
        let written = write_answer(answer, false, stamp, &mut out);
        assert!(written.is_ok() || out.is_empty());
        written.map(|()| String::from_utf8(out).expect("text"))
    }

    const OK: Answer<'static> = Answer { status: 200, reason: None, fields: &[], body: b"" };

    #[test]
    fn an_acceptance_is_written() {
        let acceptance = Acceptance {
            subprotocol: Some("chat"),
            extension: Some("permessage-deflate"),
            fields: &[field("X-A", "b")],
        };
        assert_eq!(
            accepted(&acceptance, &STAMP).expect("valid"),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\
             Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: everwire\r\nX-A: b\r\n\r\n"
        );
    }

    #[test]
    fn nothing_is_written_on_error() {
        let none = Acceptance::default();
        for subprotocol in ["", "a b", "a\r\nb"] {
            assert!(accepted(&Acceptance { subprotocol: Some(subprotocol), ..none }, &STAMP).is_err());
        }
        for fields in [[field("A\r\nB", "c")], [field("A", "b\nC: d")], [field("sec-websocket-accept", "x")]] {
            assert!(accepted(&Acceptance { fields: &fields, ..none }, &STAMP).is_err());
        }
        assert!(accepted(&Acceptance { extension: Some("a\0"), ..none }, &STAMP).is_err());
        for stamp in [Stamp { server: Some("a\r\nB: c"), ..STAMP }, Stamp { date: "a\r\nB: c", ..STAMP }] {
            assert!(accepted(&none, &stamp).is_err());
            assert!(answered(&OK, &stamp).is_err());
        }
    }

    #[test]
    fn a_program_may_tell_another_date_and_server() {
        let fields = [field("date", "Thu, 01 Jan 1970 00:00:00 GMT"), field("SERVER", "mine")];
        let acceptance = Acceptance { fields: &fields, ..Acceptance::default() };
        for text in [
            accepted(&acceptance, &STAMP).expect("valid"),
            answered(&Answer { fields: &fields, ..OK }, &STAMP).expect("valid"),
        ] {
            let lines: Vec<_> = text.lines().filter(|line| line.to_lowercase().contains("date: ")).collect();
            assert_eq!(lines, ["date: Thu, 01 Jan 1970 00:00:00 GMT"]);
            assert!(!text.contains("everwire") && text.contains("SERVER: mine"));
        }
    }

    #[test]
    fn a_response_frames_itself() {
        let fields = [field("content-length", "7"), field("Transfer-Encoding", "chunked"), field("X-A", "b")];
        let stamp = Stamp { server: None, ..STAMP };
        let answer = Answer { status: 401, fields: &fields, body: b"no", ..OK };
        assert_eq!(
            answered(&answer, &stamp).expect("valid"),
            "HTTP/1.1 401 Unauthorized\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-A: b\r\n\
             Content-Length: 2\r\nConnection: close\r\n\r\nno"
        );
        let answer = Answer { status: 204, reason: Some("Gone Fishing"), body: b"no", ..OK };
        assert_eq!(
            answered(&answer, &stamp).expect("valid"),
            "HTTP/1.1 204 Gone Fishing\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_response_that_would_break_out_is_not_written() {
        for status in [0, 101, 199, 600] {
            assert!(answered(&Answer { status, ..OK }, &STAMP).is_err());
        }
        assert!(answered(&Answer { reason: Some("a\r\nB: c"), ..OK }, &STAMP).is_err());
        assert!(answered(&Answer { fields: &[field("A", "b\r\n")], ..OK }, &STAMP).is_err());
    }
}
