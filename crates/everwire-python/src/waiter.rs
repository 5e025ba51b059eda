//! What a task waits on while there is nothing to receive: the part of a future's interface that asyncio's tasks use.
//!
//! PERF: a task that waits on this is woken from inside the turn, by calling what the task registered, rather than through
//! `loop.call_soon`: that costs a handle, a context and a trip through the loop for every message (bench: echo, `async for`).
//! Only the shard's dispatch does so, where no task is running: waking one task from inside another would fail.

use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::context;
use crate::guarded::Guarded;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Ready,
    Cancelled,
}

#[pyclass(frozen, module = "everwire._core")]
pub struct Waiter {
    event_loop: Guarded<Option<Py<PyAny>>>,
    waiting: Guarded<Waiting>,
}

struct Waiting {
    state: State,
    blocking: bool,
    /// What the task registered: a callable, and the context to call it in.
    callback: Option<Registered>,
    message: Option<Py<PyAny>>,
}

type Registered = (Py<PyAny>, Option<Py<PyAny>>);

impl Waiter {
    pub fn new(event_loop: Py<PyAny>) -> Self {
        Waiter {
            event_loop: Guarded::new(Some(event_loop)),
            waiting: Guarded::new(Waiting { state: State::Pending, blocking: true, callback: None, message: None }),
        }
    }

    /// Wakes the task now. Must not be called while a task runs.
    pub fn wake(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some((callback, context)) = Self::finish(slf, State::Ready) else { return Ok(()) };
        let result = match &context {
            Some(context) => context::run(context.bind(py), || callback.bind(py).call1((slf,)).map(drop)),
            None => callback.bind(py).call1((slf,)).map(drop),
        };
        match result {
            // A loop that runs inside a task of itself: that task is current, this one has to wait for the next iteration.
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyRuntimeError>(py) => {
                Self::call_soon(slf, callback, context)
            }
            result => result,
        }
    }

    fn finish(slf: &Bound<'_, Self>, state: State) -> Option<Registered> {
        let mut waiting = slf.get().waiting.hold(slf.py());
        if waiting.state != State::Pending {
            return None;
        }
        waiting.state = state;
        waiting.callback.take()
    }

    fn call_soon(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().get_loop(py) else { return Ok(()) };
        let options = PyDict::new(py);
        options.set_item(intern!(py, "context"), context)?;
        event_loop.bind(py).call_method(intern!(py, "call_soon"), (callback, slf), Some(&options))?;
        Ok(())
    }

    /// Whether the task was cancelled while it waited.
    pub fn is_cancelled(&self, py: Python<'_>) -> bool {
        self.waiting.hold(py).state == State::Cancelled
    }
}

#[pymethods]
impl Waiter {
    #[getter(_asyncio_future_blocking)]
    fn blocking(&self, py: Python<'_>) -> bool {
        self.waiting.hold(py).blocking
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, py: Python<'_>, blocking: bool) {
        self.waiting.hold(py).blocking = blocking;
    }

    fn get_loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.event_loop.hold(py).as_ref().map(|event_loop| event_loop.clone_ref(py))
    }

    #[pyo3(signature = (callback, *, context = None))]
    fn add_done_callback(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let mut waiting = slf.get().waiting.hold(slf.py());
        if waiting.state == State::Pending {
            let before = waiting.callback.replace((callback, context));
            drop(waiting);
            drop(before);
            return Ok(());
        }
        drop(waiting);
        Self::call_soon(slf, callback, context)
    }

    fn remove_done_callback(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> usize {
        let removed = self.waiting.hold(py).callback.take_if(|(registered, _)| registered.is(callback));
        usize::from(removed.is_some())
    }

    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let mut waiting = slf.get().waiting.hold(slf.py());
        if waiting.state != State::Pending {
            return Ok(false);
        }
        waiting.state = State::Cancelled;
        waiting.message = msg;
        let callback = waiting.callback.take();
        drop(waiting);
        if let Some((callback, context)) = callback {
            Self::call_soon(slf, callback, context)?;
        }
        Ok(true)
    }

    fn result(&self, py: Python<'_>) -> PyResult<()> {
        let waiting = self.waiting.hold(py);
        match waiting.state {
            State::Ready => Ok(()),
            State::Pending => Err(InvalidStateError::new_err("Result is not set.")),
            State::Cancelled => Err(match &waiting.message {
                Some(message) => CancelledError::new_err((message.clone_ref(py),)),
                None => CancelledError::new_err(()),
            }),
        }
    }

    fn exception(&self, py: Python<'_>) -> PyResult<()> {
        self.result(py)
    }

    fn done(&self, py: Python<'_>) -> bool {
        self.waiting.hold(py).state != State::Pending
    }

    fn cancelled(&self, py: Python<'_>) -> bool {
        self.is_cancelled(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.visit(visit, |event_loop| visit.call(event_loop))?;
        self.waiting.visit(visit, |waiting| {
            visit.call(&waiting.message)?;
            match &waiting.callback {
                Some((callback, context)) => {
                    visit.call(callback)?;
                    visit.call(context)
                }
                None => Ok(()),
            }
        })
    }

    fn __clear__(slf: &Bound<'_, Self>) {
        let (this, py) = (slf.get(), slf.py());
        let event_loop = this.event_loop.hold(py).take();
        let callback = this.waiting.hold(py).callback.take();
        let message = this.waiting.hold(py).message.take();
        drop((event_loop, callback, message));
    }
}
