//! What all connections of a shard work with, one at a time.

use std::collections::VecDeque;

use everwire_wire::Codec;

use crate::address::Addresses;
use crate::date::{Date, WallClock};
use crate::event::Event;
use crate::memory::Charge;
use crate::metrics::Metrics;
use crate::moment::Moment;
use crate::outbox::Pool;
use crate::slots::Id;
use crate::timers::Wheel;

/// Bytes that one read asks for. A read that brings fewer has emptied the socket.
pub(crate) const READ: usize = 64 * 1024;
/// Bytes of the scratch buffer: a batch ends when no further read fits.
pub(crate) const SCRATCH: usize = 6 * READ;

/// The shared tools: one scratch buffer, one codec, one wheel, one list of events.
pub(crate) struct Workspace {
    pub codec: Codec,
    pub scratch: Box<[u8]>,
    /// How much of the scratch buffer the events of this batch refer to.
    pub used: usize,
    /// Bytes of messages of this batch that have their own buffers.
    pub owned: usize,
    /// What a batch that the driver has holds of them.
    pub lent: Charge,
    pub events: Vec<Event>,
    pub metrics: Metrics,
    pub pool: Pool,
    pub wheel: Wheel,
    pub addresses: Addresses,
    pub date: Date,
    /// Since when nobody is read, because memory is short.
    pub short: Option<Moment>,
    /// When connections were last closed for it.
    pub shed: Option<Moment>,
    /// Who has something to read, in the order of service.
    pub ready: VecDeque<Id>,
    /// Who has something to write.
    pub dirty: VecDeque<Id>,
    /// Whose output the driver is to wrap.
    pub wraps: VecDeque<Id>,
}

impl Workspace {
    pub fn new(wall: WallClock) -> Self {
        Workspace {
            codec: Codec::new(),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            used: 0,
            owned: 0,
            lent: Charge::default(),
            events: Vec::new(),
            metrics: Metrics::default(),
            pool: Pool::default(),
            wheel: Wheel::default(),
            addresses: Addresses::default(),
            date: Date::new(wall),
            short: None,
            shed: None,
            ready: VecDeque::new(),
            dirty: VecDeque::new(),
            wraps: VecDeque::new(),
        }
    }

    /// Whether one more read fits behind what the events refer to. A large message ends its batch: its answer is on its way
    /// while the next one is read, and the two are not held at once.
    pub fn has_room(&self) -> bool {
        self.used + READ + KEPT <= self.scratch.len() && self.owned < READ
    }

    /// A number below `bound`, for jitter.
    pub fn random(&mut self, bound: u64) -> u64 {
        u64::from(u32::from_ne_bytes(self.codec.masks.next_key())) % bound.max(1)
    }
}

/// Room for an incomplete TLS record or handshake that is put before newly read bytes.
pub(crate) const KEPT: usize = READ + 1024;
