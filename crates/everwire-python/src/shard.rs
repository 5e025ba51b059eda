//! A reactor on one event loop: the loop watches the reactor's poller, and each time it is readable a turn is run.
//!
//! Here are the object, who may use it, and what of it Python sees. What its methods do is in the files that they name.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use everwire_reactor as reactor;
use everwire_reactor::{Id, Pause};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use pyo3::{PyTraverseError, PyVisit};

use crate::connecting::{self, Offer, Tls};
use crate::connection::Connection;
use crate::decision::{self, Judgement};
use crate::errors;
use crate::guarded::{Guard, Guarded};
use crate::owner::Owner;
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::table::Table;
use crate::tls::ClientTLS;
use crate::turn::Leftover;
use crate::{broadcast, driver, listening};

/// Sockets of one event loop. Everything happens in the loop's thread.
#[pyclass(frozen, weakref, module = "everwire._core")]
pub struct Shard {
    owner: Owner,
    reactor: Guarded<reactor::Shard>,
    pub(crate) table: Guarded<Table>,
    /// What a turn could not finish.
    pub(crate) leftover: Guarded<Leftover>,
    pub(crate) schedule: Schedule,
    pub(crate) is_turning: AtomicBool,
    /// The loop is run from within a turn: that one cannot be waited for.
    pub(crate) is_nested: AtomicBool,
    /// Callbacks run: what they send leaves when all of the batch have run.
    pub(crate) is_dispatching: AtomicBool,
    /// Changes whenever output that was written at once may be followed by other output at once.
    pub(crate) turn: AtomicU64,
}

impl Shard {
    /// Runs `f` on the reactor, in its thread. `f` must not call into Python.
    #[inline]
    pub fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut reactor::Shard) -> R) -> PyResult<R> {
        let mut reactor = self.hold(py)?;
        Ok(f(&mut reactor))
    }

    /// The reactor, for whoever gives up the GIL meanwhile: nobody else comes in, it is held.
    #[inline]
    pub fn hold<'a>(&'a self, py: Python<'a>) -> PyResult<Guard<'a, reactor::Shard>> {
        self.check(py)?;
        self.reactor.try_hold(py).ok_or_else(|| self.refusal(py))
    }

    /// Whether the caller may use this shard at all.
    #[inline]
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.owner.is_caller() { Ok(()) } else { Err(self.refusal(py)) }
    }

    /// Why a call is refused.
    #[cold]
    fn refusal(&self, py: Python<'_>) -> PyErr {
        let text = match self.owner.objection() {
            Some(text) => text,
            None if self.reactor.is_broken() => "the engine failed before and cannot go on",
            None => "the engine is busy: called from inside itself",
        };
        errors::usage(py, text)
    }

    pub fn event_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.schedule.event_loop(py)
    }

    /// Makes a connection of the reactor known under its Python object.
    pub fn enter(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        id: Id,
        settings: &Settings,
        endpoint: Py<PyAny>,
    ) -> PyResult<()> {
        Connection::attach(connection, slf.clone().unbind(), id, settings.marks)?;
        slf.get().table.hold(slf.py()).insert(id, connection.clone().unbind(), endpoint);
        Self::settle(slf)
    }

    /// Sees to output that was just queued: the first of a turn is written at once, so that it arrives before a computation that
    /// follows; the rest leaves together at the end. A task that was woken to several messages answers them together.
    /// Returns the turn that it belongs to.
    pub fn after_send(slf: &Bound<'_, Self>, id: Id, last: u64, has_more: bool, at_once: bool) -> PyResult<u64> {
        let this = slf.get();
        let turn = this.turn.load(Ordering::Relaxed);
        let is_gathering =
            this.is_dispatching.load(Ordering::Relaxed) || (has_more && this.is_turning.load(Ordering::Relaxed));
        let is_first = last != turn && !is_gathering;
        if at_once || is_first {
            let now = Instant::now();
            let has_wraps = this.with(slf.py(), |reactor| {
                reactor.flush_one(id, now);
                reactor.has_wraps()
            })?;
            if has_wraps {
                driver::wrap(slf, now)?;
            }
        }
        Self::run_soon(slf)?;
        Ok(turn)
    }

    /// Hands a connection's waiting messages to its callback, soon.
    pub fn deliver_soon(slf: &Bound<'_, Self>, connection: Py<Connection>) -> PyResult<()> {
        slf.get().leftover.hold(slf.py()).deliveries.push_back(connection);
        Self::run_soon(slf)
    }

    /// Stops reading from a connection.
    pub fn pause(slf: &Bound<'_, Self>, id: Id, reason: Pause) -> PyResult<()> {
        slf.get().with(slf.py(), |reactor| reactor.pause(id, reason))
    }

    /// Reads from a paused connection again, soon, if no other reason is left.
    pub fn resume(slf: &Bound<'_, Self>, id: Id, reason: Pause) -> PyResult<()> {
        let has_work = slf.get().with(slf.py(), |reactor| {
            reactor.resume(id, reason);
            reactor.has_work()
        })?;
        if has_work { Self::run_soon(slf) } else { Ok(()) }
    }
}

#[pymethods]
impl Shard {
    #[new]
    fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let reactor = reactor::Shard::new(Instant::now(), since_1970).map_err(|error| errors::system(&error))?;
        Ok(Shard {
            owner: Owner::caller(),
            reactor: Guarded::new(reactor),
            table: Guarded::default(),
            leftover: Guarded::default(),
            schedule: Schedule::new(event_loop)?,
            is_turning: AtomicBool::new(false),
            is_nested: AtomicBool::new(false),
            is_dispatching: AtomicBool::new(false),
            turn: AtomicU64::new(1),
        })
    }

    /// Whether the calling thread and process may use it.
    #[getter]
    fn is_usable(&self) -> bool {
        self.owner.is_caller() && !self.reactor.is_broken()
    }

    /// How many connections there are, handshakes and closing ones included.
    #[getter]
    fn connections(slf: &Bound<'_, Self>) -> PyResult<usize> {
        slf.get().with(slf.py(), |reactor| reactor.connections())
    }

    /// Counters since the shard began.
    fn metrics<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let metrics = slf.get().with(slf.py(), |reactor| reactor.metrics())?;
        let counters = PyDict::new(slf.py());
        for (name, value) in metrics.named() {
            counters.set_item(name, value)?;
        }
        Ok(counters)
    }

    fn listen(slf: &Bound<'_, Self>, fd: i32, settings: &Settings, endpoint: Py<PyAny>) -> PyResult<u64> {
        listening::listen(slf, fd, settings, endpoint)
    }

    fn stop_listening(slf: &Bound<'_, Self>, listener: u64) -> PyResult<()> {
        listening::stop(slf, Id::from_bits(listener))
    }

    fn refuse_opening(slf: &Bound<'_, Self>, listener: u64) -> PyResult<()> {
        listening::refuse_opening(slf, Id::from_bits(listener))
    }

    #[pyo3(signature = (connection, fd, offer, endpoint, tls = None, server_name = None))]
    fn connect(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        fd: i32,
        offer: &Bound<'_, Offer>,
        endpoint: Py<PyAny>,
        tls: Option<&Bound<'_, PyAny>>,
        server_name: Option<&str>,
    ) -> PyResult<()> {
        let tls = tls.map(|tls| match tls.cast::<ClientTLS>() {
            Ok(core) => Tls::Core(core.get(), server_name.unwrap_or_default()),
            Err(_) => Tls::Driver(tls),
        });
        connecting::connect(slf, connection, fd, offer.get(), endpoint, tls)
    }

    fn judge(slf: &Bound<'_, Self>, connection: &Bound<'_, Connection>) -> PyResult<Option<Judgement>> {
        decision::judge(slf, connection)
    }

    fn accept(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        subprotocol: Option<&str>,
        fields: Vec<(String, String)>,
    ) -> PyResult<()> {
        decision::accept(slf, connection, subprotocol, &fields)
    }

    fn respond(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        status: u16,
        reason: Option<&str>,
        fields: Vec<(String, String)>,
        body: &[u8],
    ) -> PyResult<()> {
        decision::respond(
            slf,
            connection,
            everwire_reactor::Decision::Respond { status, reason, fields: &fields, body },
        )
    }

    fn broadcast<'py>(
        slf: &Bound<'py, Self>,
        connections: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        text: Option<bool>,
    ) -> PyResult<Bound<'py, PyList>> {
        broadcast::broadcast(slf, connections, data, text)
    }

    /// A turn because the poller has something to say. One that is on the loop's list already will hear it: a turn for each
    /// would make two of every one, and the loop's iterations longer and longer.
    fn _on_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        let schedule = &slf.get().schedule;
        if schedule.is_scheduled() { Ok(()) } else { Self::run(slf, schedule.reader_context(slf.py()), None) }
    }

    /// A turn that was put on the loop's list.
    fn _run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let schedule = &slf.get().schedule;
        schedule.begun();
        Self::run(slf, schedule.context(slf.py()), None)
    }

    /// A turn because a deadline has come.
    fn _on_timer(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (schedule, py) = (&slf.get().schedule, slf.py());
        let late = schedule.fired(py, Instant::now());
        Self::run(slf, schedule.context(py), Some(late))
    }

    /// A turn in the middle of another one, if one lasts: then the loop is run from within it.
    fn _on_probe(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        this.schedule.probed(py);
        if this.is_turning.load(Ordering::Relaxed) { Self::run(slf, this.schedule.context(py), None) } else { Ok(()) }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.schedule.traverse(visit)?;
        self.leftover.visit(visit, |leftover| leftover.traverse(visit))?;
        self.table.visit(visit, |table| table.traverse(visit))
    }

    fn __clear__(slf: &Bound<'_, Self>) {
        let (this, py) = (slf.get(), slf.py());
        let table = std::mem::take(&mut *this.table.hold(py));
        let leftover = std::mem::take(&mut *this.leftover.hold(py));
        drop((table, leftover));
        this.schedule.clear(py);
    }
}

/// The wall clock. One that was never set may be before 1970.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whoever drops a loop without closing its servers and connections should hear of it.
impl Drop for Shard {
    fn drop(&mut self) {
        let is_in_use = self.reactor.get_mut().is_in_use();
        if !is_in_use || !self.owner.is_in_process() {
            return;
        }
        Python::attach(|py| {
            let category = py.get_type::<pyo3::exceptions::PyResourceWarning>();
            let text = c"the event loop went away with open WebSocket connections or servers: close them first";
            if let Err(error) = PyErr::warn(py, &category, text, 1) {
                error.write_unraisable(py, None);
            }
        });
    }
}
