#![allow(clippy::panic, dead_code, reason = "test support; each test file uses a part of it")]
//! A driver for tests: a shard with a server, turned until something happens, and raw sockets as peers.

pub mod simulation;

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use everwire_reactor::limits::{Deadlines, Limits};
use everwire_reactor::memory::Charge;
use everwire_reactor::{Event, Id, Origins, Overflow, Payload, Settings, Shard, Socket, Tls};
use everwire_wire::handshake::forwarded;
use everwire_wire::{Kind, Role};

/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Driver {
    pub shard: Shard,
    pub address: std::net::SocketAddr,
    /// What happened and was not asked for yet.
    pub seen: Vec<Seen>,
    /// What messages that the application has not taken hold, by connection.
    pub waiting: HashMap<u64, Charge>,
}

/// An event with its payload copied out.
#[derive(Debug)]
pub enum Seen {
    Opened(Id),
    Message(Id, Kind, Vec<u8>),
    Drained(Id),
    Closed(Id, everwire_reactor::Ending),
    Failed(everwire_reactor::Failure),
    Other(String),
}

pub fn settings() -> Settings {
    Settings {
        role: Role::Server,
        limits: Limits::default(),
        deadlines: Deadlines::default(),
        deflate: None,
        subprotocols: Vec::new(),
        origins: Origins::Same,
        allowed_hosts: Vec::new(),
        server: None,
        hsts: None,
        asks: false,
        proxy_protocol: false,
        trusted: Vec::new(),
        forwarded: forwarded::Source::XForwardedFor,
        tls: Tls::None,
        secure: false,
        loopback: true,
        overflow: Overflow::Skip,
    }
}

/// What the wall clock says in these tests, always.
pub fn since_1970() -> Duration {
    Duration::from_secs(784_111_777)
}

impl Driver {
    /// A shard that listens on a free port of loopback.
    pub fn new(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut shard = Shard::new(Instant::now(), since_1970).expect("a poller");
        let socket = Socket::adopt(listener.into()).expect("a socket");
        shard.listen(socket, Arc::new(settings)).expect("listening");
        Driver { shard, address, seen: Vec::new(), waiting: HashMap::new() }
    }

    /// One turn, as an event loop would run it.
    pub fn turn(&mut self) {
        let now = Instant::now();
        self.shard.wait().expect("the poller works");
        let waiting = &self.waiting;
        let waiting = |id: Id| waiting.get(&id.to_bits()).map_or(0, Charge::bytes);
        let batch = self.shard.collect(Instant::now, now + Duration::from_millis(1), &waiting);
        for event in &batch.events {
            self.seen.push(match event {
                Event::Opened(id) => Seen::Opened(*id),
                Event::Message(id, kind, Payload::Scratch(range)) => {
                    Seen::Message(*id, *kind, batch.scratch[range.clone()].to_vec())
                }
                Event::Message(id, kind, Payload::Owned(bytes)) => Seen::Message(*id, *kind, bytes.clone()),
                Event::Drained(id) => Seen::Drained(*id),
                Event::Idle(id) => {
                    self.shard.close_idle(*id, now);
                    continue;
                }
                other => Seen::Other(format!("{other:?}")),
            });
        }
        let mut batch = batch;
        for event in batch.events.drain(..) {
            match event {
                Event::Closed(id, ending) => self.seen.push(Seen::Closed(id, *ending)),
                Event::Shed(id) => drop(self.waiting.remove(&id.to_bits())),
                Event::Failed(_, failure) => self.seen.push(Seen::Failed(*failure)),
                _ => {}
            }
        }
        self.shard.recycle(batch);
        self.shard.flush(Instant::now());
        self.shard.expire(Instant::now, Duration::ZERO, Instant::now() + Duration::from_millis(1));
        self.shard.flush(Instant::now());
    }

    /// Turns until `find` finds something in what was seen, and takes it out.
    pub fn until<R>(&mut self, what: &str, find: impl Fn(&Seen) -> Option<R>) -> R {
        let began = Instant::now();
        loop {
            if let Some(at) = self.seen.iter().position(|seen| find(seen).is_some()) {
                let seen = self.seen.remove(at);
                if let Some(found) = find(&seen) {
                    return found;
                }
            }
            assert!(began.elapsed() < PATIENCE, "{what} did not happen; seen: {:?}", self.seen);
            self.turn();
        }
    }

    /// Turns for a while.
    pub fn turn_for(&mut self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.turn();
        }
    }

    /// A peer whose handshake is done, and the connection that it got.
    pub fn open(&mut self) -> (Peer, Id) {
        let mut peer = self.connect();
        peer.write(REQUEST);
        let id = self.until("the opening", |seen| match seen {
            Seen::Opened(id) => Some(*id),
            _ => None,
        });
        let head = peer.read_until(self, b"\r\n\r\n");
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        (peer, id)
    }

    pub fn connect(&mut self) -> Peer {
        let stream = TcpStream::connect(self.address).expect("the listener accepts");
        stream.set_nonblocking(true).expect("a socket");
        Peer { stream, input: Vec::new() }
    }

    pub fn message(&mut self) -> (Id, Kind, Vec<u8>) {
        self.until("a message", |seen| match seen {
            Seen::Message(id, kind, bytes) => Some((*id, *kind, bytes.clone())),
            _ => None,
        })
    }
}

/// A client's socket, driven by hand.
pub struct Peer {
    stream: TcpStream,
    pub input: Vec<u8>,
}

pub const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

impl Peer {
    /// Writes what the socket takes at once; tests stay below its buffer, or do not care.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        match self.stream.write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("cannot write: {error}"),
        }
    }

    /// Writes all of it, turning the shard meanwhile.
    pub fn write_all(&mut self, driver: &mut Driver, mut bytes: &[u8]) {
        let began = Instant::now();
        while !bytes.is_empty() {
            let count = self.write(bytes);
            bytes = &bytes[count..];
            driver.turn();
            assert!(began.elapsed() < PATIENCE, "the server does not read");
        }
    }

    /// Reads what is there; false at the end.
    pub fn read(&mut self) -> bool {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
    }

    /// Reads, and forgets, at most so many bytes.
    pub fn read_some(&mut self, most: usize) {
        match self.stream.read(&mut vec![0; most]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("cannot read: {error}"),
        }
    }

    /// Reads up to and with `end`, turning the shard.
    pub fn read_until(&mut self, driver: &mut Driver, end: &[u8]) -> Vec<u8> {
        let began = Instant::now();
        loop {
            if let Some(at) = self.input.windows(end.len()).position(|window| window == end) {
                return self.input.drain(..at + end.len()).collect();
            }
            driver.turn();
            self.read();
            assert!(began.elapsed() < PATIENCE, "no {end:?} in {:?}", self.input);
        }
    }

    /// Reads everything up to the end of the connection, turning the shard.
    pub fn read_to_end(&mut self, driver: &mut Driver) -> Vec<u8> {
        let began = Instant::now();
        while self.read() {
            driver.turn();
            assert!(began.elapsed() < PATIENCE, "the connection does not end");
        }
        std::mem::take(&mut self.input)
    }

    pub fn shutdown_write(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("connected");
    }
}

/// A masked frame with the key 0: its payload is as written.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
