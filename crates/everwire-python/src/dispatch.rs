//! Events of the reactor, and the call into Python that each becomes.

use std::time::Instant;

use everwire_reactor::{Event, Id, Payload};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::connection::{Connection, State};
use crate::driver;
use crate::ending;
use crate::flag::While;
use crate::inbox::{Entry, Marks};
use crate::message;
use crate::raised::{both, contain, give_up, tell};
use crate::shard::Shard;
use crate::turn::{LOOK, Leftover};

/// Applies events in order until the time is up; the rest is kept.
pub fn dispatch(slf: &Bound<'_, Shard>, until: Instant) -> PyResult<()> {
    let (this, py) = (slf.get(), slf.py());
    let applied = {
        let _dispatching = While::is(&this.is_dispatching, true);
        apply_until(slf, until)
    };
    let used = this.leftover.hold(py).take_used();
    let recycled = match used {
        Some(batch) => this.with(py, |reactor| reactor.recycle(batch)),
        None => Ok(()),
    };
    both(py, applied, recycled)
}

fn apply_until(slf: &Bound<'_, Shard>, until: Instant) -> PyResult<()> {
    let (this, py) = (slf.get(), slf.py());
    // The connection of the message before: often they come in a row.
    let mut current: Option<(Id, Py<Connection>)> = None;
    let mut count = 0;
    loop {
        let next = this.leftover.hold(py).next(py);
        match next {
            None => return Ok(()),
            Some(Next::Data(id, entry, spent)) => {
                if let Some(spent) = spent {
                    this.with(py, |reactor| reactor.give_back(spent))?;
                }
                if current.as_ref().is_none_or(|(known, _)| *known != id) {
                    current = connection_of(slf, id).map(|connection| (id, connection));
                }
                if let Some((_, connection)) = &current {
                    contain(slf, id, entry.and_then(|entry| Connection::push(connection.bind(py), slf, entry)))?;
                }
            }
            Some(Next::Ciphertext(id, ciphertext)) => driver::unwrap(slf, id, ciphertext.into_bound(py))?,
            Some(Next::Other(event)) => apply(slf, event)?,
        }
        count += 1;
        if count % LOOK == 0 && Instant::now() >= until {
            return Ok(());
        }
    }
}

/// What is next to be applied.
enum Next {
    /// All of a message, or a part, as a Python object; and the memory that it came in, if that is to be used again.
    Data(Id, PyResult<Entry>, Option<Vec<u8>>),
    Ciphertext(Id, Py<PyBytes>),
    Other(Event),
}

impl Leftover {
    /// Takes the next event. Making an object of its payload runs no code of Python's: strings and bytes are nothing that the garbage
    /// collector looks at.
    fn next(&mut self, py: Python<'_>) -> Option<Next> {
        let (id, kind, payload, fin, is_part) = match self.events.pop_front()? {
            Event::Message(id, kind, payload) => (id, kind, payload, true, false),
            Event::Fragment(id, kind, payload, fin) => (id, kind, payload, fin, true),
            Event::Ciphertext(id, payload) => {
                return Some(Next::Ciphertext(id, PyBytes::new(py, self.bytes_of(&payload)).unbind()));
            }
            other => return Some(Next::Other(other)),
        };
        let bytes = self.bytes_of(&payload);
        let size = bytes.len();
        let entry = message::incoming(py, kind, bytes).map(|object| Entry::new(object, size, fin, is_part));
        let spent = match payload {
            Payload::Owned(bytes) => Some(bytes),
            Payload::Scratch(_) => None,
        };
        Some(Next::Data(id, entry, spent))
    }

    fn bytes_of<'a>(&'a self, payload: &'a Payload) -> &'a [u8] {
        match (payload, &self.scratch) {
            (Payload::Scratch(range), Some(scratch)) => &scratch[range.clone()],
            (Payload::Scratch(_), None) => &[],
            (Payload::Owned(bytes), _) => bytes,
        }
    }
}

/// Applies an event that brings no message.
fn apply(slf: &Bound<'_, Shard>, event: Event) -> PyResult<()> {
    let py = slf.py();
    match event {
        Event::Message(..) | Event::Fragment(..) | Event::Ciphertext(..) => Ok(()),
        Event::Opened(id) => begin(slf, id, "opened"),
        Event::Request(id) => begin(slf, id, "request"),
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
        Event::Drained(id) => call(slf, id, |connection| connection.call_method0(intern!(py, "_on_drained"))),
        Event::Withdrawn(id) => match known(slf, id) {
            Some((connection, endpoint)) => {
                let told = endpoint.bind(py).call_method1(intern!(py, "withdrawn"), (connection,));
                contain(slf, id, told.map(drop))
            }
            None => Ok(()),
        },
        Event::Idle(id) => {
            // Who is slow to take what came has no reason to complain of silence.
            match connection_of(slf, id) {
                Some(connection) if connection.get().has_messages(py) => Ok(()),
                _ => slf.get().with(py, |reactor| reactor.close_idle(id, Instant::now())),
            }
        }
        Event::Pong(id, data) => {
            call(slf, id, |connection| connection.call_method1(intern!(py, "_on_pong"), (PyBytes::new(py, &data),)))
        }
        Event::Closed(id, ending) => ending::close(slf, id, *ending),
        Event::Starved(listener, error) => match listener_of(slf, listener) {
            Some((endpoint, _)) => {
                let told = endpoint.bind(py).call_method1(intern!(py, "starved"), (error.to_string(),));
                tell(slf, None, told.map(drop))
            }
            None => Ok(()),
        },
    }
}

/// Tells an endpoint of a connection that it has to look after from now on. If it does not, nobody else will.
fn begin(slf: &Bound<'_, Shard>, id: Id, what: &str) -> PyResult<()> {
    let py = slf.py();
    let told = introduce(slf, id).and_then(|introduced| {
        let Some((connection, endpoint)) = introduced else { return Ok(()) };
        if what == "opened" {
            connection.get().advance(State::Open);
        }
        endpoint.bind(py).call_method1(what, (connection,)).map(drop)
    });
    match contain(slf, id, told) {
        Err(error) => {
            let ended = give_up(slf, id).map(drop);
            both(py, Err(error), ended)
        }
        ok => ok,
    }
}

/// Has whoever waits for a message of this connection woken when the batch is placed.
pub fn wake_later(slf: &Bound<'_, Shard>, connection: &Py<Connection>) {
    let mut leftover = slf.get().leftover.hold(slf.py());
    if !leftover.wakes.back().is_some_and(|last| last.is(connection)) {
        leftover.wakes.push_back(connection.clone_ref(slf.py()));
    }
}

/// The Python object of a connection, and who is told about it; a server's is made when it is first needed.
fn introduce(slf: &Bound<'_, Shard>, id: Id) -> PyResult<Option<(Py<Connection>, Py<PyAny>)>> {
    let py = slf.py();
    let this = slf.get();
    if let Some(known) = known(slf, id) {
        return Ok(Some(known));
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

fn call<'py>(
    slf: &Bound<'py, Shard>,
    id: Id,
    call: impl FnOnce(&Bound<'py, Connection>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<()> {
    match connection_of(slf, id) {
        Some(connection) => contain(slf, id, call(connection.bind(slf.py())).map(drop)),
        None => Ok(()),
    }
}

/// The Python object of a connection, and who is told about it, if there are.
fn known(slf: &Bound<'_, Shard>, id: Id) -> Option<(Py<Connection>, Py<PyAny>)> {
    let py = slf.py();
    let table = slf.get().table.hold(py);
    table.connection(py, id).zip(table.endpoint(py, id))
}

/// The Python object of a connection, if there is one.
pub fn connection_of(slf: &Bound<'_, Shard>, id: Id) -> Option<Py<Connection>> {
    slf.get().table.hold(slf.py()).connection(slf.py(), id)
}

/// Who is told about the connections of a listener, and how much may wait in each.
pub fn listener_of(slf: &Bound<'_, Shard>, id: Id) -> Option<(Py<PyAny>, Marks)> {
    slf.get().table.hold(slf.py()).listener(slf.py(), id)
}
