//! One connection as Python sees it: sending, and the commands of the reactor. `receiving` has the other half.
//!
//! `everwire.Connection` derives from this class and adds what is not worth Rust: closing, pings, fragments, errors.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use everwire_reactor::{Id, Pause};
use everwire_wire::Kind;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::context;
use crate::errors;
use crate::finished::Finished;
use crate::guarded::Guarded;
use crate::inbox::Marks;
use crate::message;
use crate::raised::both;
use crate::receive::{Iteration, Receive};
use crate::receiving::{Callback, Receiving};
use crate::shard::Shard;
use crate::state::Streaming;
pub use crate::state::{Mode, State};
use crate::tls::TLSSession;

#[pyclass(frozen, subclass, weakref, module = "everwire._core")]
pub struct Connection {
    /// Where it is in the reactor, from its beginning there on.
    pub(crate) place: OnceLock<(Py<Shard>, Id)>,
    state: AtomicU8,
    /// The turn of the loop in which something was last written at once.
    turn: AtomicU64,
    pub(crate) receiving: Guarded<Receiving>,
    /// What the reactor does not have (any more).
    past: Guarded<Past>,
}

/// What is known of a connection beside what the reactor knows.
#[derive(Default)]
struct Past {
    /// What a client sent; what a server got, once the connection is closed.
    request: Option<Box<[u8]>>,
    /// Where the client was, once the connection is closed.
    client: Option<SocketAddr>,
    /// The request as Python has read it.
    parsed: Option<Py<PyAny>>,
}

impl Connection {
    /// Whether it can be connected: that is done once.
    pub fn check_new(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().place.get() {
            None => Ok(()),
            Some(_) => Err(errors::usage(slf.py(), "the connection was connected before: make a new one")),
        }
    }

    /// Ties the object to a connection of the reactor, once.
    pub fn attach(slf: &Bound<'_, Self>, shard: Py<Shard>, id: Id, marks: Marks) -> PyResult<()> {
        Self::check_new(slf)?;
        slf.get().receiving.hold(slf.py()).inbox.set_marks(marks);
        slf.get().place.get_or_init(|| (shard, id));
        Ok(())
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        State::of(self.state.load(Ordering::Relaxed))
    }

    /// It goes on to a state; never back.
    pub fn advance(&self, state: State) {
        self.state.fetch_max(state as u8, Ordering::Relaxed);
    }

    /// Keeps the request, as it went over the wire.
    pub fn keep_request(&self, py: Python<'_>, request: Option<Box<[u8]>>) {
        self.past.hold(py).request = request;
    }

    /// Whether received messages wait for the application.
    pub fn has_messages(&self, py: Python<'_>) -> bool {
        !self.receiving.hold(py).inbox.is_empty()
    }

    /// Keeps where the client was.
    pub fn keep_client(&self, py: Python<'_>, client: Option<SocketAddr>) {
        self.past.hold(py).client = client;
    }

    /// The request, if it is kept here.
    pub fn request<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let request = self.past.hold(py).request.clone();
        request.map(|request| PyBytes::new(py, &request))
    }

    /// Whether the caller may do anything with it: asked before anything is taken.
    #[inline]
    pub fn check(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().place.get() {
            Some((shard, _)) => shard.get().check(slf.py()),
            None => Ok(()),
        }
    }

    /// Where it is in the reactor.
    pub fn connected<'a>(slf: &'a Bound<'_, Self>) -> PyResult<(&'a Py<Shard>, Id)> {
        match slf.get().place.get() {
            Some((shard, id)) => Ok((shard, *id)),
            None => Err(errors::usage(slf.py(), "the connection is not connected yet")),
        }
    }

    /// Sees to output that was just queued.
    #[inline]
    fn after_send(slf: &Bound<'_, Self>, shard: &Py<Shard>, id: Id, has_more: bool, at_once: bool) -> PyResult<()> {
        let this = slf.get();
        let turn = this.turn.load(Ordering::Relaxed);
        let now = Shard::after_send(shard.bind(slf.py()), id, turn, has_more, at_once)?;
        this.turn.store(now, Ordering::Relaxed);
        Ok(())
    }

    /// Queues a message, or one part of it; what else is said about it is in `how`.
    fn queue_message(slf: &Bound<'_, Self>, message: &message::Outgoing<'_>, how: How) -> PyResult<Queued> {
        let py = slf.py();
        let (shard, id) = Self::connected(slf)?;
        let sent = shard.get().with(py, |reactor| match how {
            How::BelowMark if reactor.is_full(id) => None,
            How::BelowMark if reactor.piece(id, message.bytes.len()) < message.bytes.len() => None,
            How::BelowMark => Some(reactor.send_waited(id, message.kind, &message.bytes)),
            How::Part { fin } => Some(reactor.send_fragment(id, message.kind, &message.bytes, fin)),
            How::Whole { .. } => Some(reactor.send(id, message.kind, &message.bytes)),
        })?;
        match sent {
            Some(Ok(())) => {}
            Some(Err(refused)) => return errors::refused(py, refused).map_or(Ok(Queued::Closing), Err),
            None => return Ok(Queued::Not),
        }
        let has_more = !slf.get().receiving.hold(py).inbox.is_empty();
        Self::after_send(slf, shard, id, has_more, matches!(how, How::Whole { at_once: true }))?;
        Ok(Queued::Yes)
    }

    /// Queues a message if it need not wait, nor go in parts. What is no message is left to others.
    fn queue_whole(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>, text: Option<bool>) -> PyResult<Queued> {
        if let Some(size) = message::buffer_size(message)
            && Self::piece(slf, size)? < size
        {
            return Ok(Queued::Not);
        }
        match message::outgoing(message, text)? {
            Some(outgoing) => Self::queue_message(slf, &outgoing, How::BelowMark),
            None => Ok(Queued::Not),
        }
    }

    /// How many of a payload's bytes may be copied at once.
    fn piece(slf: &Bound<'_, Self>, length: usize) -> PyResult<usize> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().with(slf.py(), |reactor| reactor.piece(id, length))
    }
}

/// What is special about a message that is to be queued.
#[derive(Clone, Copy)]
enum How {
    /// Nothing, but that it may be in a hurry.
    Whole { at_once: bool },
    /// Its sender waits: only if output is not above the high-water mark, and if it is not too large to be copied.
    BelowMark,
    /// It is a part of one.
    Part { fin: bool },
}

/// What became of it.
enum Queued {
    Yes,
    /// Output is above the high-water mark, or the message goes in parts.
    Not,
    /// The connection is closing.
    Closing,
}

#[pymethods]
impl Connection {
    #[new]
    #[pyo3(signature = (*_arguments, **_options))]
    fn new(_arguments: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyAny>>) -> Self {
        Connection {
            place: OnceLock::new(),
            state: AtomicU8::new(State::Connecting as u8),
            turn: AtomicU64::new(0),
            receiving: Guarded::new(Receiving::new()),
            past: Guarded::default(),
        }
    }

    /// Receives the next message; see `everwire.Connection.recv`.
    #[pyo3(signature = (decode = None))]
    fn recv(slf: Py<Self>, decode: Option<bool>) -> Receive {
        Receive::new(slf, Mode::Message { decode })
    }

    fn __aiter__(slf: Py<Self>) -> Iteration {
        Iteration::new(slf)
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
        shard.get().with(slf.py(), |reactor| reactor.set_streaming(id, on, Instant::now()))?;
        slf.get().receiving.hold(slf.py()).streaming = if on { Streaming::Fresh } else { Streaming::No };
        Shard::run_soon(shard.bind(slf.py()))
    }

    /// Drops what is still to come of a message that was read in parts.
    fn _skip_parts(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        Self::check(slf)?;
        let (given_up, resumes) = {
            let mut receiving = slf.get().receiving.hold(py);
            receiving.streaming = Streaming::No;
            receiving.inbox.skip_parts()
        };
        drop(given_up);
        if resumes { Self::read_on(slf) } else { Ok(()) }
    }

    /// Sends a message; see `everwire.Connection.send`.
    #[pyo3(signature = (message, text = None))]
    fn send(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>, text: Option<bool>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if slf.get().state() == State::Open
            && let Ok(Queued::Yes) = Self::queue_whole(slf, message, text)
        {
            return Ok(Finished::shared(py)?.into_any());
        }
        // Waiting, fragments, and everything that goes wrong: a coroutine that says so when it is awaited.
        Ok(slf.call_method1(intern!(py, "_send"), (message, text))?.unbind())
    }

    /// Queues a message without waiting; see `everwire.Connection.send_nowait`.
    #[pyo3(signature = (message, *, text = None, flush = false))]
    fn send_nowait(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>, text: Option<bool>, flush: bool) -> PyResult<()> {
        let outgoing = message::required(message, text)?;
        match Self::queue_message(slf, &outgoing, How::Whole { at_once: flush })? {
            Queued::Yes => Ok(()),
            Queued::Not | Queued::Closing => Err(Self::closed(slf, Mode::Message { decode: None })),
        }
    }

    /// Queues a message of somebody who has waited; false if it has to go in parts. A view is one of bytes.
    fn _send_whole(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>, text: Option<bool>) -> PyResult<bool> {
        match Self::queue_whole(slf, message, text)? {
            Queued::Yes => Ok(true),
            Queued::Not => Ok(false),
            Queued::Closing => Err(Self::closed(slf, Mode::Message { decode: None })),
        }
    }

    /// Queues what one part of a message has from byte `start` on, or as much as may be copied at once: where the next piece begins, 0 if there is
    /// none, -1 if the connection is closing. Bytes of a text may end within a character: whoever cuts it knows that the whole is UTF-8.
    fn _send_piece(
        slf: &Bound<'_, Self>,
        part: &Bound<'_, PyAny>,
        text: bool,
        fin: bool,
        start: usize,
    ) -> PyResult<isize> {
        let (bytes, length) = message::slice(part, start, |length| Self::piece(slf, length))?;
        let end = start + bytes.len();
        let outgoing = message::Outgoing { kind: if text { Kind::Text } else { Kind::Binary }, bytes };
        let how = How::Part { fin: fin && end == length };
        Ok(match Self::queue_message(slf, &outgoing, how)? {
            Queued::Yes if end == length => 0,
            Queued::Yes => end as isize,
            Queued::Not | Queued::Closing => -1,
        })
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
        let sent = shard.get().with(py, |reactor| reactor.close(id, close, Instant::now()))?;
        match sent {
            Ok(()) => {
                slf.get().advance(State::Closing);
                Self::after_send(slf, shard, id, false, false).map(|()| true)
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
        let Some((shard, id)) = slf.get().place.get() else { return Ok(()) };
        shard.get().with(py, |reactor| reactor.abort(*id))?;
        Shard::run_soon(shard.bind(py))
    }

    /// What is called with each message (callback style); see `everwire.Connection.on_message`.
    #[getter]
    fn on_message(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.receiving.hold(py).on_message.as_ref().map(|callback| callback.callable.clone_ref(py))
    }

    #[setter]
    fn set_on_message(slf: &Bound<'_, Self>, callback: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        Self::check(slf)?;
        if callback.is_some() && slf.get().receiving.hold(py).is_awaited(py) {
            return Err(errors::usage(py, "a task receives: cancel it before you set on_message"));
        }
        if callback.is_some() {
            Self::begin_use(slf)?;
        }
        let callback = match callback {
            Some(callable) => Some(Callback { callable, context: context::copy(py)? }),
            None => None,
        };
        let (before, waiting) = {
            let mut receiving = slf.get().receiving.hold(py);
            (std::mem::replace(&mut receiving.on_message, callback), !receiving.inbox.is_empty())
        };
        drop(before);
        if waiting { Self::deliver_soon(slf) } else { Ok(()) }
    }

    /// Begins or ceases to wait for the end of the connection.
    fn _wait_for_end(slf: &Bound<'_, Self>, on: bool) -> PyResult<()> {
        Self::wait_for_end(slf, on)
    }

    /// Stops reading (callback style): TCP slows the peer down.
    fn pause(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().check(slf.py())?;
        slf.get().receiving.hold(slf.py()).is_paused = true;
        Shard::pause(shard.bind(slf.py()), id, Pause::Application)
    }

    /// Reads again after `pause()`; messages that came before are handed out first.
    fn resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().check(slf.py())?;
        let waiting = {
            let mut receiving = slf.get().receiving.hold(slf.py());
            receiving.is_paused = false;
            !receiving.inbox.is_empty()
        };
        let delivered = if waiting { Self::deliver_soon(slf) } else { Ok(()) };
        both(slf.py(), delivered, Shard::resume(shard.bind(slf.py()), id, Pause::Application))
    }

    #[getter(_state)]
    fn state_number(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    /// The request as Python has read it: kept here, so that an object whose request was looked at needs no dictionary.
    #[getter(_parsed_request)]
    fn parsed_request(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.past.hold(py).parsed.as_ref().map(|parsed| parsed.clone_ref(py))
    }

    #[setter(_parsed_request)]
    fn set_parsed_request(&self, py: Python<'_>, request: Option<Py<PyAny>>) {
        let before = std::mem::replace(&mut self.past.hold(py).parsed, request);
        drop(before);
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
        let address = slf.get().past.hold(slf.py()).client;
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

    /// What was agreed with the peer; `None` if TLS is not in the engine.
    fn _tls(slf: &Bound<'_, Self>) -> PyResult<Option<TLSSession>> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().with(slf.py(), |reactor| reactor.tls(id).map(TLSSession::of))
    }

    /// Who does its TLS in Python, if somebody does.
    fn _ssl_driver(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let (shard, id) = Self::connected(slf)?;
        shard.get().check(slf.py())?;
        Ok(shard.get().table.hold(slf.py()).driver(slf.py(), id))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some((shard, _)) = self.place.get() {
            visit.call(shard)?;
        }
        self.past.visit(visit, |past| visit.call(&past.parsed))?;
        self.receiving.visit(visit, |receiving| receiving.traverse(visit))
    }

    /// Its shard forgets it, which is enough for that cycle: the place stays.
    fn __clear__(slf: &Bound<'_, Self>) {
        let all = {
            let mut receiving = slf.get().receiving.hold(slf.py());
            (receiving.reader.take(), receiving.on_message.take(), receiving.inbox.take_all())
        };
        let parsed = slf.get().past.hold(slf.py()).parsed.take();
        drop((all, parsed));
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
        Self::after_send(slf, shard, id, false, false).map(|()| true)
    }

    pub fn deliver_soon(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (shard, _) = Self::connected(slf)?;
        Shard::deliver_soon(shard.bind(slf.py()), slf.clone().unbind())
    }

    /// The connection's place in the reactor, if it has one.
    pub fn id(&self) -> Option<Id> {
        self.place.get().map(|(_, id)| *id)
    }

    /// Whether it belongs to this shard.
    pub fn is_on(&self, shard: &Bound<'_, Shard>) -> bool {
        self.place.get().is_some_and(|(own, _)| own.is(shard))
    }
}
