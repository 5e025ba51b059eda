//! The end of a connection: the closing handshake (RFC 6455 §7), failing it, hanging up.

use everwire_wire as wire;
use everwire_wire::close::Received;
use everwire_wire::handshake::Refusal;
use everwire_wire::{Role, State, Violation};

use super::{Conn, Head, Line, Phase};
use crate::event::{Cause, Ending, Event, Failure, Timeout};
use crate::metrics::Metrics;
use crate::slots::Id;
use crate::timers::Millis;
use crate::workspace::Workspace;

/// Memory of output that is kept for a close frame behind it, when memory is short.
const LAST_WORDS: usize = 128 * 1024;

/// What is known of the end while it goes on.
#[derive(Default)]
pub(crate) struct Closing {
    pub ending: Ending,
    /// Since when the peer has had time to finish.
    pub since: Millis,
    /// What came of the body of an answer that refused our handshake.
    pub body: Vec<u8>,
    /// Bytes that this body is to have.
    pub wanted: usize,
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
    pub fn close(&mut self, id: Id, close: Option<(u16, &str)>, ws: &mut Workspace) -> Result<(), wire::SendError> {
        let Phase::Open(wire) = &mut self.phase else { return Err(wire::SendError::Closing) };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(1, |out| wire.send_close(close, &mut ws.codec, out))?;
        let closing = self.closing.get_or_insert_default();
        closing.ending.sent = Some(said(close));
        closing.since = ws.now;
        self.wake_for_output(id, ws);
        self.arm(id, ws);
        Ok(())
    }

    /// Closes on the peer for breaking a limit of ours.
    pub fn close_for_limit(&mut self, id: Id, code: u16, reason: &'static str, ws: &mut Workspace) {
        self.fail(id, code, reason, Cause::Limit(reason.to_owned()), ws);
    }

    pub(super) fn on_violation(&mut self, id: Id, violation: Violation, ws: &mut Workspace) {
        let text = violation.reason.clone().into_owned();
        let cause = if violation.code == 1009 { Cause::Limit(text) } else { Cause::Protocol(text) };
        self.fail(id, violation.code, &violation.reason, cause, ws);
    }

    /// The peer's close frame came: answer with its code and reason; a server then hangs up first (RFC 6455 §7.1.1).
    pub(super) fn on_close(&mut self, id: Id, received: Received, ws: &mut Workspace) {
        let Phase::Open(wire) = &mut self.phase else { return };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        let said = received.code.map(|code| (code, received.reason.as_str()));
        // It fails only if our close frame is on its way already, which then is the answer.
        let _ = outbox.append(1, |out| wire.send_close(said, &mut ws.codec, out));
        let is_server = wire.role() == Role::Server;
        let closing = self.closing.get_or_insert_default();
        closing.since = ws.now;
        closing.then = if is_server { Then::Drop } else { Then::Stay };
        if closing.ending.sent.is_none() {
            closing.ending.received_first = true;
            closing.ending.sent = Some(received.clone());
            ws.events.push(Event::Closing(id));
        }
        closing.ending.received = Some(received);
        self.wake_for_output(id, ws);
        self.arm(id, ws);
    }

    /// Gives up on a peer that missed a deadline: tells it, and ends without waiting.
    pub(super) fn give_up(&mut self, id: Id, timeout: Timeout, code: u16, reason: &'static str, ws: &mut Workspace) {
        self.fail(id, code, reason, Cause::Timeout(timeout), ws);
    }

    /// Fails the connection (RFC 6455 §7.1.7): a close frame, then nothing more of the peer's is looked at.
    fn fail(&mut self, id: Id, code: u16, reason: &str, cause: Cause, ws: &mut Workspace) {
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
        closing.since = ws.now;
        if was_open {
            ws.events.push(Event::Closing(id));
        }
        self.linger(id, ws);
    }

    /// Closes because memory is short, with 1013 if the peer can be told soon: behind a frame that is half sent and too large to be
    /// kept for that, it cannot.
    pub fn shed_for_memory(&mut self, id: Id, ws: &mut Workspace) {
        ws.events.push(Event::Shed(id));
        if self.outbox.as_ref().is_some_and(|outbox| outbox.front_memory() > LAST_WORDS) {
            self.end(Some(Cause::Limit("short of memory".to_owned())));
        } else {
            self.shed(id, ws);
        }
    }

    /// Closes on a peer that is too slow (1013: come back later). Output that it has not begun to receive is dropped.
    pub fn shed(&mut self, id: Id, ws: &mut Workspace) {
        if let Some(outbox) = &mut self.outbox {
            outbox.keep_front();
        }
        match self.phase {
            Phase::Open(_) => self.close_for_limit(id, 1013, "too slow: try again later", ws),
            _ => self.end(Some(Cause::Limit("short of memory".to_owned()))),
        }
        self.account();
    }

    /// The event that says how it ended.
    pub fn last_event(self, id: Id, metrics: &mut Metrics) -> Event {
        let client = self.address();
        let closing = self.closing.map(|closing| *closing).unwrap_or_default();
        let (request, response) = match self.head {
            Some(Head::Request(request)) => (Some(request), None),
            Some(Head::Response(response)) => (None, Some(response)),
            None => (None, None),
        };
        if self.flags.opened {
            metrics.closed += 1;
            return Event::Closed(id, Box::new(Ending { request, client, ..closing.ending }));
        }
        let cause = closing.ending.cause.unwrap_or(Cause::Eof);
        Event::Failed(id, Box::new(Failure { listener: self.listener, cause, response, body: closing.body }))
    }

    /// A defect of ours: this connection ends, the others do not.
    pub fn on_defect(&mut self, id: Id, ws: &mut Workspace) {
        ws.metrics.defects += 1;
        self.fail(id, 1011, "internal error", Cause::Defect, ws);
        if !matches!(self.phase, Phase::Lingering) {
            self.end(Some(Cause::Defect));
        }
    }

    /// Answers a handshake with a refusal, and hangs up when it is written.
    pub fn refuse(&mut self, id: Id, refusal: &Refusal, ws: &mut Workspace) {
        let mut refusal = refusal.clone();
        refusal.fields.extend(self.settings.transport_security());
        let server = self.settings.server.as_deref();
        let to_head = self.asked_for_head();
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(1, |out| refusal.write(server, to_head, out));
        self.refused(id, refusal.status, refusal.reason.to_string(), ws);
    }

    /// Hangs up on a handshake that was answered with something else than 101.
    pub(super) fn refused(&mut self, id: Id, status: u16, text: String, ws: &mut Workspace) {
        ws.metrics.refused += 1;
        let closing = self.closing.get_or_insert_default();
        closing.ending.cause = Some(Cause::Refused(status, text));
        closing.since = ws.now;
        self.linger(id, ws);
    }

    pub(super) fn on_tls_failure(&mut self, id: Id, failure: &crate::tls::Failure, ws: &mut Workspace) {
        let closing = self.closing.get_or_insert_default();
        closing.ending.cause = Some(Cause::Tls(failure.to_string()));
        closing.since = ws.now;
        if let Phase::Open(_) = self.phase {
            ws.events.push(Event::Closing(id));
        }
        self.outbox = None;
        self.linger(id, ws);
    }

    pub(super) fn on_open_timeout(&mut self, id: Id, ws: &mut Workspace) {
        if self.settings.role == Role::Server && self.can_answer() {
            self.refuse(id, &Refusal::new(408, Timeout::Open.describe()), ws);
        }
        let closing = self.closing.get_or_insert_default();
        closing.ending.cause = Some(Cause::Timeout(Timeout::Open));
        if !matches!(self.phase, Phase::Lingering) {
            self.phase = Phase::Over;
        }
    }

    fn can_answer(&self) -> bool {
        match &self.line {
            Line::Socket(_, Some(tls)) => !tls.is_handshaking(),
            _ => true,
        }
    }

    /// Lets the last output leave, then half-closes and discards input until the peer hangs up or a deadline passes.
    fn linger(&mut self, id: Id, ws: &mut Workspace) {
        self.phase = Phase::Lingering;
        self.head = None;
        self.stash = Vec::new();
        self.closing.get_or_insert_default().then = Then::HalfClose;
        self.wake_for_output(id, ws);
        self.arm(id, ws);
    }
}

fn said(close: Option<(u16, &str)>) -> Received {
    match close {
        Some((code, reason)) => Received { code: Some(code), reason: reason.to_owned() },
        None => Received { code: None, reason: String::new() },
    }
}
