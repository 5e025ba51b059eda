//! A client reads the answer to its offer, half of the time behind a sound start; what it agrees
//! to is what it offered.

#![no_main]

use everwire_wire::deflate;
use everwire_wire::handshake::{HeadReader, Key, Limits, Offer, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| {
    let (is_accepted, bytes) = input;
    let offer = Offer {
        host: "example.com".to_owned(),
        target: "/".to_owned(),
        key: *b"the sample nonce",
        protocols: vec!["a".to_owned(), "b".to_owned()],
        deflate: Some(deflate::Config::default()),
        fields: Vec::new(),
    };
    let mut head = Vec::new();
    if is_accepted {
        head.extend_from_slice(
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        head.extend_from_slice(&Key::new(offer.key).accept());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(bytes);

    let limits = Limits::default();
    let Ok(Some(end)) = HeadReader::default().find_end(&head, &limits) else {
        return;
    };
    let Ok(response) = Response::parse(&head[..end], &limits) else {
        return;
    };
    assert!((100..600).contains(&response.status()));
    let _ = (response.reason(), response.body(), response.fields().count());
    if let Ok(agreement) = offer.check(&response) {
        assert_eq!(response.status(), 101);
        assert!(agreement.subprotocol.is_none_or(|chosen| offer.protocols.contains(&chosen)));
    }
});
