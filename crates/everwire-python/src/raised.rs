//! What Python raised: whose it is, and what becomes of it.
//!
//! An `Exception` belongs to one connection: that one ends, the loop's exception handler is told, and everybody else goes on.
//! What is no `Exception` (`SystemExit`, `KeyboardInterrupt`, `CancelledError`) is the program's: it leaves the turn, and what the
//! turn had still to do is done in the next one.

use std::time::Instant;

use everwire_reactor::{Decision, Id};
use everwire_wire::handshake::Refusal;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::connection::Connection;
use crate::dispatch::connection_of;
use crate::shard::Shard;

/// Whether an error belongs to a connection, and not to the program.
fn is_contained(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyException>(py)
}

/// Deals with what a handler or callback of a connection raised: the loop is told, the peer gets 1011. An answer to a message
/// behind which the peer closed, or broke the protocol, is no error of the callback's; that another connection has closed is.
///
/// # Errors
/// What belongs to the program.
#[inline]
pub fn contain(shard: &Bound<'_, Shard>, id: Id, result: PyResult<()>) -> PyResult<()> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => blame(shard, id, error),
    }
}

#[cold]
fn blame(shard: &Bound<'_, Shard>, id: Id, error: PyErr) -> PyResult<()> {
    let py = shard.py();
    if !is_contained(py, &error) {
        return Err(error);
    }
    let was_open = give_up(shard, id)?;
    let connection = connection_of(shard, id);
    if !was_open && let Some(connection) = &connection {
        let is_own = connection.bind(py).call_method1(intern!(py, "_is_own"), (error.value(py),))?;
        if is_own.is_truthy()? {
            return Ok(());
        }
    }
    report(shard, connection.as_ref(), &error)
}

/// Ends a connection that nobody looks after: a handshake that is under way is answered, an open connection closed; there is never
/// both. Whether it was open.
pub fn give_up(shard: &Bound<'_, Shard>, id: Id) -> PyResult<bool> {
    shard.get().with(shard.py(), |reactor| {
        let now = Instant::now();
        let refusal = Refusal::new(500, "internal error");
        let answered = reactor.decide(id, Decision::Refuse(&refusal), now);
        answered.is_ok() && reactor.close(id, Some((1011, "internal error")), now).is_ok()
    })
}

/// Tells the loop's exception handler of an error that ends no connection.
///
/// # Errors
/// What belongs to the program.
pub fn tell(shard: &Bound<'_, Shard>, connection: Option<&Py<Connection>>, result: PyResult<()>) -> PyResult<()> {
    match result {
        Err(error) if is_contained(shard.py(), &error) => report(shard, connection, &error),
        result => result,
    }
}

fn report(shard: &Bound<'_, Shard>, connection: Option<&Py<Connection>>, error: &PyErr) -> PyResult<()> {
    let py = shard.py();
    let context = PyDict::new(py);
    context.set_item("message", "exception in a callback of a WebSocket connection")?;
    context.set_item("exception", error.value(py))?;
    context.set_item("connection", connection)?;
    let event_loop = shard.get().event_loop(py);
    event_loop.bind(py).call_method1(intern!(py, "call_exception_handler"), (context,)).map(drop)
}

/// The first error of two things that are both done, whatever the first one came to.
pub fn both(py: Python<'_>, first: PyResult<()>, second: PyResult<()>) -> PyResult<()> {
    match (first, second) {
        (Err(first), Err(second)) => {
            second.write_unraisable(py, None);
            Err(first)
        }
        (first, second) => first.and(second),
    }
}
