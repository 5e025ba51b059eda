//! Large messages read through the window, and messages handed out in parts.

mod wire;

use everwire_wire::{Connection, Event, Kind, Payload, Role, Settings, limits};
use wire::{
    BINARY, CLOSE, CONTINUATION, FIN, Listener, PING, RSV1, Seen, TEXT, agreed, binary, client, masked, ping, server,
    settings, text, unmasked,
};

mod window {
    use super::*;

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn a_large_message_is_read_through_it() {
        for length in [65_536, 100_000, 1 << 20] {
            for size in [1000, 16_384, 65_536, 1 << 20] {
                let bytes = sample(length);
                let mut listener = Listener::new(server());
                listener.feed_window(&masked(FIN | BINARY, &bytes), size);
                assert_eq!(listener.seen, [binary(&bytes)], "{length} in pieces of {size}");
                assert_eq!(listener.connection.buffered(), 0);
                let mut listener = Listener::new(client());
                listener.feed_window(&unmasked(FIN | BINARY, &bytes), size);
                assert_eq!(listener.seen, [binary(&bytes)]);
            }
        }
    }

    #[test]
    fn text_is_checked_in_it() {
        let sample = "aé€😀".repeat(50_000);
        for size in [1021, 65_536] {
            let mut listener = Listener::new(server());
            listener.feed_window(&masked(FIN | TEXT, sample.as_bytes()), size);
            assert_eq!(listener.seen, [text(&sample)]);
            let bad = [sample.as_bytes(), b"\xff", sample.as_bytes()].concat();
            let mut listener = Listener::new(server());
            listener.feed_window(&masked(FIN | TEXT, &bad), size);
            assert_eq!(listener.seen, [Seen::Failed(1007)]);
            let cut = &sample.as_bytes()[..sample.len() - 1];
            let mut listener = Listener::new(server());
            listener.feed_window(&masked(FIN | TEXT, cut), size);
            assert_eq!(listener.seen, [Seen::Failed(1007)]);
        }
    }

    #[test]
    fn fragments_are_read_through_it() {
        let bytes = sample(300_000);
        let (one, two) = bytes.split_at(150_000);
        let input = [
            masked(BINARY, one),
            masked(FIN | PING, b"?"),
            masked(FIN | CONTINUATION, two),
            masked(FIN | TEXT, b"next"),
        ];
        let mut listener = Listener::new(server());
        listener.feed_window(&input.concat(), 10_000);
        assert_eq!(listener.seen, [ping(b"?"), binary(&bytes), text("next")]);
    }

    #[test]
    fn it_opens_after_real_bytes_only_and_within_large_frames_only() {
        let frame = masked(FIN | BINARY, &sample(1 << 20));
        let mut listener = Listener::new(server());
        assert!(listener.connection.window(&mut listener.codec).is_none());
        listener.feed(&frame[..14 + limits::WINDOW_AFTER - 1]);
        assert!(listener.connection.window(&mut listener.codec).is_none());
        listener.feed(&frame[14 + limits::WINDOW_AFTER - 1..][..1]);
        assert_eq!(listener.connection.window(&mut listener.codec).map(|it| it.len()), Some(limits::WINDOW));
        let mut listener = Listener::new(server());
        listener.feed(&masked(FIN | BINARY, &sample(limits::WINDOW * 2))[..14 + limits::WINDOW + 1]);
        assert!(listener.connection.window(&mut listener.codec).is_none(), "less than a window is still to come");
    }

    #[test]
    fn memory_at_most_doubles() {
        let frame = masked(FIN | BINARY, &sample(1 << 20));
        let mut listener = Listener::new(server());
        let mut fed = 100_000;
        listener.feed(&frame[..fed]);
        while let Some(window) = listener.connection.window(&mut listener.codec) {
            let length = window.len().min(50_000);
            window[..length].copy_from_slice(&frame[fed..fed + length]);
            fed += length;
            assert!(matches!(listener.connection.filled(length), Ok(None)));
            assert!(listener.connection.buffered() <= 2 * fed);
        }
        listener.feed(&frame[fed..]);
        assert_eq!(listener.seen, [binary(&sample(1 << 20))]);
    }

    #[test]
    fn what_was_given_back_serves_the_next_message() {
        let (first, second) = (sample(1 << 20), sample(300_000));
        let mut listener = Listener::new(server());
        listener.feed_window(&masked(FIN | BINARY, &first), 50_000);
        listener.codec.give_back(first.clone());
        let frame = masked(FIN | BINARY, &second);
        listener.feed(&frame[..100_000]);
        let window = listener.connection.window(&mut listener.codec).map_or(0, |window| window.len());
        assert_eq!(window, frame.len() - 100_000, "it is as long as the frame needs, not as what has arrived");
        listener.feed_window(&frame[100_000..], 50_000);
        assert_eq!(listener.seen, [binary(&first), binary(&second)]);
    }

    #[test]
    fn a_short_read_leaves_the_rest_of_it() {
        let frame = masked(FIN | BINARY, &sample(200_000));
        let mut listener = Listener::new(server());
        listener.feed(&frame[..50_000]);
        assert!(matches!(listener.connection.filled(0), Ok(None)));
        assert!(listener.connection.window(&mut listener.codec).is_some());
        listener.feed(&frame[50_000..]);
        assert_eq!(listener.seen, [binary(&sample(200_000))]);
    }
}

mod streaming {
    use super::*;

    /// The next event of `connection`, its payload owned.
    fn next(connection: &mut Connection, input: &[u8]) -> Option<Event> {
        let mut input = input.to_vec();
        let mut codec = everwire_wire::Codec::new();
        let (used, event) = connection.receive(&mut input, &mut codec).expect("valid");
        assert_eq!(used, input.len());
        Some(match event? {
            Event::Message { kind, payload } => {
                Event::Message { kind, payload: Payload::Owned(payload.bytes(&input).to_vec()) }
            }
            Event::Fragment { kind, payload, fin } => {
                Event::Fragment { kind, payload: Payload::Owned(payload.bytes(&input).to_vec()), fin }
            }
            other => other,
        })
    }

    fn part(kind: Kind, bytes: &[u8], fin: bool) -> Option<Event> {
        Some(Event::Fragment { kind, payload: Payload::Owned(bytes.to_vec()), fin })
    }

    fn streaming(settings: Settings) -> Connection {
        let mut connection = Connection::new(settings);
        assert_eq!(connection.set_streaming(true), None);
        connection
    }

    #[test]
    fn what_is_there_is_handed_out() {
        let mut connection = streaming(server());
        let frame = masked(FIN | BINARY, b"0123456789");
        assert_eq!(next(&mut connection, &frame[..6]), None);
        assert_eq!(next(&mut connection, &frame[6..9]), part(Kind::Binary, b"012", false));
        assert_eq!(connection.buffered(), 0);
        assert_eq!(next(&mut connection, &frame[9..]), part(Kind::Binary, b"3456789", true));
    }

    #[test]
    fn a_whole_frame_is_still_a_message() {
        let mut connection = streaming(server());
        let whole = Event::Message { kind: Kind::Text, payload: Payload::Owned(b"hi".to_vec()) };
        assert_eq!(next(&mut connection, &masked(FIN | TEXT, b"hi")), Some(whole));
    }

    #[test]
    fn text_is_cut_between_code_points() {
        let mut connection = streaming(server());
        assert_eq!(next(&mut connection, &masked(TEXT, b"a\xe2")), part(Kind::Text, b"a", false));
        assert_eq!(next(&mut connection, &masked(CONTINUATION, b"\x82")), None);
        let frame = masked(CONTINUATION, b"\xacb\xf0");
        assert_eq!(next(&mut connection, &frame), part(Kind::Text, "€b".as_bytes(), false));
        let frame = masked(FIN | CONTINUATION, b"\x9f\x98\x80");
        assert_eq!(next(&mut connection, &frame), part(Kind::Text, "😀".as_bytes(), true));
    }

    #[test]
    fn the_last_part_may_be_empty() {
        let mut connection = streaming(server());
        assert_eq!(next(&mut connection, &masked(BINARY, b"x")), part(Kind::Binary, b"x", false));
        let last = next(&mut connection, &masked(FIN | CONTINUATION, b""));
        assert_eq!(last, part(Kind::Binary, b"", true));
    }

    #[test]
    fn compressed_messages_come_in_parts_too() {
        let mut connection = streaming(settings(Role::Server, Some(agreed())));
        let frame = masked(RSV1 | TEXT, b"\xf2\x48\xcd");
        assert_eq!(next(&mut connection, &frame), part(Kind::Text, b"He", false));
        let frame = masked(FIN | CONTINUATION, b"\xc9\xc9\x07\x00");
        assert_eq!(next(&mut connection, &frame), part(Kind::Text, b"llo", true));
    }

    #[test]
    fn turned_on_it_hands_out_what_is_held() {
        let mut connection = Connection::new(server());
        assert_eq!(next(&mut connection, &masked(TEXT, b"a\xe2\x82")), None);
        assert_eq!(connection.set_streaming(true), part(Kind::Text, b"a", false));
        assert_eq!(connection.set_streaming(true), None);
        let frame = masked(FIN | CONTINUATION, b"\xac");
        assert_eq!(next(&mut connection, &frame), part(Kind::Text, "€".as_bytes(), true));
    }

    #[test]
    fn turned_off_the_rest_comes_as_the_last_part() {
        let mut connection = streaming(server());
        assert_eq!(next(&mut connection, &masked(BINARY, b"1")), part(Kind::Binary, b"1", false));
        assert_eq!(connection.set_streaming(false), None);
        assert_eq!(next(&mut connection, &masked(CONTINUATION, b"2")), None);
        let last = next(&mut connection, &masked(FIN | CONTINUATION, b"3"));
        assert_eq!(last, part(Kind::Binary, b"23", true));
    }

    #[test]
    fn parts_handed_out_count_against_the_limit() {
        let mut listener = Listener::new(Settings { max_message: 5, ..server() });
        listener.set_streaming(true);
        listener.feed(&masked(BINARY, b"123")).feed(&masked(FIN | CONTINUATION, b"456"));
        assert_eq!((listener.parts, listener.seen), (1, vec![Seen::Failed(1009)]));
    }

    #[test]
    fn there_is_no_window_while_streaming() {
        let mut listener = Listener::new(server());
        listener.feed(&masked(FIN | BINARY, &[0; 1 << 20])[..100_000]);
        assert!(listener.connection.window(&mut listener.codec).is_some());
        listener.set_streaming(true);
        assert_eq!(listener.parts, 1);
        assert!(listener.connection.window(&mut listener.codec).is_none());
    }

    #[test]
    fn after_the_peers_close_nothing_is_handed_out() {
        let mut listener = Listener::new(server());
        listener.feed(&masked(TEXT, b"half")).feed(&masked(FIN | CLOSE, b""));
        listener.set_streaming(true);
        assert_eq!((listener.parts, listener.connection.buffered()), (0, 0));
    }
}
