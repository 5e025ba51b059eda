//! TLS by Python's `ssl`, on sockets of the engine: a driver object turns ciphertext into plaintext, and the reverse.
//!
//! A driver has `unwrap(data)`, `wrap(data, last)`, `outgoing()`, `is_open` and `is_closed`: `everwire.engine.ssl_driver`. The reactor
//! reads, writes and keeps time; nothing is borrowed while a driver runs, so that whatever its callbacks do finds the engine free.
//! A driver that fails ends its own connection, and no other.

use std::time::Instant;

use everwire_reactor::{Id, Unwrapped};
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::dispatch;
use crate::raised::{both, tell};
use crate::shard::Shard;

/// Gives ciphertext of a connection to its driver, which is made when the first comes.
pub fn unwrap(shard: &Bound<'_, Shard>, id: Id, ciphertext: Bound<'_, PyBytes>) -> PyResult<()> {
    try_unwrap(shard, id, ciphertext).or_else(|error| fail(shard, id, error))
}

fn try_unwrap(shard: &Bound<'_, Shard>, id: Id, ciphertext: Bound<'_, PyBytes>) -> PyResult<()> {
    let py = shard.py();
    let Some(driver) = driver_of(shard, id)? else { return Ok(()) };
    let driver = driver.bind(py);
    let plain = driver.call_method1(intern!(py, "unwrap"), (ciphertext,))?;
    let outgoing = driver.call_method0(intern!(py, "outgoing"))?;
    let answer = Unwrapped {
        plain: plain.extract()?,
        outgoing: outgoing.extract()?,
        is_open: driver.getattr(intern!(py, "is_open"))?.extract()?,
        is_closed: driver.getattr(intern!(py, "is_closed"))?.extract()?,
    };
    shard.get().with(py, |reactor| reactor.unwrapped(id, &answer))
}

/// Has the output of connections encrypted by their drivers, and written, until the time is up.
pub fn wrap(shard: &Bound<'_, Shard>, until: Instant) -> PyResult<()> {
    let (this, py) = (shard.get(), shard.py());
    while let Some(id) = this.with(py, |reactor| reactor.next_wrap())? {
        let wrapped = try_wrap(shard, id).or_else(|error| fail(shard, id, error));
        let flushed = this.with(py, |reactor| reactor.flush_one(id, Instant::now()));
        both(py, wrapped, flushed.map(drop))?;
        if Instant::now() >= until {
            break;
        }
    }
    Ok(())
}

fn try_wrap(shard: &Bound<'_, Shard>, id: Id) -> PyResult<()> {
    let (this, py) = (shard.get(), shard.py());
    let Some(driver) = driver_of(shard, id)? else { return Ok(()) };
    let driver = driver.bind(py);
    let (plain, is_last) = this.with(py, |reactor| reactor.take_portion(id))?;
    driver.call_method1(intern!(py, "wrap"), (PyBytes::new(py, &plain), is_last))?;
    let outgoing = driver.call_method0(intern!(py, "outgoing"))?;
    let outgoing: &[u8] = outgoing.extract()?;
    this.with(py, |reactor| reactor.wrapped(id, outgoing, is_last))
}

/// A driver's error is its connection's: TLS failed, if it is one of the system's or of `ssl`. Others are told to the loop, too.
/// How much of its work the driver has done nobody knows, so its connection ends, whatever it raised.
fn fail(shard: &Bound<'_, Shard>, id: Id, error: PyErr) -> PyResult<()> {
    let (this, py) = (shard.get(), shard.py());
    let driver = this.table.hold(py).driver(py, id);
    let alert = driver.and_then(|driver| {
        let alert = driver.bind(py).call_method0(intern!(py, "outgoing")).ok()?;
        alert.extract::<Vec<u8>>().ok()
    });
    let text = error.value(py).to_string();
    let connection = dispatch::connection_of(shard, id);
    this.with(py, |reactor| reactor.fail_tls(id, &alert.unwrap_or_default(), text, Instant::now()))?;
    let told =
        if error.is_instance_of::<PyOSError>(py) { Ok(()) } else { tell(shard, connection.as_ref(), Err(error)) };
    both(py, told, Shard::run_soon(shard))
}

fn driver_of(shard: &Bound<'_, Shard>, id: Id) -> PyResult<Option<Py<PyAny>>> {
    let (this, py) = (shard.get(), shard.py());
    let known = this.table.hold(py).driver(py, id);
    if known.is_some() {
        return Ok(known);
    }
    let Some(listener) = this.with(py, |reactor| reactor.listener(id))? else { return Ok(None) };
    let Some((endpoint, _)) = dispatch::listener_of(shard, listener) else { return Ok(None) };
    let driver = endpoint.bind(py).call_method0(intern!(py, "make_driver"))?.unbind();
    this.table.hold(py).insert_driver(id, driver.clone_ref(py));
    Ok(Some(driver))
}
