//! Compressed messages, by the sections of RFC 7692.

mod wire;

use everwire_wire::deflate::Agreed;
use everwire_wire::{Kind, Role, Settings, frame};
use wire::{
    BINARY, CONTINUATION, FIN, Listener, PING, RSV1, Seen, TEXT, agreed, binary, expect, masked, ping, server,
    settings, text,
};
use zlib_rs::{Deflate, DeflateFlush};

const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

fn compressing() -> Settings {
    settings(Role::Server, Some(agreed()))
}

fn with_takeover() -> Settings {
    let agreed = Agreed { our_no_context_takeover: false, peer_no_context_takeover: false, ..agreed() };
    settings(Role::Server, Some(agreed))
}

/// A raw deflate stream with `flush` at its end.
fn pack(bytes: &[u8], flush: DeflateFlush) -> Vec<u8> {
    let mut deflate = Deflate::new(6, false, 15);
    let mut packed = vec![0; bytes.len() + bytes.len() / 100 + 1000];
    deflate.compress(bytes, &mut packed, flush).expect("room for all of it");
    packed.truncate(deflate.total_out() as usize);
    packed
}

/// The payload of a compressed message.
fn message(bytes: &[u8]) -> Vec<u8> {
    let mut packed = pack(bytes, DeflateFlush::SyncFlush);
    packed.truncate(packed.len() - 4);
    packed
}

/// Bytes that hardly shrink.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

mod rfc7692_6_rsv1 {
    use super::*;

    #[test]
    fn rsv1_without_agreement_is_refused() {
        expect(server(), &masked(FIN | RSV1 | TEXT, HELLO), &[Seen::Failed(1002)]);
    }

    #[test]
    fn rsv1_on_a_continuation_is_refused() {
        for first in [TEXT, TEXT | RSV1] {
            let input = [masked(first, b"\0"), masked(FIN | RSV1 | CONTINUATION, b"\0")].concat();
            expect(compressing(), &input, &[Seen::Failed(1002)]);
        }
    }

    #[test]
    fn plain_messages_are_still_received() {
        let input = [masked(FIN | TEXT, b"plain"), masked(FIN | RSV1 | TEXT, HELLO)].concat();
        expect(compressing(), &input, &[text("plain"), text("Hello")]);
    }

    #[test]
    fn plain_messages_between_leave_the_context_alone() {
        let input = [
            masked(FIN | RSV1 | TEXT, HELLO),
            masked(FIN | TEXT, b"plain"),
            masked(FIN | RSV1 | TEXT, b"\xf2\x00\x11\x00\x00"),
        ];
        expect(with_takeover(), &input.concat(), &[text("Hello"), text("plain"), text("Hello")]);
    }
}

mod rfc7692_7_2_2_decompression {
    use super::*;

    #[test]
    fn fragments_of_a_compressed_message_are_one_stream() {
        let input = [masked(RSV1 | TEXT, &HELLO[..3]), masked(FIN | CONTINUATION, &HELLO[3..])].concat();
        expect(compressing(), &input, &[text("Hello")]);
    }

    #[test]
    fn a_ping_between_fragments_leaves_them_alone() {
        let input = [
            masked(RSV1 | TEXT, &HELLO[..3]),
            masked(FIN | PING, b"?"),
            masked(CONTINUATION, b""),
            masked(FIN | CONTINUATION, &HELLO[3..]),
        ];
        expect(compressing(), &input.concat(), &[ping(b"?"), text("Hello")]);
    }

    #[test]
    fn empty_messages_are_received() {
        for payload in [&b"\0"[..], b"", b"\x02\0", b"\x03\0", b"\x03\0\0"] {
            let input = [masked(FIN | RSV1 | TEXT, payload), masked(FIN | RSV1 | TEXT, HELLO)];
            expect(compressing(), &input.concat(), &[text(""), text("Hello")]);
            expect(with_takeover(), &input.concat(), &[text(""), text("Hello")]);
        }
    }

    #[test]
    fn a_sender_may_leave_the_tail() {
        let payload = [HELLO, b"\0\0\xff\xff"].concat();
        let input = masked(FIN | RSV1 | TEXT, &payload).repeat(2);
        expect(compressing(), &input, &[text("Hello"), text("Hello")]);
    }

    #[test]
    fn large_messages_are_inflated_in_steps() {
        for bytes in [noise(100_000), vec![0; 1 << 20], b"abcdefg".repeat(20_000)] {
            let input = masked(FIN | RSV1 | BINARY, &message(&bytes));
            let mut listener = Listener::new(compressing());
            assert_eq!(listener.feed(&input).seen, [binary(&bytes)]);
            let mut listener = Listener::new(compressing());
            assert_eq!(listener.feed_window(&input, 1000).seen, [binary(&bytes)]);
        }
    }

    #[test]
    fn data_that_is_no_deflate_stream_is_refused() {
        for payload in [&b"\xff\xff\xff\xff"[..], b"\x07", b"\x01\x01\x00\x00\x00", b"\xf2\x08\x40"] {
            expect(compressing(), &masked(FIN | RSV1 | TEXT, payload), &[Seen::Failed(1007)]);
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_refused() {
        let whole = message(&b"some words that shrink, some words that shrink".repeat(20));
        for length in 1..whole.len() {
            let input = masked(FIN | RSV1 | BINARY, &whole[..length]);
            let mut listener = Listener::new(compressing());
            assert_eq!(listener.feed(&input).seen, [Seen::Failed(1007)], "{length}");
        }
    }

    #[test]
    fn text_is_checked_after_inflating() {
        for (bytes, front) in [(&b"\xff"[..], ""), (b"\xe2\x82", "a"), (b"\xed\xa0\x80", "b")] {
            let bytes = [front.as_bytes(), bytes].concat();
            let packed = message(&bytes);
            expect(compressing(), &masked(FIN | RSV1 | TEXT, &packed), &[Seen::Failed(1007)]);
            expect(compressing(), &masked(FIN | RSV1 | BINARY, &packed), &[binary(&bytes)]);
        }
        let sample = "aé€😀".repeat(30);
        let input = masked(FIN | RSV1 | TEXT, &message(sample.as_bytes()));
        expect(compressing(), &input, &[text(&sample)]);
    }

    #[test]
    fn the_limit_is_on_inflated_bytes() {
        let at_most = |max_message| Settings { max_message, ..compressing() };
        let input = masked(FIN | RSV1 | TEXT, HELLO);
        expect(at_most(5), &input, &[text("Hello")]);
        expect(at_most(4), &input, &[Seen::Failed(1009)]);
        let bomb = masked(FIN | RSV1 | BINARY, &message(&vec![0; 3 << 20]));
        let mut listener = Listener::new(at_most(1 << 20));
        assert_eq!(listener.feed(&bomb).seen, [Seen::Failed(1009)]);
        assert_eq!(listener.connection.buffered(), 0);
        let plain = masked(FIN | BINARY, &[0; 6]);
        expect(at_most(5), &plain, &[Seen::Failed(1009)]);
    }
}

mod rfc7692_7_2_3_examples {
    use super::*;

    #[test]
    fn a_message_in_one_block() {
        expect(compressing(), &masked(FIN | RSV1 | TEXT, HELLO), &[text("Hello")]);
    }

    #[test]
    fn sharing_the_window() {
        let input = [
            masked(FIN | RSV1 | TEXT, HELLO),
            masked(FIN | RSV1 | TEXT, b"\xf2\x00\x11\x00\x00"),
            masked(FIN | RSV1 | TEXT, b"\xf2\x00\x11\x00\x00"),
        ];
        let expected = [text("Hello"), text("Hello"), text("Hello")];
        expect(with_takeover(), &input.concat(), &expected);
    }

    #[test]
    fn without_takeover_the_window_is_gone() {
        let input = [masked(FIN | RSV1 | TEXT, HELLO), masked(FIN | RSV1 | TEXT, b"\xf2\x00\x11\x00\x00")];
        expect(compressing(), &input.concat(), &[text("Hello"), Seen::Failed(1007)]);
    }

    #[test]
    fn a_block_without_compression() {
        let payload = b"\x00\x05\x00\xfa\xffHello\x00";
        expect(compressing(), &masked(FIN | RSV1 | TEXT, payload), &[text("Hello")]);
    }

    #[test]
    fn a_final_block() {
        let payload = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
        let input = masked(FIN | RSV1 | TEXT, payload).repeat(3);
        let expected = [text("Hello"), text("Hello"), text("Hello")];
        expect(compressing(), &input, &expected);
        expect(with_takeover(), &input, &expected);
    }

    #[test]
    fn two_blocks_in_one_message() {
        let payload = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
        expect(compressing(), &masked(FIN | RSV1 | TEXT, payload), &[text("Hello")]);
    }
}

mod rfc7692_7_2_3_4_final_blocks {
    use super::*;

    const FINAL_HELLO: &[u8] = b"\xf3\x48\xcd\xc9\xc9\x07\x00";

    #[test]
    fn the_message_goes_on_after_a_final_block() {
        let payload = [FINAL_HELLO, FINAL_HELLO, HELLO].concat();
        expect(compressing(), &masked(FIN | RSV1 | TEXT, &payload), &[text("HelloHelloHello")]);
    }

    #[test]
    fn a_message_may_end_with_a_final_block() {
        let packed = pack(b"to the end", DeflateFlush::Finish);
        let input = masked(FIN | RSV1 | TEXT, &packed).repeat(2);
        expect(compressing(), &input, &[text("to the end"), text("to the end")]);
    }

    #[test]
    fn the_window_is_kept_over_a_final_block() {
        let reference = b"\xf2\x00\x11\x00\x00"; // refers five bytes back
        let payload = [FINAL_HELLO, reference].concat();
        expect(compressing(), &masked(FIN | RSV1 | TEXT, &payload), &[text("HelloHello")]);
        let input = [masked(FIN | RSV1 | TEXT, FINAL_HELLO), masked(FIN | RSV1 | TEXT, reference)].concat();
        expect(with_takeover(), &input, &[text("Hello"), text("Hello")]);
    }

    #[test]
    fn endless_final_blocks_are_refused() {
        let honest = FINAL_HELLO.repeat(1000);
        let mut listener = Listener::new(compressing());
        listener.feed(&masked(FIN | RSV1 | TEXT, &honest));
        assert_eq!(listener.seen, [text(&"Hello".repeat(1000))]);
        let attack = b"\x03\x00".repeat(2000);
        let mut listener = Listener::new(compressing());
        assert_eq!(listener.feed(&masked(FIN | RSV1 | TEXT, &attack)).seen, [Seen::Failed(1008)]);
    }
}

mod rfc7692_7_1_1_takeover {
    use super::*;

    /// A compressor that keeps its window, as a peer with context takeover has one.
    struct Peer(Deflate);

    impl Peer {
        fn message(&mut self, bytes: &[u8]) -> Vec<u8> {
            let before = self.0.total_out();
            let mut packed = vec![0; bytes.len() + 1000];
            self.0.compress(bytes, &mut packed, DeflateFlush::SyncFlush).expect("room");
            packed.truncate((self.0.total_out() - before) as usize);
            packed.truncate(packed.len() - 4);
            masked(FIN | RSV1 | BINARY, &packed)
        }
    }

    #[test]
    fn messages_may_refer_a_whole_window_back() {
        for window_bits in [9, 12, 15] {
            let agreed = Agreed { peer_no_context_takeover: false, peer_window_bits: window_bits, ..agreed() };
            let mut peer = Peer(Deflate::new(9, false, window_bits));
            let mut listener = Listener::new(settings(Role::Server, Some(agreed)));
            let mut expected = Vec::new();
            for round in 0..6 {
                let bytes = [noise(30_000 >> (15 - window_bits)), vec![round; 100]].concat();
                listener.feed(&peer.message(&bytes));
                expected.push(binary(&bytes));
            }
            assert_eq!(listener.seen, expected);
            assert!(listener.connection.buffered() <= 2 << window_bits);
        }
    }

    #[test]
    fn streaming_keeps_the_window_too() {
        let mut peer = Peer(Deflate::new(9, false, 15));
        let mut listener = Listener::new(with_takeover());
        listener.set_streaming(true);
        let bytes = noise(70_000);
        for _ in 0..3 {
            for piece in peer.message(&bytes).chunks(999) {
                listener.feed(piece);
            }
        }
        assert_eq!(listener.seen, [binary(&bytes), binary(&bytes), binary(&bytes)]);
    }

    #[test]
    fn an_open_message_is_counted_and_then_gone() {
        let mut listener = Listener::new(compressing());
        listener.feed(&masked(RSV1 | TEXT, &HELLO[..4]));
        assert!(listener.connection.buffered() > 32 * 1024);
        listener.feed(&masked(FIN | CONTINUATION, &HELLO[4..]));
        assert_eq!(listener.connection.buffered(), 0);
    }
}

mod rfc7692_7_2_1_compression {
    use super::*;
    use everwire_wire::{Codec, Connection};

    /// What a client makes of messages that a server sends.
    fn received(agreed: Agreed, send: impl Fn(&mut Connection, &mut Codec, &mut Vec<u8>)) -> (Vec<Seen>, usize) {
        let mut server = Connection::new(settings(Role::Server, Some(agreed)));
        let (mut codec, mut out) = (Codec::new(), Vec::new());
        send(&mut server, &mut codec, &mut out);
        let mirrored = Agreed {
            peer_no_context_takeover: agreed.our_no_context_takeover,
            peer_window_bits: agreed.our_window_bits,
            ..agreed
        };
        let mut client = Listener::new(settings(Role::Client, Some(mirrored)));
        client.feed(&out);
        (std::mem::take(&mut client.seen), out.len())
    }

    fn every_agreement() -> impl Iterator<Item = Agreed> {
        [true, false].into_iter().flat_map(|our_no_context_takeover| {
            [9, 12, 15].into_iter().flat_map(move |our_window_bits| {
                [1, 2, 9].map(|level| Agreed { our_no_context_takeover, our_window_bits, level, ..agreed() })
            })
        })
    }

    #[test]
    fn messages_are_inflated_by_the_other_side() {
        let bytes = [b"once upon a time ".repeat(5000), noise(3000)].concat();
        for agreed in every_agreement() {
            let (seen, length) = received(agreed, |server, codec, out| {
                for _ in 0..3 {
                    server.send(Kind::Binary, &bytes, codec, out).expect("open");
                }
            });
            assert_eq!(seen, [binary(&bytes), binary(&bytes), binary(&bytes)]);
            assert!(length < bytes.len() / 2, "{length} bytes with {agreed:?}");
        }
    }

    #[test]
    fn fragments_are_inflated_by_the_other_side() {
        for agreed in every_agreement() {
            let (seen, _) = received(agreed, |server, codec, out| {
                for part in [&b"to be "[..], b"or not ", b"", b"", b"to be"] {
                    server.send_fragment(Kind::Binary, part, false, codec, out).expect("open");
                    server.send_ping(b"!", codec, out).expect("open");
                }
                server.send_fragment(Kind::Binary, b"", true, codec, out).expect("open");
                server.send(Kind::Text, "the end".repeat(9).as_bytes(), codec, out).expect("open");
            });
            let messages: Vec<_> = seen.into_iter().filter(|it| *it != ping(b"!")).collect();
            assert_eq!(messages, [binary(b"to be or not to be"), text(&"the end".repeat(9))]);
        }
    }

    #[test]
    fn empty_messages_are_inflated_by_the_other_side() {
        for agreed in every_agreement() {
            let (seen, _) = received(agreed, |server, codec, out| {
                for _ in 0..3 {
                    server.send(Kind::Text, b"", codec, out).expect("open");
                }
            });
            assert_eq!(seen, [text(""), text(""), text("")]);
        }
    }

    #[test]
    fn what_would_not_shrink_is_sent_plain() {
        let bytes = noise(2000);
        let (seen, length) = received(agreed(), |server, codec, out| {
            server.send(Kind::Binary, &bytes, codec, out).expect("open");
        });
        assert_eq!((seen, length), (vec![binary(&bytes)], 2004));
    }

    #[test]
    fn below_the_threshold_messages_are_sent_plain() {
        let agreed = Agreed { threshold: 100, ..agreed() };
        let (_, length) = received(agreed, |server, codec, out| {
            server.send(Kind::Text, &[b'a'; 99], codec, out).expect("open");
        });
        assert_eq!(length, 2 + 99);
        let (_, length) = received(agreed, |server, codec, out| {
            server.send(Kind::Text, &[b'a'; 100], codec, out).expect("open");
        });
        assert!(length < 20);
    }

    #[test]
    fn takeover_makes_the_second_message_small() {
        let bytes = noise(2000);
        let agreed = Agreed { our_no_context_takeover: false, ..agreed() };
        let (seen, length) = received(agreed, |server, codec, out| {
            server.send(Kind::Binary, &bytes, codec, out).expect("open");
            server.send(Kind::Binary, &bytes, codec, out).expect("open");
        });
        assert_eq!(seen, [binary(&bytes), binary(&bytes)]);
        assert!(length < 2200);
    }

    #[test]
    fn a_freed_compressor_is_not_missed() {
        let bytes = noise(2000);
        let agreed = Agreed { our_no_context_takeover: false, ..agreed() };
        let (seen, length) = received(agreed, |server, codec, out| {
            assert_eq!(server.buffered(), 0);
            server.send(Kind::Binary, &bytes, codec, out).expect("open");
            assert!(server.buffered() > 128 * 1024);
            server.send_fragment(Kind::Binary, &bytes[..1000], false, codec, out).expect("open");
            server.free_compressor();
            assert_eq!(server.buffered(), 0);
            server.send_fragment(Kind::Binary, &bytes[1000..], true, codec, out).expect("open");
        });
        assert_eq!(seen, [binary(&bytes), binary(&bytes)]);
        assert!(length > 3000);
    }

    #[test]
    fn a_shared_frame_is_received_by_all_who_take_it() {
        let mut codec = Codec::new();
        let bytes = [noise(10_000), noise(10_000)].concat();
        for agreed in every_agreement().filter(Agreed::takes_shared_frames) {
            let (seen, _) = received(agreed, |_, codec, out| {
                assert!(frame::encode_compressed(Kind::Text, &[b'a'; 5000], codec, out));
                frame::encode(Kind::Binary, &bytes, out);
            });
            assert_eq!(seen, [text(&"a".repeat(5000)), binary(&bytes)]);
        }
        let mut out = Vec::new();
        assert!(!frame::encode_compressed(Kind::Binary, &noise(5000), &mut codec, &mut out));
        assert!(out.is_empty());
    }
}
