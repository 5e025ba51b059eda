//! A shard: one poller and the connections that live on it. Driven from outside, turn by turn.
//!
//! A turn is [`wait`](Shard::wait) once, then [`collect`](Shard::collect), the driver's dispatch of the batch, [`recycle`](Shard::recycle)
//! and [`flush`](Shard::flush) until nothing is left or the turn's time is up, then [`expire`](Shard::expire). The driver may call any
//! command while it dispatches: nothing is borrowed then. What a turn leaves over is on the ready list ([`has_work`](Shard::has_work));
//! the poller, being edge-triggered, will not tell again.

mod broadcast;
mod command;
mod driver;
mod getters;
mod turn;

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

pub use broadcast::{Frame, Report};
pub use command::{ClientTls, Decision};
pub use driver::Unwrapped;

use crate::connection::{Conn, Phase};
use crate::date::WallClock;
use crate::listener::Listener;
use crate::metrics::Metrics;
use crate::moment::Moment;
use crate::poller::Poller;
use crate::slots::{Id, Slots};
use crate::workspace::Workspace;

/// Marks the poller's keys of listeners; ids leave that bit free.
const LISTENER: u64 = 1 << 63;

/// Sockets, timers and limits of one event loop.
pub struct Shard {
    poller: Poller,
    listeners: Slots<Listener>,
    conns: Slots<Conn>,
    ws: Workspace,
    /// Listeners that may have somebody waiting.
    accepting: VecDeque<Id>,
    /// When to try again to accept and to read, after the process ran short of something.
    retry: Option<Moment>,
    /// Whose deadlines have come and are still to be dealt with, and by how long that turn was late.
    due: VecDeque<(Id, Duration)>,
    /// What moments are counted from.
    began: Instant,
    /// The process that made it: a forked child has copies of the sockets, and must leave the connections alone.
    process: u32,
}

impl Shard {
    /// A shard without sockets. `wall` is asked for the date of each answer.
    ///
    /// # Errors
    /// The system has no descriptor for a poller.
    pub fn new(now: Instant, wall: WallClock) -> io::Result<Self> {
        Ok(Shard {
            poller: Poller::new()?,
            listeners: Slots::default(),
            conns: Slots::default(),
            ws: Workspace::new(wall),
            accepting: VecDeque::new(),
            retry: None,
            due: VecDeque::new(),
            began: now,
            process: std::process::id(),
        })
    }

    /// The descriptor that is readable when [`Shard::wait`] has something to find.
    pub fn fd(&self) -> RawFd {
        self.poller.fd()
    }

    /// Whether nothing lives here any more.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.conns.is_empty()
    }

    /// Whether there is a listener, or a connection that is more than its last bytes on their way out.
    pub fn is_in_use(&self) -> bool {
        let is_live = |conn: &Conn| !matches!(conn.phase, Phase::Lingering | Phase::Over);
        !self.listeners.is_empty() || self.conns.iter().any(|(_, conn)| is_live(conn))
    }

    /// How many connections there are, handshakes and closing ones included.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// What was counted so far.
    pub fn metrics(&self) -> Metrics {
        self.ws.metrics
    }

    /// Whether a further [`Shard::collect`] would find something to do.
    pub fn has_work(&self) -> bool {
        let waits = !self.ws.ready.is_empty() || !self.accepting.is_empty();
        !self.ws.events.is_empty() || (waits && self.ws.short.is_none())
    }

    /// Whether deadlines have come that [`Shard::expire`] has not dealt with yet.
    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether there is output to [flush](Shard::flush).
    pub fn has_output(&self) -> bool {
        !self.ws.dirty.is_empty() || self.has_wraps()
    }

    /// When [`Shard::expire`] has to be called next; never later than the earliest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        let next = [self.ws.wheel.next(), self.retry].into_iter().flatten().min()?;
        Some(self.began + next.duration())
    }

    fn moment(&self, now: Instant) -> Moment {
        Moment::of(self.began, now)
    }

    fn make_ready(&mut self, id: Id) {
        if let Some(conn) = self.conns.get_mut(id)
            && !conn.flags.ready
            && conn.has_input()
        {
            conn.flags.ready = true;
            self.ws.ready.push_back(id);
        }
    }

    /// Removes a connection that is over, and says how it ended.
    fn collect_over(&mut self, id: Id) {
        if !self.conns.get(id).is_some_and(Conn::is_over) {
            return;
        }
        let Some(mut conn) = self.conns.remove(id) else { return };
        if let Some(listener) = conn.listener.and_then(|id| self.listeners.get_mut(id)) {
            listener.connections -= 1;
        }
        conn.release(&mut self.ws);
        self.hang_up(&conn);
        let event = conn.last_event(&mut self.ws.metrics);
        self.ws.events.push(event);
    }

    fn hang_up(&self, conn: &Conn) {
        if let Some(fd) = conn.line.source.descriptor() {
            // A descriptor that is not registered (any more) has nothing to remove.
            let _ = self.poller.remove(fd);
        }
        conn.line.source.shutdown();
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        for (_, conn) in self.conns.iter() {
            self.hang_up(conn);
        }
        let ids: Vec<Id> = self.conns.iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Some(mut conn) = self.conns.remove(id) {
                conn.release(&mut self.ws);
            }
        }
    }
}
