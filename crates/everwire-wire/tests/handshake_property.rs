//! What holds for any bytes, any split, and any pair of client and server.

use std::net::IpAddr;

use everwire_wire::deflate;
use everwire_wire::handshake::forwarded::{self, Source};
use everwire_wire::handshake::{
    Acceptance, Agreement, Body, BodyReader, Extension, HeadReader, Host, Key, Limits, Malformed, Offer, Origin,
    Request, Response, Stamp, proxy, write_accept,
};
use proptest::collection::vec;
use proptest::prelude::*;

const STAMP: Stamp<'static> = Stamp { date: "Sun, 06 Nov 1994 08:49:37 GMT", server: Some("everwire") };

const SMALL: Limits = Limits { head: 200, line: 60, fields: 5 };

/// Bytes that resemble a head: lines, pieces of lines, and anything.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\r\n".to_vec()),
        2 => Just(b"GET / HTTP/1.1\r\n".to_vec()),
        2 => Just(b"HTTP/1.1 101 Switching Protocols\r\n".to_vec()),
        2 => Just(b"Connection: Upgrade\r\n".to_vec()),
        2 => Just(b"Sec-WebSocket-Extensions: a; b=\"c\"\r\n".to_vec()),
        1 => Just(b"\r\n\r\n".to_vec()),
        4 => vec(prop::sample::select(&b"aZ09:,;=\" \t\r\n-/\\.\0\x7F\xE9"[..]), 0..12),
        1 => vec(any::<u8>(), 0..12),
        1 => "[A-Za-z-]{1,8}: [ -~]{0,30}\r\n".prop_map(String::into_bytes),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Finds the head's end while `bytes` arrive in pieces of the given lengths, over and over.
fn find_split(bytes: &[u8], lengths: &[usize]) -> Result<Option<usize>, Malformed> {
    let mut reader = HeadReader::default();
    let mut end = 0;
    for length in lengths.iter().cycle() {
        let found = reader.find_end(&bytes[..end], &SMALL);
        if found != Ok(None) || end == bytes.len() {
            return found;
        }
        end = bytes.len().min(end + length);
    }
    Ok(None)
}

/// What is read of a body that arrives in pieces of the given lengths, over and over, and whether nothing more is wanted.
fn take_split(body: Body, limit: usize, mut bytes: &[u8], lengths: &[usize]) -> (Vec<u8>, bool) {
    let mut reader = BodyReader::new(body, limit);
    for length in lengths.iter().cycle() {
        let (piece, rest) = bytes.split_at(bytes.len().min(*length));
        reader.take(piece);
        bytes = rest;
        if bytes.is_empty() {
            break;
        }
    }
    let is_complete = reader.is_complete();
    (reader.into_bytes(), is_complete)
}

fn offer() -> impl Strategy<Value = Offer> {
    let bits = || prop::option::of(9_u8..=15);
    let config = (any::<bool>(), any::<bool>(), bits(), bits()).prop_map(
        |(server_no_context_takeover, client_no_context_takeover, server_bits, client_bits)| deflate::Config {
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
            ..deflate::Config::default()
        },
    );
    (
        "[a-z]{1,10}(:[1-9][0-9]{0,3})?",
        "/[a-z/]{0,10}(\\?[a-z=&%]{0,10})?",
        any::<[u8; 16]>(),
        prop::collection::btree_set("[a-z.-]{1,5}", 0..4),
        prop::option::of(config),
        vec(("X-[a-z]{1,5}", "[!-~]([ -~\u{e9}]{0,10}[!-~])?"), 0..3),
    )
        .prop_map(|(host, target, key, protocols, deflate, fields)| Offer {
            host,
            target,
            key,
            protocols: protocols.into_iter().collect(),
            deflate,
            fields,
        })
}

proptest! {
    #[test]
    fn any_split_finds_the_same_end(bytes in head_like(), lengths in vec(1_usize..40, 1..6)) {
        let whole = HeadReader::default().find_end(&bytes, &SMALL);
        prop_assert_eq!(&find_split(&bytes, &lengths), &whole);
        if let Ok(Some(end)) = whole {
            prop_assert!(end <= SMALL.head && bytes[..end].ends_with(b"\r\n\r\n"));
        }
    }

    #[test]
    fn any_bytes_are_judged(
        start in prop::sample::select(&["", "GET /a?b HTTP/1.1\r\n", "HTTP/1.1 200 \r\n"][..]),
        bytes in head_like(),
    ) {
        let limits = Limits::default();
        let bytes = [start.as_bytes(), &bytes, b"\r\n"].concat();
        let end = HeadReader::default().find_end(&bytes, &limits).ok().flatten();
        let head = &bytes[..end.unwrap_or(bytes.len())];
        if let Ok(request) = Request::parse(head, &limits) {
            prop_assert_eq!(request.as_bytes(), head);
            prop_assert!(request.path().starts_with('/'));
            let lines = head.split(|byte| *byte == b'\n').count() - 3;
            prop_assert_eq!(request.fields().count(), lines);
            let _ = (request.upgrade(), request.query(), request.authority());
        }
        if let Ok(response) = Response::parse(head, &limits) {
            prop_assert!((100..600).contains(&response.status()));
            let _ = (response.body(), response.reason(), response.fields().count());
        }
    }

    #[test]
    fn what_was_chunked_is_joined_however_it_is_split(
        chunks in vec((vec(any::<u8>(), 1..40), "(;[ -~]{0,10})?"), 0..8),
        trailers in vec("[A-Za-z-]{1,8}: [ -~]{0,30}\r\n", 0..3),
        lengths in vec(1_usize..30, 1..6),
        limit in 0_usize..400,
    ) {
        let mut coded = Vec::new();
        for (chunk, extension) in &chunks {
            coded.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
            coded.extend_from_slice(chunk);
            coded.extend_from_slice(b"\r\n");
        }
        coded.extend_from_slice(format!("0\r\n{}\r\n", trailers.concat()).as_bytes());
        let mut body: Vec<u8> = chunks.into_iter().flat_map(|(chunk, _)| chunk).collect();
        body.truncate(limit);
        let (read, is_complete) = take_split(Body::Chunked, limit, &coded, &lengths);
        prop_assert_eq!(read, body);
        prop_assert!(is_complete);
    }

    #[test]
    fn any_body_is_the_same_however_it_is_split(
        bytes in vec(prop::sample::select(&b"0123aF;= \t\r\n\0x"[..]), 0..60),
        lengths in vec(1_usize..10, 1..6),
        limit in 0_usize..40,
    ) {
        for body in [Body::Chunked, Body::Length(20), Body::UntilClose] {
            let whole = take_split(body, limit, &bytes, &[usize::MAX]);
            prop_assert!(whole.0.len() <= limit);
            prop_assert_eq!(take_split(body, limit, &bytes, &lengths), whole);
        }
    }

    #[test]
    fn what_is_read_of_extensions_can_be_written_again(value in "([ab;=,\"\\\\ ]|a;b=){0,20}") {
        let mut list = Vec::new();
        if Extension::parse_list(value.as_bytes(), &mut list).is_ok() {
            let mut written = Vec::new();
            for extension in &list {
                let params = extension.params.iter().map(|(name, value)| match value {
                    Some(value) => format!("; {name}=\"{value}\""),
                    None => format!("; {name}"),
                });
                written.push(extension.name.clone() + &params.collect::<String>());
            }
            let mut again = Vec::new();
            prop_assert_eq!(Extension::parse_list(written.join(", ").as_bytes(), &mut again), Ok(()));
            prop_assert_eq!(again, list);
        }
    }

    #[test]
    fn any_header_of_a_proxy_is_judged(
        mut bytes in vec(any::<u8>(), 0..300),
        is_signed: bool,
        command in prop::sample::select(&[0x20_u8, 0x21, 0x22][..]),
        family in prop::sample::select(&[0x00_u8, 0x11, 0x21, 0x31, 0x12][..]),
    ) {
        if is_signed && bytes.len() >= 16 {
            bytes[..12].copy_from_slice(b"\r\n\r\n\0\r\nQUIT\n");
            bytes[12..15].copy_from_slice(&[command, family, 0]);
        }
        let whole = proxy::parse(&bytes);
        for end in 0..bytes.len() {
            match proxy::parse(&bytes[..end]) {
                Ok(None) => {}
                other => prop_assert_eq!(other, whole),
            }
        }
        if let Ok(Some((_, used))) = whole {
            prop_assert!(used <= bytes.len());
        }
    }

    #[test]
    fn no_client_can_choose_its_address(made_up in "[ -~\t\u{e9}]{0,40}") {
        let made_up = made_up.trim();
        for (source, name, own) in [
            (Source::XForwardedFor, "X-Forwarded-For", "192.0.2.1"),
            (Source::Forwarded, "Forwarded", "for=192.0.2.1"),
        ] {
            let head = format!("GET / HTTP/1.1\r\n{name}: {made_up}, {own}\r\n\r\n");
            let request = Request::parse(head.as_bytes(), &Limits::default()).expect("sound");
            let peer: IpAddr = "10.0.0.1".parse().expect("valid");
            let client = forwarded::client(&request, source, peer, |address| address == peer);
            prop_assert_eq!(client.to_string(), "192.0.2.1");
        }
    }

    #[test]
    fn what_is_read_is_read_again_from_its_text(text in "[a-zA-Z0-9.:\\[\\]/%-]{0,20}") {
        if let Some(host) = Host::parse(&text) {
            let (name, port) = (host.name().to_owned(), host.port());
            let again = port.map_or(name.clone(), |port| format!("{name}:{port}"));
            prop_assert_eq!(Host::parse(&again), Some(host));
        }
        if let Some(origin) = Origin::parse(&format!("https://{text}")) {
            prop_assert_eq!(Origin::parse(origin.as_str()), Some(origin.clone()));
            if let Some(host) = Host::parse(&text) {
                prop_assert!(origin.same_origin(&host, true) && !origin.same_origin(&host, false));
            }
        }
    }

    #[test]
    fn a_client_and_a_server_agree(offer in offer(), chosen: prop::sample::Index) {
        let limits = Limits::default();
        let mut asked = Vec::new();
        offer.write_request(&mut asked).expect("sound");
        let request = Request::parse(&asked, &limits).expect("what is written parses");
        prop_assert_eq!(request.target(), &offer.target);
        for (name, value) in &offer.fields {
            prop_assert!(request.all(name).any(|sent| sent == value.as_bytes()));
        }

        let upgrade = request.upgrade().expect("what is written is a handshake");
        prop_assert_eq!(upgrade.host.as_str(), &offer.host);
        prop_assert_eq!(upgrade.key, Key::new(offer.key));
        prop_assert_eq!(&upgrade.protocols, &offer.protocols);

        let subprotocol = upgrade.protocols.get(chosen.index(4)).cloned();
        let deflate = upgrade.deflate(&deflate::Config::default());
        let acceptance = Acceptance {
            subprotocol: subprotocol.as_deref(),
            extension: deflate.as_ref().map(|(_, element)| element.as_str()),
            ..Acceptance::default()
        };
        let mut answered = Vec::new();
        write_accept(&upgrade.key, &acceptance, &STAMP, &mut answered).expect("sound");
        let response = Response::parse(&answered, &limits).expect("what is written parses");
        let Agreement { subprotocol: agreed, deflate: theirs } =
            offer.check(&response).expect("what was offered");
        prop_assert_eq!(agreed, subprotocol);
        prop_assert_eq!(theirs.is_some(), offer.deflate.is_some());
        prop_assert_eq!(theirs.is_some(), deflate.is_some());
        if let (Some(theirs), Some((ours, _))) = (theirs, deflate) {
            prop_assert_eq!(theirs.our_no_context_takeover, ours.peer_no_context_takeover);
            prop_assert_eq!(theirs.peer_no_context_takeover, ours.our_no_context_takeover);
            prop_assert!(theirs.our_window_bits <= ours.peer_window_bits);
            prop_assert!(ours.our_window_bits <= theirs.peer_window_bits);
        }
    }

    #[test]
    fn a_wrong_key_is_never_taken(offer in offer(), other: [u8; 16]) {
        prop_assume!(offer.key != other);
        let mut answered = Vec::new();
        write_accept(&Key::new(other), &Acceptance::default(), &STAMP, &mut answered).expect("sound");
        let response = Response::parse(&answered, &Limits::default()).expect("sound");
        prop_assert!(offer.check(&response).is_err());
    }
}
