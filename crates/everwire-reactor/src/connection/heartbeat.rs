//! A connection's place in time: what it was last heard to say, when to ping it, when to give it up.

use std::time::Duration;

use everwire_wire::Control;

use super::{Conn, Phase};
use crate::event::{Cause, Event, Timeout};
use crate::slots::Id;
use crate::timers::Millis;
use crate::workspace::Workspace;

/// Incoming pings are counted over this time, so that bursts pass.
const PING_WINDOW: Millis = 10_000;
/// A peer that was told the end gets this long to hang up, whatever it sends.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// When things last happened; milliseconds of the shard's time, 0 for "never".
#[derive(Clone, Copy, Default)]
pub(crate) struct Clock {
    began: Millis,
    heard: Millis,
    message: Millis,
    /// When the next ping of ours is due.
    ping_due: Millis,
    /// When the ping of ours that is not answered yet was sent.
    pinged: Millis,
    ping_payload: [u8; 4],
    /// The same moment in microseconds of the shard's stopwatch.
    pinged_at: u32,
    /// Round trip of the last answered heartbeat, in microseconds.
    latency: Option<u32>,
    pings_since: Millis,
    pings: u32,
    /// The deadline that the wheel has for this connection.
    armed: Option<Millis>,
}

impl Clock {
    pub fn new(now: Millis) -> Self {
        Clock { began: now, ..Clock::default() }
    }

    pub fn heard(&mut self, now: Millis) {
        self.heard = now;
    }

    pub fn message(&mut self, now: Millis) {
        self.message = now;
    }

    /// Counts a ping of the peer; false if there are too many.
    pub fn allows_ping(&mut self, now: Millis, per_second: u64) -> bool {
        if now >= self.pings_since + PING_WINDOW {
            self.pings_since = now;
            self.pings = 0;
        }
        self.pings = self.pings.saturating_add(1);
        u64::from(self.pings) <= per_second.saturating_mul(PING_WINDOW / 1000)
    }
}

impl Conn {
    /// Round trip of the last answered heartbeat.
    pub fn latency(&self) -> Option<Duration> {
        self.clock.latency.map(|micros| Duration::from_micros(u64::from(micros)))
    }

    /// Starts the heartbeat: the handshake is done.
    pub(super) fn start_clock(&mut self, ws: &mut Workspace) {
        self.clock.message = ws.now;
        self.clock.heard = ws.now;
        self.schedule_ping(ws);
    }

    /// Tells the wheel when to come back, if it would come too late or not at all.
    pub fn arm(&mut self, id: Id, ws: &mut Workspace) {
        let Some(at) = self.deadline() else { return };
        if self.clock.armed.is_none_or(|armed| at < armed) {
            self.clock.armed = Some(at);
            ws.wheel.arm(id, at);
        }
    }

    /// The wheel came back. `grace` is how long this process was away itself: no peer is blamed for that.
    pub fn on_timer(&mut self, id: Id, grace: Millis, ws: &mut Workspace) {
        if self.clock.armed.is_some_and(|armed| ws.now < armed) {
            return;
        }
        self.clock.armed = None;
        if let Some(at) = self.deadline()
            && at <= ws.now
        {
            if grace > 0 {
                self.forgive(grace);
            } else {
                self.on_deadline(id, ws);
            }
        }
        if !self.is_over() {
            self.arm(id, ws);
        }
    }

    pub(super) fn on_pong(&mut self, id: Id, payload: Control, ws: &mut Workspace) {
        if self.clock.pinged != 0 && *payload == self.clock.ping_payload {
            self.clock.latency = Some(ws.micros().wrapping_sub(self.clock.pinged_at).max(1));
            self.clock.pinged = 0;
        } else if self.flags.wants_pongs {
            ws.events.push(Event::Pong(id, Box::new(payload)));
        }
    }

    /// The next time at which something has to happen.
    fn deadline(&self) -> Option<Millis> {
        let deadlines = &self.settings.deadlines;
        if let Some(closing) = &self.closing {
            let limit = match self.phase {
                Phase::Lingering | Phase::Refused => Some(deadlines.close.map_or(LINGER, |close| close.min(LINGER))),
                _ => deadlines.close,
            };
            return limit.map(|limit| closing.since + millis(limit));
        }
        match self.phase {
            Phase::Opening(_) | Phase::Asking => deadlines.open.map(|limit| self.clock.began + millis(limit)),
            Phase::Open(_) => {
                let idle = deadlines.idle.map(|limit| self.clock.message + millis(limit));
                [self.pong_deadline(), self.ping_due(), idle].into_iter().flatten().min()
            }
            Phase::Refused | Phase::Lingering | Phase::Over => None,
        }
    }

    fn pong_deadline(&self) -> Option<Millis> {
        match self.clock.pinged {
            0 => None,
            pinged => self.settings.deadlines.ping_timeout.map(|limit| pinged.max(self.clock.heard) + millis(limit)),
        }
    }

    fn ping_due(&self) -> Option<Millis> {
        (self.clock.ping_due != 0).then_some(self.clock.ping_due)
    }

    /// Moves every deadline that depends on the peer: it could not know that nobody was listening.
    fn forgive(&mut self, grace: Millis) {
        self.clock.began += grace;
        self.clock.heard += grace;
        self.clock.message += grace;
        if let Some(closing) = &mut self.closing {
            closing.since += grace;
        }
    }

    fn on_deadline(&mut self, id: Id, ws: &mut Workspace) {
        if self.closing.is_some() {
            let complete = match &self.phase {
                Phase::Open(wire) => wire.state() == everwire_wire::State::Closed,
                _ => true,
            };
            return self.end(if complete { None } else { Some(Cause::Timeout(Timeout::Close)) });
        }
        match self.phase {
            Phase::Opening(_) | Phase::Asking => self.on_open_timeout(id, ws),
            Phase::Open(_) => self.on_beat(id, ws),
            Phase::Refused | Phase::Lingering | Phase::Over => {}
        }
    }

    fn on_beat(&mut self, id: Id, ws: &mut Workspace) {
        if self.pong_deadline().is_some_and(|at| at <= ws.now) {
            if self.flags.paused || ws.short.is_some() {
                // Its pong may lie unread in the socket: the application, or the lack of memory, does not let us look.
                self.clock.heard = ws.now;
                return;
            }
            ws.metrics.dead += 1;
            return self.give_up(id, Timeout::Pong, 1011, "keepalive ping timeout", ws);
        }
        if let Some(limit) = self.settings.deadlines.idle
            && self.clock.message + millis(limit) <= ws.now
        {
            return self.give_up(id, Timeout::Idle, 1001, "idle", ws);
        }
        if self.ping_due().is_some_and(|at| at <= ws.now) {
            self.schedule_ping(ws);
            self.ping(id, ws);
        }
    }

    /// Sends a heartbeat, unless one is on its way: an unread one says all that a second could.
    fn ping(&mut self, id: Id, ws: &mut Workspace) {
        if self.clock.pinged != 0 {
            return;
        }
        self.clock.ping_payload = ws.codec.masks.next_key();
        self.clock.pinged = ws.now.max(1);
        self.clock.pinged_at = ws.micros();
        let payload = self.clock.ping_payload;
        if self.send_ping(id, &payload, ws).is_err() {
            self.clock.pinged = 0;
        }
    }

    /// The next ping comes an interval from now, less a random tenth: clients that came together drift apart.
    fn schedule_ping(&mut self, ws: &mut Workspace) {
        self.clock.ping_due = match self.settings.deadlines.ping_interval {
            Some(interval) => {
                let interval = millis(interval).max(1);
                ws.now + interval - ws.random(interval / 10 + 1)
            }
            None => 0,
        };
    }
}

fn millis(duration: Duration) -> Millis {
    duration.as_millis() as Millis
}
