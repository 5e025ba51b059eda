//! The end of a connection: the closing handshake (RFC 6455 §7), failing it, hanging up.

use everwire_wire as wire;
use everwire_wire::close::Received;
use everwire_wire::handshake::{BodyReader, Refusal, Stamp};
use everwire_wire::{Role, State, Violation};

use super::{Conn, Head, Phase};
use crate::event::{Cause, Ending, Event, Failure, Timeout};
use crate::metrics::Metrics;
use crate::moment::Moment;
use crate::workspace::Workspace;

/// Memory of output that is kept for a close frame behind it, when memory is short.
const LAST_WORDS: usize = 128 * 1024;

/// What is known of the end while it goes on.
#[derive(Default)]
pub(crate) struct Closing {
    pub ending: Ending,
    /// Since when the peer has had time to finish: since it was told, or took the last of what it was told.
    pub since: Moment,
    /// The body of an answer that refused our handshake.
    pub body: BodyReader,
    /// What to do with the socket once everything is written.
    pub then: Then,
}

/// What follows the last byte of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing yet: the peer has its turn.
    #[default]
    Stay,
    /// Tell the peer that nothing more comes, and wait for it to hang up: closing at once would turn what it still sends into
    /// a reset that overtakes our last words.
    HalfClose,
    /// Close.
    Drop,
}

impl Conn {
    /// Begins the closing handshake for the application.
    pub fn close(
        &mut self,
        close: Option<(u16, &str)>,
        now: Moment,
        ws: &mut Workspace,
    ) -> Result<(), wire::SendError> {
        let Phase::Open(wire) = &mut self.phase else { return Err(wire::SendError::Closing) };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(1, |out| wire.send_close(close, &mut ws.codec, out))?;
        let closing = self.closing.get_or_insert_default();
        closing.ending.sent = Some(said(close));
        closing.since = now;
        self.look();
        self.wake_for_output(ws);
        self.arm(ws);
        Ok(())
    }

    /// Closes on the peer for breaking a limit of ours.
    pub fn close_for_limit(&mut self, code: u16, reason: &'static str, now: Moment, ws: &mut Workspace) {
        self.fail(code, reason, Cause::Limit(reason.to_owned()), now, ws);
    }

    pub(super) fn on_violation(&mut self, violation: Violation, now: Moment, ws: &mut Workspace) {
        let text = violation.reason.clone().into_owned();
        let cause = if violation.code == 1009 { Cause::Limit(text) } else { Cause::Protocol(text) };
        self.fail(violation.code, &violation.reason, cause, now, ws);
    }

    /// The peer's close frame came: answer with its code and reason; a server then hangs up first (RFC 6455 §7.1.1).
    pub(super) fn on_close(&mut self, received: Received, now: Moment, ws: &mut Workspace) {
        let Phase::Open(wire) = &mut self.phase else { return };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        let said = received.code.map(|code| (code, received.reason.as_str()));
        // It fails only if our close frame is on its way already, which then is the answer.
        let _ = outbox.append(1, |out| wire.send_close(said, &mut ws.codec, out));
        let is_server = wire.role() == Role::Server;
        let closing = self.closing.get_or_insert_default();
        closing.since = now;
        closing.then = if is_server { Then::Drop } else { Then::Stay };
        if closing.ending.sent.is_none() {
            closing.ending.received_first = true;
            closing.ending.sent = Some(received.clone());
            ws.events.push(Event::Closing(self.id));
        }
        closing.ending.received = Some(received);
        self.look();
        self.wake_for_output(ws);
        self.arm(ws);
    }

    /// Gives up on a peer that missed a deadline: tells it, and ends without waiting.
    pub(super) fn give_up(
        &mut self,
        timeout: Timeout,
        code: u16,
        reason: &'static str,
        now: Moment,
        ws: &mut Workspace,
    ) {
        self.fail(code, reason, Cause::Timeout(timeout), now, ws);
    }

    /// Fails the connection (RFC 6455 §7.1.7): a close frame, then nothing more of the peer's is looked at.
    fn fail(&mut self, code: u16, reason: &str, cause: Cause, now: Moment, ws: &mut Workspace) {
        let Phase::Open(wire) = &mut self.phase else { return };
        let was_open = wire.state() == State::Open;
        let violation = Violation { code, reason: reason.to_owned().into() };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(1, |out| wire.fail(&violation, &mut ws.codec, out));
        let closing = self.closing.get_or_insert_default();
        if closing.ending.sent.is_none() {
            closing.ending.sent = Some(Received { code: Some(code), reason: reason.to_owned() });
        }
        closing.ending.cause = Some(cause);
        if was_open {
            ws.events.push(Event::Closing(self.id));
        }
        self.linger(now, ws);
    }

    /// Closes because memory is short, with 1013 if the peer can be told soon: behind a frame that is half sent and too large to be
    /// kept for that, it cannot.
    pub fn shed_for_memory(&mut self, now: Moment, ws: &mut Workspace) {
        ws.events.push(Event::Shed(self.id));
        if self.outbox.as_ref().is_some_and(|outbox| outbox.front_memory() > LAST_WORDS) {
            self.end(Some(Cause::Limit("short of memory".to_owned())));
        } else {
            self.shed(now, ws);
        }
    }

    /// Closes on a peer that is too slow (1013: come back later). Output that it has not begun to receive is dropped.
    pub fn shed(&mut self, now: Moment, ws: &mut Workspace) {
        if let Some(outbox) = &mut self.outbox {
            outbox.keep_front();
        }
        match self.phase {
            Phase::Open(_) => self.close_for_limit(1013, "too slow: try again later", now, ws),
            _ => self.end(Some(Cause::Limit("short of memory".to_owned()))),
        }
        self.account();
    }

    /// The event that says how it ended.
    pub fn last_event(self, metrics: &mut Metrics) -> Event {
        let client = self.address();
        let closing = self.closing.map(|closing| *closing).unwrap_or_default();
        let (request, response) = match self.head {
            Some(Head::Request(request)) => (Some(request), None),
            Some(Head::Response(response)) => (None, Some(response)),
            None => (None, None),
        };
        if self.flags.opened {
            metrics.closed += 1;
            return Event::Closed(self.id, Box::new(Ending { request, client, ..closing.ending }));
        }
        let cause = closing.ending.cause.unwrap_or(Cause::Eof);
        let body = closing.body.into_bytes();
        Event::Failed(self.id, Box::new(Failure { listener: self.listener, cause, response, body }))
    }

    /// A defect of ours: this connection ends, the others do not.
    pub fn on_defect(&mut self, now: Moment, ws: &mut Workspace) {
        ws.metrics.defects += 1;
        self.fail(1011, "internal error", Cause::Defect, now, ws);
        if !matches!(self.phase, Phase::Lingering) {
            self.end(Some(Cause::Defect));
        }
    }

    /// Answers a handshake with a refusal, and hangs up when it is written.
    pub fn refuse(&mut self, refusal: &Refusal, now: Moment, ws: &mut Workspace) {
        let mut refusal = refusal.clone();
        refusal.fields.extend(self.settings.transport_security());
        let to_head = self.asked_for_head();
        let stamp = Stamp { date: ws.date.now(), server: self.settings.server.as_deref() };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(1, |out| refusal.write(&stamp, to_head, out));
        self.refused(refusal.status, refusal.reason.to_string(), now, ws);
    }

    /// Hangs up on a handshake that was answered with something else than 101.
    pub(super) fn refused(&mut self, status: u16, text: String, now: Moment, ws: &mut Workspace) {
        ws.metrics.refused += 1;
        let closing = self.closing.get_or_insert_default();
        closing.ending.cause = Some(Cause::Refused(status, text));
        self.linger(now, ws);
    }

    /// TLS failed: its alert is the last that the peer hears.
    pub fn on_tls_failure(&mut self, text: String, now: Moment, ws: &mut Workspace) {
        let closing = self.closing.get_or_insert_default();
        closing.ending.cause = Some(Cause::Tls(text));
        if let Phase::Open(_) = self.phase {
            ws.events.push(Event::Closing(self.id));
        }
        self.withdraw(ws);
        self.outbox = None;
        self.linger(now, ws);
    }

    pub(super) fn on_open_timeout(&mut self, now: Moment, ws: &mut Workspace) {
        self.withdraw(ws);
        if self.settings.role == Role::Server && !self.line.is_handshaking() {
            let limit = self.settings.deadlines.open.unwrap_or_default().as_secs_f64();
            let text = format!("the opening handshake took longer than open_timeout ({limit} s)");
            self.refuse(&Refusal::new(408, text), now, ws);
        }
        let closing = self.closing.get_or_insert_default();
        closing.ending.cause = Some(Cause::Timeout(Timeout::Open));
        if !matches!(self.phase, Phase::Lingering) {
            self.enter(Phase::Over);
        }
    }

    /// Tells the application that it need not decide about the request any more.
    pub fn withdraw(&mut self, ws: &mut Workspace) {
        if matches!(self.phase, Phase::Asking) && self.settings.asks {
            ws.events.push(Event::Withdrawn(self.id));
        }
    }

    /// Lets the last output leave, then half-closes and discards input until the peer hangs up or a deadline passes.
    fn linger(&mut self, now: Moment, ws: &mut Workspace) {
        self.enter(Phase::Lingering);
        self.look();
        self.head = None;
        self.stash = Vec::new();
        let closing = self.closing.get_or_insert_default();
        closing.since = now;
        closing.then = Then::HalfClose;
        self.wake_for_output(ws);
        self.arm(ws);
    }
}

fn said(close: Option<(u16, &str)>) -> Received {
    match close {
        Some((code, reason)) => Received { code: Some(code), reason: reason.to_owned() },
        None => Received { code: None, reason: String::new() },
    }
}
