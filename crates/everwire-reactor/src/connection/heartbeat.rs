//! A connection's place in time: what it was last heard to say, when to ping it, when to give it up.
//!
//! Two rules keep deadlines fair. What the peer takes of our output, however slowly, is progress, and a deadline counts from the
//! last of it ([`Conn::look`]). And what waits with us, unread or not handed out, is no silence of the peer's.

use std::time::Duration;

use everwire_wire::Control;

use super::{Conn, Phase};
use crate::event::{Cause, Event, Timeout};
use crate::moment::Moment;
use crate::source::Outflow;
use crate::workspace::Workspace;

/// Incoming pings are counted over this time, so that bursts pass.
const PING_WINDOW: Duration = Duration::from_secs(10);
/// A peer that was told the end gets this long to hang up, from the last byte of it that it took, whatever it sends.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// When things last happened.
#[derive(Clone, Copy, Default)]
pub(crate) struct Clock {
    began: Moment,
    heard: Moment,
    message: Moment,
    /// When the next ping of ours is due.
    ping_due: Moment,
    /// When the ping of ours that is not answered yet was sent.
    pinged: Moment,
    ping_payload: [u8; 4],
    /// Round trip of the last answered heartbeat, in microseconds.
    latency: Option<u32>,
    pings_since: Moment,
    pings: u32,
    /// The deadline that the wheel has for this connection.
    armed: Option<Moment>,
    /// Bytes that the source took.
    pub written: u64,
    /// How far they had come when that was last looked at.
    outflow: Outflow,
    /// The most room that the peer ever had.
    widest: u32,
}

impl Clock {
    pub fn new(now: Moment) -> Self {
        Clock { began: now, ..Clock::default() }
    }

    pub fn heard(&mut self, now: Moment) {
        self.heard = now;
    }

    pub fn message(&mut self, now: Moment) {
        self.message = now;
    }

    /// Counts a ping of the peer; false if there are too many.
    pub fn allows_ping(&mut self, now: Moment, per_second: u64) -> bool {
        if now.since(self.pings_since) >= PING_WINDOW {
            self.pings_since = now;
            self.pings = 0;
        }
        self.pings = self.pings.saturating_add(1);
        u64::from(self.pings) <= per_second.saturating_mul(PING_WINDOW.as_secs())
    }
}

impl Conn {
    /// Round trip of the last answered heartbeat.
    pub fn latency(&self) -> Option<Duration> {
        self.clock.latency.map(|micros| Duration::from_micros(u64::from(micros)))
    }

    /// Starts the heartbeat: the handshake is done.
    pub(super) fn start_clock(&mut self, now: Moment, ws: &mut Workspace) {
        self.clock.message = now;
        self.clock.heard = now;
        // How much room the peer has while nothing waits.
        self.look();
        self.schedule_ping(now, ws);
    }

    /// Tells the wheel when to come back, if it would come too late or not at all.
    pub fn arm(&mut self, ws: &mut Workspace) {
        let Some(at) = self.deadline() else { return };
        if self.clock.armed.is_none_or(|armed| at < armed) {
            self.clock.armed = Some(at);
            ws.wheel.arm(self.id, at);
        }
    }

    /// The wheel came back. `grace` is how long this process was away itself: no peer is blamed for that.
    pub fn on_timer(&mut self, grace: Duration, now: Moment, ws: &mut Workspace) {
        if self.clock.armed.is_some_and(|armed| now < armed) {
            return;
        }
        self.clock.armed = None;
        if let Some(at) = self.deadline()
            && at <= now
        {
            if grace.is_zero() {
                self.on_deadline(now, ws);
            } else {
                self.forgive(grace);
            }
        }
        if !self.is_over() {
            self.arm(ws);
        }
    }

    pub(super) fn on_pong(&mut self, payload: Control, now: Moment, ws: &mut Workspace) {
        if self.clock.pinged.is_set() && *payload == self.clock.ping_payload {
            let trip = now.since(self.clock.pinged).as_micros();
            self.clock.latency = Some(u32::try_from(trip).unwrap_or(u32::MAX).max(1));
            self.clock.pinged = Moment::NEVER;
        } else if self.flags.wants_pongs {
            ws.events.push(Event::Pong(self.id, Box::new(payload)));
        }
    }

    /// Whether the peer took some of our output since the last look: bytes arrived while others are still on their way, or its
    /// application has read some of what had filled up its side.
    pub(super) fn look(&mut self) -> bool {
        let written = Outflow { arrived: self.clock.written, is_pending: false, window: 0 };
        let seen = self.line.source.outflow().unwrap_or(written);
        let before = std::mem::replace(&mut self.clock.outflow, seen);
        let arrives = seen.arrived > before.arrived && (seen.is_pending || self.output_len() > 0);
        // One that was as wide as ever, or nearly so, grows for other reasons, too.
        let was_filled = before.window < self.clock.widest - self.clock.widest / 32;
        self.clock.widest = self.clock.widest.max(seen.window);
        arrives || (was_filled && seen.window > before.window)
    }

    /// The next time at which something has to happen.
    fn deadline(&self) -> Option<Moment> {
        let deadlines = &self.settings.deadlines;
        if let Some(closing) = &self.closing {
            let limit = match self.phase {
                Phase::Lingering | Phase::Refused => Some(deadlines.close.map_or(LINGER, |close| close.min(LINGER))),
                _ => deadlines.close,
            };
            return limit.map(|limit| closing.since + limit);
        }
        match self.phase {
            Phase::Opening(_) | Phase::Asking => deadlines.open.map(|limit| self.clock.began + limit),
            Phase::Open(_) => {
                let ping = self.clock.ping_due.is_set().then_some(self.clock.ping_due);
                [self.pong_deadline(), ping, self.idle_deadline()].into_iter().flatten().min()
            }
            Phase::Refused | Phase::Lingering | Phase::Over => None,
        }
    }

    fn pong_deadline(&self) -> Option<Moment> {
        let limit = self.settings.deadlines.ping_timeout?;
        self.clock.pinged.is_set().then(|| self.clock.pinged.max(self.clock.heard) + limit)
    }

    fn idle_deadline(&self) -> Option<Moment> {
        self.settings.deadlines.idle.map(|limit| self.clock.message + limit)
    }

    /// Moves every deadline that depends on the peer: it could not know that nobody was listening.
    fn forgive(&mut self, grace: Duration) {
        self.clock.began += grace;
        self.clock.heard += grace;
        self.clock.message += grace;
        if let Some(closing) = &mut self.closing {
            closing.since += grace;
        }
    }

    fn on_deadline(&mut self, now: Moment, ws: &mut Workspace) {
        if self.closing.is_some() {
            return self.on_closing_deadline(now);
        }
        match self.phase {
            Phase::Opening(_) | Phase::Asking => self.on_open_timeout(now, ws),
            Phase::Open(_) => self.on_beat(now, ws),
            Phase::Refused | Phase::Lingering | Phase::Over => {}
        }
    }

    fn on_closing_deadline(&mut self, now: Moment) {
        if self.look()
            && let Some(closing) = &mut self.closing
        {
            closing.since = now;
            return;
        }
        let complete = match &self.phase {
            Phase::Open(wire) => wire.state() == everwire_wire::State::Closed,
            _ => true,
        };
        self.end(if complete { None } else { Some(Cause::Timeout(Timeout::Close)) });
    }

    fn on_beat(&mut self, now: Moment, ws: &mut Workspace) {
        if self.pong_deadline().is_some_and(|at| at <= now) {
            // Always looked at, because the next look compares with this one.
            let takes = self.look();
            if takes || ws.short.is_some() || self.may_have_answered() {
                self.clock.heard = now;
                if self.is_paused() {
                    // Its pong will not be read for long. That the next ping is acknowledged shows that the other end is still there.
                    self.clock.pinged = Moment::NEVER;
                }
                return;
            }
            ws.metrics.dead += 1;
            return self.give_up(Timeout::Pong, 1011, "keepalive ping timeout", now, ws);
        }
        if self.idle_deadline().is_some_and(|at| at <= now) {
            self.clock.message = now;
            if !self.has_unread() {
                ws.events.push(Event::Idle(self.id));
            }
            return;
        }
        if self.clock.ping_due.is_set() && self.clock.ping_due <= now {
            self.schedule_ping(now, ws);
            self.ping(now, ws);
        }
    }

    /// Whether an answer to our ping may lie among what waits with us. If nobody reads because the application takes nothing,
    /// that is so for as long as the other end acknowledges what we send.
    fn may_have_answered(&self) -> bool {
        if self.is_paused() { !self.clock.outflow.is_pending && self.output_len() == 0 } else { self.has_unread() }
    }

    /// Whether input waits that was not looked at.
    fn has_unread(&self) -> bool {
        !self.stash.is_empty() || self.is_unwrapping() || self.line.source.has_unread()
    }

    /// The application, asked by [`Event::Idle`], has nothing that waits: the peer was silent for too long.
    pub fn close_idle(&mut self, now: Moment, ws: &mut Workspace) {
        self.give_up(Timeout::Idle, 1001, "idle", now, ws);
    }

    /// Sends a heartbeat, unless one is on its way: an unread one says all that a second could.
    fn ping(&mut self, now: Moment, ws: &mut Workspace) {
        if self.clock.pinged.is_set() {
            return;
        }
        self.look();
        self.clock.ping_payload = ws.codec.masks.next_key();
        let payload = self.clock.ping_payload;
        if self.send_heartbeat(&payload, ws) {
            self.clock.pinged = now;
        }
    }

    /// The next ping comes an interval from now, less a random tenth: clients that came together drift apart.
    fn schedule_ping(&mut self, now: Moment, ws: &mut Workspace) {
        self.clock.ping_due = match self.settings.deadlines.ping_interval {
            Some(interval) => {
                let interval = interval.max(Duration::from_millis(1));
                let jitter = Duration::from_millis(ws.random(interval.as_millis() as u64 / 10 + 1));
                now + (interval - jitter)
            }
            None => Moment::NEVER,
        };
    }
}
