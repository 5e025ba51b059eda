//! A reactor on one event loop: the loop watches the reactor's poller, and each time it is readable a turn is run.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use everwire_reactor as reactor;
use everwire_reactor::{Frame, Id, Peer, Report};
use everwire_wire::handshake::Refusal;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::connection::{Connection, State};
use crate::descriptor;
use crate::errors;
use crate::guarded::Guarded;
use crate::heads;
use crate::message;
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::table::Table;
use crate::tls::ClientTLS;
use crate::turn::Leftover;

static FORKS: AtomicU32 = AtomicU32::new(0);

/// A forked child must not touch what its parent serves.
pub fn on_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    reactor::memory::forked();
}

/// A number of the calling thread that no other one ever has; asking the standard library costs two atomic operations.
fn thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static NUMBER: Cell<u64> = const { Cell::new(0) });
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

/// Broadcasts to at least this many connections are written without the GIL.
const CROWD: usize = 256;

/// Sockets of one event loop. Everything happens in the loop's thread.
#[pyclass(frozen, weakref, module = "everwire._core")]
pub struct Shard {
    owner: u64,
    forks: u32,
    reactor: Guarded<reactor::Shard>,
    pub(crate) table: Guarded<Table>,
    /// What a turn could not finish.
    pub(crate) leftover: Guarded<Leftover>,
    pub(crate) schedule: Schedule,
    pub(crate) is_turning: AtomicBool,
    /// Callbacks run: what they send leaves when all of the batch have run.
    pub(crate) is_dispatching: AtomicBool,
    /// Changes whenever output that was written at once may be followed by other output at once.
    pub(crate) turn: AtomicU64,
}

impl Shard {
    /// Runs `f` on the reactor, in its thread. `f` must not call into Python.
    #[inline]
    pub fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut reactor::Shard) -> R) -> PyResult<R> {
        self.check(py)?;
        match self.reactor.try_hold(py) {
            Some(mut reactor) => Ok(f(&mut reactor)),
            None => Err(self.out_of_order(py)),
        }
    }

    /// Whether the caller may use this shard at all.
    #[inline]
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        if thread() == self.owner && FORKS.load(Ordering::Relaxed) == self.forks {
            return Ok(());
        }
        Err(self.out_of_order(py))
    }

    /// Why a call is refused.
    #[cold]
    fn out_of_order(&self, py: Python<'_>) -> PyErr {
        let text = if thread() != self.owner {
            "called from another thread: use loop.call_soon_threadsafe() or asyncio.run_coroutine_threadsafe()"
        } else if FORKS.load(Ordering::Relaxed) != self.forks {
            "this connection belongs to the parent process: open your own after a fork"
        } else if self.reactor.is_broken() {
            "the engine failed before and cannot go on"
        } else {
            "the engine is busy: called from inside itself"
        };
        errors::usage(py, text)
    }

    pub fn event_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.schedule.event_loop(py)
    }

    /// Reads from a paused connection again, soon.
    pub fn resume(slf: &Bound<'_, Self>, id: Id) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let has_work = this.with(py, |reactor| {
            reactor.resume(id);
            reactor.has_work()
        })?;
        let driver = this.table.hold(py).driver(py, id);
        if let Some(driver) = driver {
            driver.bind(py).call_method0(intern!(py, "resume_reading"))?;
        }
        if has_work { Self::run_soon(slf) } else { Ok(()) }
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
            let is_outside = this.with(slf.py(), |reactor| {
                reactor.flush_one(id);
                reactor.has_outside()
            })?;
            if is_outside {
                crate::turn::write_outside(slf)?;
            }
        }
        Self::run_soon(slf)?;
        Ok(turn)
    }

    /// Hands a connection's waiting messages to its callback, soon.
    pub fn deliver_soon(slf: &Bound<'_, Self>, connection: Py<Connection>) -> PyResult<()> {
        slf.get().leftover.hold(slf.py()).deliveries.push(connection);
        Self::run_soon(slf)
    }

    /// Stops reading from a connection.
    pub fn pause(slf: &Bound<'_, Self>, id: Id) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.with(py, |reactor| reactor.pause(id))?;
        let driver = this.table.hold(py).driver(py, id);
        match driver {
            Some(driver) => driver.bind(py).call_method0(intern!(py, "pause_reading")).map(drop),
            None => Ok(()),
        }
    }
}

#[pymethods]
impl Shard {
    #[new]
    fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let reactor = reactor::Shard::new().map_err(|error| errors::system(&error))?;
        Ok(Shard {
            owner: thread(),
            forks: FORKS.load(Ordering::Relaxed),
            reactor: Guarded::new(reactor),
            table: Guarded::default(),
            leftover: Guarded::default(),
            schedule: Schedule::new(event_loop)?,
            is_turning: AtomicBool::new(false),
            is_dispatching: AtomicBool::new(false),
            turn: AtomicU64::new(1),
        })
    }

    /// Accepts connections on a listening socket, whose descriptor it takes over. `endpoint` is told about them.
    fn listen(slf: &Bound<'_, Self>, fd: i32, settings: &Settings, endpoint: Py<PyAny>) -> PyResult<u64> {
        let this = slf.get();
        this.check(slf.py())?;
        let socket = descriptor::adopt(fd)?;
        let listening = this.with(slf.py(), |reactor| reactor.listen(socket, settings.settings.clone()))?;
        let id = listening.map_err(|error| errors::system(&error))?;
        this.table.hold(slf.py()).add_listener(id, endpoint, settings.marks);
        Self::settle(slf)?;
        Ok(id.to_bits())
    }

    /// Stops accepting; connections stay.
    fn stop_listening(slf: &Bound<'_, Self>, listener: u64) -> PyResult<()> {
        let id = Id::from_bits(listener);
        slf.get().with(slf.py(), |reactor| reactor.stop_listening(id))?;
        let endpoint = slf.get().table.hold(slf.py()).remove_listener(id);
        drop(endpoint);
        Self::settle(slf)
    }

    /// Refuses every handshake of a listener that is still under way with 503.
    fn refuse_opening(slf: &Bound<'_, Self>, listener: u64) -> PyResult<()> {
        let refusal = Refusal::new(503, "the server is shutting down").with_field("Retry-After", "1");
        slf.get().with(slf.py(), |reactor| {
            for id in reactor.opening(Id::from_bits(listener)) {
                reactor.refuse(id, &refusal);
            }
            reactor.flush();
        })?;
        Self::settle(slf)
    }

    /// Begins a client's handshake on a connected socket, whose descriptor it takes over.
    #[pyo3(signature = (connection, fd, settings, endpoint, host, target, fields, tls = None, server_name = None))]
    #[allow(clippy::too_many_arguments)]
    fn connect(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        fd: i32,
        settings: &Settings,
        endpoint: Py<PyAny>,
        host: String,
        target: String,
        fields: Vec<(String, String)>,
        tls: Option<Py<ClientTLS>>,
        server_name: Option<String>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.check(py)?;
        let socket = descriptor::adopt(fd)?;
        let tls = match (tls, server_name) {
            (Some(tls), Some(name)) => {
                let session = reactor::tls::Session::client(&tls.get().context, &name)
                    .and_then(|mut session| session.start().map(|()| session))
                    .map_err(|failure| errors::usage(py, failure.to_string()))?;
                Some(Box::new(session))
            }
            _ => None,
        };
        let begun = this.with(py, |reactor| {
            let (offer, head) = heads::offer(settings, reactor.nonce(), host, target, fields);
            let id = reactor.connect(socket, tls, offer, settings.settings.clone());
            reactor.flush();
            id.map(|id| (id, head))
        })?;
        let (id, head) = begun.map_err(|error| errors::usage(py, error.to_string()))?;
        connection.get().keep_request(py, Some(head));
        Self::enter(slf, connection, id, settings, endpoint, None)
    }

    /// Begins a handshake on bytes that an outside driver carries: a server's if there is no target.
    #[pyo3(signature = (connection, settings, endpoint, driver, peer, host = None, target = None, fields = None))]
    #[allow(clippy::too_many_arguments)]
    fn attach(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        settings: &Settings,
        endpoint: Py<PyAny>,
        driver: Py<PyAny>,
        peer: Option<(String, u16)>,
        host: Option<String>,
        target: Option<String>,
        fields: Option<Vec<(String, String)>>,
    ) -> PyResult<u64> {
        let py = slf.py();
        let this = slf.get();
        let peer = match peer.map(|(host, port)| host.parse().map(|ip| std::net::SocketAddr::new(ip, port))) {
            Some(Ok(address)) => Peer::Tcp(address),
            _ => Peer::Local,
        };
        let id = match (host, target) {
            (Some(host), Some(target)) => {
                let fields = fields.unwrap_or_default();
                let begun = this.with(py, |reactor| {
                    let (offer, head) = heads::offer(settings, reactor.nonce(), host, target, fields);
                    connection.get().keep_request(py, Some(head));
                    reactor.connect_outside(peer, offer, settings.settings.clone())
                })?;
                begun.map_err(|error| errors::usage(py, error.to_string()))?
            }
            _ => this.with(py, |reactor| reactor.accept_outside(peer, settings.settings.clone()))?,
        };
        Self::enter(slf, connection, id, settings, endpoint, Some(driver))?;
        Self::run_soon(slf)?;
        Ok(id.to_bits())
    }

    /// An outside driver takes no output for now, or takes some again.
    fn set_blocked(slf: &Bound<'_, Self>, id: u64, blocked: bool) -> PyResult<()> {
        let id = Id::from_bits(id);
        let this = slf.get();
        this.check(slf.py())?;
        if let Some(row) = this.table.hold(slf.py()).row_mut(id) {
            row.is_blocked = blocked;
        }
        if !blocked {
            this.with(slf.py(), |reactor| reactor.unblock_outside(id))?;
            crate::turn::write_outside(slf)?;
            Self::run_soon(slf)?;
        }
        Ok(())
    }

    /// Takes bytes from an outside driver, and the end. The driver is told to stop reading if enough waits.
    fn feed(slf: &Bound<'_, Self>, id: u64, data: &[u8], last: bool) -> PyResult<()> {
        let py = slf.py();
        let id = Id::from_bits(id);
        let is_sated = slf.get().with(py, |reactor| reactor.feed(id, data, last))?;
        if is_sated {
            let driver = slf.get().table.hold(py).driver(py, id);
            if let Some(driver) = driver {
                driver.bind(py).call_method0(intern!(py, "pause_reading"))?;
            }
        }
        Self::run(slf)
    }

    /// Answers a request that waits: `None` to follow the rules and choose this subprotocol.
    #[pyo3(signature = (connection, subprotocol, fields))]
    fn accept(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        subprotocol: Option<String>,
        fields: Vec<(String, String)>,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(id) = connection.get().id() else { return Ok(()) };
        let decided = slf.get().with(py, |reactor| match reactor.check(id) {
            Some(Ok(upgrade)) => {
                let subprotocol = subprotocol.as_deref();
                reactor.decide(id, reactor::Decision::Accept { upgrade: &upgrade, subprotocol, fields: &fields })
            }
            Some(Err(refusal)) => reactor.decide(id, reactor::Decision::Refuse(&refusal)),
            None => Ok(()),
        })?;
        decided.map_err(|error| errors::usage(py, error.to_string()))?;
        Self::run_soon(slf)
    }

    /// What a waiting request offers: subprotocols, and the fields of the response as it would be; or why it will be refused:
    /// status, text and fields.
    #[allow(clippy::type_complexity)]
    fn judge(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
    ) -> PyResult<Option<(Option<Vec<String>>, u16, String, Vec<(String, String)>)>> {
        let Some(id) = connection.get().id() else { return Ok(None) };
        slf.get().with(slf.py(), |reactor| {
            reactor.check(id).map(|judgement| match judgement {
                Ok(upgrade) => (Some(upgrade.protocols), 101, String::new(), Vec::new()),
                Err(refusal) => {
                    let fields =
                        refusal.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
                    (None, refusal.status, refusal.reason.to_string(), fields)
                }
            })
        })
    }

    /// Answers a request that waits with an ordinary response.
    fn respond(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        status: u16,
        reason: Option<String>,
        fields: Vec<(String, String)>,
        body: &[u8],
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(id) = connection.get().id() else { return Ok(()) };
        let decision = reactor::Decision::Respond { status, reason: reason.as_deref(), fields: &fields, body };
        let decided = slf.get().with(py, |reactor| reactor.decide(id, decision))?;
        decided.map_err(|error| errors::usage(py, error.to_string()))?;
        Self::run_soon(slf)
    }

    /// Sends one message to many connections, encoded once. Returns those that did not get it: closing ones, then slow ones.
    fn broadcast<'py>(
        slf: &Bound<'py, Self>,
        connections: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        text: Option<bool>,
    ) -> PyResult<(usize, Bound<'py, PyList>)> {
        let py = slf.py();
        let this = slf.get();
        let outgoing = message::required(data, text)?;
        let mut receivers = Vec::new();
        for connection in connections.try_iter()? {
            let connection = connection?;
            let connection = connection.cast::<Connection>()?.get();
            if connection.state() != State::Open {
                continue;
            }
            if !connection.is_on(slf) {
                return Err(errors::usage(py, "a connection of another event loop"));
            }
            receivers.extend(connection.id());
        }
        // PERF: in the order in which they lie in memory (bench: fan-out); a set has them in any.
        receivers.sort_unstable_by_key(|id| id.index());
        let mut frame = Frame::new(outgoing.kind, &outgoing.bytes);
        let is_turning = this.is_turning.load(Ordering::Relaxed);
        let mut slow = Vec::new();
        let mut report = Report::default();
        this.with(py, |reactor| {
            for id in &receivers {
                let before = report.slow + report.closed;
                reactor.send_frame(*id, &mut frame, &mut report);
                if report.slow + report.closed != before {
                    slow.push(*id);
                }
            }
        })?;
        if !is_turning {
            if receivers.len() >= CROWD {
                // Nobody else comes in meanwhile: it is held.
                let mut held = this.reactor.try_hold(py).ok_or_else(|| this.out_of_order(py))?;
                let reactor = &mut *held;
                py.detach(|| reactor.flush());
            } else {
                this.with(py, reactor::Shard::flush)?;
            }
            Self::run_soon(slf)?;
        }
        let table = this.table.hold(py);
        let missed: Vec<Py<Connection>> = slow.iter().filter_map(|id| table.connection(py, *id)).collect();
        drop(table);
        Ok((report.sent, PyList::new(py, missed)?))
    }

    /// Whether the calling thread and process may use it.
    #[getter]
    fn is_usable(&self, py: Python<'_>) -> bool {
        self.check(py).is_ok() && !self.reactor.is_broken()
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

    /// A turn because the poller has something to say. One that is on the loop's list already will hear it: a turn for each
    /// would make two of every one, and the loop's iterations longer and longer.
    fn _on_ready(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().schedule.is_scheduled() { Ok(()) } else { Self::run(slf) }
    }

    /// A turn that was put on the loop's list.
    fn _run(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().schedule.begun();
        Self::run(slf)
    }

    /// A turn because a deadline has come.
    fn _on_timer(slf: &Bound<'_, Self>) -> PyResult<()> {
        let armed = slf.get().schedule.armed(slf.py());
        let result = Self::run(slf);
        slf.get().schedule.fired(slf.py(), armed);
        result.and_then(|()| Self::settle(slf))
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

impl Shard {
    /// Makes a connection of the reactor known under its Python object.
    pub fn enter(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        id: Id,
        settings: &Settings,
        endpoint: Py<PyAny>,
        driver: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        Connection::attach(connection, slf.clone().unbind(), id, settings.marks)?;
        slf.get().table.hold(slf.py()).insert(id, connection.clone().unbind(), endpoint, driver);
        Self::settle(slf)
    }
}

/// Whoever drops a loop without closing its servers and connections should hear of it.
impl Drop for Shard {
    fn drop(&mut self) {
        let is_in_use = self.reactor.get_mut().is_in_use();
        if !is_in_use || FORKS.load(Ordering::Relaxed) != self.forks {
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
