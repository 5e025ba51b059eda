//! What holds for all inputs.

mod wire;

use everwire_wire::deflate::{Agreed, Config, accept, check, offer};
use everwire_wire::{Codec, Connection, Kind, Role, Settings, mask, utf8};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::script::{self, any_cut_is_seen_alike, mirrored};
use wire::{Listener, RSV1, Seen, masked, ping};

/// Payloads of every length form, text as often as not.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..20),
        4 => "\\PC{0,40}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 120..300),
        2 => ("[a-zé€😀]{1,9}", 1..200usize).prop_map(|(text, n)| text.repeat(n).into_bytes()),
        1 => (any::<u8>(), 60_000..200_000usize).prop_map(|(byte, n)| vec![byte & 0x7F; n]),
    ]
}

/// A frame that is probably valid, in a place where it is probably valid.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => Just(0x81u8), 8 => Just(0x82), 4 => Just(0x01), 4 => Just(0x02), 6 => Just(0x00),
        6 => Just(0x80), 2 => Just(0x89), 2 => Just(0x8A), 1 => any::<u8>(),
        4 => Just(0x81 | RSV1), 2 => Just(0x01 | RSV1),
    ];
    (first, payload()).prop_map(|(first, payload)| {
        if first & 0x08 != 0 { masked(first, &payload[..payload.len().min(125)]) } else { masked(first, &payload) }
    })
}

fn agreement() -> impl Strategy<Value = Agreed> {
    (any::<bool>(), any::<bool>(), 9..=15u8, 9..=15u8, 1..=9u8, 0..200usize).prop_map(
        |(ours, peers, our_window_bits, peer_window_bits, level, threshold)| Agreed {
            our_no_context_takeover: ours,
            peer_no_context_takeover: peers,
            our_window_bits,
            peer_window_bits,
            level,
            threshold,
        },
    )
}

/// Something to send.
#[derive(Clone, Debug)]
enum Say {
    Message(Kind, Vec<u8>),
    Parts(Kind, Vec<Vec<u8>>),
    Ping(Vec<u8>),
}

fn say() -> impl Strategy<Value = Say> {
    let text = "[a-zé€😀]{0,30}".prop_map(|text| text.repeat(7).into_bytes());
    prop_oneof![
        3 => text.prop_map(|text| Say::Message(Kind::Text, text)),
        3 => payload().prop_map(|bytes| Say::Message(Kind::Binary, bytes)),
        3 => vec(payload(), 1..6).prop_map(|parts| Say::Parts(Kind::Binary, parts)),
        1 => vec(any::<u8>(), 0..=125).prop_map(Say::Ping),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_fast_mask_is_the_naive_mask(
        bytes in vec(any::<u8>(), 0..3000),
        key: [u8; 4],
        offset in 0..100usize,
    ) {
        let mut fast = bytes.clone();
        mask::apply(&mut fast, key, offset);
        let naive: Vec<u8> =
            bytes.iter().enumerate().map(|(i, byte)| byte ^ key[(i + offset) % 4]).collect();
        prop_assert_eq!(&fast, &naive);
        let mut text = bytes;
        prop_assert_eq!(mask::apply_to_text(&mut text, key, offset), naive.is_ascii());
        prop_assert_eq!(text, naive);
    }

    #[test]
    fn utf8_is_what_the_standard_library_says(bytes in payload(), noise in vec(any::<u8>(), 0..4)) {
        let bytes = [bytes, noise].concat();
        let expected = match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(bytes.len()),
            Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
            Err(_) => Err(utf8::Invalid),
        };
        prop_assert_eq!(utf8::whole_points(&bytes), expected);
        prop_assert_eq!(utf8::is_valid(&bytes), expected == Ok(bytes.len()));
    }

    #[test]
    fn any_split_gives_the_same_events(
        frames in vec(frame(), 1..12),
        cuts in vec(1..100_000usize, 1..5),
        small_cuts in vec(1..50usize, 1..5),
        deflate in proptest::option::of(agreement()),
        max_message in prop_oneof![Just(1usize << 20), 0..1000usize],
    ) {
        let settings = Settings { role: Role::Server, max_message, deflate };
        let input = frames.concat();
        any_cut_is_seen_alike(settings, &input, &cuts);
        if input.len() < 10_000 {
            any_cut_is_seen_alike(settings, &input, &small_cuts);
        }
    }

    #[test]
    fn client_and_server_understand_each_other(
        script in vec(say(), 1..10),
        deflate in proptest::option::of(agreement()),
        from_client: bool,
        size in prop_oneof![1..100usize, 1000..200_000usize],
    ) {
        let (role, other) =
            if from_client { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let mut sender = Connection::new(Settings { role, max_message: 0, deflate });
        let mut receiver = Listener::new(Settings {
            role: other,
            max_message: 10 << 20,
            deflate: deflate.map(mirrored),
        });
        let (mut codec, mut out, mut expected) = (Codec::new(), Vec::new(), Vec::new());
        for say in script {
            match say {
                Say::Message(kind, bytes) => {
                    prop_assert_eq!(sender.send(kind, &bytes, &mut codec, &mut out), Ok(()));
                    expected.push(seen(kind, bytes));
                }
                Say::Parts(kind, parts) => {
                    for (i, part) in parts.iter().enumerate() {
                        let fin = i + 1 == parts.len();
                        let sent = sender.send_fragment(kind, part, fin, &mut codec, &mut out);
                        prop_assert_eq!(sent, Ok(()));
                    }
                    expected.push(seen(kind, parts.concat()));
                }
                Say::Ping(bytes) => {
                    prop_assert_eq!(sender.send_ping(&bytes, &mut codec, &mut out), Ok(()));
                    expected.push(ping(&bytes));
                }
            }
        }
        receiver.feed_window(&out, size);
        prop_assert_eq!(receiver.seen, expected);
    }

    #[test]
    fn operations_only_give_documented_errors(script in vec(any::<u8>(), 0..3000)) {
        script::operations(&script);
        script::frames(&script);
        script::deflate(&script);
    }

    #[test]
    fn what_is_offered_and_accepted_is_agreed(
        ours in (any::<bool>(), any::<bool>(), proptest::option::of(0..20u8), proptest::option::of(0..20u8)),
        theirs in (any::<bool>(), any::<bool>(), proptest::option::of(0..20u8), proptest::option::of(0..20u8)),
    ) {
        let config = |(server, client, server_bits, client_bits)| Config {
            server_no_context_takeover: server,
            client_no_context_takeover: client,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
            ..Config::default()
        };
        let (client, server) = (config(ours), config(theirs));
        let offered = offer(&client);
        let (at_server, response) = accept(&server, &params(&offered)).expect("acceptable");
        let at_client = check(&client, &params(&response)).expect("as offered");
        prop_assert_eq!(mirrored(at_server), at_client);
        prop_assert!((9..=15).contains(&at_client.our_window_bits));
    }

    #[test]
    fn negotiation_takes_anything(names in vec(("[a-z_]{0,30}", proptest::option::of(".{0,4}")), 0..4)) {
        let params: Vec<_> =
            names.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let _ = accept(&Config::default(), &params);
        let _ = check(&Config::default(), &params);
    }
}

fn seen(kind: Kind, bytes: Vec<u8>) -> Seen {
    match kind {
        Kind::Text => Seen::Text(String::from_utf8(bytes).expect("made of text")),
        Kind::Binary => Seen::Binary(bytes),
    }
}

/// The parameters of an element of `Sec-WebSocket-Extensions`.
fn params(element: &str) -> Vec<(&str, Option<&str>)> {
    element
        .split("; ")
        .skip(1)
        .map(|param| param.split_once('=').map_or((param, None), |(name, value)| (name, Some(value))))
        .collect()
}
