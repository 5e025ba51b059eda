//! The opening handshake, both sides: heads read from the stream, policy applied, the answer written or checked.

use std::borrow::Cow;
use std::ops::Range;

use everwire_wire as wire;
use everwire_wire::handshake::{
    Acceptance, Answer, BadField, Body, BodyReader, HeadReader, Limits as HeadLimits, Malformed, Offer, Refusal,
    Rejected, Request, Response, Stamp, Upgrade, forwarded, proxy, write_accept, write_answer,
};
use everwire_wire::{Role, deflate};

use super::{Conn, Head, Phase};
use crate::address::Excess;
use crate::event::{Cause, Event};
use crate::limits::Limits;
use crate::memory::{self, Pressure};
use crate::settings::Origins;
use crate::slots::Id;
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
    pub fn write_request(&mut self, id: Id, request: &[u8], ws: &mut Workspace) {
        self.outbox.get_or_insert_with(|| ws.pool.take()).append(0, |out| out.extend_from_slice(request));
        self.wake_for_output(id, ws);
    }

    /// Takes the PROXY header off raw input at `input` in the scratch buffer. What lies behind it moves to the front of that place:
    /// its length is the answer, or `None` while the header is incomplete.
    pub(super) fn take_proxy_header(&mut self, id: Id, input: Range<usize>, ws: &mut Workspace) -> Option<usize> {
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
                Some(rest)
            }
            Err(invalid) => {
                let closing = self.closing.get_or_insert_default();
                closing.ending.cause = Some(Cause::Protocol(format!("no PROXY protocol v2 header: {}", invalid.0)));
                ws.metrics.refused += 1;
                self.refused(id, 400, invalid.0.to_owned(), ws);
                None
            }
        }
    }

    /// Takes what belongs to the head from `input` in the scratch buffer; where the first frames begin.
    pub(super) fn take_head(&mut self, id: Id, input: Range<usize>, ws: &mut Workspace) -> usize {
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
                self.on_malformed(id, malformed, ws);
                input.end
            }
            Ok(Some(length)) => {
                let before = bytes.len() - input.len();
                match self.settings.role {
                    Role::Server => match Request::parse(&bytes[..length], &limits) {
                        Ok(request) => self.on_request(id, request, ws),
                        Err(refusal) => self.refuse(id, &refusal, ws),
                    },
                    Role::Client => match Response::parse(&bytes[..length], &limits) {
                        Ok(response) => self.on_response(id, response, ws),
                        Err(rejected) => self.on_rejected(id, None, rejected, ws),
                    },
                }
                // The head's end lies in the newest input: the reader would have found it earlier otherwise.
                input.start + length.saturating_sub(before)
            }
        }
    }

    fn on_malformed(&mut self, id: Id, malformed: Malformed, ws: &mut Workspace) {
        match self.settings.role {
            Role::Server => self.refuse(id, &Refusal::from(malformed), ws),
            Role::Client => self.on_rejected(id, None, Rejected::from(malformed), ws),
        }
    }

    fn on_request(&mut self, id: Id, request: Request, ws: &mut Workspace) {
        if let Err(refusal) = self.admit(&request, ws) {
            return self.refuse(id, &refusal, ws);
        }
        self.head = Some(Head::Request(request));
        self.phase = Phase::Asking;
        if self.settings.asks {
            return ws.events.push(Event::Request(id));
        }
        match self.check() {
            Ok(upgrade) => {
                let ours = &self.settings.subprotocols;
                let subprotocol = ours.iter().find(|name| upgrade.protocols.contains(name)).cloned();
                // Nothing of it comes from outside: a subprotocol of ours was checked when the settings were made.
                if self.accept(id, &upgrade, subprotocol.as_deref(), &[], ws).is_err() {
                    self.refuse(id, &Refusal::new(500, "the server's subprotocol is not a token"), ws);
                }
            }
            Err(refusal) => self.refuse(id, &refusal, ws),
        }
    }

    /// Applies the limits that hold before anything else is looked at.
    fn admit(&mut self, request: &Request, ws: &mut Workspace) -> Result<(), Refusal> {
        let limits = &self.settings.limits;
        if self.flags.surplus {
            let text = format!("this server takes no more than limits.connections ({})", limits.connections);
            return Err(Refusal::new(503, text + ": try again later").with_field("Retry-After", "5"));
        }
        if memory::pressure(memory::held(), limits.memory) >= Pressure::Refuse {
            let text = format!("this server has used up 80 % of limits.memory ({} bytes)", limits.memory);
            return Err(Refusal::new(503, text + ": try again later").with_field("Retry-After", "5"));
        }
        let trusted = |address| self.settings.trusted.iter().any(|network| network.contains(address));
        let Some(peer) = self.client else { return Ok(()) };
        let client = forwarded::client(request, self.settings.forwarded, peer, trusted);
        self.client = Some(client);
        if client.is_loopback() || trusted(client) {
            return Ok(());
        }
        match ws.addresses.admit(client, limits, ws.now) {
            Ok(counted) => {
                self.flags.counted = counted;
                Ok(())
            }
            Err(Excess::Connections) => {
                let limit = limits.connections_per_address;
                let text = format!("this address has limits.connections_per_address ({limit}) connections already");
                Err(Refusal::new(429, text))
            }
            Err(Excess::Handshakes) => {
                let limit = limits.handshakes_per_second;
                let text = format!("this address asks for more than limits.handshakes_per_second ({limit})");
                Err(Refusal::new(429, text + ": try again later").with_field("Retry-After", "1"))
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
        id: Id,
        upgrade: &Upgrade,
        subprotocol: Option<&str>,
        fields: &[(String, String)],
        ws: &mut Workspace,
    ) -> Result<(), BadField> {
        let fields = &self.with_own_fields(fields);
        let agreed = self.settings.deflate.as_ref().and_then(|config| upgrade.deflate(config));
        let (deflate, extension) = agreed.unzip();
        let acceptance = Acceptance { subprotocol, extension: extension.as_deref(), fields };
        let stamp = Stamp { date: ws.date.now(), server: self.settings.server.as_deref() };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        outbox.append(0, |out| write_accept(&upgrade.key, &acceptance, &stamp, out))?;
        self.wake_for_output(id, ws);
        self.open(id, deflate, ws);
        Ok(())
    }

    /// Answers a request with an ordinary response and hangs up. On an error nothing was written.
    pub fn respond(
        &mut self,
        id: Id,
        status: u16,
        reason: Option<&str>,
        fields: &[(String, String)],
        body: &[u8],
        ws: &mut Workspace,
    ) -> Result<(), BadField> {
        let fields = &self.with_own_fields(fields);
        let to_head = self.asked_for_head();
        let stamp = Stamp { date: ws.date.now(), server: self.settings.server.as_deref() };
        let outbox = self.outbox.get_or_insert_with(|| ws.pool.take());
        let answer = Answer { status, reason, fields, body };
        outbox.append(0, |out| write_answer(&answer, to_head, &stamp, out))?;
        self.refused(id, status, String::new(), ws);
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

    fn on_response(&mut self, id: Id, response: Response, ws: &mut Workspace) {
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
                self.open(id, agreement.deflate, ws);
            }
            Err(rejected) => self.on_rejected(id, Some(response), rejected, ws),
        }
    }

    fn on_rejected(&mut self, id: Id, response: Option<Response>, rejected: Rejected, ws: &mut Workspace) {
        ws.metrics.refused += 1;
        let body = BodyReader::new(response.as_ref().map_or(Body::Length(0), Response::body), BODY);
        self.head = response.map(Head::Response);
        match rejected {
            Rejected::Status(status) => {
                let closing = self.closing.get_or_insert_default();
                closing.ending.cause = Some(Cause::Refused(status, String::new()));
                closing.since = ws.now;
                self.phase = if body.is_complete() { Phase::Over } else { Phase::Refused };
                closing.body = body;
                self.arm(id, ws);
            }
            Rejected::Invalid(text) => self.end(Some(Cause::Protocol(text))),
        }
    }

    /// Takes the body of an answer that refused our handshake: it often says why.
    pub(super) fn take_body(&mut self, input: &[u8]) {
        let closing = self.closing.get_or_insert_default();
        closing.body.take(input);
        if closing.body.is_complete() {
            self.phase = Phase::Over;
        }
    }

    fn open(&mut self, id: Id, deflate: Option<deflate::Agreed>, ws: &mut Workspace) {
        self.phase = Phase::Open(wire::Connection::new(wire::Settings {
            role: self.settings.role,
            max_message: self.settings.limits.message as usize,
            deflate,
        }));
        self.flags.opened = true;
        ws.metrics.opened += 1;
        ws.events.push(Event::Opened(id));
        self.start_clock(ws);
        self.arm(id, ws);
        if self.has_input() && !self.flags.ready {
            self.flags.ready = true;
            ws.ready.push_back(id);
        }
    }
}

fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits { head: limits.head as usize, line: limits.line as usize, fields: limits.fields as usize }
}
