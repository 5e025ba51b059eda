//! The turn: what became ready, what it brought, what goes out, what time did.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::{LISTENER, Shard};
use crate::connection::{Conn, Line, Opening};
use crate::event::{Batch, Event};
use crate::listener::{Accepted, STARVED};
use crate::memory::{self, Pressure};
use crate::slots::Id;
use crate::timers::Millis;
use crate::workspace::SCRATCH;

/// Events after which a batch is full: dispatching them keeps a 1 ms timer within its millisecond.
const BATCH: usize = 64;
/// Connections that are written to between two looks at the clock.
const FLUSH: usize = 16;
/// How often to look again when memory is short.
const SHORT: Millis = 50;
/// How long nobody is read before room is made by force.
const PATIENCE: Millis = 1000;

impl Shard {
    /// Takes note of every socket that became ready. Reads nothing yet.
    pub fn wait(&mut self, now: Instant) -> io::Result<()> {
        self.ws.now = self.millis(now);
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
            let id = Id::from_bits(readiness.key);
            let Some(conn) = conns.get_mut(id) else { continue };
            conn.flags.ended |= readiness.closed;
            if readiness.readable {
                conn.flags.readable = true;
                if !conn.flags.ready && (conn.has_input() || readiness.closed) {
                    conn.flags.ready = true;
                    ws.ready.push_back(id);
                }
            }
            if readiness.writable && !conn.flags.dirty {
                conn.flags.dirty = true;
                ws.dirty.push_back(id);
            }
        }
        Ok(())
    }

    /// Reads from those who are ready, in turn, until the batch is full, `until` is past or nobody is left. `waiting` says how
    /// much memory the messages of a connection take that the application has not taken; it is asked when memory is short.
    pub fn collect(&mut self, until: Instant, waiting: &dyn Fn(Id) -> usize) -> Batch {
        let room = self.relieve(waiting);
        while self.ws.events.len() < BATCH && self.ws.has_room() && memory::held() as u64 <= room {
            // Both each time: a flood of those who are here does not lock out those who come.
            let served = self.serve_next();
            if !self.accept_next() && !served {
                break;
            }
            if Instant::now() >= until {
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
    pub fn flush(&mut self) {
        while let Some(id) = self.ws.dirty.pop_front() {
            self.flush_one(id);
        }
    }

    /// The same, until time is up; at least [`FLUSH`] connections have their turn. Who waits longer gets more in one write.
    pub fn flush_until(&mut self, until: Instant) {
        let mut count = 0;
        while let Some(id) = self.ws.dirty.pop_front() {
            // Those that were written to at once are still on the list, and cost nothing.
            count += usize::from(self.flush_one(id));
            if count == FLUSH {
                count = 0;
                if Instant::now() >= until {
                    return;
                }
            }
        }
    }

    /// Writes what one connection has to say; false if it has nothing.
    pub fn flush_one(&mut self, id: Id) -> bool {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.flags.dirty) else { return false };
        if let Line::Outside = conn.line {
            conn.flags.dirty = false;
            conn.account();
            self.outside.push(id);
            return true;
        }
        let (poller, ws) = (&self.poller, &mut self.ws);
        if catch_unwind(AssertUnwindSafe(|| conn.flush(id, poller, ws))).is_err() {
            conn.on_defect(id, ws);
        }
        self.collect_over(id);
        true
    }

    /// Deals with every deadline that has come. `late` is by how long this turn was late: peers are not blamed for that time.
    pub fn expire(&mut self, now: Instant, late: Millis) {
        self.ws.now = self.millis(now);
        if self.retry.is_some_and(|at| at <= self.ws.now) {
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
            self.retry_in(SHORT);
        }
        let mut due = Vec::new();
        self.ws.wheel.advance(self.ws.now, &mut due);
        for id in due {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.on_timer(id, late, &mut self.ws);
            }
            self.collect_over(id);
        }
    }

    fn serve_next(&mut self) -> bool {
        let Some(id) = self.ws.ready.pop_front() else { return false };
        let Some(conn) = self.conns.get_mut(id) else { return true };
        conn.flags.ready = false;
        let ws = &mut self.ws;
        if catch_unwind(AssertUnwindSafe(|| conn.serve(id, ws))).is_err() {
            conn.on_defect(id, ws);
        }
        self.make_ready(id);
        self.collect_over(id);
        true
    }

    fn accept_next(&mut self) -> bool {
        let Some(&id) = self.accepting.front() else { return false };
        let Some(listener) = self.listeners.get_mut(id) else {
            self.accepting.pop_front();
            return true;
        };
        match listener.accept() {
            Accepted::Connection(socket, peer) => {
                self.ws.metrics.accepted += 1;
                listener.connections += 1;
                let settings = Arc::clone(&listener.settings);
                let limit = settings.limits.connections;
                let surplus = listener.connections > limit;
                if listener.connections > limit + limit / 8 + 8 {
                    // Even telling them costs too much now.
                    listener.connections -= 1;
                    self.ws.metrics.refused += 1;
                    return true;
                }
                let tls = match settings.tls.as_ref().map(|context| crate::tls::Session::server(context)).transpose() {
                    Ok(tls) => tls.map(Box::new),
                    Err(_) => {
                        listener.connections -= 1;
                        self.ws.metrics.refused += 1;
                        return true;
                    }
                };
                let mut conn = Conn::new(Line::Socket(socket, tls), peer, settings, Opening::default(), self.ws.now);
                conn.listener = Some(id);
                conn.flags.surplus = surplus;
                conn.flags.readable = true;
                self.add(conn);
            }
            Accepted::Nobody => {
                listener.ready = false;
                self.accepting.pop_front();
            }
            Accepted::Again => {}
            Accepted::Starved(error) => {
                listener.ready = false;
                self.accepting.pop_front();
                self.ws.metrics.starved += 1;
                self.ws.events.push(Event::Starved(id, error));
                self.retry_in(STARVED);
            }
        }
        true
    }

    /// Gives a connection its place; it is looked at in this turn.
    pub(super) fn add(&mut self, conn: Conn) -> Id {
        let id = self.conns.insert(conn);
        let Some(conn) = self.conns.get_mut(id) else { return id };
        if let Line::Socket(socket, _) = &conn.line
            && let Err(error) = self.poller.add(socket.fd(), id.to_bits())
        {
            conn.end(Some(crate::event::Cause::Io(error)));
        }
        conn.arm(id, &mut self.ws);
        self.make_ready(id);
        self.collect_over(id);
        id
    }

    /// Acts on the process-wide memory account; how many bytes may be held for reading to go on.
    fn relieve(&mut self, waiting: &dyn Fn(Id) -> usize) -> u64 {
        let Some(limit) = self.memory_limit() else { return u64::MAX };
        let room = limit / 10 * 9;
        let held = memory::held() as u64;
        let pressure = memory::pressure(held as usize, limit);
        if pressure < Pressure::Pause {
            self.ws.short = None;
            return room;
        }
        let since = *self.ws.short.get_or_insert(self.ws.now);
        // Those who hold the most, and may never say the rest, do not keep the others waiting for long. When they are a crowd,
        // whatever is freed is taken at once by the next of them: only real room ends that.
        let is_stuck = self.ws.now >= since + PATIENCE;
        let is_due = self.ws.shed.is_none_or(|last| self.ws.now >= last + SHORT);
        if is_stuck || (pressure == Pressure::Shed && is_due) {
            self.ws.shed = Some(self.ws.now);
            let excess = held - if is_stuck { limit / 2 } else { room };
            let freed = self.shed(excess, memory::fair_part(limit), is_stuck, waiting);
            if is_stuck || freed > 0 {
                self.ws.short = Some(self.ws.now);
            }
        }
        self.retry_in(SHORT);
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
    fn shed(&mut self, excess: u64, fair: u64, in_part: bool, waiting: &dyn Fn(Id) -> usize) -> u64 {
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
            conn.shed_for_memory(id, &mut self.ws);
            self.collect_over(id);
            freed += before.saturating_sub(memory::held()) as u64;
            // What waits for the application goes when the driver hears of it.
            freed += waiting(id) as u64;
        }
        freed
    }

    fn retry_in(&mut self, delay: Millis) {
        let at = self.ws.now + delay;
        self.retry = Some(self.retry.map_or(at, |earlier| earlier.min(at)));
    }
}
