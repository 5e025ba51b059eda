//! One message to many connections, encoded once.

use std::sync::atomic::Ordering;

use std::time::Instant;

use everwire_reactor::{Frame, Report};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::connection::{Connection, State};
use crate::errors;
use crate::message;
use crate::shard::Shard;

/// Broadcasts to at least this many connections are written without the GIL.
const CROWD: usize = 256;

/// Sends one message to many connections. Returns those that did not get it, because they close or do not read.
pub fn broadcast<'py>(
    shard: &Bound<'py, Shard>,
    connections: &Bound<'py, PyAny>,
    data: &Bound<'py, PyAny>,
    text: Option<bool>,
) -> PyResult<Bound<'py, PyList>> {
    let (this, py) = (shard.get(), shard.py());
    let outgoing = message::required(data, text)?;
    let mut receivers = Vec::new();
    for connection in connections.try_iter()? {
        let connection = connection?;
        let connection = connection.cast::<Connection>()?.get();
        if connection.state() != State::Open {
            continue;
        }
        if !connection.is_on(shard) {
            return Err(errors::usage(py, "a connection of another event loop"));
        }
        receivers.extend(connection.id());
    }
    // PERF: in the order in which they lie in memory (bench: fan-out); a set has them in any.
    receivers.sort_unstable_by_key(|id| id.index());
    let mut frame = Frame::new(outgoing.kind, &outgoing.bytes);
    let now = Instant::now();
    let mut missed = Vec::new();
    let mut report = Report::default();
    this.with(py, |reactor| {
        for id in &receivers {
            let before = report.slow + report.closed;
            reactor.send_frame(*id, &mut frame, &mut report, now);
            if report.slow + report.closed != before {
                missed.push(*id);
            }
        }
    })?;
    if !this.is_turning.load(Ordering::Relaxed) {
        let mut held = this.hold(py)?;
        if receivers.len() >= CROWD {
            let reactor = &mut *held;
            py.detach(|| reactor.flush(now));
        } else {
            held.flush(now);
        }
    }
    Shard::run_soon(shard)?;
    let missed: Vec<Py<Connection>> = {
        let table = this.table.hold(py);
        missed.iter().filter_map(|id| table.connection(py, *id)).collect()
    };
    PyList::new(py, missed)
}
