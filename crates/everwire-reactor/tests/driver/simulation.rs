//! A shard in simulated time, with peers in memory: no socket, no waiting.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use everwire_reactor::{Event, Id, Outflow, Payload, Peer, Settings, Shard, Source};

use super::{REQUEST, Seen, since_1970};

/// What the two kernels of a connection hold, as far as our side can tell.
#[derive(Default)]
pub struct Wire {
    /// Bytes on their way to us.
    pub to_us: VecDeque<u8>,
    /// The peer has said that nothing more comes.
    pub ended: bool,
    /// The peer's system answers with a reset.
    pub reset: bool,
    /// The peer is gone without a word: nothing arrives any more.
    pub vanished: bool,
    /// Taken from us, not arrived yet.
    in_flight: VecDeque<u8>,
    /// Arrived, not read by the peer's application.
    unread: VecDeque<u8>,
    arrived: u64,
    pub shut: bool,
}

/// Bytes that are on their way at the most, and that wait for the peer's application at the most.
const IN_FLIGHT: usize = 128 << 10;
const UNREAD: usize = 256 << 10;

/// One end of a connection in memory; the shard has the other.
#[derive(Clone, Default)]
pub struct Far(Arc<Mutex<Wire>>);

impl Far {
    pub fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().expect("one thread")
    }

    /// The peer's application reads up to `count` bytes.
    pub fn take(&self, count: usize) -> Vec<u8> {
        let mut wire = self.wire();
        let count = count.min(wire.unread.len());
        let taken = wire.unread.drain(..count).collect();
        wire.carry();
        taken
    }

    pub fn say(&self, bytes: &[u8]) {
        self.wire().to_us.extend(bytes);
    }
}

impl Wire {
    /// What is on its way arrives, if the peer is there and has room.
    fn carry(&mut self) {
        if self.vanished {
            return;
        }
        let count = self.in_flight.len().min(UNREAD - self.unread.len());
        self.unread.extend(self.in_flight.drain(..count));
        self.arrived += count as u64;
    }
}

impl Source for Far {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.wire();
        let count = buffer.len().min(wire.to_us.len());
        if count > 0 {
            for (place, byte) in buffer.iter_mut().zip(wire.to_us.drain(..count)) {
                *place = byte;
            }
            return Ok(count);
        }
        match (wire.reset, wire.ended) {
            (true, _) => Err(ErrorKind::ConnectionReset.into()),
            (_, true) => Ok(0),
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.wire();
        if wire.reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        wire.carry();
        let count = bytes.len().min(IN_FLIGHT - wire.in_flight.len());
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.in_flight.extend(&bytes[..count]);
        wire.carry();
        Ok(count)
    }

    fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write(&pieces.iter().flat_map(|piece| piece.to_vec()).collect::<Vec<_>>())
    }

    fn has_unread(&self) -> bool {
        !self.wire().to_us.is_empty()
    }

    fn take_error(&self) -> Option<io::Error> {
        self.wire().reset.then(|| ErrorKind::ConnectionReset.into())
    }

    fn outflow(&self) -> Option<Outflow> {
        let wire = self.wire();
        let window = (UNREAD - wire.unread.len()) as u32;
        Some(Outflow { arrived: wire.arrived, is_pending: !wire.in_flight.is_empty(), window })
    }

    fn shutdown_write(&self) {}

    fn shutdown(&self) {
        self.wire().shut = true;
    }

    fn descriptor(&self) -> Option<RawFd> {
        None
    }
}

/// A shard, and what time it is there.
pub struct Simulation {
    pub shard: Shard,
    pub now: Instant,
    pub seen: Vec<Seen>,
    peers: Vec<(Id, Far)>,
}

/// How far time goes from one turn to the next.
pub const STEP: Duration = Duration::from_millis(50);

impl Simulation {
    pub fn new() -> Self {
        let now = Instant::now();
        Simulation { shard: Shard::new(now, since_1970).expect("a poller"), now, seen: Vec::new(), peers: Vec::new() }
    }

    /// A peer that has connected and said nothing.
    pub fn accept(&mut self, peer: Peer, settings: &Arc<Settings>) -> (Far, Id) {
        let far = Far::default();
        let id = self.shard.accept(Box::new(far.clone()), peer, Arc::clone(settings), self.now);
        self.peers.push((id, far.clone()));
        (far, id)
    }

    /// A peer whose handshake is done.
    pub fn open(&mut self, settings: &Arc<Settings>) -> (Far, Id) {
        let (far, id) = self.accept(Peer::Local, settings);
        far.say(REQUEST);
        self.turn();
        assert!(far.take(4096).starts_with(b"HTTP/1.1 101 "));
        self.seen.clear();
        (far, id)
    }

    /// One turn, at the time that it is now.
    pub fn turn(&mut self) {
        for (id, far) in &self.peers {
            let closed = { far.wire().ended || far.wire().reset };
            self.shard.readable(*id, closed);
            self.shard.writable(*id);
        }
        let now = self.now;
        loop {
            let mut batch = self.shard.collect(|| now, now + Duration::from_secs(1), &|_| 0);
            for event in batch.events.drain(..) {
                match event {
                    Event::Message(id, kind, Payload::Scratch(range)) => {
                        self.seen.push(Seen::Message(id, kind, batch.scratch[range].to_vec()));
                    }
                    Event::Message(id, kind, Payload::Owned(bytes)) => self.seen.push(Seen::Message(id, kind, bytes)),
                    Event::Opened(id) => self.seen.push(Seen::Opened(id)),
                    Event::Closed(id, ending) => self.seen.push(Seen::Closed(id, *ending)),
                    Event::Failed(_, failure) => self.seen.push(Seen::Failed(*failure)),
                    other => self.seen.push(Seen::Other(format!("{other:?}"))),
                }
            }
            self.shard.recycle(batch);
            self.shard.flush(now);
            if !self.shard.has_work() {
                break;
            }
        }
        self.shard.expire(|| now, Duration::ZERO, now + Duration::from_secs(1));
        self.shard.flush(now);
    }

    /// Lets time go by, a turn each [`STEP`]; what `each` does comes between.
    pub fn pass(&mut self, time: Duration, mut each: impl FnMut(&mut Self)) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            each(self);
            self.turn();
        }
    }

    /// How the connection ended, if it has.
    pub fn ending(&self, id: Id) -> Option<&everwire_reactor::Ending> {
        self.seen.iter().find_map(|seen| match seen {
            Seen::Closed(of, ending) if *of == id => Some(ending),
            _ => None,
        })
    }
}
