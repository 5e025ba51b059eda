//! The server's side of the opening handshake, by section. Each head is read at once, and byte by
//! byte; both have to end the same way.

use everwire_wire::deflate;
use everwire_wire::handshake::{Acceptance, HeadReader, Limits, Refusal, Request, Stamp, Upgrade, write_accept};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The head at the front of `bytes`, with the bytes behind it, if it is complete.
fn read(bytes: &[u8], limits: &Limits) -> Result<Option<(Request, Vec<u8>)>, Refusal> {
    let whole = HeadReader::default().find_end(bytes, limits);
    let mut reader = HeadReader::default();
    let dripped = (0..=bytes.len())
        .map(|end| reader.find_end(&bytes[..end], limits))
        .find(|found| *found != Ok(None))
        .unwrap_or(Ok(None));
    assert_eq!(dripped, whole, "byte by byte");
    let Some(end) = whole? else {
        return Ok(None);
    };
    let request = Request::parse(&bytes[..end], limits)?;
    assert_eq!(request.as_bytes(), &bytes[..end]);
    Ok(Some((request, bytes[end..].to_vec())))
}

fn request(text: &str) -> Result<Request, Refusal> {
    let read = read(text.as_bytes(), &Limits::default())?;
    Ok(read.expect("a complete head").0)
}

/// The status that a head is refused with, while it is read or as a handshake.
fn status(text: &str) -> u16 {
    refusal(text).status
}

fn refusal(text: &str) -> Refusal {
    request(text).and_then(|request| request.upgrade()).expect_err(text)
}

fn upgrade(text: &str) -> Upgrade {
    request(text).and_then(|request| request.upgrade()).expect(text)
}

/// A sound handshake with the given lines more.
fn with(lines: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

/// A sound handshake in which one line is another, or missing.
fn changed(line: &str, to: &str) -> String {
    let (whole, line) = (with(""), format!("{line}\r\n"));
    assert!(whole.contains(&line), "{line}");
    let to = if to.is_empty() { String::new() } else { format!("{to}\r\n") };
    whole.replace(&line, &to)
}

fn field<'a>(refusal: &'a Refusal, name: &str) -> Option<&'a str> {
    let found = refusal.fields.iter().find(|(other, _)| *other == name);
    found.map(|(_, value)| value.as_str())
}

mod rfc9112_2_2_message_parsing {
    use super::*;

    #[test]
    fn bytes_behind_the_head_are_the_first_frames() {
        let text = with("") + "\u{1}\u{2}\r\n\r\n";
        let (_, rest) = read(text.as_bytes(), &Limits::default()).expect("sound").expect("complete");
        assert_eq!(rest, b"\x01\x02\r\n\r\n");
    }

    #[test]
    fn a_line_ends_with_cr_lf_alone() {
        assert_eq!(status(&with("").replace("\r\n", "\n")), 400);
        assert_eq!(status(&with("X-A: b\n")), 400);
        assert_eq!(status(&with("X-A: b\rc\r\n")), 400);
        assert_eq!(status(&with("X-A: b\r\r\n")), 400);
        assert_eq!(status(&with("\n")), 400);
    }

    #[test]
    fn no_control_bytes() {
        for control in ["\0", "\u{1}", "\u{B}", "\u{1B}", "\u{7F}"] {
            assert_eq!(status(&with(&format!("X-A: b{control}c\r\n"))), 400);
            assert_eq!(status(&with("").replace("/chat", &format!("/{control}"))), 400);
        }
        upgrade(&with("X-A: b\tc\r\n"));
    }

    #[test]
    fn no_empty_line_before_the_request() {
        assert_eq!(status(&format!("\r\n{}", with(""))), 400);
        assert_eq!(status(&format!(" {}", with(""))), 400);
    }

    #[test]
    fn tls_on_a_plain_port_is_named() {
        assert!(refusal("\u{16}\u{3}\u{1}").reason.contains("ws://"));
    }
}

mod rfc9112_3_request_line {
    use super::*;

    fn line(line: &str) -> String {
        changed("GET /chat HTTP/1.1", line)
    }

    #[test]
    fn three_parts_and_single_spaces() {
        for text in [
            "GET",
            "GET /chat",
            "GET  /chat HTTP/1.1",
            "GET /chat  HTTP/1.1",
            "GET /chat HTTP/1.1 ",
            "GET\t/chat\tHTTP/1.1",
            "GET /a b HTTP/1.1",
            " GET /chat HTTP/1.1",
            "G@T /chat HTTP/1.1",
            "GET /chat http/1.1",
            "GET /chat HTTP/11",
            "GET /chat HTTP/1.",
            "GET /chat HTTP/1.10",
            "GET /chat HTTPS/1.1",
            "GET /chat ",
            " /chat HTTP/1.1",
        ] {
            assert_eq!(status(&line(text)), 400, "{text:?}");
        }
    }

    #[test]
    fn other_versions_are_505() {
        for text in ["GET /chat HTTP/1.0", "GET /chat HTTP/2.0", "GET /chat HTTP/0.9", "PRI * HTTP/2.0"] {
            assert_eq!(status(&line(text)), 505, "{text:?}");
        }
        upgrade(&line("GET /chat HTTP/1.2"));
    }

    #[test]
    fn targets_are_paths_or_urls() {
        for target in [
            "chat",
            "*",
            "example.com:80",
            "?a",
            "//\u{e9}",
            "/a#b",
            "/\u{e9}",
            "ftp://a/",
            "http:///a",
            "http://u@a/",
            "http:/a",
        ] {
            assert_eq!(status(&line(&format!("GET {target} HTTP/1.1"))), 400, "{target}");
        }
        for target in ["/", "//", "/a?b=|^{}[]\"<>\\`", "/%zz", "/:@!$&'()*+,;=~"] {
            upgrade(&line(&format!("GET {target} HTTP/1.1")));
        }
    }

    #[test]
    fn the_authority_of_an_absolute_target_counts_instead_of_host() {
        let upgrade = upgrade(&line("GET HTTP://Other.example:81/chat HTTP/1.1"));
        assert_eq!(upgrade.host.as_str(), "other.example:81");
    }

    #[test]
    fn a_long_line_is_414() {
        assert_eq!(status(&line(&format!("GET /{} HTTP/1.1", "a".repeat(8 * 1024)))), 414);
    }
}

mod rfc9112_5_field_syntax {
    use super::*;

    #[test]
    fn names_are_tokens_before_the_colon() {
        for text in ["X-A : b", ": b", "X A: b", "X-A", "X\u{e9}: b", "X(A): b", "\"X\": b", "=: b", "X-A\t: b"] {
            assert_eq!(status(&with(&format!("{text}\r\n"))), 400, "{text:?}");
        }
    }

    #[test]
    fn values_are_trimmed_and_opaque() {
        let text = with("x-a:\t b:c  \r\nX-A:\r\nX-B: \u{e9}\r\n");
        let request = request(&text).expect("sound");
        let values: Vec<_> = request.all("X-a").collect();
        assert_eq!(values, [&b"b:c"[..], b""]);
        assert_eq!(request.field("x-b"), Some("\u{e9}".as_bytes()));
        assert_eq!(request.field("x-c"), None);
        assert_eq!(request.fields().count(), 8);
    }

    #[test]
    fn folded_lines_are_refused() {
        assert_eq!(status(&with("X-A: b\r\n c\r\n")), 400);
        assert_eq!(status(&with("X-A: b\r\n\tc\r\n")), 400);
        assert_eq!(status("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400);
    }

    #[test]
    fn long_and_many_fields_are_431() {
        assert_eq!(status(&with(&format!("X-A: {}\r\n", "a".repeat(8 * 1024)))), 431);
        assert_eq!(status(&with(&"X-A: b\r\n".repeat(96))), 431);
        upgrade(&with(&"X-A: b\r\n".repeat(95)));
        assert_eq!(status(&with(&format!("X-A: {}\r\n", "a".repeat(8000)).repeat(3))), 431);
    }

    #[test]
    fn an_endless_head_is_refused_while_it_is_incomplete() {
        let endless = format!("GET / HTTP/1.1\r\n{}", "X-A: b\r\n".repeat(101));
        assert_eq!(read(endless.as_bytes(), &Limits::default()).expect_err("endless").status, 431);
        let endless = "a".repeat(8 * 1024 + 1);
        assert_eq!(read(endless.as_bytes(), &Limits::default()).expect_err("endless").status, 414);
    }
}

mod rfc6455_4_2_1_reading_the_opening_handshake {
    use super::*;

    #[test]
    fn the_example_of_section_1_2() {
        let text = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
                    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
                    Sec-WebSocket-Version: 13\r\n\r\n";
        let upgrade = upgrade(text);
        assert_eq!(upgrade.key.as_str(), KEY);
        assert_eq!(upgrade.host.as_str(), "server.example.com");
        assert_eq!(upgrade.origin.expect("given").as_str(), "http://example.com");
        assert_eq!(upgrade.protocols, ["chat", "superchat"]);
        assert_eq!(upgrade.extensions, []);
    }

    #[test]
    fn other_methods_are_405() {
        for method in ["POST", "HEAD", "OPTIONS", "get", "GETS"] {
            let refusal = refusal(&changed("GET /chat HTTP/1.1", &format!("{method} /chat HTTP/1.1")));
            assert_eq!((refusal.status, field(&refusal, "Allow")), (405, Some("GET")), "{method}");
        }
    }

    #[test]
    fn exactly_one_sound_host() {
        assert_eq!(status(&changed("Host: example.com", "")), 400);
        assert_eq!(status(&with("Host: example.com\r\n")), 400);
        for host in ["", "a b", "a:b", "a:65536", "a/b", "u@a", "[::1", "::1", "http://a", "a,b:c", "\u{e9}"] {
            assert_eq!(status(&changed("Host: example.com", &format!("Host: {host}"))), 400, "{host:?}");
        }
        assert_eq!(status(&with("").replace("/chat", "http://a/").replace("Host: example.com\r\n", "")), 400);
        assert_eq!(upgrade(&changed("Host: example.com", "host: [0::1]:80")).host.as_str(), "[::1]:80");
    }

    #[test]
    fn without_upgrade_the_fix_is_named() {
        for to in ["", "Upgrade: h2c", "Upgrade: websockets"] {
            let text = changed("Upgrade: websocket", to);
            let refusal = refusal(&text);
            assert_eq!((refusal.status, field(&refusal, "Upgrade")), (426, Some("websocket")), "{to}");
            assert!(refusal.reason.contains("new WebSocket(...)"), "{refusal}");
            assert!(!request(&text).expect("sound").is_upgrade());
        }
    }

    #[test]
    fn upgrade_and_connection_are_lists_in_any_case() {
        for (line, to) in [
            ("Upgrade: websocket", "UPGRADE: WebSocket"),
            ("Upgrade: websocket", "Upgrade: h2c, websocket"),
            ("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"),
            ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
            ("Connection: Upgrade", "Connection: keep-alive,upgrade ,"),
            ("Connection: Upgrade", "connection: UPGRADE\r\nConnection: close"),
        ] {
            let text = changed(line, to);
            assert!(request(&text).expect("sound").is_upgrade());
            upgrade(&text);
        }
    }

    #[test]
    fn connection_has_to_name_upgrade() {
        for to in ["", "Connection: keep-alive", "Connection: upgraded", "Connection: keep-alive Upgrade"] {
            let text = changed("Connection: Upgrade", to);
            assert_eq!(status(&text), 426, "{to:?}");
            assert!(refusal(&text).reason.contains("Connection"));
        }
    }

    #[test]
    fn another_version_is_told_ours() {
        for to in [
            "",
            "Sec-WebSocket-Version: 8",
            "Sec-WebSocket-Version: 13, 8",
            "Sec-WebSocket-Version: 013",
            "Sec-WebSocket-Version: +13",
        ] {
            let refusal = refusal(&changed("Sec-WebSocket-Version: 13", to));
            let told = field(&refusal, "Sec-WebSocket-Version");
            assert_eq!((refusal.status, told), (426, Some("13")), "{to:?}");
        }
        assert_eq!(status(&with("Sec-WebSocket-Version: 13\r\n")), 400);
    }

    #[test]
    fn exactly_one_key_of_sixteen_bytes() {
        let line = format!("Sec-WebSocket-Key: {KEY}");
        assert_eq!(status(&changed(&line, "")), 400);
        assert_eq!(status(&with(&format!("{line}\r\n"))), 400);
        for key in [
            "",
            "abc",
            "dGhlIHNhbXBsZSBub24=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25j ZQ=",
            "dGhlIHNhbXBsZSBub25jZWRh",
        ] {
            assert_eq!(status(&changed(&line, &format!("Sec-WebSocket-Key: {key}"))), 400, "{key:?}");
        }
    }

    #[test]
    fn a_body_is_refused() {
        for line in [
            "Content-Length: 1",
            "Content-Length: 00",
            "Content-Length: 0, 0",
            "Content-Length:",
            "Content-Length: -1",
            "Transfer-Encoding: chunked",
            "transfer-encoding: identity",
        ] {
            assert_eq!(status(&with(&format!("{line}\r\n"))), 400, "{line}");
        }
        upgrade(&with("Content-Length: 0\r\n"));
    }

    #[test]
    fn at_most_one_origin() {
        assert_eq!(upgrade(&with("")).origin, None);
        assert!(upgrade(&with("Origin: null\r\n")).origin.expect("given").is_null());
        for lines in [
            "Origin: a\r\n",
            "Origin:\r\n",
            "Origin: http://a http://b\r\n",
            "Origin: http://a\r\nOrigin: http://a\r\n",
        ] {
            assert_eq!(status(&with(lines)), 400, "{lines:?}");
        }
    }

    #[test]
    fn subprotocols_are_distinct_tokens_over_all_fields() {
        let two = "Sec-WebSocket-Protocol: b, a\r\nSec-WebSocket-Protocol: B\r\n";
        assert_eq!(upgrade(&with(two)).protocols, ["b", "a", "B"]);
        assert!(upgrade(&with("Sec-WebSocket-Protocol: ,\r\n")).protocols.is_empty());
        let many: Vec<_> = (0..65).map(|number| number.to_string()).collect();
        for list in ["a, a", "a b", "a/b", "\u{e9}", "\"a\"", &many.join(",")] {
            assert_eq!(status(&with(&format!("Sec-WebSocket-Protocol: {list}\r\n"))), 400, "{list}");
        }
        assert_eq!(status(&with("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n")), 400);
    }

    #[test]
    fn a_refusal_never_repeats_what_was_sent() {
        for lines in
            ["Origin: secret\r\n", "Sec-WebSocket-Protocol: secret/\r\n", "Sec-WebSocket-Extensions: secret/\r\n"]
        {
            assert!(!format!("{:?}", refusal(&with(lines))).contains("secret"), "{lines}");
        }
    }
}

mod rfc6455_9_1_negotiating_extensions {
    use super::*;

    #[test]
    fn offers_keep_their_order_over_all_fields() {
        let upgrade = upgrade(&with(
            "Sec-WebSocket-Extensions: a; b=\"1\", permessage-deflate; server_max_window_bits=8\r\n\
             Sec-WebSocket-Extensions: Permessage-Deflate; client_max_window_bits\r\n",
        ));
        let names: Vec<_> = upgrade.extensions.iter().map(|extension| extension.name.as_str()).collect();
        assert_eq!(names, ["a", "permessage-deflate", "Permessage-Deflate"]);
        assert_eq!(upgrade.extensions[0].params(), [("b", Some("1"))]);
    }

    #[test]
    fn the_first_offer_that_can_be_honored_is_taken() {
        let upgrade =
            upgrade(&with("Sec-WebSocket-Extensions: a, permessage-deflate; unknown, permessage-deflate\r\n"));
        let (_, element) = upgrade.deflate(&deflate::Config::default()).expect("the last one");
        assert!(element.starts_with("permessage-deflate"), "{element}");
    }

    #[test]
    fn no_offer_no_compression() {
        let upgrade = upgrade(&with("Sec-WebSocket-Extensions: deflate-frame\r\n"));
        assert_eq!(upgrade.deflate(&deflate::Config::default()), None);
    }

    #[test]
    fn what_breaks_the_grammar_is_400() {
        for list in ["a;", "a b", "a; b=", "a; b=\"c d\"", "a; b=\"c", "a=b", "a;;b", "\u{e9}", &"a,".repeat(65)] {
            assert_eq!(status(&with(&format!("Sec-WebSocket-Extensions: {list}\r\n"))), 400, "{list}");
        }
    }
}

mod rfc6455_4_2_2_answering {
    use super::*;

    #[test]
    fn the_answer_is_that_of_section_1_3() {
        let mut out = Vec::new();
        let stamp = Stamp { date: "Sun, 06 Nov 1994 08:49:37 GMT", server: None };
        write_accept(&upgrade(&with("")).key, &Acceptance::default(), &stamp, &mut out).expect("sound");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
        );
    }
}
