//! One connection as Python sees it: messages that wait, who waits for them, and the commands of the reactor.
//!
//! `everwire.Connection` derives from this class and adds what is not worth Rust: closing, pings, fragments, errors.

use std::net::SocketAddr;

use everwire_reactor::Id;
use everwire_wire::Kind;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::context;
use crate::errors;
use crate::finished::Finished;
use crate::inbox::{Entry, Inbox, Marks, Pushed};
use crate::message;
use crate::receive::Receive;
use crate::shard::Shard;
use crate::state::Streaming;
pub use crate::state::{Mode, State};
use crate::waiter::Waiter;

#[pyclass(subclass, weakref, module = "everwire._core")]
pub struct Connection {
    shard: Option<Py<Shard>>,
    id: Option<Id>,
    pub(crate) state: State,
    inbox: Inbox,
    /// The application asked for silence (callback style).
    is_paused: bool,
    reader: Option<Py<Waiter>>,
    on_message: Option<Callback>,
    /// The turn of the loop in which something was last written at once.
    turn: u64,
    streaming: Streaming,
    /// The request, where the reactor has it not: what a client sent; what a server got, once the connection is closed.
    pub(crate) request: Option<Box<[u8]>>,
    /// Where the client was, once the connection is closed.
    pub(crate) client: Option<SocketAddr>,
}

impl Connection {
    /// Ties the object to a connection of the reactor.
    pub fn attach(&mut self, shard: Py<Shard>, id: Id, marks: Marks) {
        self.shard = Some(shard);
        self.id = Some(id);
        self.inbox.set_marks(marks);
    }

    /// Takes the next thing to receive; `None` if there is nothing yet.
    pub fn take(slf: &Bound<'_, Self>, mode: Mode) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        if mode != Mode::Part && slf.borrow().inbox.begins_with_part() {
            return Self::take_parts(slf, mode);
        }
        let (entry, resumed) = {
            let mut this = slf.borrow_mut();
            match this.inbox.pop() {
                Some((entry, resumes)) => (entry, if resumes { this.place(py) } else { None }),
                None if this.state == State::Closed => {
                    drop(this);
                    return Err(Self::closed(slf, mode));
                }
                None => return Ok(None),
            }
        };
        if let Some((shard, id)) = resumed {
            Shard::resume(shard.bind(py), id)?;
        }
        if mode == Mode::Part {
            slf.borrow_mut().streaming = if entry.fin { Streaming::Fresh } else { Streaming::Begun };
        }
        Self::convert(py, entry, mode).map(Some)
    }

    /// Takes a message whose beginning came while somebody read in parts, once all of it is here.
    fn take_parts(slf: &Bound<'_, Self>, mode: Mode) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let (parts, resumed) = {
            let mut this = slf.borrow_mut();
            let (parts, resumes) = this.inbox.pop_parts();
            (parts, if resumes { this.place(py) } else { None })
        };
        if let Some((shard, id)) = resumed {
            Shard::resume(shard.bind(py), id)?;
        }
        let entry = message::joined(py, parts)?;
        if entry.fin {
            return Self::convert(py, entry, mode).map(Some);
        }
        if slf.borrow().state == State::Closed {
            return Err(Self::closed(slf, mode));
        }
        slf.borrow_mut().inbox.put_back(entry);
        Ok(None)
    }

    fn convert(py: Python<'_>, entry: Entry, mode: Mode) -> PyResult<Py<PyAny>> {
        match mode {
            Mode::Part => Ok((entry.object, entry.fin).into_pyobject(py)?.into_any().unbind()),
            Mode::Message { decode: Some(decode) } => message::decoded(entry.object.into_bound(py), decode),
            _ => Ok(entry.object),
        }
    }

    /// The exception that a receiver gets when nothing more comes.
    fn closed(slf: &Bound<'_, Self>, mode: Mode) -> PyErr {
        match slf.call_method1(intern!(slf.py(), "_closed_error"), (mode == Mode::Iteration,)) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    }

    /// One receiver at a time: messages have an order.
    pub fn check_reader(slf: &Bound<'_, Self>, call: &str, is_part: bool) -> PyResult<()> {
        let this = slf.borrow();
        // A task that was cancelled while it waited is on its way out.
        let is_free = match (&this.reader, this.streaming) {
            (None, streaming) => is_part || streaming == Streaming::No,
            (Some(reader), streaming) => {
                reader.borrow(slf.py()).cancelled() && (is_part || streaming != Streaming::Begun)
            }
        };
        if is_free {
            return Ok(());
        }
        let text = format!("cannot call {call} while another coroutine is already running recv or recv_streaming");
        Err(errors::usage(slf.py(), text))
    }

    /// Registers a new waiter for the next message.
    pub fn wait(slf: &Bound<'_, Self>) -> PyResult<Py<Waiter>> {
        let py = slf.py();
        let Some(shard) = slf.borrow().shard.as_ref().map(|shard| shard.clone_ref(py)) else {
            return Err(errors::usage(py, "the connection is not connected yet"));
        };
        shard.get().check(py)?;
        let waiter = Py::new(py, Waiter::new(shard.get().event_loop(py)))?;
        let before = slf.borrow_mut().reader.replace(waiter.clone_ref(py));
        drop(before);
        Ok(waiter)
    }

    /// Unregisters a waiter whose task does not wait any more.
    pub fn forget(slf: &Bound<'_, Self>, waiter: &Py<Waiter>) {
        if let Ok(mut this) = slf.try_borrow_mut()
            && this.reader.as_ref().is_some_and(|reader| reader.is(waiter))
        {
            let before = this.reader.take();
            drop(this);
            drop(before);
        }
    }

    /// Takes a message that came, for a receiver or callback. True if somebody has to be woken, false if nobody waits.
    pub fn push(slf: &Bound<'_, Self>, object: Py<PyAny>, size: usize, fin: bool, is_part: bool) -> PyResult<bool> {
        let py = slf.py();
        let callback = {
            let mut this = slf.borrow_mut();
            if this.inbox.skips(is_part, fin) {
                return Ok(false);
            }
            match &this.on_message {
                Some(callback) if !this.is_paused && this.inbox.is_empty() => Some(callback.clone_ref(py)),
                _ => None,
            }
        };
        if let Some(callback) = callback {
            callback.call(slf, object)?;
            return Ok(false);
        }
        let (pushed, place, is_awaited) = {
            let mut this = slf.borrow_mut();
            let is_open = this.state <= State::Open;
            let pushed = this.inbox.push(Entry { object, size, fin, is_part }, is_open);
            (pushed, this.place(py), this.reader.is_some())
        };
        if let (Pushed::Full(bytes), Some((shard, id))) = (pushed, place) {
            Shard::pause(shard.bind(py), id, bytes)?;
        }
        Ok(is_awaited)
    }

    /// Hands waiting messages to the callback, until it pauses.
    pub fn deliver(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        loop {
            let callback = {
                let this = slf.borrow();
                match &this.on_message {
                    Some(callback) if !this.is_paused && !this.inbox.is_empty() => callback.clone_ref(py),
                    _ => return Ok(()),
                }
            };
            let Some(object) = Self::take(slf, Mode::Message { decode: None })? else { return Ok(()) };
            callback.call(slf, object)?;
        }
    }

    /// Whoever waits for a message, to be woken: the next `recv()` registers anew.
    pub fn take_reader(slf: &Bound<'_, Self>) -> Option<Py<Waiter>> {
        slf.borrow_mut().reader.take()
    }

    fn place(&self, py: Python<'_>) -> Option<(Py<Shard>, Id)> {
        Some((self.shard.as_ref()?.clone_ref(py), self.id?))
    }

    /// Where it is in the reactor.
    pub fn connected(slf: &Bound<'_, Self>) -> PyResult<(Py<Shard>, Id)> {
        let py = slf.py();
        let place = slf.borrow().place(py);
        place.ok_or_else(|| not_connected(py))
    }

    /// Queues a message; `None` if the connection is closing.
    fn queue_message(
        slf: &Bound<'_, Self>,
        message: &message::Outgoing<'_>,
        fragment: Option<bool>,
        at_once: bool,
    ) -> PyResult<Option<()>> {
        let py = slf.py();
        let (place, turn, has_more) = {
            let this = slf.borrow();
            (this.place(py), this.turn, !this.inbox.is_empty())
        };
        let (shard, id) = place.ok_or_else(|| not_connected(py))?;
        let sent = shard.get().with(py, |reactor| match fragment {
            None => reactor.send(id, message.kind, &message.bytes),
            Some(fin) => reactor.send_fragment(id, message.kind, &message.bytes, fin),
        })?;
        if let Err(refused) = sent {
            return match errors::refused(py, refused) {
                Some(error) => Err(error),
                None => Ok(None),
            };
        }
        let now = Shard::after_send(shard.bind(py), id, turn, has_more, at_once)?;
        if now != turn {
            slf.borrow_mut().turn = now;
        }
        Ok(Some(()))
    }
}

#[pymethods]
impl Connection {
    #[new]
    #[pyo3(signature = (*_arguments, **_options))]
    fn new(_arguments: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyAny>>) -> Self {
        Connection {
            shard: None,
            id: None,
            state: State::Connecting,
            inbox: Inbox::new(Marks::NONE),
            is_paused: false,
            reader: None,
            on_message: None,
            turn: 0,
            streaming: Streaming::No,
            request: None,
            client: None,
        }
    }

    /// Receives the next message; see `everwire.Connection.recv`.
    #[pyo3(signature = (decode = None))]
    fn recv(slf: Py<Self>, decode: Option<bool>) -> Receive {
        Receive::new(slf, Mode::Message { decode })
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__(slf: Py<Self>) -> Receive {
        Receive::new(slf, Mode::Iteration)
    }

    /// Receives a part of a message, and whether it is the last.
    fn _recv_part(slf: Py<Self>) -> Receive {
        Receive::new(slf, Mode::Part)
    }

    /// Hands messages out in parts from now on, or whole again.
    fn _set_streaming(slf: &Bound<'_, Self>, on: bool) -> PyResult<()> {
        if on {
            Self::check_reader(slf, "recv_streaming", false)?;
        }
        let (shard, id) = Self::connected(slf)?;
        // Who may not, because of the wrong thread, changes nothing.
        shard.get().with(slf.py(), |reactor| reactor.set_streaming(id, on))?;
        slf.borrow_mut().streaming = if on { Streaming::Fresh } else { Streaming::No };
        Shard::run_soon(shard.bind(slf.py()))
    }

    /// Drops what is still to come of a message that was read in parts.
    fn _skip_parts(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (given_up, resumed) = {
            let mut this = slf.borrow_mut();
            this.streaming = Streaming::No;
            let (given_up, resumes) = this.inbox.skip_parts();
            (given_up, if resumes { this.place(py) } else { None })
        };
        drop(given_up);
        match resumed {
            Some((shard, id)) => Shard::resume(shard.bind(py), id),
            None => Ok(()),
        }
    }

    /// Sends a message; see `everwire.Connection.send`.
    #[pyo3(signature = (message, text = None))]
    fn send(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>, text: Option<bool>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if let Ok(Some(outgoing)) = message::outgoing(message, text)
            && slf.borrow().state == State::Open
        {
            let (shard, id) = Self::connected(slf)?;
            if !shard.get().with(py, |reactor| reactor.is_full(id))?
                && let Ok(Some(())) = Self::queue_message(slf, &outgoing, None, false)
            {
                return Ok(Finished::shared(py)?.into_any());
            }
        }
        // Waiting, fragments, and everything that goes wrong: a coroutine that says so when it is awaited.
        Ok(slf.call_method1(intern!(py, "_send"), (message, text))?.unbind())
    }

    /// Queues a message without waiting; see `everwire.Connection.send_nowait`.
    #[pyo3(signature = (message, *, text = None, flush = false))]
    fn send_nowait(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>, text: Option<bool>, flush: bool) -> PyResult<()> {
        let outgoing = message::required(message, text)?;
        match Self::queue_message(slf, &outgoing, None, flush)? {
            Some(()) => Ok(()),
            None => Err(Self::closed(slf, Mode::Message { decode: None })),
        }
    }

    /// Queues one part of a message. Bytes of a text may end within a character: whoever cuts it knows that the whole is UTF-8.
    fn _send_part(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>, text: bool, fin: bool) -> PyResult<bool> {
        let kind = if text { Kind::Text } else { Kind::Binary };
        let outgoing = message::Outgoing { kind, ..message::required(message, Some(false))? };
        Ok(Self::queue_message(slf, &outgoing, Some(fin), false)?.is_some())
    }

    /// Whether output is above the high-water mark; `_drained()` will be called when it has fallen.
    fn _is_full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().with(slf.py(), |reactor| reactor.is_full(id))
    }

    /// Queues a ping; false if the connection is closing.
    fn _ping(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<bool> {
        let data = message::control(data)?;
        Self::control(slf, |reactor, id| reactor.ping(id, &data))
    }

    /// Queues a pong; false if the connection is closing.
    fn _pong(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<bool> {
        let data = message::control(data)?;
        Self::control(slf, |reactor, id| reactor.pong(id, &data))
    }

    /// Begins the closing handshake; false if it goes on already.
    fn _close(slf: &Bound<'_, Self>, code: u16, reason: &str) -> PyResult<bool> {
        let py = slf.py();
        let (shard, id) = Self::connected(slf)?;
        let close = if code == 1005 && reason.is_empty() { None } else { Some((code, reason)) };
        let sent = shard.get().with(py, |reactor| reactor.close(id, close))?;
        match sent {
            Ok(()) => {
                let mut this = slf.borrow_mut();
                this.state = this.state.max(State::Closing);
                let turn = this.turn;
                drop(this);
                let now = Shard::after_send(shard.bind(py), id, turn, false, false)?;
                slf.borrow_mut().turn = now;
                Ok(true)
            }
            Err(error) => match errors::refused(py, everwire_reactor::Refused::Wire(error)) {
                Some(error) => Err(error),
                None => Ok(false),
            },
        }
    }

    /// Ends the connection without a closing handshake: the peer sees 1006.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some((shard, id)) = slf.borrow().place(py) else { return Ok(()) };
        shard.get().with(py, |reactor| reactor.abort(id))?;
        Shard::run_soon(shard.bind(py))
    }

    /// What is called with each message (callback style); see `everwire.Connection.on_message`.
    #[getter]
    fn on_message(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.on_message.as_ref().map(|callback| callback.callable.clone_ref(py))
    }

    #[setter]
    fn set_on_message(slf: &Bound<'_, Self>, callback: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let callback = match callback {
            Some(callable) => Some(Callback { callable, context: context::copy(py)? }),
            None => None,
        };
        let (before, waiting) = {
            let mut this = slf.borrow_mut();
            (std::mem::replace(&mut this.on_message, callback), !this.inbox.is_empty())
        };
        drop(before);
        if waiting { Self::deliver_soon(slf) } else { Ok(()) }
    }

    /// Stops reading (callback style): TCP slows the peer down.
    fn pause(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (shard, id) = Self::connected(slf)?;
        slf.borrow_mut().is_paused = true;
        Shard::pause(shard.bind(slf.py()), id, 0)
    }

    /// Reads again after `pause()`; messages that came before are handed out first.
    fn resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (shard, id) = Self::connected(slf)?;
        let waiting = {
            let mut this = slf.borrow_mut();
            this.is_paused = false;
            !this.inbox.is_empty()
        };
        if waiting {
            Self::deliver_soon(slf)?;
        }
        if !slf.borrow().inbox.is_full() {
            Shard::resume(shard.bind(slf.py()), id)?;
        }
        Ok(())
    }

    #[getter(_state)]
    fn state(&self) -> u8 {
        self.state as u8
    }

    /// The event loop that the connection belongs to.
    #[getter(_loop)]
    fn event_loop(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(Self::connected(slf)?.0.get().event_loop(slf.py()))
    }

    /// Bytes of output that wait for the peer.
    #[getter]
    fn write_buffer_size(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().with(slf.py(), |reactor| reactor.output_len(id))
    }

    /// Round trip of the last answered heartbeat in seconds, 0.0 before the first.
    #[getter(_heartbeat_latency)]
    fn heartbeat_latency(slf: &Bound<'_, Self>) -> PyResult<f64> {
        let (shard, id) = Self::connected(slf)?;
        let latency = shard.get().with(slf.py(), |reactor| reactor.latency(id))?;
        Ok(latency.map_or(0.0, |latency| latency.as_secs_f64()))
    }

    /// The address of the client, as far as proxies can be trusted; `None` for Unix sockets.
    fn _client(slf: &Bound<'_, Self>) -> PyResult<Option<(String, u16)>> {
        let (shard, id) = Self::connected(slf)?;
        let address = slf.borrow().client;
        let address = match address {
            None => shard.get().with(slf.py(), |reactor| reactor.client(id))?,
            known => known,
        };
        Ok(address.map(|address| (address.ip().to_string(), address.port())))
    }

    /// The descriptor of the socket, if the engine has one.
    fn _fileno(slf: &Bound<'_, Self>) -> PyResult<Option<i32>> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().with(slf.py(), |reactor| reactor.descriptor(id))
    }

    /// TLS of the connection: version, cipher, ALPN, server name, peer certificate (DER); `None` if it is not in the engine.
    #[allow(clippy::type_complexity)]
    fn _tls(
        slf: &Bound<'_, Self>,
    ) -> PyResult<Option<(Option<&'static str>, Option<String>, Option<String>, Option<String>, Option<Vec<u8>>)>> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().with(slf.py(), |reactor| {
            reactor.tls(id).map(|tls| {
                (
                    tls.version(),
                    tls.cipher(),
                    tls.alpn().map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
                    tls.server_name().map(str::to_owned),
                    tls.peer_certificate().map(<[u8]>::to_vec),
                )
            })
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.shard)?;
        visit.call(&self.reader)?;
        if let Some(callback) = &self.on_message {
            visit.call(&callback.callable)?;
            visit.call(&callback.context)?;
        }
        self.inbox.traverse(visit)
    }

    fn __clear__(&mut self) {
        self.shard = None;
        self.reader = None;
        self.on_message = None;
        drop(self.inbox.take_all());
    }
}

impl Connection {
    fn control(
        slf: &Bound<'_, Self>,
        command: impl FnOnce(&mut everwire_reactor::Shard, Id) -> Result<(), everwire_reactor::Refused>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let (shard, id) = Self::connected(slf)?;
        if let Err(refused) = shard.get().with(py, |reactor| command(reactor, id))? {
            return match errors::refused(py, refused) {
                Some(error) => Err(error),
                None => Ok(false),
            };
        }
        let turn = slf.borrow().turn;
        let now = Shard::after_send(shard.bind(py), id, turn, false, false)?;
        slf.borrow_mut().turn = now;
        Ok(true)
    }

    fn deliver_soon(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (shard, _) = Self::connected(slf)?;
        Shard::deliver_soon(shard.bind(slf.py()), slf.clone().unbind())
    }

    /// The connection's place in the reactor, if it has one.
    pub fn id(&self) -> Option<Id> {
        self.id
    }

    /// Whether it belongs to this shard.
    pub fn is_on(&self, shard: &Bound<'_, Shard>) -> bool {
        self.shard.as_ref().is_some_and(|own| own.is(shard))
    }
}

/// What is called with each message, and the context to call it in.
struct Callback {
    callable: Py<PyAny>,
    context: Py<PyAny>,
}

impl Callback {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Callback { callable: self.callable.clone_ref(py), context: self.context.clone_ref(py) }
    }

    fn call(&self, connection: &Bound<'_, Connection>, message: Py<PyAny>) -> PyResult<()> {
        let py = connection.py();
        let callable = self.callable.bind(py);
        context::run(self.context.bind(py), || callable.call1((connection, message)).map(drop))
    }
}

fn not_connected(py: Python<'_>) -> PyErr {
    errors::usage(py, "the connection is not connected yet")
}
