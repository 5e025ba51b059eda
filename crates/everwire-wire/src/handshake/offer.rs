//! A client's opening handshake: what it asks for, and whether the answer is one to that
//! (RFC 6455 §4.1).

use std::fmt;

use super::extension::Extension;
use super::field::{self, BadField};
use super::host::Host;
use super::key::Key;
use super::malformed::Malformed;
use super::response::Response;
use super::status::reason_phrase;
use crate::deflate;

/// What a client asks a server for.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// The host, with a port unless it is the scheme's own one.
    pub host: String,
    /// Path and query, percent-encoded; begins with a slash.
    pub target: String,
    /// Sixteen bytes drawn at random for this handshake alone.
    pub key: [u8; 16],
    /// Subprotocols, the favorite first; tokens, no two alike.
    pub protocols: Vec<String>,
    /// Compression to offer.
    pub deflate: Option<deflate::Config>,
    /// Fields that the program adds, such as `Origin` or `Authorization`.
    pub fields: Vec<(String, String)>,
}

/// What a server agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// One of those offered, or none.
    pub subprotocol: Option<String>,
    /// Compression, if it was offered and taken.
    pub deflate: Option<deflate::Agreed>,
}

/// Why there is no connection after a server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The server answered with another status than 101, soundly.
    Status(u16),
    /// The answer breaks the protocol; says where and how.
    Invalid(String),
}

impl Offer {
    /// Appends the request.
    ///
    /// # Errors
    /// A part that is not what it has to be, or an added field that the handshake itself
    /// decides. Nothing was appended.
    pub fn write_request(&self, out: &mut Vec<u8>) -> Result<(), BadField> {
        self.judge()?;
        out.extend_from_slice(b"GET ");
        out.extend_from_slice(self.target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        field::write("Host", &self.host, out);
        out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
        field::write("Sec-WebSocket-Key", Key::new(self.key).as_str(), out);
        out.extend_from_slice(b"Sec-WebSocket-Version: 13\r\n");
        if !self.protocols.is_empty() {
            field::write(PROTOCOL, &self.protocols.join(", "), out);
        }
        if let Some(config) = &self.deflate {
            field::write(EXTENSIONS, &deflate::offer(config), out);
        }
        for (name, value) in &self.fields {
            field::write(name, value, out);
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Judges the answer to this very offer.
    ///
    /// # Errors
    /// Why the connection has to be failed.
    pub fn check(&self, response: &Response) -> Result<Agreement, Rejected> {
        if response.status() != 101 {
            return Err(Rejected::Status(response.status()));
        }
        if response.minor_version() == 0 {
            return invalid("the server accepts in HTTP/1.0");
        }
        if !response.has_token("Upgrade", b"websocket") {
            return invalid("\"Upgrade\" does not say \"websocket\"");
        }
        if !response.has_token("Connection", b"upgrade") {
            return invalid("\"Connection\" does not say \"Upgrade\"");
        }
        match only(response, ACCEPT)? {
            None => return invalid("\"Sec-WebSocket-Accept\" is missing"),
            Some(accept) if accept != Key::new(self.key).accept() => {
                return invalid("\"Sec-WebSocket-Accept\" does not answer the key that was sent");
            }
            Some(_) => {}
        }
        Ok(Agreement { subprotocol: self.subprotocol(response)?, deflate: self.agreed_deflate(response)? })
    }

    fn judge(&self) -> Result<(), BadField> {
        if Host::parse(&self.host).is_none() {
            return Err(BadField::new("Host", "it is not a host name or address with an optional port"));
        }
        let is_sound = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !self.target.starts_with('/') || !self.target.bytes().all(is_sound) {
            return Err(BadField::new("target", "it is not a percent-encoded path that begins with \"/\""));
        }
        for (index, protocol) in self.protocols.iter().enumerate() {
            if !field::is_token(protocol.as_bytes()) {
                return Err(BadField::new(PROTOCOL, "a subprotocol is a token"));
            }
            if self.protocols.iter().take(index).any(|other| other == protocol) {
                return Err(BadField::new(PROTOCOL, "a subprotocol is named twice"));
            }
        }
        field::check_added(&self.fields)
    }

    fn subprotocol(&self, response: &Response) -> Result<Option<String>, Rejected> {
        let Some(chosen) = only(response, PROTOCOL)? else {
            return Ok(None);
        };
        match self.protocols.iter().find(|offered| offered.as_bytes() == chosen) {
            Some(offered) => Ok(Some(offered.clone())),
            None => invalid("the server chose a subprotocol that was not offered, or several"),
        }
    }

    fn agreed_deflate(&self, response: &Response) -> Result<Option<deflate::Agreed>, Rejected> {
        let mut extensions = Vec::new();
        for value in response.all(EXTENSIONS) {
            if let Err(problem) = Extension::parse_list(value, &mut extensions) {
                return invalid(&format!("\"{EXTENSIONS}\": {problem}"));
            }
        }
        let is_deflate = |extension: &Extension| extension.name.eq_ignore_ascii_case(deflate::NAME);
        match (extensions.as_slice(), &self.deflate) {
            ([], _) => Ok(None),
            ([extension], Some(config)) if is_deflate(extension) => {
                deflate::check(config, &extension.params()).map(Some).map_err(Rejected::Invalid)
            }
            ([_, ..], Some(_)) if extensions.iter().all(is_deflate) => invalid("the server accepts an extension twice"),
            _ => invalid("the server accepts an extension that was not offered"),
        }
    }
}

/// Names where it connects to, not the query and the fields: they carry credentials.
impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer").field("host", &self.host).finish_non_exhaustive()
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => {
                write!(f, "the server answered {status} {} instead of 101", reason_phrase(*status))
            }
            Self::Invalid(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for Rejected {}

impl From<Malformed> for Rejected {
    fn from(malformed: Malformed) -> Self {
        Self::Invalid(malformed.to_string())
    }
}

const ACCEPT: &str = "Sec-WebSocket-Accept";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// The value of a field that may occur at most once.
fn only<'a>(response: &'a Response, name: &'static str) -> Result<Option<&'a [u8]>, Rejected> {
    let mut values = response.all(name);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => invalid(&format!("\"{name}\" occurs more than once")),
    }
}

fn invalid<T>(problem: &str) -> Result<T, Rejected> {
    Err(Rejected::Invalid(problem.to_owned()))
}
