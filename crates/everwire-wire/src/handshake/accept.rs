//! What a server answers: 101, or any other response that a program wants to give instead.

use super::field::{self, BadField};
use super::key::Key;
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
    /// The value of `Server`.
    pub server: Option<&'a str>,
}

/// Appends the response that accepts a handshake (RFC 6455 §4.2.2). Frames may follow it at once.
///
/// # Errors
/// A part that cannot stand on a line, a subprotocol that is no token, or an added field that
/// the handshake itself decides. Nothing was appended.
pub fn write_accept(key: &Key, acceptance: &Acceptance<'_>, out: &mut Vec<u8>) -> Result<(), BadField> {
    let Acceptance { subprotocol, extension, fields, server } = *acceptance;
    if subprotocol.is_some_and(|token| !field::is_token(token.as_bytes())) {
        return Err(BadField::new(PROTOCOL, "a subprotocol is a token"));
    }
    let own = [(PROTOCOL, subprotocol), (EXTENSIONS, extension), ("Server", server)];
    for (name, value) in own {
        field::check(name, value.unwrap_or_default())?;
    }
    field::check_added(fields)?;

    out.extend_from_slice(ACCEPTED);
    out.extend_from_slice(&key.accept());
    out.extend_from_slice(b"\r\n");
    for (name, value) in own {
        if let Some(value) = value {
            field::write(name, value, out);
        }
    }
    for (name, value) in fields {
        field::write(name, value, out);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends a whole response other than 101, after which the driver closes.
///
/// `reason` is the phrase, by default the standard one. `Content-Length` and `Connection: close`
/// are written here; what `fields` say about the length, the encoding for transfer or the
/// connection is left out. 204 and 304 go without the body, and so does an answer to `HEAD`
/// (`to_head`), which has the length all the same (RFC 9110 §9.3.2).
///
/// # Errors
/// A status outside 200–599, or a part that cannot stand on a line. Nothing was appended.
pub fn write_response(
    status: u16,
    reason: Option<&str>,
    fields: &[(String, String)],
    body: &[u8],
    to_head: bool,
    out: &mut Vec<u8>,
) -> Result<(), BadField> {
    if !(200..600).contains(&status) {
        return Err(BadField::new("status", "a final response has a status from 200 to 599"));
    }
    let reason = reason.unwrap_or(reason_phrase(status));
    field::check("reason", reason)?;
    for (name, value) in fields {
        field::check(name, value)?;
    }

    out.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
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

    fn accepted(acceptance: &Acceptance<'_>) -> Result<String, BadField> {
        let mut out = Vec::new();
        let written = write_accept(&Key::parse(KEY).expect("valid"), acceptance, &mut out);
        assert!(written.is_ok() || out.is_empty());
        written.map(|()| String::from_utf8(out).expect("text"))
    }

    #[test]
    fn an_acceptance_is_written() {
        let acceptance = Acceptance {
            subprotocol: Some("chat"),
            extension: Some("permessage-deflate"),
            fields: &[field("X-A", "b")],
            server: Some("everwire"),
        };
        assert_eq!(
            accepted(&acceptance).expect("valid"),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\nServer: everwire\r\nX-A: b\r\n\r\n"
        );
    }

    #[test]
    fn nothing_is_written_on_error() {
        for subprotocol in ["", "a b", "a\r\nb"] {
            assert!(accepted(&Acceptance { subprotocol: Some(subprotocol), ..Default::default() }).is_err());
        }
        for fields in [[field("A\r\nB", "c")], [field("A", "b\nC: d")], [field("sec-websocket-accept", "x")]] {
            assert!(accepted(&Acceptance { fields: &fields, ..Default::default() }).is_err());
        }
        assert!(accepted(&Acceptance { server: Some("a\r\nB: c"), ..Default::default() }).is_err());
        assert!(accepted(&Acceptance { extension: Some("a\0"), ..Default::default() }).is_err());
    }

    #[test]
    fn a_response_frames_itself() {
        let fields = [field("content-length", "7"), field("Transfer-Encoding", "chunked"), field("X-A", "b")];
        let mut out = Vec::new();
        write_response(401, None, &fields, b"no", false, &mut out).expect("valid");
        let text = "HTTP/1.1 401 Unauthorized\r\nX-A: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
        assert_eq!(out, text.as_bytes());

        out.clear();
        write_response(204, Some("Gone Fishing"), &[], b"no", false, &mut out).expect("valid");
        assert_eq!(out, b"HTTP/1.1 204 Gone Fishing\r\nConnection: close\r\n\r\n");
    }

    #[test]
    fn a_response_that_would_break_out_is_not_written() {
        let mut out = Vec::new();
        for status in [0, 101, 199, 600] {
            assert!(write_response(status, None, &[], b"", false, &mut out).is_err());
        }
        assert!(write_response(200, Some("a\r\nB: c"), &[], b"", false, &mut out).is_err());
        assert!(write_response(200, None, &[field("A", "b\r\n")], b"", false, &mut out).is_err());
        assert!(out.is_empty());
    }
}
