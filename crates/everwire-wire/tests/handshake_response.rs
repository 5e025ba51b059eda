//! The client's side of the opening handshake, by section. Each head is read at once, and byte by
//! byte; both have to end the same way.

use everwire_wire::deflate;
use everwire_wire::handshake::{Agreement, BadField, Body, BodyReader, HeadReader, Limits, Offer, Rejected, Response};

fn offer() -> Offer {
    Offer {
        host: "server.example.com".to_owned(),
        target: "/chat".to_owned(),
        key: *b"the sample nonce",
        protocols: vec!["chat".to_owned(), "superchat".to_owned()],
        deflate: Some(deflate::Config::default()),
        fields: Vec::new(),
    }
}

/// The head at the front of `bytes`, which is complete, and its length.
fn read(bytes: &[u8]) -> Result<(Response, usize), Rejected> {
    let limits = Limits::default();
    let whole = HeadReader::default().find_end(bytes, &limits);
    let mut reader = HeadReader::default();
    let dripped = (0..=bytes.len())
        .map(|end| reader.find_end(&bytes[..end], &limits))
        .find(|found| *found != Ok(None))
        .unwrap_or(Ok(None));
    assert_eq!(dripped, whole, "byte by byte");
    let end = whole?.expect("a complete head");
    Ok((Response::parse(&bytes[..end], &limits)?, end))
}

fn check(text: &str) -> Result<Agreement, Rejected> {
    offer().check(&read(text.as_bytes())?.0)
}

/// What is said about an answer that breaks the protocol.
fn problem(text: &str) -> String {
    match check(text).expect_err(text) {
        Rejected::Invalid(problem) => problem,
        Rejected::Status(status) => format!("status {status}"),
    }
}

/// A sound answer with the given lines more.
fn with(lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{lines}\r\n"
    )
}

mod rfc6455_4_1_request {
    use super::*;

    fn written(offer: &Offer) -> Result<String, BadField> {
        let mut out = Vec::new();
        let written = offer.write_request(&mut out);
        assert!(written.is_ok() || out.is_empty(), "nothing was appended");
        written.map(|()| String::from_utf8(out).expect("text"))
    }

    #[test]
    fn everything_that_a_server_needs() {
        let fields = vec![("Origin".to_owned(), "http://example.com".to_owned())];
        let offer = Offer { deflate: None, fields, ..offer() };
        assert_eq!(
            written(&offer).expect("sound"),
            "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
             Origin: http://example.com\r\n\r\n"
        );
    }

    #[test]
    fn compression_is_offered_if_wanted() {
        let text = written(&offer()).expect("sound");
        assert!(text.contains("\r\nSec-WebSocket-Extensions: permessage-deflate"), "{text}");
    }

    #[test]
    fn nothing_breaks_out_of_its_place() {
        let field = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        for offer in [
            Offer { host: "a\r\nX: y".to_owned(), ..offer() },
            Offer { host: String::new(), ..offer() },
            Offer { target: "chat".to_owned(), ..offer() },
            Offer { target: "/a b".to_owned(), ..offer() },
            Offer { target: "/a#b".to_owned(), ..offer() },
            Offer { target: "/\u{e9}".to_owned(), ..offer() },
            Offer { target: "/ HTTP/1.1\r\nX: y\r\n".to_owned(), ..offer() },
            Offer { protocols: vec!["a b".to_owned()], ..offer() },
            Offer { protocols: vec![String::new()], ..offer() },
            Offer { protocols: vec!["a".to_owned(), "a".to_owned()], ..offer() },
            Offer { fields: field("A", "b\r\nC: d"), ..offer() },
            Offer { fields: field("A", "b\n"), ..offer() },
            Offer { fields: field("A", "b\0"), ..offer() },
            Offer { fields: field("A: b", "c"), ..offer() },
            Offer { fields: field("host", "other"), ..offer() },
            Offer { fields: field("Sec-Websocket-Key", "a"), ..offer() },
            Offer { fields: field("Content-Length", "5"), ..offer() },
        ] {
            assert!(written(&offer).is_err());
        }
    }
}

mod rfc6455_4_1_response {
    use super::*;

    #[test]
    fn a_sound_answer_is_agreed_to() {
        assert_eq!(check(&with("")), Ok(Agreement { subprotocol: None, deflate: None }));
        let agreed = check(&with("Sec-WebSocket-Protocol: superchat\r\n")).expect("sound");
        assert_eq!(agreed.subprotocol.as_deref(), Some("superchat"));
        let text = with("").replace("websocket", "WebSocket").replace(": Upgrade", ": keep-alive, upgrade");
        assert!(check(&text).is_ok());
    }

    #[test]
    fn bytes_behind_the_head_are_the_first_frames() {
        let text = with("");
        let bytes = [text.as_bytes(), b"\x81\x01a\r\n\r\n"].concat();
        assert_eq!(read(&bytes).expect("sound").1, text.len());
    }

    #[test]
    fn another_status_is_an_answer_with_a_body() {
        let text = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nX-A: b\r\n\r\nno";
        let (response, end) = read(text.as_bytes()).expect("sound");
        assert_eq!(offer().check(&response), Err(Rejected::Status(401)));
        assert_eq!((response.status(), response.reason()), (401, &b"Unauthorized"[..]));
        assert_eq!((response.body(), &text[end..]), (Body::Length(2), "no"));
        assert_eq!(response.field("x-a"), Some(&b"b"[..]));
    }

    #[test]
    fn its_body_is_read_to_where_it_ends() {
        for (field, body, text) in [
            ("Content-Length: 2", "no\r\n", "no"),
            ("Transfer-Encoding: chunked", "1\r\nn\r\n1;a=\"b\"\r\no\r\n0\r\nX-A: b\r\n\r\nmore", "no"),
            ("Transfer-Encoding: gzip, chunked", "2\r\nno\r\n0\r\n\r\n", "no"),
            ("Transfer-Encoding: chunked", "2\r\nno\r\nthing", "no"),
        ] {
            let bytes = format!("HTTP/1.1 401 Unauthorized\r\n{field}\r\n\r\n{body}");
            let (response, end) = read(bytes.as_bytes()).expect("sound");
            for length in 1..=body.len() {
                let mut reader = BodyReader::new(response.body(), 100);
                bytes.as_bytes()[end..].chunks(length).for_each(|piece| reader.take(piece));
                assert!(reader.is_complete(), "{field}");
                assert_eq!(reader.into_bytes(), text.as_bytes(), "{field} in pieces of {length}");
            }
        }
    }

    #[test]
    fn upgrade_and_connection_have_to_say_it() {
        assert!(problem(&with("").replace("Upgrade: websocket\r\n", "")).contains("Upgrade"));
        assert!(problem(&with("").replace("Upgrade: websocket", "Upgrade: h2c")).contains("Upgrade"));
        assert!(problem(&with("").replace("Connection: Upgrade\r\n", "")).contains("Connection"));
        assert!(problem(&with("").replace(": Upgrade", ": close")).contains("Connection"));
    }

    #[test]
    fn http_1_0_does_not_upgrade() {
        assert!(problem(&with("").replace("HTTP/1.1", "HTTP/1.0")).contains("HTTP/1.0"));
    }

    #[test]
    fn the_key_is_answered_exactly_once() {
        const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        assert!(problem(&with("").replace(ACCEPT, "")).contains("missing"));
        assert!(problem(&with(ACCEPT)).contains("more than once"));
        for accept in ["", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo"] {
            let line = format!("Sec-WebSocket-Accept: {accept}\r\n");
            assert!(problem(&with("").replace(ACCEPT, &line)).contains("does not answer"), "{accept}");
        }
    }

    #[test]
    fn only_one_subprotocol_that_was_offered() {
        for lines in [
            "Sec-WebSocket-Protocol: other\r\n",
            "Sec-WebSocket-Protocol: Chat\r\n",
            "Sec-WebSocket-Protocol: chat, superchat\r\n",
            "Sec-WebSocket-Protocol:\r\n",
            "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n",
            "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: superchat\r\n",
        ] {
            assert!(problem(&with(lines)).to_lowercase().contains("protocol"), "{lines:?}");
        }
    }

    #[test]
    fn only_extensions_that_were_offered_and_each_once() {
        let extensions = |list: &str| with(&format!("Sec-WebSocket-Extensions: {list}\r\n"));
        assert!(check(&extensions("permessage-deflate")).is_ok_and(|agreed| agreed.deflate.is_some()));
        assert!(check(&extensions("")).is_ok_and(|agreed| agreed.deflate.is_none()));
        for (list, part) in [
            ("x-other", "not offered"),
            ("permessage-deflate, x-other", "not offered"),
            ("permessage-deflate, permessage-deflate", "twice"),
            ("permessage-deflate\r\nSec-WebSocket-Extensions: permessage-deflate", "twice"),
            ("permessage-deflate;", "token"),
        ] {
            assert!(problem(&extensions(list)).contains(part), "{list}");
        }
        for list in ["permessage-deflate; unknown", "permessage-deflate; server_max_window_bits=16"] {
            assert!(check(&extensions(list)).is_err(), "{list}");
        }
        let plain = Offer { deflate: None, ..offer() };
        let (response, _) = read(extensions("permessage-deflate").as_bytes()).expect("sound");
        assert!(plain.check(&response).is_err());
    }
}

mod rfc9112_4_status_line {
    use super::*;

    #[test]
    fn what_is_no_http_is_named() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "HTTP/2 101 x\r\n\r\n",
            "HTTP/1.1 101\r\n\r\n",
            "HTTP/1.1 1O1 x\r\n\r\n",
            "HTTP/1.1 101 x\nUpgrade: websocket\n\n",
            "HTTP/1.1 101 x\r\nA: b\r\n c\r\n\r\n",
            "\r\nHTTP/1.1 101 x\r\n\r\n",
            "HTTP/1.1 101 x\r\nA : b\r\n\r\n",
            "HTTP/1.1 101 x\r\nA\r\n\r\n",
            "HTTP/1.1 101 x\0\r\n\r\n",
            "\u{15}\u{3}\u{1}\0\u{2}",
        ] {
            assert!(matches!(read(text.as_bytes()), Err(Rejected::Invalid(_))), "{text:?}");
        }
    }

    #[test]
    fn a_head_is_bounded() {
        let long = format!("HTTP/1.1 101 {}", "a".repeat(8 * 1024));
        let many = format!("HTTP/1.1 101 x\r\n{}\r\n", "A: b\r\n".repeat(101));
        let large = with(&format!("A: {}\r\n", "b".repeat(8000)).repeat(3));
        for text in [long, many, large] {
            assert!(matches!(read(text.as_bytes()), Err(Rejected::Invalid(_))));
        }
    }
}
