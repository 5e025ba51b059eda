//! Events of the reactor, and the call into Python that each becomes.

use std::collections::VecDeque;
use std::time::Instant;

use everwire_reactor::{Batch, Decision, Event, Id, Payload};
use everwire_wire::Kind;
use everwire_wire::handshake::Refusal;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::connection::{Connection, State};
use crate::driver;
use crate::ending;
use crate::inbox::{Entry, Marks};
use crate::message;
use crate::shard::Shard;

/// Events between two looks at the clock.
const LOOK: usize = 4;

/// Applies events in order until the time is up; keeps the rest.
pub fn dispatch(
    slf: &Bound<'_, Shard>,
    mut events: VecDeque<Event>,
    scratch: Box<[u8]>,
    until: Instant,
) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let mut result = Ok(());
    let mut count = 0;
    let mut current = None;
    while let Some(event) = events.pop_front() {
        let id = id_of(&event);
        if let Err(error) = apply(slf, event, &scratch, &mut current) {
            if !error.is_instance_of::<PyException>(py) {
                result = Err(error);
                break;
            }
            report(slf, id, &error)?;
        }
        count += 1;
        if count % LOOK == 0 && Instant::now() >= until {
            break;
        }
    }
    if events.is_empty() {
        let batch = Batch { events: events.into(), scratch };
        this.with(py, |reactor| reactor.recycle(batch))?;
    } else {
        this.leftover.hold(py).batch = Some((events, scratch));
    }
    result
}

/// Applies one event. `current` is the connection of the message before: often they come in a row.
fn apply(
    slf: &Bound<'_, Shard>,
    event: Event,
    scratch: &[u8],
    current: &mut Option<(Id, Py<Connection>)>,
) -> PyResult<()> {
    let py = slf.py();
    if let Event::Message(id, ..) | Event::Fragment(id, ..) = &event
        && current.as_ref().is_none_or(|(known, _)| known != id)
    {
        *current = connection_of(slf, *id).map(|connection| (*id, connection));
    }
    match event {
        Event::Message(_, kind, payload) => receive(slf, current, kind, payload, scratch, true, false),
        Event::Fragment(_, kind, payload, fin) => receive(slf, current, kind, payload, scratch, fin, true),
        Event::Opened(id) => {
            let Some((connection, endpoint)) = introduce(slf, id)? else { return Ok(()) };
            connection.get().advance(State::Open);
            endpoint.bind(py).call_method1(intern!(py, "opened"), (connection,))?;
            Ok(())
        }
        Event::Request(id) => {
            let Some((connection, endpoint)) = introduce(slf, id)? else { return Ok(()) };
            endpoint.bind(py).call_method1(intern!(py, "request"), (connection,))?;
            Ok(())
        }
        Event::Failed(id, failure) => ending::fail(slf, id, *failure),
        Event::Closing(id) => {
            if let Some(connection) = connection_of(slf, id) {
                connection.get().advance(State::Closing);
            }
            Ok(())
        }
        Event::Shed(id) => {
            if let Some(connection) = connection_of(slf, id) {
                Connection::drop_waiting(connection.bind(py));
            }
            Ok(())
        }
        Event::Drained(id) => tell(slf, id, |connection| connection.call_method0(intern!(py, "_on_drained"))),
        Event::Withdrawn(id) => {
            let known = {
                let table = slf.get().table.hold(py);
                table.connection(py, id).zip(table.endpoint(py, id))
            };
            match known {
                Some((connection, endpoint)) => {
                    endpoint.bind(py).call_method1(intern!(py, "withdrawn"), (connection,)).map(drop)
                }
                None => Ok(()),
            }
        }
        Event::Idle(id) => {
            // Who is slow to take what came has no reason to complain of silence.
            match connection_of(slf, id) {
                Some(connection) if connection.get().has_messages(py) => Ok(()),
                _ => slf.get().with(py, |reactor| reactor.close_idle(id, Instant::now())),
            }
        }
        Event::Ciphertext(id, Payload::Scratch(range)) => driver::unwrap(slf, id, &scratch[range]),
        Event::Ciphertext(id, Payload::Owned(bytes)) => driver::unwrap(slf, id, &bytes),
        Event::Pong(id, data) => {
            tell(slf, id, |connection| connection.call_method1(intern!(py, "_on_pong"), (PyBytes::new(py, &data),)))
        }
        Event::Closed(id, ending) => ending::close(slf, id, *ending),
        Event::Starved(listener, error) => {
            if let Some((endpoint, _)) = listener_of(slf, listener) {
                endpoint.bind(py).call_method1(intern!(py, "starved"), (error.to_string(),))?;
            }
            Ok(())
        }
    }
}

fn receive(
    slf: &Bound<'_, Shard>,
    connection: &Option<(Id, Py<Connection>)>,
    kind: Kind,
    payload: Payload,
    scratch: &[u8],
    fin: bool,
    part: bool,
) -> PyResult<()> {
    let py = slf.py();
    let Some((_, connection)) = connection else { return Ok(()) };
    let bytes = match &payload {
        Payload::Scratch(range) => &scratch[range.clone()],
        Payload::Owned(bytes) => bytes,
    };
    let object = message::incoming(py, kind, bytes)?;
    let size = bytes.len();
    if let Payload::Owned(bytes) = payload {
        slf.get().with(py, |reactor| reactor.give_back(bytes))?;
    }
    if Connection::push(connection.bind(py), Entry::new(object, size, fin, part))? {
        wake_later(slf, connection);
    }
    Ok(())
}

/// Has whoever waits for a message of this connection woken when the batch is placed.
pub fn wake_later(slf: &Bound<'_, Shard>, connection: &Py<Connection>) {
    let mut leftover = slf.get().leftover.hold(slf.py());
    if !leftover.wakes.back().is_some_and(|last| last.is(connection)) {
        leftover.wakes.push_back(connection.clone_ref(slf.py()));
    }
}

/// The Python object of a connection; a server's is made when it is first needed.
fn introduce(slf: &Bound<'_, Shard>, id: Id) -> PyResult<Option<(Py<Connection>, Py<PyAny>)>> {
    let py = slf.py();
    let this = slf.get();
    let known = {
        let table = this.table.hold(py);
        table.connection(py, id).zip(table.endpoint(py, id))
    };
    if known.is_some() {
        return Ok(known);
    }
    let Some(listener) = this.with(py, |reactor| reactor.listener(id))? else { return Ok(None) };
    let Some((endpoint, marks)) = listener_of(slf, listener) else {
        this.with(py, |reactor| reactor.abort(id))?;
        return Ok(None);
    };
    let connection = endpoint.bind(py).call_method0(intern!(py, "make"))?.cast_into::<Connection>()?;
    Connection::attach(&connection, slf.clone().unbind(), id, marks)?;
    let connection = connection.unbind();
    this.table.hold(py).insert(id, connection.clone_ref(py), endpoint.clone_ref(py));
    Ok(Some((connection, endpoint)))
}

fn tell<'py>(
    slf: &Bound<'py, Shard>,
    id: Id,
    call: impl FnOnce(&Bound<'py, Connection>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = slf.py();
    match connection_of(slf, id) {
        Some(connection) => call(connection.bind(py)).map(drop),
        None => Ok(()),
    }
}

/// An error in a handler or callback: the loop is told, the peer gets 1011. An answer to a message behind which the peer closed,
/// or broke the protocol, is no error of the callback's; that another connection has closed is.
pub fn report(slf: &Bound<'_, Shard>, id: Option<Id>, error: &PyErr) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let was_open = match id {
        Some(id) => this.with(py, |reactor| {
            let now = Instant::now();
            let refusal = Refusal::new(500, "internal error");
            // A handshake that is under way is answered, an open connection closed; there is never both.
            let answered = reactor.decide(id, Decision::Refuse(&refusal), now);
            answered.is_ok() && reactor.close(id, Some((1011, "internal error")), now).is_ok()
        })?,
        None => false,
    };
    let connection = id.and_then(|id| connection_of(slf, id));
    if !was_open && let Some(connection) = &connection {
        let is_own = connection.bind(py).call_method1(intern!(py, "_is_own"), (error.value(py),))?;
        if is_own.is_truthy()? {
            return Ok(());
        }
    }
    let context = PyDict::new(py);
    context.set_item("message", "exception in a callback of a WebSocket connection")?;
    context.set_item("exception", error.value(py))?;
    context.set_item("connection", connection)?;
    this.event_loop(py).bind(py).call_method1(intern!(py, "call_exception_handler"), (context,))?;
    Ok(())
}

fn connection_of(slf: &Bound<'_, Shard>, id: Id) -> Option<Py<Connection>> {
    slf.get().table.hold(slf.py()).connection(slf.py(), id)
}

/// Who is told about the connections of a listener, and how much may wait in each.
pub fn listener_of(slf: &Bound<'_, Shard>, id: Id) -> Option<(Py<PyAny>, Marks)> {
    slf.get().table.hold(slf.py()).listener(slf.py(), id)
}

/// The connection that an event is about.
fn id_of(event: &Event) -> Option<Id> {
    match event {
        Event::Starved(..) => None,
        Event::Request(id)
        | Event::Opened(id)
        | Event::Failed(id, _)
        | Event::Message(id, _, _)
        | Event::Fragment(id, _, _, _)
        | Event::Pong(id, _)
        | Event::Closing(id)
        | Event::Shed(id)
        | Event::Drained(id)
        | Event::Withdrawn(id)
        | Event::Idle(id)
        | Event::Ciphertext(id, _)
        | Event::Closed(id, _) => Some(*id),
    }
}
