//! Ciphertext and plaintext: splitting, size, order, the end, and garbage.

use super::*;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

#[test]
fn a_session_works_in_one_piece_and_byte_by_byte_in_both_versions() {
    let authority = Authority::new();
    let server = authority.issue("localhost").server();
    let clients = [
        (ClientContext::new(authority.trust()).unwrap(), "TLSv1.3", Some(&b"http/1.1"[..])),
        (old_client(&authority.trust()), "TLSv1.2", None),
    ];
    for (client, version, alpn) in clients {
        for piece in [usize::MAX, 1, 2, 7, 100] {
            let mut pair = Pair::new(&server, &client).in_pieces(piece).connected();
            for session in [&pair.client, &pair.server] {
                assert_eq!(session.version(), Some(version));
                assert_eq!(session.alpn(), alpn);
                assert_eq!(session.held(), 0, "idle sessions own no buffer");
                let cipher = session.cipher().unwrap();
                assert!(cipher.starts_with("TLS_") && cipher.contains("_256_"), "{cipher}");
            }
            assert_eq!(pair.server.server_name(), Some("localhost"));
            assert_eq!(pair.client.server_name(), None);
            assert!(pair.client.peer_certificate().is_some());
            assert!(pair.server.peer_certificate().is_none());

            pair.client.encrypt(b"ping").unwrap();
            pair.client.encrypt(b"").unwrap();
            pair.client.encrypt(b" pong").unwrap();
            let wire = take(&mut pair.client);
            assert_eq!(deliver(&mut pair.server, &wire, piece).unwrap(), b"ping pong");
            pair.server.encrypt(b"back").unwrap();
            let wire = take(&mut pair.server);
            assert_eq!(deliver(&mut pair.client, &wire, piece).unwrap(), b"back");
            assert_eq!((pair.client.held(), pair.server.held()), (0, 0));
        }
    }
}

#[test]
fn a_mebibyte_goes_both_ways() {
    let authority = Authority::new();
    let server = authority.issue("localhost").server();
    let data = pattern(1 << 20);
    let modern = ClientContext::new(authority.trust()).unwrap();
    for client in [modern, old_client(&authority.trust())] {
        for piece in [1000, 16 * 1024, Session::KEPT] {
            let mut pair = Pair::new(&server, &client).connected();
            pair.client.encrypt(&data).unwrap();
            pair.server.encrypt(&data).unwrap();
            let (up, down) = (take(&mut pair.client), take(&mut pair.server));
            assert!(up.len() < data.len() + 64 * 40);
            assert!(deliver(&mut pair.server, &up, piece).unwrap() == data);
            assert!(deliver(&mut pair.client, &down, piece).unwrap() == data);
        }
    }
}

#[test]
fn output_may_be_written_between_two_halves_of_a_record() {
    let (server, client) = contexts();
    let mut pair = Pair::new(&server, &client).connected();
    pair.client.encrypt(&pattern(5000)).unwrap();
    let wire = take(&mut pair.client);
    let (first, second) = wire.split_at(3000);
    assert_eq!(deliver(&mut pair.server, first, usize::MAX).unwrap(), b"");
    assert!(pair.server.held() >= 3000);

    let mut buffer = vec![0; 2 * Session::KEPT];
    assert_eq!(pair.server.restore(&mut buffer), 3000);
    pair.server.encrypt(b"meanwhile").unwrap();
    assert_eq!(pair.server.restore(&mut buffer), 3000, "the socket had nothing: again");
    let answer = take(&mut pair.server);
    assert_eq!(deliver(&mut pair.client, &answer, usize::MAX).unwrap(), b"meanwhile");
    assert_eq!(deliver(&mut pair.server, second, usize::MAX).unwrap(), pattern(5000));
    assert_eq!(pair.server.held(), 0);
}

#[test]
fn outgoing_survives_partial_writes() {
    let (server, client) = contexts();
    let mut pair = Pair::new(&server, &client).connected();
    let mut wire = Vec::new();
    for round in 0..50 {
        pair.client.encrypt(&pattern(1000)).unwrap();
        let count = pair.client.outgoing().len().min(300 + round * 40);
        wire.extend_from_slice(&pair.client.outgoing()[..count]);
        pair.client.sent(count);
    }
    wire.extend(take(&mut pair.client));
    assert_eq!(deliver(&mut pair.server, &wire, 777).unwrap(), pattern(1000).repeat(50));
    assert_eq!(pair.client.held(), 0);
}

#[test]
fn nothing_is_encrypted_during_the_handshake() {
    let (server, client) = contexts();
    let mut pair = Pair::new(&server, &client);
    let hello = pair.client.outgoing().len();
    for session in [&mut pair.client, &mut pair.server] {
        assert_eq!(session.encrypt(b"early").unwrap_err().fault, Fault::Usage);
    }
    assert_eq!(pair.client.outgoing().len(), hello, "nothing was queued");
    pair.connected();
}

#[test]
fn close_notify_ends_one_direction_after_the_data_before_it() {
    let (server, client) = contexts();
    let mut pair = Pair::new(&server, &client).connected();
    pair.client.encrypt(b"last words").unwrap();
    pair.client.close();
    let mut wire = take(&mut pair.client);
    pair.client.close();
    assert_eq!(pair.client.outgoing(), b"", "once");
    assert_eq!(pair.client.encrypt(b"more").unwrap_err().fault, Fault::Usage);

    wire.extend_from_slice(b"what follows is ignored");
    let mut buffer = vec![0; 4096];
    buffer[..wire.len()].copy_from_slice(&wire);
    let received = pair.server.receive(&mut buffer[..wire.len()]).unwrap();
    assert_eq!(received, Received { plain: 10, closed: true });
    assert_eq!(&buffer[..10], b"last words");
    assert!(pair.server.receive(&mut []).unwrap().closed, "it stays closed");

    pair.server.encrypt(b"still here").unwrap();
    pair.server.close();
    let wire = take(&mut pair.server);
    assert_eq!(deliver(&mut pair.client, &wire, 1).unwrap(), b"still here");
    assert!(pair.client.receive(&mut []).unwrap().closed);
}

#[test]
fn closing_during_the_handshake_says_nothing() {
    let (server, client) = contexts();
    let mut pair = Pair::new(&server, &client);
    pair.server.close();
    assert_eq!(pair.server.outgoing(), b"");
    assert_eq!(pair.server.encrypt(b"x").unwrap_err().fault, Fault::Usage);
}

#[test]
fn plain_http_is_named_as_such_and_answered_with_an_alert() {
    let (server, client) = contexts();
    let mut session = Session::server(&server).unwrap();
    let failure = deliver(&mut session, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", usize::MAX).unwrap_err();
    assert_eq!(failure.fault, Fault::Protocol);
    assert!(failure.text.contains("does not speak TLS"), "{failure}");
    assert_eq!(session.outgoing()[0], 21, "an alert record");

    let mut session = Session::client(&client, "localhost").unwrap();
    session.start().unwrap();
    take(&mut session);
    let failure = deliver(&mut session, b"HTTP/1.1 400 Bad Request\r\n\r\n", 1).unwrap_err();
    assert!(failure.text.contains("does not speak TLS"), "{failure}");
    assert_eq!(session.outgoing()[0], 21);
    let again = deliver(&mut session, b"anything", 1).unwrap_err();
    assert_eq!(again.fault, Fault::Usage);
    assert_eq!(session.encrypt(b"x").unwrap_err().fault, Fault::Usage);
}

#[test]
fn a_changed_record_is_refused_and_the_peer_is_told() {
    let (server, client) = contexts();
    let mut pair = Pair::new(&server, &client).connected();
    pair.client.encrypt(b"hello").unwrap();
    let mut wire = take(&mut pair.client);
    let last = wire.len() - 1;
    wire[last] ^= 1;
    let failure = deliver(&mut pair.server, &wire, usize::MAX).unwrap_err();
    assert_eq!(failure.fault, Fault::Protocol);
    let alert = take(&mut pair.server);
    let failure = deliver(&mut pair.client, &alert, usize::MAX).unwrap_err();
    assert_eq!(failure.fault, Fault::Peer);
    assert!(failure.text.contains("BadRecordMac"), "{failure}");
}

#[test]
fn no_flipped_byte_of_a_handshake_panics() {
    let (server, client) = contexts();
    let flip = |wire: &mut Vec<u8>, at: usize| {
        if let Some(byte) = wire.get_mut(at) {
            *byte ^= 0x55;
        }
    };
    let mut failures = 0;
    for at in 0..1200 {
        let (from_client, at) = (at % 2 == 0, at / 2);
        for piece in [usize::MAX, 50] {
            let mut pair = Pair::new(&server, &client);
            let mut hello = take(&mut pair.client);
            if from_client {
                flip(&mut hello, at);
            }
            let refused = deliver(&mut pair.server, &hello, piece).is_err();
            let mut flight = take(&mut pair.server);
            if !from_client {
                flip(&mut flight, at);
            }
            let refused = refused | deliver(&mut pair.client, &flight, piece).is_err();
            let finished = take(&mut pair.client);
            let refused = refused | deliver(&mut pair.server, &finished, piece).is_err();
            failures += usize::from(refused);
        }
    }
    assert!(failures > 900, "only {failures} were noticed");
}

#[test]
fn a_handshake_message_without_end_is_refused() {
    let (server, _) = contexts();
    // The first fragment announces 65,535 bytes; each carries one byte, so the records outgrow them.
    for (length, fault) in [([0, 0xff, 0xff], Fault::Protocol), ([0xff; 3], Fault::Protocol)] {
        let mut session = Session::server(&server).unwrap();
        let mut wire = vec![22, 3, 1, 0, 4, 1];
        wire.extend_from_slice(&length);
        wire.extend_from_slice(&[22, 3, 1, 0, 1, 0].repeat(20_000));
        assert_eq!(deliver(&mut session, &wire, 4096).unwrap_err().fault, fault);
        assert!(session.held() <= 2 * Session::KEPT);
    }
}

#[test]
fn misuse_of_the_buffer_is_reported() {
    let (server, client) = contexts();
    let hello = take(&mut Pair::new(&server, &client).client);
    let half = |session: &mut Session| deliver(session, &hello[..100], usize::MAX).unwrap();

    let mut session = Session::server(&server).unwrap();
    half(&mut session);
    let failure = session.receive(&mut hello[100..].to_vec()).unwrap_err();
    assert!(failure.fault == Fault::Usage && failure.text.contains("restore()"), "{failure}");

    let mut session = Session::server(&server).unwrap();
    half(&mut session);
    assert_eq!(session.restore(&mut [0; 100]), 0, "no room to read into");
    assert_eq!(session.receive(&mut hello.clone()).unwrap_err().fault, Fault::Usage);
}
