//! What a client's opening handshake asks for (RFC 6455 §4.2.1).

use std::borrow::Cow;

use super::extension::Extension;
use super::field;
use super::host::Host;
use super::key::Key;
use super::origin::Origin;
use super::refusal::Refusal;
use super::request::Request;
use crate::deflate;
use crate::limits;

/// A handshake that keeps the rules of the protocol. Whether its origin and host are welcome is
/// for the driver to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// What [`write_accept`](super::write_accept) answers.
    pub key: Key,
    /// Where the client believes to connect to: the target's authority, or else `Host`.
    pub host: Host,
    /// The site whose page connects. Browsers always say, other clients need not.
    pub origin: Option<Origin>,
    /// The subprotocols offered, the client's favorite first; tokens, no two alike.
    pub protocols: Vec<String>,
    /// The extensions offered, the client's favorite first; names may repeat.
    pub extensions: Vec<Extension>,
}

impl Upgrade {
    /// Takes the first offer of permessage-deflate that `config` can honor: what was agreed, and
    /// the element for [`Acceptance::extension`](super::Acceptance::extension).
    pub fn deflate(&self, config: &deflate::Config) -> Option<(deflate::Agreed, String)> {
        self.extensions
            .iter()
            .filter(|extension| extension.name.eq_ignore_ascii_case(deflate::NAME))
            .find_map(|extension| deflate::accept(config, &extension.params()))
    }

    /// Judges a request in the order that tells a developer most.
    pub(super) fn from_request(request: &Request) -> Result<Self, Refusal> {
        if request.method() != "GET" {
            return Err(Refusal::new(405, NOT_GET).with_field("Allow", "GET"));
        }
        if request.minor_version() == 0 {
            return Err(Refusal::new(505, HTTP_1_0));
        }
        let seen = Seen::collect(request)?;
        let host = seen.host(request.authority())?;
        seen.judge_upgrade()?;
        if request.has_body() {
            return Err(bad("a handshake has no body: send neither Content-Length nor Transfer-Encoding"));
        }
        Ok(Self {
            host,
            key: seen.key()?,
            origin: seen.origin()?,
            protocols: protocols(&seen.protocols)?,
            extensions: extensions(&seen.extensions)?,
        })
    }
}

const NOT_GET: &str = "this is a WebSocket server: it takes only GET requests with \"Upgrade: websocket\"";
const HTTP_1_0: &str = "a WebSocket handshake needs HTTP/1.1: if a proxy sent this, make it speak 1.1 \
    (nginx: proxy_http_version 1.1)";
const NO_UPGRADE: &str = "this is a WebSocket server: open it with new WebSocket(...) or another \
    WebSocket client, and make proxies in between pass \"Upgrade: websocket\" on";
const NO_CONNECTION: &str = "\"Connection\" does not name \"Upgrade\": if a proxy stands in between, \
    make it pass both fields on (nginx: proxy_set_header Connection \"upgrade\")";
const VERSION: &str = "only version 13 of the WebSocket protocol is spoken here: \
    send \"Sec-WebSocket-Version: 13\"";

/// What one pass over the fields finds.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    is_websocket: bool,
    is_upgrade: bool,
    protocols: Vec<&'a [u8]>,
    extensions: Vec<&'a [u8]>,
}

impl<'a> Seen<'a> {
    fn collect(request: &'a Request) -> Result<Self, Refusal> {
        let mut seen = Self::default();
        for (name, value) in request.fields() {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            match name.len() {
                4 if is("Host") => once(&mut seen.host, value, "Host")?,
                6 if is("Origin") => once(&mut seen.origin, value, "Origin")?,
                7 if is("Upgrade") => seen.is_websocket |= field::has_token(value, b"websocket"),
                10 if is("Connection") => seen.is_upgrade |= field::has_token(value, b"upgrade"),
                17 if is("Sec-WebSocket-Key") => once(&mut seen.key, value, "Sec-WebSocket-Key")?,
                21 if is("Sec-WebSocket-Version") => {
                    once(&mut seen.version, value, "Sec-WebSocket-Version")?;
                }
                22 if is("Sec-WebSocket-Protocol") => seen.protocols.push(value),
                24 if is("Sec-WebSocket-Extensions") => seen.extensions.push(value),
                _ => {}
            }
        }
        Ok(seen)
    }

    /// `Host` has to be there and sound even when the target's authority counts instead of it
    /// (RFC 9112 §3.2).
    fn host(&self, authority: Option<&str>) -> Result<Host, Refusal> {
        let field = self.host.ok_or_else(|| bad("\"Host\" is missing: send it exactly once"))?;
        let parse = |text: &str| Host::parse(text);
        let field = str::from_utf8(field).ok().and_then(parse);
        let field = field.ok_or_else(|| bad("\"Host\" is not a host name or address with an optional port"))?;
        Ok(authority.and_then(parse).unwrap_or(field))
    }

    fn judge_upgrade(&self) -> Result<(), Refusal> {
        let upgrade_required = |reason| Refusal::new(426, reason).with_field("Upgrade", "websocket");
        if !self.is_websocket {
            return Err(upgrade_required(NO_UPGRADE));
        }
        if !self.is_upgrade {
            return Err(upgrade_required(NO_CONNECTION));
        }
        if self.version != Some(b"13") {
            return Err(upgrade_required(VERSION).with_field("Sec-WebSocket-Version", "13"));
        }
        Ok(())
    }

    fn key(&self) -> Result<Key, Refusal> {
        let key = self.key.ok_or_else(|| bad("\"Sec-WebSocket-Key\" is missing: send it exactly once"))?;
        Key::parse(key).ok_or_else(|| bad("\"Sec-WebSocket-Key\" is not the base64 of 16 bytes"))
    }

    fn origin(&self) -> Result<Option<Origin>, Refusal> {
        let Some(text) = self.origin else {
            return Ok(None);
        };
        match str::from_utf8(text).ok().and_then(Origin::parse) {
            Some(origin) => Ok(Some(origin)),
            None => Err(bad("\"Origin\" is not an origin such as https://example.com: send one, or none")),
        }
    }
}

fn once<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8], name: &str) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(bad(format!("\"{name}\" occurs more than once: send it exactly once"))),
    }
}

/// RFC 6455 §4.1, item 10: tokens, each of them once.
fn protocols(values: &[&[u8]]) -> Result<Vec<String>, Refusal> {
    let mut protocols: Vec<String> = Vec::new();
    for element in values.iter().flat_map(|value| field::elements(value)) {
        let token = str::from_utf8(element).ok().filter(|text| field::is_token(text.as_bytes()));
        let token = token.ok_or_else(|| bad("\"Sec-WebSocket-Protocol\" names what is no token"))?;
        if protocols.iter().any(|other| other == token) {
            return Err(bad("\"Sec-WebSocket-Protocol\" names a subprotocol twice"));
        }
        if protocols.len() == limits::LIST {
            return Err(bad("\"Sec-WebSocket-Protocol\" names too many subprotocols"));
        }
        protocols.push(token.to_owned());
    }
    Ok(protocols)
}

fn extensions(values: &[&[u8]]) -> Result<Vec<Extension>, Refusal> {
    let mut extensions = Vec::new();
    for value in values {
        Extension::parse_list(value, &mut extensions)
            .map_err(|problem| bad(format!("\"Sec-WebSocket-Extensions\": {problem}")))?;
    }
    Ok(extensions)
}

fn bad(reason: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(400, reason)
}
