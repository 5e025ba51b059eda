//! The closing handshake (RFC 6455 §7), and what may be sent when.

mod wire;

use everwire_wire::{Codec, Connection, Kind, SendError, State, Violation};
use wire::{
    BINARY, CLOSE, CONTINUATION, FIN, Listener, PING, Seen, TEXT, client, expect, masked, ping, server, text, unmasked,
};

/// A connection with a buffer for what it says.
struct Speaker {
    connection: Connection,
    codec: Codec,
    out: Vec<u8>,
}

impl Speaker {
    fn server() -> Self {
        Self { connection: Connection::new(server()), codec: Codec::new(), out: Vec::new() }
    }

    fn feed(&mut self, input: &[u8]) {
        let mut input = input.to_vec();
        let (used, _) = self.connection.receive(&mut input, &mut self.codec).expect("valid");
        assert_eq!(used, input.len());
    }

    fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.connection.send(kind, payload, &mut self.codec, &mut self.out)
    }

    fn fragment(&mut self, kind: Kind, payload: &[u8], fin: bool) -> Result<(), SendError> {
        self.connection.send_fragment(kind, payload, fin, &mut self.codec, &mut self.out)
    }

    fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.connection.send_ping(payload, &mut self.codec, &mut self.out)
    }

    fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.connection.send_pong(payload, &mut self.codec, &mut self.out)
    }

    fn close(&mut self, close: Option<(u16, &str)>) -> Result<(), SendError> {
        self.connection.send_close(close, &mut self.codec, &mut self.out)
    }

    fn answer(&mut self) {
        self.connection.answer_close(&mut self.codec, &mut self.out);
    }

    fn fail(&mut self, code: u16, reason: &'static str) {
        let violation = Violation { code, reason: reason.into() };
        self.connection.fail(&violation, &mut self.codec, &mut self.out);
    }
}

fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

mod rfc6455_5_5_1_close {
    use super::*;

    #[test]
    fn code_and_reason_are_received() {
        let input = masked(FIN | CLOSE, &close_frame(1000, "goodbye"));
        expect(server(), &input, &[Seen::Close(Some(1000), "goodbye".to_owned())]);
        expect(server(), &masked(FIN | CLOSE, b""), &[Seen::Close(None, String::new())]);
        let reason = "€".repeat(41);
        let input = unmasked(FIN | CLOSE, &close_frame(4999, &reason));
        expect(client(), &input, &[Seen::Close(Some(4999), reason)]);
    }

    #[test]
    fn invalid_payloads_are_refused() {
        expect(server(), &masked(FIN | CLOSE, b"\x03"), &[Seen::Failed(1002)]);
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535] {
            let input = masked(FIN | CLOSE, &close_frame(code, ""));
            expect(server(), &input, &[Seen::Failed(1002)]);
        }
        let input = masked(FIN | CLOSE, b"\x03\xe8\xed\xa0\x80");
        expect(server(), &input, &[Seen::Failed(1007)]);
    }

    #[test]
    fn nothing_is_received_after_it() {
        let input = [
            masked(TEXT, b"half a message"),
            masked(FIN | CLOSE, b""),
            masked(FIN | CONTINUATION, b"the rest"),
            masked(FIN | PING, b""),
            b"\xff\xff\xff no frame at all".to_vec(),
        ];
        expect(server(), &input.concat(), &[Seen::Close(None, String::new())]);
    }

    #[test]
    fn it_is_answered_once_with_its_code() {
        let mut speaker = Speaker::server();
        speaker.answer();
        assert!(speaker.out.is_empty());
        speaker.feed(&masked(FIN | CLOSE, &close_frame(3001, "why")));
        assert_eq!(speaker.connection.state(), State::CloseReceived);
        speaker.answer();
        speaker.answer();
        assert_eq!(speaker.out, unmasked(FIN | CLOSE, &close_frame(3001, "")));
        assert_eq!(speaker.connection.state(), State::Closed);
    }

    #[test]
    fn an_empty_one_is_answered_by_an_empty_one() {
        let mut speaker = Speaker::server();
        speaker.feed(&masked(FIN | CLOSE, b""));
        speaker.answer();
        assert_eq!(speaker.out, unmasked(FIN | CLOSE, b""));
    }

    #[test]
    fn it_may_be_answered_with_another_code() {
        let mut speaker = Speaker::server();
        speaker.feed(&masked(FIN | CLOSE, &close_frame(1000, "")));
        assert_eq!(speaker.close(Some((4000, "first"))), Ok(()));
        speaker.answer();
        assert_eq!(speaker.out, unmasked(FIN | CLOSE, &close_frame(4000, "first")));
    }
}

mod rfc6455_7_1_closing {
    use super::*;

    #[test]
    fn nothing_is_sent_after_our_close_frame() {
        let mut speaker = Speaker::server();
        assert_eq!(speaker.close(Some((1000, "done"))), Ok(()));
        assert_eq!(speaker.connection.state(), State::CloseSent);
        let out = speaker.out.clone();
        assert_eq!(out, unmasked(FIN | CLOSE, &close_frame(1000, "done")));
        assert_eq!(speaker.send(Kind::Text, b"x"), Err(SendError::Closing));
        assert_eq!(speaker.fragment(Kind::Text, b"x", true), Err(SendError::Closing));
        assert_eq!(speaker.ping(b""), Err(SendError::Closing));
        assert_eq!(speaker.pong(b""), Err(SendError::Closing));
        assert_eq!(speaker.close(None), Err(SendError::Closing));
        speaker.fail(1002, "");
        assert_eq!(speaker.out, out);
    }

    #[test]
    fn nothing_but_a_close_frame_is_sent_after_the_peers() {
        let mut speaker = Speaker::server();
        speaker.feed(&masked(FIN | CLOSE, b""));
        assert_eq!(speaker.send(Kind::Text, b"x"), Err(SendError::Closing));
        assert_eq!(speaker.pong(b""), Err(SendError::Closing));
        assert!(speaker.out.is_empty());
        assert_eq!(speaker.close(None), Ok(()));
    }

    #[test]
    fn after_ours_the_peer_may_go_on_until_its_own() {
        let mut listener = Listener::new(server());
        let mut out = Vec::new();
        listener.connection.send_close(None, &mut listener.codec, &mut out).expect("open");
        listener.feed(&masked(FIN | TEXT, b"last words")).feed(&masked(FIN | PING, b""));
        listener.feed(&masked(FIN | CLOSE, b""));
        let close = Seen::Close(None, String::new());
        assert_eq!(listener.seen, [text("last words"), ping(b""), close]);
        assert_eq!(listener.connection.state(), State::Closed);
    }

    #[test]
    fn codes_and_reasons_that_may_not_be_sent_are_refused() {
        let mut speaker = Speaker::server();
        for code in [0, 999, 1004, 1005, 1006, 1015, 2000, 5000] {
            assert_eq!(speaker.close(Some((code, ""))), Err(SendError::CloseCode(code)));
        }
        let reason = "x".repeat(124);
        assert_eq!(speaker.close(Some((1000, &reason))), Err(SendError::ReasonTooLong));
        assert!(speaker.out.is_empty() && speaker.connection.state() == State::Open);
        assert_eq!(speaker.close(Some((1000, &reason[1..]))), Ok(()));
    }

    #[test]
    fn failing_sends_the_code_and_ignores_the_rest() {
        let mut speaker = Speaker::server();
        let mut bad = unmasked(FIN | BINARY, b"x");
        let violation =
            speaker.connection.receive(&mut bad, &mut speaker.codec).expect_err("frames of clients are masked");
        speaker.connection.fail(&violation, &mut speaker.codec, &mut speaker.out);
        speaker.fail(1007, "a second time");
        assert_eq!(speaker.out, unmasked(FIN | CLOSE, &close_frame(1002, &violation.reason)));
        assert_eq!(speaker.connection.state(), State::CloseSent);
        speaker.feed(&masked(FIN | CLOSE, b""));
        assert_eq!(speaker.connection.state(), State::CloseSent);
    }

    #[test]
    fn a_long_reason_is_cut_when_failing() {
        let mut speaker = Speaker::server();
        let reason: &'static str = "€".repeat(50).leak();
        speaker.fail(1002, reason);
        assert_eq!(speaker.out, unmasked(FIN | CLOSE, &close_frame(1002, &reason[..123])));
    }
}

mod rfc6455_5_4_sending_fragments {
    use super::*;

    #[test]
    fn parts_are_framed_as_one_message() {
        let mut speaker = Speaker::server();
        assert_eq!(speaker.fragment(Kind::Text, b"a", false), Ok(()));
        assert_eq!(speaker.fragment(Kind::Text, b"", false), Ok(()));
        assert_eq!(speaker.ping(b"!"), Ok(()));
        assert_eq!(speaker.fragment(Kind::Text, b"b", true), Ok(()));
        assert_eq!(speaker.fragment(Kind::Binary, b"c", true), Ok(()));
        let expected = [
            unmasked(TEXT, b"a"),
            unmasked(CONTINUATION, b""),
            unmasked(FIN | PING, b"!"),
            unmasked(FIN | CONTINUATION, b"b"),
            unmasked(FIN | BINARY, b"c"),
        ];
        assert_eq!(speaker.out, expected.concat());
    }

    #[test]
    fn nothing_comes_between_them() {
        let mut speaker = Speaker::server();
        assert_eq!(speaker.fragment(Kind::Text, b"a", false), Ok(()));
        let out = speaker.out.clone();
        assert_eq!(speaker.send(Kind::Text, b"b"), Err(SendError::MidMessage));
        assert_eq!(speaker.fragment(Kind::Binary, b"b", true), Err(SendError::MidMessage));
        assert_eq!(speaker.out, out);
        assert_eq!(speaker.fragment(Kind::Text, b"b", true), Ok(()));
        assert_eq!(speaker.send(Kind::Text, b"c"), Ok(()));
    }
}

mod rfc6455_5_5_sending_control {
    use super::*;

    #[test]
    fn payloads_above_125_bytes_are_refused() {
        let mut speaker = Speaker::server();
        assert_eq!(speaker.ping(&[0; 126]), Err(SendError::ControlTooLong));
        assert_eq!(speaker.pong(&[0; 126]), Err(SendError::ControlTooLong));
        assert!(speaker.out.is_empty());
        assert_eq!(speaker.pong(&[0; 125]), Ok(()));
    }
}

mod rfc6455_5_3_sending_masked {
    use super::*;

    #[test]
    fn a_client_masks_each_frame_with_another_key() {
        let mut connection = Connection::new(client());
        let (mut codec, mut out) = (Codec::new(), Vec::new());
        connection.send(Kind::Binary, &[0; 8], &mut codec, &mut out).expect("open");
        connection.send(Kind::Binary, &[0; 8], &mut codec, &mut out).expect("open");
        let (first, second) = out.split_at(14);
        assert_eq!(first[..2], [0x82, 0x88]);
        assert_eq!(first[2..6], first[6..10], "zeros show the key");
        assert_ne!(first[2..6], second[2..6]);
        let mut listener = Listener::new(server());
        listener.feed(&out);
        assert_eq!(listener.seen, [Seen::Binary(vec![0; 8]), Seen::Binary(vec![0; 8])]);
    }
}
