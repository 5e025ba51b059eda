//! What a listener gives each of its connections, and a caller an outgoing one.

use std::sync::Arc;

use everwire_wire::Role;
use everwire_wire::deflate;
use everwire_wire::handshake::{Origin, forwarded};

use crate::address::Network;
use crate::limits::{Deadlines, Limits};
use crate::tls;

/// Everything that is the same for all connections of one listener, or said once for an outgoing one.
pub struct Settings {
    /// Which side we are.
    pub role: Role,
    /// Sizes, counts and rates.
    pub limits: Limits,
    /// Times.
    pub deadlines: Deadlines,
    /// What compression to agree to; `None` for none.
    pub deflate: Option<deflate::Config>,
    /// Subprotocols of ours, in order of preference.
    pub subprotocols: Vec<String>,
    /// Whose pages may connect.
    pub origins: Origins,
    /// Hosts other than loopback names that pages may use to reach a listener on loopback.
    pub allowed_hosts: Vec<String>,
    /// The value of the `Server` field in answers; `None` sends none.
    pub server: Option<String>,
    /// Seconds for which browsers are to use TLS only with this host (RFC 6797): said in every answer under TLS.
    pub hsts: Option<u64>,
    /// Ask the application about every request, with [`Event::Request`](crate::Event::Request).
    pub asks: bool,
    /// Every connection begins with a PROXY protocol v2 header, or is closed.
    pub proxy_protocol: bool,
    /// Proxies whose word about the client's address is taken.
    pub trusted: Vec<Network>,
    /// In which field they say it.
    pub forwarded: forwarded::Source,
    /// Who does TLS with those who connect, if there is any.
    pub tls: Tls,
    /// The bytes come through TLS.
    pub secure: bool,
    /// The listener is on a loopback address.
    pub loopback: bool,
    /// What a broadcast does to a connection beyond its output limit.
    pub overflow: Overflow,
}

impl Settings {
    /// The field that every answer has, if there is one.
    pub(crate) fn transport_security(&self) -> Option<(&'static str, String)> {
        let seconds = self.hsts.filter(|_| self.secure)?;
        Some(("Strict-Transport-Security", format!("max-age={seconds}")))
    }
}

/// Who does TLS on a listener's connections.
#[derive(Clone)]
pub enum Tls {
    /// Nobody: there is none.
    None,
    /// The core.
    Core(Arc<tls::ServerContext>),
    /// The shard's driver: see [`Event::Ciphertext`](crate::Event::Ciphertext).
    Driver,
}

/// Whose pages may open connections; compared as origins: scheme, host and port (RFC 6454 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's.
    Any,
    /// Those of the host that the request names, and programs that send no `Origin`.
    Same,
    /// Those in the list.
    Allow {
        /// The allowed origins.
        list: Vec<Origin>,
        /// Whether programs that send no `Origin` are let in.
        missing: bool,
    },
}

/// What a broadcast does to a connection whose output is beyond its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The message passes it by.
    Skip,
    /// It is closed with 1013, so that it comes back and starts afresh.
    Close,
}
