//! Arbitrary bytes as tests: what the property tests and the fuzz targets run.

use everwire_wire::deflate::Agreed;
use everwire_wire::{Codec, Connection, Event, Kind, Payload, Role, SendError, Settings, State, Violation};

use super::{BINARY, CONTINUATION, FIN, Listener, RSV1, Seen, TEXT, agreed, binary, unmasked};

/// Codes that a connection fails with.
const FAILURES: [u16; 4] = [1002, 1007, 1008, 1009];

/// Hold that `input` is seen alike in one piece and cut into pieces, whose sizes are taken from
/// `cuts` again and again; read through the window, and streamed or not.
pub fn any_cut_is_seen_alike(settings: Settings, input: &[u8], cuts: &[usize]) {
    let mut whole = Listener::new(settings);
    whole.feed(input);
    if let Some(Seen::Failed(code)) = whole.seen.last() {
        assert!(FAILURES.contains(code), "failed with {code}");
    }
    for streaming in [false, true] {
        let mut cut = Listener::new(settings);
        cut.set_streaming(streaming);
        let mut rest = input;
        for &size in cuts.iter().cycle() {
            let (piece, later) = rest.split_at(rest.len().min(size.max(1)));
            cut.feed_window(piece, size.max(1));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(cut.seen, whole.seen, "streaming: {streaming}, cuts: {cuts:?}");
    }
}

/// What a peer sends, after a byte of settings and two for the cuts.
pub fn frames(script: &[u8]) {
    let [flags, first, second, input @ ..] = script else {
        return;
    };
    let cuts = [usize::from(*first), usize::from(*second)];
    any_cut_is_seen_alike(settings(*flags), input, &cuts);
}

/// The payload of a compressed message, or one to be compressed, after a byte of settings and two
/// for the cuts.
pub fn deflate(script: &[u8]) {
    let [flags, first, second, payload @ ..] = script else {
        return;
    };
    let agreed = agreement(*flags);
    let settings = |role, agreed| Settings { role, max_message: 100_000, deflate: Some(agreed) };
    let opcode = if flags & 1 == 0 { TEXT } else { BINARY };
    let (front, back) = payload.split_at(payload.len().min(usize::from(*first)));
    let input =
        [unmasked(RSV1 | opcode, front), unmasked(FIN | CONTINUATION, back), unmasked(FIN | RSV1 | opcode, payload)];
    let cuts = [usize::from(*first), usize::from(*second) * 16];
    any_cut_is_seen_alike(settings(Role::Client, agreed), &input.concat(), &cuts);

    let mut server = Connection::new(settings(Role::Server, agreed));
    let mut client = Listener::new(settings(Role::Client, mirrored(agreed)));
    let mut out = Vec::new();
    for (part, fin) in [(front, false), (back, true)] {
        let sent = server.send_fragment(Kind::Binary, part, fin, &mut client.codec, &mut out);
        assert_eq!(sent, Ok(()));
    }
    assert_eq!(server.send(Kind::Binary, payload, &mut client.codec, &mut out), Ok(()));
    client.feed(&out);
    assert_eq!(client.seen, [binary(payload), binary(payload)]);
}

/// Calls of one connection in any order, after a byte of settings: only documented errors appear,
/// and what it says is always valid to its peer.
pub fn operations(script: &[u8]) {
    let [flags, script @ ..] = script else { return };
    let settings = settings(*flags);
    let mut subject = Subject { connection: Connection::new(settings), codec: Codec::new(), out: Vec::new() };
    let mut script = Script(script);
    while let Some(operation) = script.byte() {
        subject.operate(operation, &mut script);
    }
    let mut peer = Listener::new(Settings {
        role: match settings.role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        },
        max_message: usize::MAX,
        deflate: settings.deflate.map(mirrored),
    });
    peer.feed(&subject.out);
    let failed = peer.seen.iter().any(|seen| matches!(seen, Seen::Failed(_)));
    assert!(!failed, "what was sent is not valid: {:?}", peer.seen.last());
    assert_eq!(subject.connection.close_sent(), peer.connection.close_received());
}

struct Subject {
    connection: Connection,
    codec: Codec,
    out: Vec<u8>,
}

impl Subject {
    fn operate(&mut self, operation: u8, script: &mut Script) {
        let Self { connection, codec, out } = self;
        let state = connection.state();
        let before = out.len();
        let result = match operation % 12 {
            0..=2 => {
                let input = script.bytes();
                self.receive(&mut input.to_vec());
                return;
            }
            3 => {
                self.fill(script.bytes());
                return;
            }
            4 => {
                let event = connection.set_streaming(script.byte().is_some_and(|it| it & 1 == 1));
                event.inspect(check);
                Ok(())
            }
            5 => connection.send(Kind::Text, &script.text(), codec, out),
            6 => connection.send(Kind::Binary, script.bytes(), codec, out),
            7 => {
                let kind = if operation < 128 { Kind::Text } else { Kind::Binary };
                let fin = script.byte().is_some_and(|it| it & 1 == 1);
                connection.send_fragment(kind, &script.text(), fin, codec, out)
            }
            8 => connection.send_ping(script.bytes(), codec, out),
            9 => connection.send_pong(script.bytes(), codec, out),
            10 => {
                let reason = String::from_utf8_lossy(script.bytes()).into_owned();
                let code = 990 + u16::from(script.byte().unwrap_or(10));
                let close = (operation < 128).then_some((code, reason.as_str()));
                connection.send_close(close, codec, out)
            }
            _ => {
                connection.free_compressor();
                connection.answer_close(codec, out);
                Ok(())
            }
        };
        if let Err(error) = result {
            assert_eq!(connection.state(), state);
            assert_eq!(out.len(), before, "an error appends nothing");
            assert!(error != SendError::Closing || state != State::Open);
        }
        assert!(!connection.is_mid_message() || !connection.close_received());
    }

    fn receive(&mut self, mut input: &mut [u8]) {
        loop {
            match self.connection.receive(input, &mut self.codec) {
                Ok((used, Some(event))) => {
                    if let Event::Message { payload: Payload::Input(range), .. } = &event {
                        assert!(range.end == used && used <= input.len());
                    }
                    check(&event);
                    input = &mut input[used..];
                }
                Ok((used, None)) => {
                    assert_eq!(used, input.len());
                    return;
                }
                Err(violation) => return self.fail(&violation),
            }
        }
    }

    fn fill(&mut self, bytes: &[u8]) {
        let Some(window) = self.connection.window(&mut self.codec) else {
            return;
        };
        let length = bytes.len().min(window.len());
        window[..length].copy_from_slice(&bytes[..length]);
        match self.connection.filled(length) {
            Ok(event) => drop(event.inspect(check)),
            Err(violation) => self.fail(&violation),
        }
    }

    fn fail(&mut self, violation: &Violation) {
        assert!(FAILURES.contains(&violation.code), "{violation}");
        self.connection.fail(violation, &mut self.codec, &mut self.out);
        assert!(self.connection.close_sent());
        assert_eq!(self.connection.buffered(), 0);
    }
}

fn check(event: &Event) {
    if let Event::Message { kind: Kind::Text, payload: Payload::Owned(bytes) } = event {
        assert!(std::str::from_utf8(bytes).is_ok());
    }
}

/// Bytes that are read as operations and their operands.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// As many bytes as the next one says.
    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte().unwrap_or(0)).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    fn text(&mut self) -> Vec<u8> {
        self.bytes().to_ascii_lowercase().iter().map(|byte| byte & 0x7F).collect()
    }
}

fn settings(flags: u8) -> Settings {
    Settings {
        role: if flags & 1 == 0 { Role::Client } else { Role::Server },
        max_message: if flags & 2 == 0 { 1000 } else { 1 << 30 },
        deflate: (flags & 4 == 0).then(|| agreement(flags)),
    }
}

fn agreement(flags: u8) -> Agreed {
    Agreed {
        our_no_context_takeover: flags & 8 == 0,
        peer_no_context_takeover: flags & 16 == 0,
        our_window_bits: 9 + (flags >> 5) % 7,
        level: if flags & 32 == 0 { 6 } else { 1 },
        threshold: if flags & 64 == 0 { 0 } else { 20 },
        ..agreed()
    }
}

/// The same agreement, seen from the other side.
pub fn mirrored(agreed: Agreed) -> Agreed {
    Agreed {
        our_no_context_takeover: agreed.peer_no_context_takeover,
        peer_no_context_takeover: agreed.our_no_context_takeover,
        our_window_bits: agreed.peer_window_bits,
        peer_window_bits: agreed.our_window_bits,
        ..agreed
    }
}
