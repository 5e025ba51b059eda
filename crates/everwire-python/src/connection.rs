//! One connection as Python sees it: messages that wait, who waits for them, and the commands of the reactor.
//!
//! `everwire.Connection` derives from this class and adds what is not worth Rust: closing, pings, fragments, errors.

use std::collections::VecDeque;

use everwire_reactor::{Id, Peer};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::errors;
use crate::finished::Finished;
use crate::message;
use crate::receive::Receive;
use crate::shard::Shard;
use crate::waiter::Waiter;

/// How `recv()` and its relatives differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Text as `str`, binary as `bytes`; or all of one kind.
    Message { decode: Option<bool> },
    /// The same, but a normal closure ends the iteration.
    Iteration,
    /// A part of a message and whether it is the last.
    Part,
}

/// A received message, or a part of one, that waits for the application.
struct Entry {
    object: Py<PyAny>,
    size: usize,
    /// Whether the message is complete with it.
    fin: bool,
    /// Whether it is one of several parts.
    part: bool,
}

/// RFC 6455 §4 and §7, with the numbers that `websockets` and browsers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Connecting = 0,
    Open = 1,
    Closing = 2,
    Closed = 3,
}

/// How much may wait before reading stops, and from where on it goes on.
#[derive(Clone, Copy)]
pub struct Marks {
    pub high: usize,
    pub low: usize,
    pub bytes: usize,
}

#[pyclass(subclass, weakref, module = "everwire._core")]
pub struct Connection {
    shard: Option<Py<Shard>>,
    id: Option<Id>,
    pub(crate) state: State,
    queue: VecDeque<Entry>,
    queued: usize,
    marks: Marks,
    /// The queue is full: reading has stopped.
    is_full: bool,
    /// The application asked for silence (callback style).
    is_paused: bool,
    reader: Option<Py<Waiter>>,
    on_message: Option<Py<PyAny>>,
    context: Option<Py<PyAny>>,
    /// The turn of the loop in which something was last written at once.
    turn: u64,
    /// The rest of a message that nobody reads in parts any more is dropped.
    skipping: bool,
}

impl Connection {
    /// Ties the object to a connection of the reactor.
    pub fn attach(&mut self, shard: Py<Shard>, id: Id, marks: Marks) {
        self.shard = Some(shard);
        self.id = Some(id);
        self.marks = marks;
    }

    /// Takes the next thing to receive; `None` if there is nothing yet.
    pub fn take(slf: &Bound<'_, Self>, mode: Mode) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let (entry, resumed) = {
            let mut this = slf.borrow_mut();
            let Some(entry) = this.queue.pop_front() else {
                return if this.state == State::Closed {
                    drop(this);
                    Err(Self::closed(slf, mode))
                } else {
                    Ok(None)
                };
            };
            this.queued -= entry.size;
            let below = this.queue.len() <= this.marks.low && this.queued <= this.marks.bytes / 4;
            let resumed = this.is_full && below;
            if resumed {
                this.is_full = false;
            }
            (entry, if resumed { this.place(py) } else { None })
        };
        if let Some((shard, id)) = resumed {
            Shard::resume(shard.bind(py), id)?;
        }
        Self::convert(py, entry, mode).map(Some)
    }

    fn convert(py: Python<'_>, entry: Entry, mode: Mode) -> PyResult<Py<PyAny>> {
        let object = entry.object.into_bound(py);
        let object = match mode {
            Mode::Message { decode: Some(true) } if object.is_instance_of::<PyBytes>() => {
                PyString::from_bytes(py, object.cast::<PyBytes>()?.as_bytes())?.into_any()
            }
            Mode::Message { decode: Some(false) } if object.is_instance_of::<PyString>() => {
                PyBytes::new(py, object.cast::<PyString>()?.to_str()?.as_bytes()).into_any()
            }
            _ => object,
        };
        match mode {
            Mode::Part => Ok((object, entry.fin).into_pyobject(py)?.into_any().unbind()),
            _ => Ok(object.unbind()),
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
    pub fn check_reader(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.borrow().reader.is_some() {
            return Err(errors::usage(slf.py(), "another task is already waiting in recv() on this connection"));
        }
        Ok(())
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
    pub fn push(slf: &Bound<'_, Self>, object: Py<PyAny>, size: usize, fin: bool, part: bool) -> PyResult<bool> {
        let py = slf.py();
        let callback = {
            let mut this = slf.borrow_mut();
            if this.skipping && part {
                this.skipping = !fin;
                return Ok(false);
            }
            match &this.on_message {
                Some(callback) if !this.is_paused && this.queue.is_empty() => Some(callback.clone_ref(py)),
                _ => None,
            }
        };
        if let Some(callback) = callback {
            Self::call_back(slf, &callback, object)?;
            return Ok(false);
        }
        let (woken, paused) = {
            let mut this = slf.borrow_mut();
            this.queue.push_back(Entry { object, size, fin, part });
            this.queued += size;
            let above = this.queue.len() >= this.marks.high || this.queued >= this.marks.bytes;
            let paused = above && !this.is_full;
            if paused {
                this.is_full = true;
            }
            (this.reader.is_some(), if paused { this.place(py).map(|place| (place, this.queued)) } else { None })
        };
        if let Some(((shard, id), queued)) = paused {
            Shard::pause(shard.bind(py), id, queued)?;
        }
        Ok(woken)
    }

    /// Hands waiting messages to the callback, until it pauses.
    pub fn deliver(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        loop {
            let callback = {
                let this = slf.borrow();
                match &this.on_message {
                    Some(callback) if !this.is_paused && !this.queue.is_empty() => callback.clone_ref(py),
                    _ => return Ok(()),
                }
            };
            if let Some(object) = Self::take(slf, Mode::Message { decode: None })? {
                Self::call_back(slf, &callback, object)?;
            }
        }
    }

    fn call_back(slf: &Bound<'_, Self>, callback: &Py<PyAny>, message: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let context = slf.borrow().context.as_ref().map(|context| context.clone_ref(py));
        match context {
            Some(context) => context.bind(py).call_method1(intern!(py, "run"), (callback, slf, message))?,
            None => callback.bind(py).call1((slf, message))?,
        };
        Ok(())
    }

    /// Whoever waits for a message, to be woken: the next `recv()` registers anew.
    pub fn take_reader(slf: &Bound<'_, Self>) -> Option<Py<Waiter>> {
        slf.borrow_mut().reader.take()
    }

    fn place(&self, py: Python<'_>) -> Option<(Py<Shard>, Id)> {
        Some((self.shard.as_ref()?.clone_ref(py), self.id?))
    }

    fn connected(slf: &Bound<'_, Self>) -> PyResult<(Py<Shard>, Id)> {
        let py = slf.py();
        let place = slf.borrow().place(py);
        place.ok_or_else(|| errors::usage(py, "the connection is not connected yet"))
    }

    /// Queues a message; `None` if the connection is closing.
    fn queue_message(
        slf: &Bound<'_, Self>,
        message: &message::Outgoing<'_>,
        fragment: Option<bool>,
        at_once: bool,
    ) -> PyResult<Option<()>> {
        let py = slf.py();
        let (shard, id) = Self::connected(slf)?;
        let turn = slf.borrow().turn;
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
        let now = Shard::after_send(shard.bind(py), id, turn, at_once)?;
        slf.borrow_mut().turn = now;
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
            queue: VecDeque::new(),
            queued: 0,
            marks: Marks { high: usize::MAX, low: 0, bytes: usize::MAX },
            is_full: false,
            is_paused: false,
            reader: None,
            on_message: None,
            context: None,
            turn: 0,
            skipping: false,
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
        let (shard, id) = Self::connected(slf)?;
        shard.get().with(slf.py(), |reactor| reactor.set_streaming(id, on))?;
        Shard::run_soon(shard.bind(slf.py()))
    }

    /// Drops what is still to come of a message that was read in parts.
    fn _skip_parts(slf: &Bound<'_, Self>) {
        let mut this = slf.borrow_mut();
        let mut dropped = Vec::new();
        this.skipping = true;
        while this.skipping && this.queue.front().is_some_and(|entry| entry.part) {
            if let Some(entry) = this.queue.pop_front() {
                this.queued -= entry.size;
                this.skipping = !entry.fin;
                dropped.push(entry);
            }
        }
        drop(this);
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

    /// Queues one part of a message.
    fn _send_part(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>, text: bool, fin: bool) -> PyResult<bool> {
        let outgoing = message::required(message, Some(text))?;
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
                let now = Shard::after_send(shard.bind(py), id, turn, false)?;
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
        self.on_message.as_ref().map(|callback| callback.clone_ref(py))
    }

    #[setter]
    fn set_on_message(slf: &Bound<'_, Self>, callback: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let context = match &callback {
            Some(_) => Some(py.import(intern!(py, "contextvars"))?.call_method0(intern!(py, "copy_context"))?.unbind()),
            None => None,
        };
        let (before, waiting) = {
            let mut this = slf.borrow_mut();
            let before = (std::mem::replace(&mut this.on_message, callback), std::mem::replace(&mut this.context, context));
            (before, !this.queue.is_empty())
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
            !this.queue.is_empty()
        };
        if waiting {
            Self::deliver_soon(slf)?;
        }
        if !slf.borrow().is_full {
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

    /// The head that the peer sent, as it came; `None` once it is gone.
    fn _head(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyBytes>>> {
        let py = slf.py();
        let (shard, id) = Self::connected(slf)?;
        let head = shard.get().with(py, |reactor| {
            let request = reactor.request(id).map(|request| request.as_bytes().to_vec());
            request.or_else(|| reactor.response(id).map(|response| response.as_bytes().to_vec()))
        })?;
        Ok(head.map(|head| PyBytes::new(py, &head).unbind()))
    }

    /// Frees the engine's copy of that head.
    fn _drop_head(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().with(slf.py(), |reactor| reactor.drop_head(id))
    }

    /// The address of the client, as far as proxies can be trusted; `None` for Unix sockets.
    fn _client(slf: &Bound<'_, Self>) -> PyResult<Option<(String, u16)>> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().with(slf.py(), |reactor| {
            let port = match reactor.peer(id) {
                Some(Peer::Tcp(address)) => address.port(),
                _ => 0,
            };
            reactor.client(id).map(|address| (address.to_string(), port))
        })
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
        visit.call(&self.on_message)?;
        visit.call(&self.context)?;
        for entry in &self.queue {
            visit.call(&entry.object)?;
        }
        Ok(())
    }

    fn __clear__(&mut self) {
        self.shard = None;
        self.reader = None;
        self.on_message = None;
        self.context = None;
        self.queue.clear();
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
        let now = Shard::after_send(shard.bind(py), id, turn, false)?;
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

