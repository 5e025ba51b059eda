//! Connections whose bytes a driver in Python carries, instead of a socket of the engine.

use std::net::SocketAddr;

use everwire_reactor::{Id, Peer};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::connecting::Offer;
use crate::connection::Connection;
use crate::errors;
use crate::settings::Settings;
use crate::shard::Shard;

/// Who carries the bytes, and to whom.
pub struct Driven {
    pub driver: Py<PyAny>,
    pub peer: Option<(String, u16)>,
}

impl Driven {
    fn peer(&self) -> Peer {
        let address = self.peer.as_ref().and_then(|(host, port)| Some(SocketAddr::new(host.parse().ok()?, *port)));
        address.map_or(Peer::Local, Peer::Tcp)
    }
}

/// Begins a client's handshake; returns the connection's number.
pub fn attach_client(
    shard: &Bound<'_, Shard>,
    connection: &Bound<'_, Connection>,
    offer: &Offer,
    driven: Driven,
) -> PyResult<u64> {
    let py = shard.py();
    let settings = offer.settings.get();
    let begun = shard.get().with(py, |reactor| {
        let (request, head) = offer.with_key(reactor.nonce());
        reactor.connect_outside(driven.peer(), request, settings.settings.clone()).map(|id| (id, head))
    })?;
    let (id, head) = begun.map_err(|error| errors::usage(py, error.to_string()))?;
    connection.get().keep_request(py, Some(head));
    enter(shard, connection, id, settings, connection.clone().into_any().unbind(), driven)
}

/// Begins a server's handshake, of which `endpoint` is told; returns the connection's number.
pub fn attach_server(
    shard: &Bound<'_, Shard>,
    connection: &Bound<'_, Connection>,
    settings: &Settings,
    endpoint: Py<PyAny>,
    driven: Driven,
) -> PyResult<u64> {
    let peer = driven.peer();
    let id = shard.get().with(shard.py(), |reactor| reactor.accept_outside(peer, settings.settings.clone()))?;
    enter(shard, connection, id, settings, endpoint, driven)
}

fn enter(
    shard: &Bound<'_, Shard>,
    connection: &Bound<'_, Connection>,
    id: Id,
    settings: &Settings,
    endpoint: Py<PyAny>,
    driven: Driven,
) -> PyResult<u64> {
    Shard::enter(shard, connection, id, settings, endpoint, Some(driven.driver))?;
    Shard::run_soon(shard)?;
    Ok(id.to_bits())
}

/// Takes bytes from a driver, and the end. The driver is told to stop reading if enough waits.
pub fn feed(shard: &Bound<'_, Shard>, id: Id, data: &[u8], last: bool) -> PyResult<()> {
    let is_sated = shard.get().with(shard.py(), |reactor| reactor.feed(id, data, last))?;
    if is_sated {
        pause_reading(shard, id)?;
    }
    Shard::run(shard)
}

/// A driver takes no output for now, or takes some again.
pub fn set_blocked(shard: &Bound<'_, Shard>, id: Id, blocked: bool) -> PyResult<()> {
    let (this, py) = (shard.get(), shard.py());
    this.check(py)?;
    if let Some(row) = this.table.hold(py).row_mut(id) {
        row.is_blocked = blocked;
    }
    if !blocked {
        this.with(py, |reactor| reactor.unblock_outside(id))?;
        write(shard)?;
        Shard::run_soon(shard)?;
    }
    Ok(())
}

/// Gives output to the drivers that take some.
pub fn write(shard: &Bound<'_, Shard>) -> PyResult<()> {
    let (this, py) = (shard.get(), shard.py());
    for id in this.with(py, |reactor| reactor.take_outside())? {
        let driver = {
            let table = this.table.hold(py);
            table.row(id).filter(|row| !row.is_blocked).and_then(|_| table.driver(py, id))
        };
        let Some(driver) = driver else { continue };
        let (bytes, hang_up) = this.with(py, |reactor| reactor.take_output(id))?;
        if !bytes.is_empty() {
            driver.bind(py).call_method1(intern!(py, "write"), (PyBytes::new(py, &bytes),))?;
        }
        if hang_up {
            driver.bind(py).call_method0(intern!(py, "write_eof"))?;
        }
    }
    Ok(())
}

/// A connection's driver, if it has one, reads nothing for now.
pub fn pause_reading(shard: &Bound<'_, Shard>, id: Id) -> PyResult<()> {
    tell_driver(shard, id, intern!(shard.py(), "pause_reading"))
}

/// A connection's driver, if it has one, reads again.
pub fn resume_reading(shard: &Bound<'_, Shard>, id: Id) -> PyResult<()> {
    tell_driver(shard, id, intern!(shard.py(), "resume_reading"))
}

fn tell_driver(shard: &Bound<'_, Shard>, id: Id, what: &Bound<'_, PyString>) -> PyResult<()> {
    let py = shard.py();
    let driver = shard.get().table.hold(py).driver(py, id);
    match driver {
        Some(driver) => driver.bind(py).call_method0(what).map(drop),
        None => Ok(()),
    }
}
