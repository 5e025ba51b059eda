//! The turn: what became ready, what it brought, what goes out, what time did.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LISTENER, Shard};
use crate::connection::{Conn, Line, Opening, Wrapping};
use crate::event::{Batch, Cause, Event};
use crate::listener::{Accepted, STARVED};
use crate::memory::{self, Pressure};
use crate::moment::Moment;
use crate::poller::Readiness;
use crate::settings::{Settings, Tls};
use crate::slots::Id;
use crate::socket::{Peer, Socket};
use crate::workspace::{SCRATCH, Workspace};

/// Events after which a batch is full: dispatching them keeps a 1 ms timer within its millisecond.
const BATCH: usize = 64;
/// Connections that are written to between two looks at the clock.
const FLUSH: usize = 16;
/// How often to look again when memory is short.
const SHORT: Duration = Duration::from_millis(50);
/// How long nobody is read before room is made by force.
const PATIENCE: Duration = Duration::from_secs(1);

impl Shard {
    /// Takes note of every socket that became ready. Reads nothing yet.
    pub fn wait(&mut self) -> io::Result<()> {
        let Shard { poller, conns, listeners, ws, accepting, .. } = self;
        for readiness in poller.wait()? {
            if readiness.key & LISTENER != 0 {
                let id = Id::from_bits(readiness.key & !LISTENER);
                if let Some(listener) = listeners.get_mut(id)
                    && !listener.ready
                {
                    listener.ready = true;
                    accepting.push_back(id);
                }
                continue;
            }
            if let Some(conn) = conns.get_mut(Id::from_bits(readiness.key)) {
                note(conn, readiness, ws);
            }
        }
        Ok(())
    }

    /// Takes note that a source without a descriptor can be read, or that its other end has hung up.
    pub fn readable(&mut self, id: Id, closed: bool) {
        if let Some(conn) = self.conns.get_mut(id) {
            note(conn, Readiness { key: 0, readable: true, writable: false, closed }, &mut self.ws);
        }
    }

    /// Takes note that a source without a descriptor takes output again.
    pub fn writable(&mut self, id: Id) {
        if let Some(conn) = self.conns.get_mut(id) {
            note(conn, Readiness { key: 0, readable: false, writable: true, closed: false }, &mut self.ws);
        }
    }

    /// Reads from those who are ready, in turn, until the batch is full, the clock has passed `until` or nobody is left. `waiting`
    /// says how much memory the messages of a connection take that the application has not taken; it is asked when memory is short.
    pub fn collect(&mut self, clock: impl Fn() -> Instant, until: Instant, waiting: &dyn Fn(Id) -> usize) -> Batch {
        let mut now = clock();
        let room = self.relieve(waiting, self.moment(now));
        while self.ws.events.len() < BATCH && self.ws.has_room() && memory::held() as u64 <= room {
            // Both each time: a flood of those who are here does not lock out those who come.
            let served = self.serve_next(self.moment(now));
            if !self.accept_next(self.moment(now)) && !served {
                break;
            }
            now = clock();
            if now >= until {
                break;
            }
        }
        self.ws.lent.set(self.ws.owned);
        Batch { events: std::mem::take(&mut self.ws.events), scratch: std::mem::take(&mut self.ws.scratch) }
    }

    /// Takes a dispatched batch back: its buffers are used again.
    pub fn recycle(&mut self, batch: Batch) {
        let Batch { mut events, scratch } = batch;
        events.clear();
        events.append(&mut self.ws.events);
        self.ws.events = events;
        self.ws.scratch = if scratch.len() == SCRATCH { scratch } else { vec![0; SCRATCH].into_boxed_slice() };
        self.ws.used = 0;
        self.ws.owned = 0;
        self.ws.lent.set(0);
    }

    /// Takes back the payload of a large message that was copied: later messages use its memory.
    pub fn give_back(&mut self, payload: Vec<u8>) {
        self.ws.codec.give_back(payload);
    }

    /// Writes what connections have to say; what their sockets do not take now leaves when they do.
    pub fn flush(&mut self, now: Instant) {
        while let Some(id) = self.ws.dirty.pop_front() {
            self.flush_one(id, now);
        }
    }

    /// The same, until the clock has passed `until`; at least [`FLUSH`] connections have their turn. Who waits longer gets more in
    /// one write.
    pub fn flush_until(&mut self, clock: impl Fn() -> Instant, until: Instant) {
        let mut now = clock();
        let mut count = 0;
        while let Some(id) = self.ws.dirty.pop_front() {
            // Those that were written to at once are still on the list, and cost nothing.
            count += usize::from(self.flush_one(id, now));
            if count == FLUSH {
                count = 0;
                now = clock();
                if now >= until {
                    return;
                }
            }
        }
    }

    /// Writes what one connection has to say; false if it has nothing.
    pub fn flush_one(&mut self, id: Id, now: Instant) -> bool {
        let now = self.moment(now);
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.flags.dirty) else { return false };
        let (poller, ws) = (&self.poller, &mut self.ws);
        if catch_unwind(AssertUnwindSafe(|| conn.flush(poller, now, ws))).is_err() {
            conn.on_defect(now, ws);
        }
        self.collect_over(id);
        true
    }

    /// Deals with deadlines that have come, until `until` is past. `late` is by how long this turn was late: peers are not blamed
    /// for that time. Those of a crowd often come together: what is left is dealt with in the next turn.
    pub fn expire(&mut self, clock: impl Fn() -> Instant, late: Duration, until: Instant) {
        let now = self.moment(clock());
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
            let ids: Vec<Id> = self.listeners.iter().map(|(id, _)| id).collect();
            for id in ids {
                if let Some(listener) = self.listeners.get_mut(id)
                    && !listener.ready
                {
                    listener.ready = true;
                    self.accepting.push_back(id);
                }
            }
        }
        if self.ws.short.is_some() {
            // What was due just now is gone, and no socket will tell that there is memory again.
            self.retry_at(now + SHORT);
        }
        let mut due = Vec::new();
        self.ws.wheel.advance(now, &mut due);
        self.due.extend(due.into_iter().map(|id| (id, late)));
        let mut count = 0;
        while let Some((id, late)) = self.due.pop_front() {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.on_timer(late, now, &mut self.ws);
            }
            self.collect_over(id);
            count += 1;
            if count % FLUSH == 0 && clock() >= until {
                break;
            }
        }
    }

    fn serve_next(&mut self, now: Moment) -> bool {
        let Some(id) = self.ws.ready.pop_front() else { return false };
        let Some(conn) = self.conns.get_mut(id) else { return true };
        conn.flags.ready = false;
        let ws = &mut self.ws;
        if catch_unwind(AssertUnwindSafe(|| conn.serve(now, ws))).is_err() {
            conn.on_defect(now, ws);
        }
        self.make_ready(id);
        self.collect_over(id);
        true
    }

    fn accept_next(&mut self, now: Moment) -> bool {
        // The next one has its turn, whatever comes of this: a busy listener does not lock out the others.
        let Some(id) = self.accepting.pop_front() else { return false };
        let Some(listener) = self.listeners.get_mut(id) else { return true };
        match listener.accept() {
            Accepted::Connection(socket, peer) => {
                self.accepting.push_back(id);
                self.welcome(id, socket, peer, now);
            }
            Accepted::Nobody => listener.ready = false,
            Accepted::Again => self.accepting.push_back(id),
            Accepted::Starved(error) => {
                listener.ready = false;
                self.ws.metrics.starved += 1;
                self.ws.events.push(Event::Starved(id, error));
                self.retry_at(now + STARVED);
            }
        }
        true
    }

    /// Makes a connection of a socket that was accepted, if it is let in at all.
    fn welcome(&mut self, id: Id, socket: Socket, peer: Peer, now: Moment) {
        let Some(listener) = self.listeners.get_mut(id) else { return };
        self.ws.metrics.accepted += 1;
        let settings = Arc::clone(&listener.settings);
        let limit = settings.limits.connections;
        let surplus = listener.connections >= limit;
        let wrapping = match &settings.tls {
            // Even telling them costs too much now.
            _ if listener.connections >= limit + limit / 8 + 8 => None,
            Tls::None => Some(Wrapping::Plain),
            Tls::Driver => Some(Wrapping::Driver(Box::default())),
            Tls::Core(context) => {
                crate::tls::Session::server(context).ok().map(|session| Wrapping::Core(Box::new(session)))
            }
        };
        let Some(wrapping) = wrapping else {
            self.ws.metrics.refused += 1;
            return;
        };
        listener.connections += 1;
        let line = Line::new(Box::new(socket), wrapping);
        let place = self.add(line, peer, settings, Opening::default(), now);
        let Some(conn) = self.conns.get_mut(place) else { return };
        conn.listener = Some(id);
        conn.flags.surplus = surplus;
        // Most clients have said something by now.
        conn.flags.readable = true;
        self.admit(place, now);
        self.settle(place);
    }

    /// Gives a connection its place. What is known of it beside that is said before it is [settled](Shard::settle).
    pub(super) fn add(&mut self, line: Line, peer: Peer, settings: Arc<Settings>, opening: Opening, now: Moment) -> Id {
        let id = self.conns.insert_with(|id| Conn::new(id, line, peer, settings, opening, now));
        if let Some(conn) = self.conns.get_mut(id)
            && let Some(fd) = conn.line.source.descriptor()
            && let Err(error) = self.poller.add(fd, id.to_bits())
        {
            conn.end(Some(Cause::Io(error)));
        }
        id
    }

    /// Turns away whose address is over its limits, unless a PROXY header has still to name it.
    pub(super) fn admit(&mut self, id: Id, now: Moment) {
        if let Some(conn) = self.conns.get_mut(id)
            && !conn.flags.proxy
            && let Err(refusal) = conn.admit_address(now, &mut self.ws)
        {
            conn.turn_away(&refusal, now, &mut self.ws);
        }
    }

    /// Gives a connection its place in time, and in this turn.
    pub(super) fn settle(&mut self, id: Id) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.arm(&mut self.ws);
        }
        self.make_ready(id);
        self.collect_over(id);
    }

    /// Acts on the process-wide memory account; how many bytes may be held for reading to go on.
    fn relieve(&mut self, waiting: &dyn Fn(Id) -> usize, now: Moment) -> u64 {
        let Some(limit) = self.memory_limit() else { return u64::MAX };
        let room = limit / 10 * 9;
        let held = memory::held() as u64;
        let pressure = memory::pressure(held as usize, limit);
        if pressure < Pressure::Pause {
            self.ws.short = None;
            return room;
        }
        let since = *self.ws.short.get_or_insert(now);
        // Those who hold the most, and may never say the rest, do not keep the others waiting for long. When they are a crowd,
        // whatever is freed is taken at once by the next of them: only real room ends that.
        let is_stuck = now >= since + PATIENCE;
        let is_due = self.ws.shed.is_none_or(|last| now >= last + SHORT);
        if is_stuck || (pressure == Pressure::Shed && is_due) {
            self.ws.shed = Some(now);
            let excess = held - if is_stuck { limit / 2 } else { room };
            let freed = self.shed(excess, memory::fair_part(limit), is_stuck, waiting, now);
            if is_stuck || freed > 0 {
                self.ws.short = Some(now);
            }
        }
        self.retry_at(now + SHORT);
        0
    }

    fn memory_limit(&self) -> Option<u64> {
        let listeners = self.listeners.iter().map(|(_, listener)| listener.settings.limits.memory);
        let ready = self.ws.ready.front().and_then(|id| self.conns.get(*id)).map(|conn| conn.settings.limits.memory);
        listeners.chain(ready).min()
    }

    /// Closes the connections that hold the most, and more than `fair`, until `excess` bytes are free; how many are. A message
    /// that many have still to send is nobody's burden at first: most take it soon, and closing one of them frees nothing. Only
    /// when nothing else helped (`in_part`) each of them has its part of it.
    fn shed(&mut self, excess: u64, fair: u64, in_part: bool, waiting: &dyn Fn(Id) -> usize, now: Moment) -> u64 {
        let burdens = self.conns.iter().map(|(id, conn)| ((conn.burden(in_part) + waiting(id)) as u64, id));
        let mut holders: Vec<(u64, Id)> = burdens.filter(|(burden, _)| *burden > fair).collect();
        holders.sort_unstable_by_key(|(burden, _)| std::cmp::Reverse(*burden));
        let mut freed = 0;
        for (_, id) in holders {
            if freed >= excess {
                break;
            }
            let Some(conn) = self.conns.get_mut(id) else { continue };
            let before = memory::held();
            conn.shed_for_memory(now, &mut self.ws);
            self.collect_over(id);
            freed += before.saturating_sub(memory::held()) as u64;
            // What waits for the application goes when the driver hears of it.
            freed += waiting(id) as u64;
        }
        freed
    }

    fn retry_at(&mut self, at: Moment) {
        self.retry = Some(self.retry.map_or(at, |earlier| earlier.min(at)));
    }
}

/// Takes note of what a connection's source is ready for.
fn note(conn: &mut Conn, readiness: Readiness, ws: &mut Workspace) {
    conn.flags.ended |= readiness.closed;
    if readiness.readable {
        conn.flags.readable = true;
        if !conn.flags.ready && (conn.has_input() || readiness.closed) {
            conn.flags.ready = true;
            ws.ready.push_back(conn.id);
        }
    }
    if readiness.writable && !conn.flags.dirty {
        conn.flags.dirty = true;
        ws.dirty.push_back(conn.id);
    }
}
