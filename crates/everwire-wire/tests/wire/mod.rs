//! What the protocol tests speak: frames built by hand, and events in a form to compare.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod script;

use everwire_wire::deflate::Agreed;
use everwire_wire::{Codec, Connection, Event, Kind, Role, Settings};

pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// What a connection was seen to say. Fragments are joined to the message that they are parts of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Failed(u16),
}

pub fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

pub fn binary(bytes: &[u8]) -> Seen {
    Seen::Binary(bytes.to_vec())
}

pub fn ping(bytes: &[u8]) -> Seen {
    Seen::Ping(bytes.to_vec())
}

/// A frame of a client, masked; `first` is the byte with FIN, the reserved bits and the opcode.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0xA5, 0x0F, 0x3C, 0x77];
    let mut frame = head(first, 0x80, payload.len());
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A frame of a server.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, 0, payload.len());
    frame.extend(payload);
    frame
}

fn head(first: u8, mask: u8, length: usize) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..126 => head.push(mask | length as u8),
        126..65536 => {
            head.push(mask | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(mask | 127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head
}

pub fn settings(role: Role, deflate: Option<Agreed>) -> Settings {
    Settings { role, max_message: 1 << 20, deflate }
}

pub fn server() -> Settings {
    settings(Role::Server, None)
}

pub fn client() -> Settings {
    settings(Role::Client, None)
}

pub fn agreed() -> Agreed {
    Agreed {
        our_no_context_takeover: true,
        peer_no_context_takeover: true,
        our_window_bits: 15,
        peer_window_bits: 15,
        level: 6,
        threshold: 0,
    }
}

/// A connection, and what it has said so far.
pub struct Listener {
    pub connection: Connection,
    pub codec: Codec,
    pub seen: Vec<Seen>,
    /// How many events were parts of a message.
    pub parts: usize,
    open: Vec<u8>,
}

impl Listener {
    pub fn new(settings: Settings) -> Self {
        Self {
            connection: Connection::new(settings),
            codec: Codec::new(),
            seen: Vec::new(),
            parts: 0,
            open: Vec::new(),
        }
    }

    /// Let the connection receive `input` as one piece.
    pub fn feed(&mut self, input: &[u8]) -> &mut Self {
        let mut input = input.to_vec();
        let mut rest = &mut input[..];
        loop {
            match self.connection.receive(rest, &mut self.codec) {
                Ok((used, Some(event))) => {
                    self.note(event, rest);
                    rest = &mut rest[used..];
                }
                Ok((used, None)) => {
                    assert_eq!(used, rest.len(), "without an event all of the input is used");
                    return self;
                }
                Err(violation) => {
                    self.seen.push(Seen::Failed(violation.code));
                    return self;
                }
            }
        }
    }

    /// Let the connection receive `input` in pieces of `size` bytes, through its window if it has
    /// one.
    pub fn feed_window(&mut self, mut input: &[u8], size: usize) -> &mut Self {
        while !input.is_empty() {
            if let Some(window) = self.connection.window(&mut self.codec) {
                let length = size.min(window.len()).min(input.len());
                let (piece, rest) = input.split_at(length);
                window[..length].copy_from_slice(piece);
                input = rest;
                match self.connection.filled(length) {
                    Ok(Some(event)) => self.note(event, &[]),
                    Ok(None) => {}
                    Err(violation) => self.seen.push(Seen::Failed(violation.code)),
                }
            } else {
                let (piece, rest) = input.split_at(size.min(input.len()));
                input = rest;
                self.feed(piece);
            }
        }
        self
    }

    /// Switch streaming, and note what that hands out.
    pub fn set_streaming(&mut self, on: bool) -> &mut Self {
        if let Some(event) = self.connection.set_streaming(on) {
            self.note(event, &[]);
        }
        self
    }

    fn note(&mut self, event: Event, input: &[u8]) {
        let seen = match event {
            Event::Message { kind, payload } => {
                assert!(self.open.is_empty(), "a message within another one");
                whole(kind, payload.bytes(input).to_vec())
            }
            Event::Fragment { kind, payload, fin } => {
                let bytes = payload.bytes(input);
                assert!(fin || !bytes.is_empty(), "an empty part says nothing");
                assert!(kind == Kind::Binary || std::str::from_utf8(bytes).is_ok());
                self.parts += 1;
                self.open.extend_from_slice(bytes);
                if !fin {
                    return;
                }
                whole(kind, std::mem::take(&mut self.open))
            }
            Event::Ping(payload) => Seen::Ping(payload.to_vec()),
            Event::Pong(payload) => Seen::Pong(payload.to_vec()),
            Event::Close(received) => Seen::Close(received.code, received.reason),
        };
        self.seen.push(seen);
    }
}

fn whole(kind: Kind, bytes: Vec<u8>) -> Seen {
    match kind {
        Kind::Text => Seen::Text(String::from_utf8(bytes).expect("text is UTF-8")),
        Kind::Binary => Seen::Binary(bytes),
    }
}

/// Hold that `input` is seen as `expected`, wherever it is cut: in one piece, byte by byte, in two
/// pieces cut at every place, and all that again while streaming.
pub fn expect(settings: Settings, input: &[u8], expected: &[Seen]) {
    for streaming in [false, true] {
        let listen = || {
            let mut listener = Listener::new(settings);
            listener.set_streaming(streaming);
            listener
        };
        assert_eq!(listen().feed(input).seen, expected, "in one piece");
        for size in [1, 2, 3, 7, 1000] {
            let mut listener = listen();
            for piece in input.chunks(size) {
                listener.feed(piece);
            }
            assert_eq!(listener.seen, expected, "in pieces of {size}, streaming: {streaming}");
        }
        // Cuts at every place, but of a long input only around its ends.
        for cut in (0..=input.len()).filter(|cut| *cut < 300 || input.len() - cut < 40) {
            let (front, back) = input.split_at(cut);
            let mut listener = listen();
            assert_eq!(listener.feed(front).feed(back).seen, expected, "cut at {cut}");
        }
    }
}
