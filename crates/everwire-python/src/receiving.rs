//! The receiving half of a connection: messages that wait, and who takes them, a task or a callback.

use everwire_reactor::Pause;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::connection::Connection;
use crate::context;
use crate::dispatch::wake_later;
use crate::errors;
use crate::inbox::{Entry, Inbox, Marks, Pushed};
use crate::message;
use crate::raised::both;
use crate::shard::Shard;
use crate::state::{Mode, State, Streaming};
use crate::waiter::Waiter;

/// Messages that may wait, whatever the marks say, while the program only waits for the end.
const AHEAD: usize = 1024;

/// Messages that came, and who takes them.
pub struct Receiving {
    pub inbox: Inbox,
    /// The application asked for silence (callback style).
    pub is_paused: bool,
    /// The callback runs.
    is_calling: bool,
    pub reader: Option<Py<Waiter>>,
    pub on_message: Option<Callback>,
    pub streaming: Streaming,
    /// How many tasks wait for the end of the connection.
    end_waiters: u32,
    /// Somebody has received, or set a callback.
    is_used: bool,
    /// Messages were dropped, because the program does nothing but wait for the end.
    has_dropped: bool,
}

impl Receiving {
    pub fn new() -> Self {
        Receiving {
            inbox: Inbox::new(Marks::NONE),
            is_paused: false,
            is_calling: false,
            reader: None,
            on_message: None,
            streaming: Streaming::No,
            end_waiters: 0,
            is_used: false,
            has_dropped: false,
        }
    }

    /// Whether the program does nothing with this connection but wait for its end: for that it need not take messages.
    fn only_ends(&self) -> bool {
        self.end_waiters > 0 && !self.is_used
    }

    /// Whether the callback wants no message now.
    fn is_silent(&self) -> bool {
        self.is_paused || self.is_calling
    }

    /// The callback, if it is to get a message that waits.
    fn waiting_callback(&self) -> Option<&Callback> {
        self.on_message.as_ref().filter(|_| !self.is_silent() && !self.inbox.is_empty())
    }

    /// Whether a task waits for a message, and is not on its way out.
    pub fn is_awaited(&self, py: Python<'_>) -> bool {
        self.reader.as_ref().is_some_and(|reader| !reader.get().is_cancelled(py))
    }

    pub fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.reader)?;
        if let Some(callback) = &self.on_message {
            visit.call(&callback.callable)?;
            visit.call(&callback.context)?;
        }
        self.inbox.traverse(visit)
    }
}

impl Connection {
    /// Memory of the messages that nobody has taken.
    pub fn waiting(&self, py: Python<'_>) -> usize {
        self.receiving.hold(py).inbox.memory()
    }

    /// Takes the next thing to receive; `None` if there is nothing yet.
    pub fn take(slf: &Bound<'_, Self>, mode: Mode) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        Self::check(slf)?;
        let mut receiving = this.receiving.hold(py);
        if mode != Mode::Part && receiving.inbox.begins_with_part() {
            drop(receiving);
            return Self::take_parts(slf, mode);
        }
        let Some((entry, resumes)) = receiving.inbox.pop() else {
            drop(receiving);
            return if this.state() == State::Closed { Err(Self::closed(slf, mode)) } else { Ok(None) };
        };
        drop(receiving);
        if resumes && let Err(error) = Self::read_on(slf) {
            this.receiving.hold(py).inbox.put_back(entry);
            return Err(error);
        }
        if mode == Mode::Part {
            this.receiving.hold(py).streaming = if entry.fin { Streaming::Fresh } else { Streaming::Begun };
        }
        Self::convert(py, entry, mode).map(Some)
    }

    /// Takes a message whose beginning came while somebody read in parts, once all of it is here.
    fn take_parts(slf: &Bound<'_, Self>, mode: Mode) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let (parts, resumes) = slf.get().receiving.hold(py).inbox.pop_parts();
        let entry = message::joined(py, parts)?;
        if resumes && let Err(error) = Self::read_on(slf) {
            slf.get().receiving.hold(py).inbox.put_back(entry);
            return Err(error);
        }
        if entry.fin {
            return Self::convert(py, entry, mode).map(Some);
        }
        if slf.get().state() == State::Closed {
            return Err(Self::closed(slf, mode));
        }
        slf.get().receiving.hold(py).inbox.put_back(entry);
        Ok(None)
    }

    /// Enough was taken: the reactor may read again.
    pub fn read_on(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().place.get() {
            Some((shard, id)) => Shard::resume(shard.bind(slf.py()), *id, Pause::Queue),
            None => Ok(()),
        }
    }

    fn convert(py: Python<'_>, entry: Entry, mode: Mode) -> PyResult<Py<PyAny>> {
        match mode {
            Mode::Part => Ok((entry.object, entry.fin).into_pyobject(py)?.into_any().unbind()),
            Mode::Message { decode: Some(decode) } => message::decoded(entry.object.into_bound(py), decode),
            _ => Ok(entry.object),
        }
    }

    /// The exception that a receiver gets when nothing more comes.
    pub fn closed(slf: &Bound<'_, Self>, mode: Mode) -> PyErr {
        match slf.call_method1(intern!(slf.py(), "_closed_error"), (mode == Mode::Iteration,)) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    }

    /// One receiver at a time: messages have an order.
    pub fn check_reader(slf: &Bound<'_, Self>, call: &str, is_part: bool) -> PyResult<()> {
        let py = slf.py();
        let is_free = {
            let receiving = slf.get().receiving.hold(py);
            // A task that was cancelled while it waited is on its way out.
            match (&receiving.reader, receiving.streaming) {
                (None, streaming) => is_part || streaming == Streaming::No,
                (Some(reader), streaming) => {
                    reader.get().is_cancelled(py) && (is_part || streaming != Streaming::Begun)
                }
            }
        };
        if is_free {
            return Self::begin_use(slf);
        }
        let text = format!("cannot call {call} while another coroutine is already running recv or recv_streaming");
        Err(errors::usage(py, text))
    }

    /// A task begins or ceases to wait for the end. What fills the queue meanwhile does not keep us from reading, so that the peer's
    /// close frame is found behind it.
    pub fn wait_for_end(slf: &Bound<'_, Self>, on: bool) -> PyResult<()> {
        let (shard, _) = Self::connected(slf)?;
        shard.get().check(slf.py())?;
        {
            let mut receiving = slf.get().receiving.hold(slf.py());
            receiving.end_waiters =
                if on { receiving.end_waiters + 1 } else { receiving.end_waiters.saturating_sub(1) };
        }
        Self::adjust(slf)
    }

    /// Somebody takes messages from now on.
    pub fn begin_use(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        {
            let mut receiving = slf.get().receiving.hold(py);
            if receiving.has_dropped {
                let text = "messages were dropped, because the program did nothing but wait for the end of the connection: \
                            receive before more of them come than may wait, or set on_message";
                return Err(errors::usage(py, text));
            }
            if std::mem::replace(&mut receiving.is_used, true) || receiving.end_waiters == 0 {
                return Ok(());
            }
        }
        Self::adjust(slf)
    }

    /// Reads on, or not, as the queue and those who wait for the end have it.
    fn adjust(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (is_full, only_ends) = {
            let receiving = slf.get().receiving.hold(py);
            (receiving.inbox.is_full(), receiving.only_ends())
        };
        match slf.get().place.get() {
            Some((shard, id)) if is_full && only_ends => Shard::resume(shard.bind(py), *id, Pause::Queue),
            Some((shard, id)) if is_full => Shard::pause(shard.bind(py), *id, Pause::Queue),
            _ => Ok(()),
        }
    }

    /// Registers a new waiter for the next message.
    pub fn wait(slf: &Bound<'_, Self>) -> PyResult<Py<Waiter>> {
        let py = slf.py();
        let (shard, _) = Self::connected(slf)?;
        shard.get().check(py)?;
        if slf.get().state() <= State::Open && slf.get().receiving.hold(py).on_message.is_some() {
            return Err(errors::usage(py, "on_message gets every message: set it to None to receive in another way"));
        }
        let waiter = Py::new(py, Waiter::new(shard.get().event_loop(py)))?;
        let before = slf.get().receiving.hold(py).reader.replace(waiter.clone_ref(py));
        drop(before);
        Ok(waiter)
    }

    /// Unregisters a waiter whose task does not wait any more.
    pub fn forget(slf: &Bound<'_, Self>, waiter: &Py<Waiter>) {
        let Some(mut receiving) = slf.get().receiving.try_hold(slf.py()) else { return };
        let before = receiving.reader.take_if(|reader| reader.is(waiter));
        drop(receiving);
        drop(before);
    }

    /// Takes a message that came on this shard, for whoever receives or the callback.
    pub fn push(slf: &Bound<'_, Self>, shard: &Bound<'_, Shard>, entry: Entry) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let mut receiving = this.receiving.hold(py);
        if receiving.inbox.skips(entry.is_part, entry.fin) {
            drop(receiving);
            drop(entry);
            return Ok(());
        }
        if let Some(callback) = &receiving.on_message
            && !receiving.is_silent()
            && receiving.inbox.is_empty()
        {
            let callback = callback.clone_ref(py);
            drop(receiving);
            return Self::call(slf, &callback, entry.object);
        }
        let only_ends = receiving.only_ends();
        if (only_ends && receiving.inbox.is_beyond(AHEAD)) || receiving.has_dropped {
            let is_first = !std::mem::replace(&mut receiving.has_dropped, true);
            drop(receiving);
            drop(entry);
            return if is_first { slf.call_method0(intern!(py, "_on_dropped")).map(drop) } else { Ok(()) };
        }
        let pushed = receiving.inbox.push(entry, this.state() <= State::Open);
        let is_awaited = receiving.reader.is_some();
        drop(receiving);
        if is_awaited {
            wake_later(shard, slf.as_unbound());
        }
        match (pushed, this.id()) {
            (Pushed::Full, _) if only_ends => Ok(()),
            (Pushed::Full, Some(id)) => Shard::pause(shard, id, Pause::Queue),
            (Pushed::Dropped(entry), _) => {
                drop(entry);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Hands a waiting message to the callback, unless it wants none now.
    pub fn deliver(slf: &Bound<'_, Self>) -> PyResult<()> {
        let callback = {
            let receiving = slf.get().receiving.hold(slf.py());
            receiving.waiting_callback().map(|callback| callback.clone_ref(slf.py()))
        };
        let Some(callback) = callback else { return Ok(()) };
        match Self::take(slf, Mode::Message { decode: None })? {
            Some(object) => Self::call(slf, &callback, object),
            None => Ok(()),
        }
    }

    /// Drops what waits: the engine closes the connection because memory is short.
    pub fn drop_waiting(slf: &Bound<'_, Self>) {
        let waiting = slf.get().receiving.hold(slf.py()).inbox.take_all();
        drop(waiting);
    }

    /// Calls the callback with a message. One after the other, even if the callback runs the event loop: what comes meanwhile
    /// waits, and is handed out when it has returned, or raised.
    fn call(slf: &Bound<'_, Self>, callback: &Callback, message: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        slf.get().receiving.hold(py).is_calling = true;
        let called = callback.call(slf, message);
        let waits = {
            let mut receiving = slf.get().receiving.hold(py);
            receiving.is_calling = false;
            receiving.waiting_callback().is_some()
        };
        if waits { both(py, called, Self::deliver_soon(slf)) } else { called }
    }

    /// Whoever waits for a message, to be woken: the next `recv()` registers anew.
    pub fn take_reader(slf: &Bound<'_, Self>) -> Option<Py<Waiter>> {
        slf.get().receiving.hold(slf.py()).reader.take()
    }
}

/// What is called with each message, and the context to call it in.
pub struct Callback {
    pub callable: Py<PyAny>,
    pub context: Py<PyAny>,
}

impl Callback {
    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Callback { callable: self.callable.clone_ref(py), context: self.context.clone_ref(py) }
    }

    pub fn call(&self, connection: &Bound<'_, Connection>, message: Py<PyAny>) -> PyResult<()> {
        let py = connection.py();
        let callable = self.callable.bind(py);
        context::run(self.context.bind(py), || callable.call1((connection, message)).map(drop))
    }
}
