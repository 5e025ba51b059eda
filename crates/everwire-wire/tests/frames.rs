//! Frames of a peer, by the sections of RFC 6455 that rule them.

mod wire;

use everwire_wire::{Role, Settings};
use wire::{
    BINARY, CLOSE, CONTINUATION, FIN, Listener, PING, PONG, RSV1, Seen, TEXT, binary, client, expect, masked, ping,
    server, text, unmasked,
};

mod rfc6455_5_1_overview {
    use super::*;

    #[test]
    fn a_client_that_does_not_mask_is_refused() {
        expect(server(), &unmasked(FIN | TEXT, b"hi"), &[Seen::Failed(1002)]);
        expect(server(), &unmasked(FIN | PING, b""), &[Seen::Failed(1002)]);
    }

    #[test]
    fn a_server_that_masks_is_refused() {
        expect(client(), &masked(FIN | TEXT, b"hi"), &[Seen::Failed(1002)]);
        expect(client(), &masked(FIN | CLOSE, b""), &[Seen::Failed(1002)]);
    }
}

mod rfc6455_5_2_framing {
    use super::*;

    #[test]
    fn messages_of_every_length_form_are_received() {
        for length in [0, 1, 2, 125, 126, 127, 65535, 65536] {
            let payload = vec![b'*'; length];
            expect(server(), &masked(FIN | BINARY, &payload), &[binary(&payload)]);
            expect(client(), &unmasked(FIN | BINARY, &payload), &[binary(&payload)]);
        }
    }

    #[test]
    fn messages_follow_each_other() {
        let input = [
            masked(FIN | TEXT, b"one"),
            masked(FIN | BINARY, b""),
            masked(FIN | TEXT, b""),
            masked(FIN | TEXT, "fünf".as_bytes()),
        ];
        let expected = [text("one"), binary(b""), text(""), text("fünf")];
        expect(server(), &input.concat(), &expected);
    }

    #[test]
    fn lengths_longer_than_needed_are_refused() {
        let cases: [&[u8]; 4] = [
            &[0x82, 126, 0, 125],
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ];
        for case in cases {
            expect(client(), case, &[Seen::Failed(1002)]);
        }
    }

    #[test]
    fn reserved_bits_are_refused() {
        for bits in [0x10, 0x20, 0x30, 0x40, 0x70] {
            expect(server(), &masked(FIN | bits | TEXT, b"hi"), &[Seen::Failed(1002)]);
        }
    }

    #[test]
    fn reserved_opcodes_are_refused() {
        for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
            expect(server(), &masked(FIN | opcode, b""), &[Seen::Failed(1002)]);
        }
    }

    #[test]
    fn a_header_is_judged_by_its_first_bytes() {
        for start in [&[0x83u8][..], &[0x91], &[0x89, 126], &[0x09], &[0xC9]] {
            assert_eq!(Listener::new(server()).feed(start).seen, [Seen::Failed(1002)]);
        }
    }

    #[test]
    fn what_came_before_an_error_is_still_received() {
        let input = [masked(FIN | TEXT, b"fine"), unmasked(FIN | TEXT, b"not")].concat();
        expect(server(), &input, &[text("fine"), Seen::Failed(1002)]);
    }

    #[test]
    fn what_comes_after_an_error_is_ignored() {
        let mut listener = Listener::new(server());
        listener.feed(&masked(FIN | 3, b"")).feed(&masked(FIN | TEXT, b"late"));
        assert_eq!(listener.seen, [Seen::Failed(1002)]);
    }
}

mod rfc6455_5_3_masking {
    use super::*;

    #[test]
    fn the_key_goes_on_over_a_cut_at_every_place() {
        let payload: Vec<u8> = (0..=255).collect();
        expect(server(), &masked(FIN | BINARY, &payload), &[binary(&payload)]);
    }
}

mod rfc6455_5_4_fragmentation {
    use super::*;

    #[test]
    fn fragments_are_joined() {
        let input = [masked(TEXT, b"one "), masked(CONTINUATION, b"two "), masked(FIN | CONTINUATION, b"three")];
        expect(server(), &input.concat(), &[text("one two three")]);
    }

    #[test]
    fn empty_fragments_count_for_nothing() {
        let input = [
            masked(BINARY, b""),
            masked(CONTINUATION, b""),
            masked(CONTINUATION, b"x"),
            masked(FIN | CONTINUATION, b""),
            masked(TEXT, b""),
            masked(FIN | CONTINUATION, b""),
        ];
        expect(server(), &input.concat(), &[binary(b"x"), text("")]);
    }

    #[test]
    fn control_frames_come_between_fragments() {
        let input = [
            masked(TEXT, "gr\u{fc}".as_bytes()[..3].as_ref()),
            masked(FIN | PING, b"1"),
            masked(CONTINUATION, &"gr\u{fc}".as_bytes()[3..]),
            masked(FIN | PONG, b"2"),
            masked(FIN | CONTINUATION, b"n"),
        ];
        let expected = [ping(b"1"), Seen::Pong(b"2".to_vec()), text("grün")];
        expect(server(), &input.concat(), &expected);
    }

    #[test]
    fn a_continuation_without_a_message_is_refused() {
        expect(server(), &masked(FIN | CONTINUATION, b"x"), &[Seen::Failed(1002)]);
        expect(server(), &masked(CONTINUATION, b"x"), &[Seen::Failed(1002)]);
        let input = [masked(FIN | TEXT, b"a"), masked(FIN | CONTINUATION, b"b")].concat();
        expect(server(), &input, &[text("a"), Seen::Failed(1002)]);
    }

    #[test]
    fn a_message_within_a_message_is_refused() {
        for second in [FIN | TEXT, FIN | BINARY, TEXT] {
            let input = [masked(TEXT, b"a"), masked(second, b"b")].concat();
            expect(server(), &input, &[Seen::Failed(1002)]);
        }
    }

    #[test]
    fn tiny_fragments_take_the_memory_of_their_bytes() {
        let mut listener = Listener::new(server());
        listener.feed(&masked(BINARY, b""));
        let piece = [masked(CONTINUATION, b"x"), masked(CONTINUATION, b"")].concat();
        for _ in 0..10_000 {
            listener.feed(&piece);
        }
        assert!((10_000..=20_000).contains(&listener.connection.buffered()));
        listener.feed(&masked(FIN | CONTINUATION, b""));
        assert_eq!(listener.seen, [binary(&[b'x'; 10_000])]);
        assert_eq!(listener.connection.buffered(), 0);
    }
}

mod rfc6455_5_5_control {
    use super::*;

    #[test]
    fn pings_and_pongs_carry_up_to_125_bytes() {
        for length in [0, 1, 124, 125] {
            let payload = vec![7; length];
            expect(server(), &masked(FIN | PING, &payload), &[ping(&payload)]);
            expect(client(), &unmasked(FIN | PONG, &payload), &[Seen::Pong(payload.clone())]);
        }
    }

    #[test]
    fn longer_control_frames_are_refused() {
        for opcode in [PING, PONG, CLOSE] {
            expect(server(), &masked(FIN | opcode, &[b'x'; 126]), &[Seen::Failed(1002)]);
        }
    }

    #[test]
    fn fragmented_or_compressed_control_frames_are_refused() {
        for opcode in [PING, PONG, CLOSE] {
            expect(server(), &masked(opcode, b""), &[Seen::Failed(1002)]);
            let settings = wire::settings(Role::Server, Some(wire::agreed()));
            expect(settings, &masked(FIN | RSV1 | opcode, b""), &[Seen::Failed(1002)]);
        }
    }
}

mod rfc6455_5_6_data {
    use super::*;

    #[test]
    fn text_in_every_width_is_received() {
        let sample = "aé€😀\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}".repeat(9);
        expect(server(), &masked(FIN | TEXT, sample.as_bytes()), &[text(&sample)]);
        let input: Vec<_> = sample.bytes().map(|byte| masked(CONTINUATION, &[byte])).collect();
        let input = [masked(TEXT, b""), input.concat(), masked(FIN | CONTINUATION, b"")].concat();
        expect(server(), &input, &[text(&sample)]);
    }
}

mod rfc6455_8_1_invalid_utf8 {
    use super::*;

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        let cases: [&[u8]; 6] = [b"\x80", b"abc\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x28"];
        for case in cases {
            for front in ["", "a", &"b".repeat(100)] {
                let payload = [front.as_bytes(), case].concat();
                expect(server(), &masked(FIN | TEXT, &payload), &[Seen::Failed(1007)]);
                expect(server(), &masked(TEXT, &payload), &[Seen::Failed(1007)]);
                expect(server(), &masked(FIN | BINARY, &payload), &[binary(&payload)]);
            }
        }
    }

    #[test]
    fn text_that_ends_within_a_code_point_is_refused() {
        for end in [&b"\xe2"[..], b"\xe2\x82", b"\xf0\x9f\x98"] {
            for front in ["", &"b".repeat(100)] {
                let payload = [front.as_bytes(), end].concat();
                expect(server(), &masked(FIN | TEXT, &payload), &[Seen::Failed(1007)]);
                let input = [masked(TEXT, &payload), masked(FIN | CONTINUATION, b"")].concat();
                expect(server(), &input, &[Seen::Failed(1007)]);
            }
        }
    }

    #[test]
    fn an_error_is_seen_at_the_byte_that_shows_it() {
        let payload = "a".repeat(200).into_bytes();
        let frame = masked(TEXT, &[&payload, &b"\xed\xa0\x80 and more"[..]].concat());
        let (front, back) = frame.split_at(8 + 201);
        let mut listener = Listener::new(server());
        assert_eq!(listener.feed(front).seen, []);
        assert_eq!(listener.feed(&back[..1]).seen, [Seen::Failed(1007)]);
    }
}

mod rfc6455_10_4_limits {
    use super::*;

    fn at_most(max_message: usize) -> Settings {
        Settings { max_message, ..server() }
    }

    #[test]
    fn a_message_of_just_the_limit_is_received() {
        expect(at_most(5), &masked(FIN | TEXT, b"12345"), &[text("12345")]);
        let input = [masked(TEXT, b"123"), masked(FIN | CONTINUATION, b"45")].concat();
        expect(at_most(5), &input, &[text("12345")]);
        expect(at_most(0), &masked(FIN | TEXT, b""), &[text("")]);
    }

    #[test]
    fn a_larger_message_is_refused() {
        expect(at_most(5), &masked(FIN | TEXT, b"123456"), &[Seen::Failed(1009)]);
        let input = [masked(TEXT, b"123"), masked(FIN | CONTINUATION, b"456")].concat();
        expect(at_most(5), &input, &[Seen::Failed(1009)]);
    }

    #[test]
    fn a_claim_is_judged_before_its_payload_is_here() {
        let frame = masked(FIN | BINARY, &[0; 70_000]);
        let mut listener = Listener::new(at_most(69_999));
        assert_eq!(listener.feed(&frame[..14]).seen, [Seen::Failed(1009)]);
        let head = [0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4];
        let input = [masked(BINARY, b"1"), head.to_vec()].concat();
        expect(at_most(usize::MAX), &head, &[]);
        assert_eq!(head[0] & 0x0F, BINARY);
        let mut listener = Listener::new(at_most(1 << 30));
        assert_eq!(listener.feed(&input).seen, [Seen::Failed(1002)], "within a message");
        assert_eq!(Listener::new(at_most(1 << 30)).feed(&head).seen, [Seen::Failed(1009)]);
    }

    #[test]
    fn the_reason_names_the_limit() {
        let mut input = masked(FIN | TEXT, b"123456");
        let mut listener = Listener::new(at_most(5));
        let result = listener.connection.receive(&mut input, &mut listener.codec);
        let violation = result.expect_err("too large");
        assert_eq!(violation.reason, "message of more than 5 bytes");
    }

    #[test]
    fn a_claim_alone_takes_no_memory() {
        let mut listener = Listener::new(server());
        listener.feed(&masked(FIN | BINARY, &[0; 1 << 20])[..114]);
        assert!(listener.connection.window(&mut listener.codec).is_none());
        assert!(listener.connection.buffered() <= 200);
    }
}
