//! The receiving half of a connection: messages that wait, and who takes them, a task or a callback.

use everwire_reactor::Pause;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::connection::Connection;
use crate::context;
use crate::errors;
use crate::inbox::{Entry, Inbox, Marks, Pushed};
use crate::message;
use crate::shard::Shard;
use crate::state::{Mode, State, Streaming};
use crate::waiter::Waiter;

/// Messages that came, and who takes them.
pub struct Receiving {
    pub inbox: Inbox,
    /// The application asked for silence (callback style).
    pub is_paused: bool,
    pub reader: Option<Py<Waiter>>,
    pub on_message: Option<Callback>,
    pub streaming: Streaming,
}

impl Receiving {
    pub fn new() -> Self {
        Receiving {
            inbox: Inbox::new(Marks::NONE),
            is_paused: false,
            reader: None,
            on_message: None,
            streaming: Streaming::No,
        }
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
    /// Takes the next thing to receive; `None` if there is nothing yet.
    pub fn take(slf: &Bound<'_, Self>, mode: Mode) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let mut receiving = this.receiving.hold(py);
        if mode != Mode::Part && receiving.inbox.begins_with_part() {
            drop(receiving);
            return Self::take_parts(slf, mode);
        }
        let Some((entry, resumes)) = receiving.inbox.pop() else {
            drop(receiving);
            return if this.state() == State::Closed { Err(Self::closed(slf, mode)) } else { Ok(None) };
        };
        if mode == Mode::Part {
            receiving.streaming = if entry.fin { Streaming::Fresh } else { Streaming::Begun };
        }
        drop(receiving);
        if resumes {
            Self::read_on(slf)?;
        }
        Self::convert(py, entry, mode).map(Some)
    }

    /// Takes a message whose beginning came while somebody read in parts, once all of it is here.
    fn take_parts(slf: &Bound<'_, Self>, mode: Mode) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let (parts, resumes) = slf.get().receiving.hold(py).inbox.pop_parts();
        if resumes {
            Self::read_on(slf)?;
        }
        let entry = message::joined(py, parts)?;
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
            return Ok(());
        }
        let text = format!("cannot call {call} while another coroutine is already running recv or recv_streaming");
        Err(errors::usage(py, text))
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

    /// Takes a message that came, for a receiver or callback. True if somebody has to be woken, false if nobody waits.
    pub fn push(slf: &Bound<'_, Self>, entry: Entry) -> PyResult<bool> {
        let py = slf.py();
        let this = slf.get();
        let mut receiving = this.receiving.hold(py);
        if receiving.inbox.skips(entry.is_part, entry.fin) {
            drop(receiving);
            drop(entry);
            return Ok(false);
        }
        if let Some(callback) = &receiving.on_message
            && !receiving.is_paused
            && receiving.inbox.is_empty()
        {
            let callback = callback.clone_ref(py);
            drop(receiving);
            callback.call(slf, entry.object)?;
            return Ok(false);
        }
        let pushed = receiving.inbox.push(entry, this.state() <= State::Open);
        let is_awaited = receiving.reader.is_some();
        drop(receiving);
        match (pushed, this.place.get()) {
            (Pushed::Full(bytes), Some((shard, id))) => Shard::pause(shard.bind(py), *id, Pause::Queue, bytes)?,
            (Pushed::Dropped(entry), _) => drop(entry),
            _ => {}
        }
        Ok(is_awaited)
    }

    /// Hands waiting messages to the callback, until it pauses.
    pub fn deliver(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        loop {
            let callback = {
                let receiving = slf.get().receiving.hold(py);
                match &receiving.on_message {
                    Some(callback) if !receiving.is_paused && !receiving.inbox.is_empty() => callback.clone_ref(py),
                    _ => return Ok(()),
                }
            };
            let Some(object) = Self::take(slf, Mode::Message { decode: None })? else { return Ok(()) };
            callback.call(slf, object)?;
        }
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
