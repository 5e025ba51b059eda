//! The opening handshake, both sides: heads read from the stream, policy applied, the answer written or checked.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use everwire_wire as wire;
use everwire_wire::handshake::{
    Acceptance, Answer, BadField, Body, BodyReader, HeadReader, Limits as HeadLimits, Malformed, Offer, Refusal,
    Rejected, Request, Response, Stamp, Upgrade, forwarded, proxy, write_accept, write_answer,
};
use everwire_wire::{Role, deflate};

use super::{Conn, Head, Phase, Wrapping};
use crate::address::Excess;
use crate::event::{Cause, Event};
use crate::limits::Limits;
use crate::memory::{self, Pressure};
use crate::moment::Moment;
use crate::settings::Origins;
use crate::socket::Peer;
use crate::workspace::Workspace;

/// Bytes that are kept of the body of an answer that refused our handshake.
const BODY: usize = 64 * 1024;

/// A head that is still arriving.
#[derive(Default)]
pub(crate) struct Opening {
    reader: HeadReader,
    /// What came of the head (or of the PROXY header before it), if it did not come in one piece.
    buffer: Vec<u8>,
    /// What we asked for, as a client.
    offer: Option<Box<Offer>>,
}

impl Opening {
    pub fn client(offer: Offer) -> Self {
        Opening { offer: Some(Box::new(offer)), ..Opening::default() }
    }

    pub fn held(&self) -> usize {
        self.buffer.capacity()
    }
}

impl Conn {
    /// Queues a client's request.
    pub fn write_request(&mut self, request: &[u8], ws: &mut Workspace) {
        self.outbox.get_or_insert_with(|| ws.pool.take()).append(0, |out| out.extend_from_slice(request));
        self.wake_for_output(ws);
    }

    /// Takes the PROXY header off raw input at `input` in the scratch buffer. What lies behind it moves to the front of that place:
    /// its length is the answer, or `None` while the header is incomplete.
    pub(super) fn take_proxy_header(&mut self, input: Range<usize>, now: Moment, ws: &mut Workspace) -> Option<usize> {
        let Phase::Opening(opening) = &mut self.phase else { return None };
        opening.buffer.extend_from_slice(&ws.scratch[input.clone()]);
        match proxy::parse(&opening.buffer) {
            Ok(None) => None,
            Ok(Some((source, used))) => {
                if let proxy::Source::Tcp { client, .. } = source {
                    self.client = Some(client.ip().to_canonical());
                    self.peer = Peer::Tcp(client);
                }
                let rest = opening.buffer.len() - used;
                ws.scratch[input.start..input.start + rest].copy_from_slice(&opening.buffer[used..]);
                opening.buffer = Vec::new();
                self.flags.proxy = false;
                match self.admit_address(now, ws) {
                    Ok(()) => Some(rest),
                    Err(refusal) => {
                        self.turn_away(&refusal, now, ws);
                        None
                    }
                }
            }
            Err(invalid) => {
                let closing = self.closing.get_or_insert_default();
                closing.ending.cause = Some(Cause::Protocol(format!("no PROXY protocol v2 header: {}", invalid.0)));
                ws.metrics.refused += 1;
                self.refused(400, invalid.0.to_owned(), now, ws);
                None
            }
        }
    }

    /// Takes what belongs to the head from `input` in the scratch buffer; where the first frames begin.
    pub(super) fn take_head(&mut self, input: Range<usize>, now: Moment, ws: &mut Workspace) -> usize {
        let limits = head_limits(&self.settings.limits);
        let Phase::Opening(opening) = &mut self.phase else { return input.start };
        let Opening { reader, buffer, .. } = &mut **opening;
        let in_pieces = !buffer.is_empty();
        if in_pieces {
            buffer.extend_from_slice(&ws.scratch[input.clone()]);
        }
        let bytes = if in_pieces { &buffer[..] } else { &ws.scratch[input.clone()] };
        match reader.find_end(bytes, &limits) {
            Ok(None) => {
                if !in_pieces {
                    buffer.extend_from_slice(&ws.scratch[input.clone()]);
                }
                input.end
            }
            Err(malformed) => {
                self.on_malformed(malformed, now, ws);
                input.end
            }
            Ok(Some(length)) => {
                let before = bytes.len() - input.len();
                match self.settings.role {
                    Role::Server => match Request::parse(&bytes[..length], &limits) {
                        Ok(request) => self.on_request(request, now, ws),
                        Err(refusal) => self.refuse(&refusal, now, ws),
                    },
                    Role::Client => match Response::parse(&bytes[..length], &limits) {
                        Ok(response) => self.on_response(response, now, ws),
                        Err(rejected) => self.on_rejected(None, rejected, now, ws),
                    },
                }
                // The head's end lies in the newest input: the reader would have found it earlier otherwise.
                input.start + length.saturating_sub(before)
            }
        }
    }

    fn on_malformed(&mut self, malformed: Malformed, now: Moment, ws: &mut Workspace) {
        match self.settings.role {
            Role::Server => self.refuse(&Refusal::from(malformed), now, ws),
            Role::Client => self.on_rejected(None, Rejected::from(malformed), now, ws),
        }
    }

    fn on_request(&mut self, request: Request, now: Moment, ws: &mut Workspace) {
        if let Err(refusal) = self.admit(&request, now, ws) {
            return self.refuse(&refusal, now, ws);
        }
        self.head = Some(Head::Request(request));
        self.enter(Phase::Asking);
        if self.settings.asks {
            return ws.events.push(Event::Request(self.id));
        }
        match self.check() {
            Ok(upgrade) => {
                let ours = &self.settings.subprotocols;
                let subprotocol = ours.iter().find(|name| upgrade.protocols.contains(name)).cloned();
                // Nothing of it comes from outside: a subprotocol of ours was checked when the settings were made.
                if self.accept(&upgrade, subprotocol.as_deref(), &[], now, ws).is_err() {
                    self.refuse(&Refusal::new(500, "the server's subprotocol is not a token"), now, ws);
                }
            }
            Err(refusal) => self.refuse(&refusal, now, ws),
        }
    }

    /// Applies the limits that hold before anything else is looked at.
    fn admit(&mut self, request: &Request, now: Moment, ws: &mut Workspace) -> Result<(), Refusal> {
        let limits = &self.settings.limits;
        if self.flags.surplus {
            let text = format!("this server takes no more than limits.connections ({})", limits.connections);
            return Err(Refusal::new(503, text + ": try again later").with_field("Retry-After", "5"));
        }
        if memory::pressure(memory::held(), limits.memory) >= Pressure::Refuse {
            let text = format!("this server has used up 80 % of limits.memory ({} bytes)", limits.memory);
            return Err(Refusal::new(503, text + ": try again later").with_field("Retry-After", "5"));
        }
        let Some(peer) = self.client else { return Ok(()) };
        let client = forwarded::client(request, self.settings.forwarded, peer, |address| self.trusts(address));
        if client == peer {
            return Ok(());
        }
        self.client = Some(client);
        self.admit_address(now, ws)
    }

    /// Applies the limits for one address, when it is known: before TLS and head cost anything, or, behind a trusted proxy, with
    /// the request that names it.
    pub fn admit_address(&mut self, now: Moment, ws: &mut Workspace) -> Result<(), Refusal> {
        let Some(client) = self.client.filter(|client| !client.is_loopback() && !self.trusts(*client)) else {
            return Ok(());
        };
        match ws.addresses.admit(client, &self.settings.limits, now) {
            Ok(counted) => {
                self.flags.counted = counted;
                Ok(())
            }
            Err(Excess::Connections) => {
                let limit = self.settings.limits.connections_per_address;
                let text = format!("this address has limits.connections_per_address ({limit}) connections already");
                Err(Refusal::new(429, text))
            }
            Err(Excess::Handshakes) => {
                let limit = self.settings.limits.handshakes_per_second;
                let text = format!("this address asks for more than limits.handshakes_per_second ({limit})");
                Err(Refusal::new(429, text + ": try again later").with_field("Retry-After", "1"))
            }
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.settings.trusted.iter().any(|network| network.contains(address))
    }

    /// Turns somebody away whose address is over its limits: with an answer, if that costs no TLS handshake.
    pub fn turn_away(&mut self, refusal: &Refusal, now: Moment, ws: &mut Workspace) {
        match self.line.wrapping {
            Wrapping::Plain => self.refuse(refusal, now, ws),
            Wrapping::Core(_) | Wrapping::Driver(_) => {
                ws.metrics.refused += 1;
                self.end(Some(Cause::Refused(refusal.status, refusal.reason.to_string())));
            }
        }
    }

    /// Whether the request in hand may become a WebSocket, by RFC 6455 and by origin.
    pub fn check(&self) -> Result<Upgrade, Refusal> {
        let Some(Head::Request(request)) = &self.head else {
            return Err(Refusal::new(500, "the request is gone"));
        };
        let upgrade = request.upgrade()?;
        self.check_origin(&upgrade)?;
        Ok(upgrade)
    }

    fn check_origin(&self, upgrade: &Upgrade) -> Result<(), Refusal> {
        let settings = &self.settings;
        let host = &upgrade.host;
        let refuse = |why: &str, fix: &str| {
            let origin = upgrade.origin.as_ref().map_or("none", |origin| origin.as_str());
            Err(Refusal::new(403, format!("{why} (Origin: {origin}, Host: {}); {fix}", host.as_str())))
        };
        match (&settings.origins, &upgrade.origin) {
            (Origins::Any, _) | (Origins::Same, None) => Ok(()),
            (Origins::Allow { missing: true, .. }, None) => Ok(()),
            (Origins::Allow { .. }, None) => refuse("an Origin is required", "add None to origins to let programs in"),
            (Origins::Allow { list, .. }, Some(origin)) => {
                if list.contains(origin) {
                    Ok(())
                } else {
                    refuse("this Origin is not allowed", "add it to origins")
                }
            }
            (Origins::Same, Some(origin)) if settings.loopback => {
                let known = host.is_loopback() || settings.allowed_hosts.iter().any(|name| name == host.name());
                if !known {
                    return refuse("a server on loopback is not reached by this Host", "add it to allowed_hosts");
                }
                if origin.is_loopback() || origin.same_origin(host, settings.secure) {
                    Ok(())
                } else {
                    refuse("cross-origin", "name the page's Origin in origins")
                }
            }
            (Origins::Same, Some(origin)) => {
                if origin.same_origin(host, settings.secure) {
                    Ok(())
                } else {
                    refuse("cross-origin", "name the page's Origin in origins")
                }
            }
        }
    }

    /// Answers 101 and opens the connection. On an error nothing was written.
    pub fn accept(
        &mut self,
        upgrade: &Upgrade,
        subprotocol: Option<&str>,
        fields: &[(String, String)],
        now: Moment,
        ws: &mut Workspace,
    ) -> Result<(), BadField> {
        let fields = &self.with_own_fields(fields);
        let agreed = self.settings.deflate.as_ref().and_then(|config| upgrade.deflate(config));
        let (deflate, extension) = agreed.unzip();
        let acceptance = Acceptance { subprotocol, extension: extension.as_deref(), fields };
        let stamp = Stamp { date: ws.date.now(), server: self.settings.server.as_deref() };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(0, |out| write_accept(&upgrade.key, &acceptance, &stamp, out))?;
        self.wake_for_output(ws);
        self.open(deflate, now, ws);
        Ok(())
    }

    /// Answers a request with an ordinary response and hangs up. On an error nothing was written.
    pub fn respond(
        &mut self,
        status: u16,
        reason: Option<&str>,
        fields: &[(String, String)],
        body: &[u8],
        now: Moment,
        ws: &mut Workspace,
    ) -> Result<(), BadField> {
        let fields = &self.with_own_fields(fields);
        let to_head = self.asked_for_head();
        let stamp = Stamp { date: ws.date.now(), server: self.settings.server.as_deref() };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        let answer = Answer { status, reason, fields, body };
        outbox.append(0, |out| write_answer(&answer, to_head, &stamp, out))?;
        self.refused(status, String::new(), now, ws);
        Ok(())
    }

    /// Whether the request in hand wants to know the head of an answer only (RFC 9110 §9.3.2).
    pub(super) fn asked_for_head(&self) -> bool {
        matches!(&self.head, Some(Head::Request(request)) if request.method() == "HEAD")
    }

    fn with_own_fields<'a>(&self, fields: &'a [(String, String)]) -> Cow<'a, [(String, String)]> {
        let mut fields = Cow::Borrowed(fields);
        if let Some((name, value)) = self.settings.transport_security() {
            fields.to_mut().push((name.to_owned(), value));
        }
        fields
    }

    fn on_response(&mut self, response: Response, now: Moment, ws: &mut Workspace) {
        let Phase::Opening(opening) = &mut self.phase else { return };
        if response.is_interim() {
            opening.reader = HeadReader::default();
            opening.buffer = Vec::new();
            return;
        }
        let Some(offer) = opening.offer.take() else { return };
        match offer.check(&response) {
            Ok(agreement) => {
                self.head = Some(Head::Response(response));
                self.open(agreement.deflate, now, ws);
            }
            Err(rejected) => self.on_rejected(Some(response), rejected, now, ws),
        }
    }

    fn on_rejected(&mut self, response: Option<Response>, rejected: Rejected, now: Moment, ws: &mut Workspace) {
        ws.metrics.refused += 1;
        let body = BodyReader::new(response.as_ref().map_or(Body::Length(0), Response::body), BODY);
        self.head = response.map(Head::Response);
        match rejected {
            Rejected::Status(status) => {
                let closing = self.closing.get_or_insert_default();
                closing.ending.cause = Some(Cause::Refused(status, String::new()));
                closing.since = now;
                let next = if body.is_complete() { Phase::Over } else { Phase::Refused };
                closing.body = body;
                self.enter(next);
                self.arm(ws);
            }
            Rejected::Invalid(text) => self.end(Some(Cause::Protocol(text))),
        }
    }

    /// Takes the body of an answer that refused our handshake: it often says why.
    pub(super) fn take_body(&mut self, input: &[u8]) {
        let closing = self.closing.get_or_insert_default();
        closing.body.take(input);
        if closing.body.is_complete() {
            self.enter(Phase::Over);
        }
    }

    fn open(&mut self, deflate: Option<deflate::Agreed>, now: Moment, ws: &mut Workspace) {
        let settings =
            wire::Settings { role: self.settings.role, max_message: self.settings.limits.message as usize, deflate };
        self.enter(Phase::Open(wire::Connection::new(settings)));
        self.flags.opened = true;
        ws.metrics.opened += 1;
        ws.events.push(Event::Opened(self.id));
        self.start_clock(now, ws);
        self.arm(ws);
        if self.has_input() && !self.flags.ready {
            self.flags.ready = true;
            ws.ready.push_back(self.id);
        }
    }
}

fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits { head: limits.head as usize, line: limits.line as usize, fields: limits.fields as usize }
}
