//! A client's opening handshake: what it asks for, and how it begins on a socket of the engine.

use std::time::Instant;

use everwire_reactor as reactor;
use everwire_reactor::ClientTls;
use everwire_wire::handshake;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::connection::Connection;
use crate::descriptor;
use crate::driver;
use crate::errors;
use crate::raised::both;
use crate::settings::Settings;
use crate::shard::Shard;
use crate::tls::ClientTLS;

/// What a client asks for: with which settings, whom and where, and what else its request says.
#[pyclass(frozen, module = "everwire._core")]
pub struct Offer {
    pub settings: Py<Settings>,
    host: String,
    target: String,
    fields: Vec<(String, String)>,
}

#[pymethods]
impl Offer {
    #[new]
    fn new(settings: Py<Settings>, host: String, target: String, fields: Vec<(String, String)>) -> Self {
        Offer { settings, host, target, fields }
    }
}

impl Offer {
    /// The offer with this key, and how it is written: whether it may be sent is judged when it is.
    pub fn with_key(&self, key: [u8; 16]) -> (handshake::Offer, Box<[u8]>) {
        let settings = &self.settings.get().settings;
        let offer = handshake::Offer {
            host: self.host.clone(),
            target: self.target.clone(),
            key,
            protocols: settings.subprotocols.clone(),
            deflate: settings.deflate.clone(),
            fields: self.fields.clone(),
        };
        let mut head = Vec::new();
        let _ = offer.write_request(&mut head);
        (offer, head.into())
    }
}

/// Begins a client's handshake on a connected socket, whose descriptor it takes over. `endpoint` is told what becomes of it.
pub fn connect(
    shard: &Bound<'_, Shard>,
    connection: &Bound<'_, Connection>,
    fd: i32,
    offer: &Offer,
    endpoint: Py<PyAny>,
    tls: Option<Tls<'_, '_>>,
) -> PyResult<()> {
    let (this, py) = (shard.get(), shard.py());
    // Taken over first: it is closed, whatever goes wrong.
    let socket = descriptor::adopt(fd)?;
    Connection::check_new(connection)?;
    let (tls, driver) = match tls {
        None => (ClientTls::None, None),
        Some(Tls::Core(tls, name)) => {
            let session = reactor::tls::Session::client(&tls.context, name)
                .and_then(|mut session| session.start().map(|()| session))
                .map_err(|failure| errors::usage(py, failure.to_string()))?;
            (ClientTls::Core(Box::new(session)), None)
        }
        Some(Tls::Driver(driver)) => (ClientTls::Driver, Some(driver)),
    };
    let settings = offer.settings.get();
    let begun = this.with(py, |reactor| {
        let (request, head) = offer.with_key(reactor.nonce());
        let now = Instant::now();
        let peer = socket.peer();
        socket.send_at_once();
        let id = reactor.connect(Box::new(socket), peer, tls, request, settings.settings.clone(), now);
        reactor.flush(now);
        id.map(|id| (id, head))
    })?;
    let (id, head) = begun.map_err(|error| errors::usage(py, error.to_string()))?;
    connection.get().keep_request(py, Some(head));
    let begins = driver.is_some();
    if let Some(driver) = driver {
        this.table.hold(py).insert_driver(id, driver.clone().unbind());
    }
    Shard::enter(shard, connection, id, settings, endpoint)?;
    if begins {
        let begun = driver::unwrap(shard, id, PyBytes::new(py, b""));
        this.with(py, |reactor| reactor.flush_one(id, Instant::now()))?;
        return both(py, begun, Shard::settle(shard));
    }
    Ok(())
}

/// Who does a client's TLS.
pub enum Tls<'a, 'py> {
    /// The core, with a name that the server's certificate must be for.
    Core(&'a ClientTLS, &'a str),
    /// A driver in Python.
    Driver(&'a Bound<'py, PyAny>),
}
