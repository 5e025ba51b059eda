//! The opening handshake, RFC 6455 §4.2.2, for requests that are known to be valid.

use base64::prelude::{BASE64_STANDARD, Engine};
use sha1::{Digest, Sha1};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const END: &[u8] = b"\r\n\r\n";

/// A complete request for an upgrade.
pub struct Request<'a> {
    /// The request target.
    pub path: &'a str,
    /// Bytes that the request takes; what follows are frames.
    pub size: usize,
    key: &'a str,
}

impl<'a> Request<'a> {
    /// The request at the start of `bytes`, or `None` while it is incomplete or when it is not an upgrade.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let size = bytes.windows(END.len()).position(|window| window == END)? + END.len();
        let mut lines = str::from_utf8(&bytes[..size]).ok()?.split("\r\n");
        let path = lines.next()?.split(' ').nth(1)?;
        let (_, key) = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?;
        Some(Self { path, size, key: key.trim() })
    }

    /// The answer that opens the connection.
    pub fn answer(&self) -> String {
        let accept = BASE64_STANDARD.encode(Sha1::new().chain_update(self.key).chain_update(GUID).finalize());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_answered_as_the_rfc_says() {
        let bytes = b"GET /echo HTTP/1.1\r\nHost: a\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nrest";
        let request = Request::parse(bytes).expect("a complete request");
        assert_eq!(request.path, "/echo");
        assert_eq!(&bytes[request.size..], b"rest");
        assert!(request.answer().contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    }

    #[test]
    fn half_a_request_is_none() {
        assert!(Request::parse(b"GET /echo HTTP/1.1\r\nHost: a\r\n").is_none());
    }
}
