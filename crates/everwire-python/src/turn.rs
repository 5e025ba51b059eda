//! A turn of the shard: what the reactor collected becomes calls into Python, and what they said is written.
//!
//! Order: everything of a batch that fills queues comes first, in the order in which it happened; then each task that waits for
//! one of these queues is woken, once, however many messages it got. A turn lasts about [`BUDGET`]; only a single call into
//! Python can make it longer. What is left over goes on in the loop's next iteration.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use everwire_reactor::{Batch, Cause, Decision, Ending, Event, Failure, Id, Payload};
use everwire_wire::Kind;
use everwire_wire::close::Received;
use everwire_wire::handshake::Refusal;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::connection::{Connection, State};
use crate::errors;
use crate::inbox::{Entry, Marks};
use crate::message;
use crate::shard::Shard;
use crate::waiter::Waiter;

/// How long a turn goes on before other work of the event loop has its turn.
const BUDGET: Duration = Duration::from_millis(1);
/// Events between two looks at the clock.
const LOOK: usize = 4;
/// A turn that comes later than this was kept waiting by somebody, who should hear of it.
const LATE: Duration = Duration::from_secs(1);

/// What a turn could not finish.
#[derive(Default)]
pub struct Leftover {
    batch: Option<(VecDeque<Event>, Box<[u8]>)>,
    wakes: VecDeque<Py<Connection>>,
    /// Connections whose callback is to get the messages that wait.
    pub deliveries: Vec<Py<Connection>>,
}

impl Leftover {
    pub fn is_empty(&self) -> bool {
        self.batch.is_none() && self.wakes.is_empty() && self.deliveries.is_empty()
    }

    pub fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.wakes.iter().chain(&self.deliveries).try_for_each(|connection| visit.call(connection))
    }
}

impl Shard {
    /// Runs one turn. Errors of the application go to the loop's exception handler; what ends the program comes out, and
    /// whatever was not dispatched yet is kept.
    pub fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        this.check(slf.py())?;
        if this.is_turning.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        this.turn.fetch_add(1, Ordering::Relaxed);
        let result = turn(slf);
        this.turn.fetch_add(1, Ordering::Relaxed);
        this.is_turning.store(false, Ordering::Relaxed);
        let settled = Self::settle(slf);
        result.and(settled)
    }
}

fn turn(slf: &Bound<'_, Shard>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let began = Instant::now();
    let until = began + BUDGET;
    let late = this.schedule.lateness(py, began);
    this.with(py, |reactor| reactor.wait(began))?.map_err(|error| errors::system(&error))?;
    deliver(slf)?;
    loop {
        let kept = this.leftover.hold(py).batch.take();
        let (events, scratch) = match kept {
            Some(kept) => kept,
            None => {
                let waiting = |id| this.table.hold(py).row(id).map_or(0, |row| row.connection.get().waiting(py));
                let batch = this.with(py, |reactor| reactor.collect(until, &waiting))?;
                (batch.events.into(), batch.scratch)
            }
        };
        this.is_dispatching.store(true, Ordering::Relaxed);
        let dispatched = dispatch(slf, events, scratch, until);
        this.is_dispatching.store(false, Ordering::Relaxed);
        let dispatched = dispatched.and_then(|()| wake(slf, until));
        this.with(py, |reactor| reactor.flush_until(until))?;
        write_outside(slf)?;
        dispatched?;
        let has_work = this.with(py, |reactor| reactor.has_work())?;
        if Instant::now() >= until || (!has_work && this.leftover.hold(py).is_empty()) {
            break;
        }
    }
    if late > LATE {
        // This turn deals with that deadline: the next one is not late for the same reason again.
        this.schedule.cancel_timer(py)?;
        warn_late(py, late)?;
    }
    let grace = if late > LATE { late.as_millis() as u64 } else { 0 };
    this.with(py, |reactor| {
        let now = Instant::now();
        reactor.expire(now, grace);
        reactor.flush_until(now.max(until));
    })?;
    write_outside(slf)
}

/// Applies events in order until the time is up; keeps the rest.
fn dispatch(slf: &Bound<'_, Shard>, mut events: VecDeque<Event>, scratch: Box<[u8]>, until: Instant) -> PyResult<()> {
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

/// Wakes the tasks that have something to receive, until the time is up.
fn wake(slf: &Bound<'_, Shard>, until: Instant) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    loop {
        let next = this.leftover.hold(py).wakes.pop_front();
        let Some(connection) = next else { return Ok(()) };
        if let Some(waiter) = Connection::take_reader(connection.bind(py)) {
            // What the task sends first leaves at once: it may compute for long afterwards.
            this.turn.fetch_add(1, Ordering::Relaxed);
            Waiter::wake(waiter.bind(py))?;
        }
        if Instant::now() >= until {
            return Ok(());
        }
    }
}

fn deliver(slf: &Bound<'_, Shard>) -> PyResult<()> {
    let py = slf.py();
    let deliveries = std::mem::take(&mut slf.get().leftover.hold(py).deliveries);
    for connection in deliveries {
        let connection = connection.bind(py);
        let id = connection.get().id();
        if let Err(error) = Connection::deliver(connection) {
            if !error.is_instance_of::<PyException>(py) {
                return Err(error);
            }
            report(slf, id, &error)?;
        }
    }
    Ok(())
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
            endpoint.bind(py).call_method1(intern!(py, "_opened"), (connection,))?;
            Ok(())
        }
        Event::Request(id) => {
            let Some((connection, endpoint)) = introduce(slf, id)? else { return Ok(()) };
            endpoint.bind(py).call_method1(intern!(py, "_request"), (connection,))?;
            Ok(())
        }
        Event::Failed(id, failure) => fail(slf, id, *failure),
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
        Event::Hungry(id) => {
            let driver = slf.get().table.hold(py).driver(py, id);
            match driver {
                Some(driver) => driver.bind(py).call_method0(intern!(py, "resume_reading")).map(drop),
                None => Ok(()),
            }
        }
        Event::Pong(id, data) => {
            tell(slf, id, |connection| connection.call_method1(intern!(py, "_on_pong"), (PyBytes::new(py, &data),)))
        }
        Event::Closed(id, ending) => close(slf, id, *ending),
        Event::Starved(listener, error) => {
            if let Some((endpoint, _)) = listener_of(slf, listener) {
                endpoint.bind(py).call_method1(intern!(py, "_starved"), (error.to_string(),))?;
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

fn wake_later(slf: &Bound<'_, Shard>, connection: &Py<Connection>) {
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
    let connection = endpoint.bind(py).call_method0(intern!(py, "_make"))?.cast_into::<Connection>()?;
    Connection::attach(&connection, slf.clone().unbind(), id, marks)?;
    let connection = connection.unbind();
    this.table.hold(py).insert(id, connection.clone_ref(py), endpoint.clone_ref(py), None);
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

fn close(slf: &Bound<'_, Shard>, id: Id, ending: Ending) -> PyResult<()> {
    let py = slf.py();
    let row = slf.get().table.hold(py).remove(id);
    let Some(row) = row else { return Ok(()) };
    let connection = row.connection.bind(py);
    connection.get().advance(State::Closed);
    connection.get().keep_client(py, ending.client);
    if let Some(request) = &ending.request {
        connection.get().keep_request(py, Some(request.as_bytes().into()));
    }
    let said = |close: Option<Received>| close.map(|close| (close.code, close.reason));
    let cause = ending.cause.as_ref().map(describe);
    if let Some(driver) = &row.driver {
        driver.bind(py).call_method1(intern!(py, "finish"), (cause.is_none(),))?;
    }
    wake_later(slf, &row.connection);
    let ending = (said(ending.received), said(ending.sent), ending.received_first, cause);
    connection.call_method1(intern!(py, "_on_closed"), ending)?;
    Ok(())
}

fn fail(slf: &Bound<'_, Shard>, id: Id, failure: Failure) -> PyResult<()> {
    let py = slf.py();
    let row = slf.get().table.hold(py).remove(id);
    let (connection, endpoint) = match row {
        Some(row) => {
            if let Some(driver) = &row.driver {
                driver.bind(py).call_method1(intern!(py, "finish"), (false,))?;
            }
            row.connection.get().advance(State::Closed);
            (Some(row.connection), row.endpoint)
        }
        None => match failure.listener.and_then(|listener| listener_of(slf, listener)) {
            Some((endpoint, _)) => (None, endpoint),
            None => return Ok(()),
        },
    };
    let (kind, text, status) = describe(&failure.cause);
    let head = failure.response.map(|response| PyBytes::new(py, response.as_bytes()).unbind());
    let body = PyBytes::new(py, &failure.body);
    endpoint.bind(py).call_method1(intern!(py, "_failed"), (connection, kind, text, status, head, body))?;
    Ok(())
}

/// A cause as Python gets it: its kind, a text for people, and the HTTP status or the system's number of the error if it has one.
fn describe(cause: &Cause) -> (&'static str, String, u16) {
    match cause {
        Cause::Eof => ("eof", "the connection ended without a closing handshake".to_owned(), 0),
        Cause::Io(error) => {
            let number = error.raw_os_error().and_then(|number| u16::try_from(number).ok());
            ("io", error.to_string(), number.unwrap_or(0))
        }
        Cause::Tls(text) => ("tls", text.clone(), 0),
        Cause::Protocol(text) => ("protocol", text.clone(), 0),
        Cause::Limit(text) => ("limit", text.clone(), 0),
        Cause::Refused(status, text) => ("refused", text.clone(), *status),
        Cause::Timeout(timeout) => ("timeout", timeout.describe().to_owned(), 0),
        Cause::Aborted => ("aborted", "the connection was aborted".to_owned(), 0),
        Cause::Defect => ("defect", "a defect of the engine, contained to this connection".to_owned(), 0),
    }
}

/// Gives output to the drivers of outside connections that take some.
pub fn write_outside(slf: &Bound<'_, Shard>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
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

/// An error in a handler or callback: the loop is told, the peer gets 1011. An answer to a message behind which the peer closed,
/// or broke the protocol, is no error of the callback's.
fn report(slf: &Bound<'_, Shard>, id: Option<Id>, error: &PyErr) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let was_open = match id {
        Some(id) => this.with(py, |reactor| {
            let refusal = Refusal::new(500, "internal error");
            // A handshake that is under way is answered, an open connection closed; there is never both.
            let answered = reactor.decide(id, Decision::Refuse(&refusal));
            answered.is_ok() && reactor.close(id, Some((1011, "internal error"))).is_ok()
        })?,
        None => false,
    };
    if !was_open && errors::is_closed(py, error) {
        return Ok(());
    }
    let connection = id.and_then(|id| connection_of(slf, id));
    let context = PyDict::new(py);
    context.set_item("message", "exception in a callback of a WebSocket connection")?;
    context.set_item("exception", error.value(py))?;
    context.set_item("connection", connection)?;
    this.event_loop(py).bind(py).call_method1(intern!(py, "call_exception_handler"), (context,))?;
    Ok(())
}

fn warn_late(py: Python<'_>, late: Duration) -> PyResult<()> {
    let logger = py.import(intern!(py, "logging"))?.call_method1(intern!(py, "getLogger"), ("everwire",))?;
    let text = "the event loop was blocked for %.1f s: no peer is blamed for it, but find the call that does not yield";
    logger.call_method1(intern!(py, "warning"), (text, late.as_secs_f64()))?;
    Ok(())
}

fn connection_of(slf: &Bound<'_, Shard>, id: Id) -> Option<Py<Connection>> {
    slf.get().table.hold(slf.py()).connection(slf.py(), id)
}

fn listener_of(slf: &Bound<'_, Shard>, id: Id) -> Option<(Py<PyAny>, Marks)> {
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
        | Event::Hungry(id)
        | Event::Closed(id, _) => Some(*id),
    }
}
