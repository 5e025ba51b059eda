//! What a task waits on while there is nothing to receive: the part of a future's interface that asyncio's tasks use.
//!
//! PERF: a task that waits on this is woken from inside the turn, by calling what the task registered, rather than through
//! `loop.call_soon`: that costs a handle, a context and a trip through the loop for every message (bench: echo, `async for`).
//! Only the shard's dispatch does so, where no task is running: waking one task from inside another would fail.

use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, intern};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Ready,
    Cancelled,
}

#[pyclass(module = "everwire._core")]
pub struct Waiter {
    event_loop: Option<Py<PyAny>>,
    state: State,
    blocking: bool,
    /// What the task registered: a callable, and the context to call it in.
    callback: Option<(Py<PyAny>, Option<Py<PyAny>>)>,
    message: Option<Py<PyAny>>,
}

impl Waiter {
    pub fn new(event_loop: Py<PyAny>) -> Self {
        Waiter { event_loop: Some(event_loop), state: State::Pending, blocking: true, callback: None, message: None }
    }

    /// Wakes the task now. Must not be called while a task runs.
    pub fn wake(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some((callback, context)) = Self::finish(slf, State::Ready) else { return Ok(()) };
        let result = match &context {
            Some(context) => context.bind(py).call_method1(intern!(py, "run"), (&callback, slf)),
            None => callback.bind(py).call1((slf,)),
        };
        match result {
            Ok(_) => Ok(()),
            // A loop that runs inside a task of itself: that task is current, this one has to wait for the next iteration.
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyRuntimeError>(py) => {
                Self::call_soon(slf, callback, context)
            }
            Err(error) => Err(error),
        }
    }

    fn finish(slf: &Bound<'_, Self>, state: State) -> Option<(Py<PyAny>, Option<Py<PyAny>>)> {
        let mut this = slf.borrow_mut();
        if this.state != State::Pending {
            return None;
        }
        this.state = state;
        this.callback.take()
    }

    fn call_soon(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.borrow().event_loop.as_ref().map(|event_loop| event_loop.clone_ref(py)) else {
            return Ok(());
        };
        let options = PyDict::new(py);
        options.set_item(intern!(py, "context"), context)?;
        event_loop.bind(py).call_method(intern!(py, "call_soon"), (callback, slf), Some(&options))?;
        Ok(())
    }
}

#[pymethods]
impl Waiter {
    #[getter(_asyncio_future_blocking)]
    fn blocking(&self) -> bool {
        self.blocking
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&mut self, blocking: bool) {
        self.blocking = blocking;
    }

    fn get_loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.event_loop.as_ref().map(|event_loop| event_loop.clone_ref(py))
    }

    #[pyo3(signature = (callback, *, context = None))]
    fn add_done_callback(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        if slf.borrow().state == State::Pending {
            let before = slf.borrow_mut().callback.replace((callback, context));
            drop(before);
            return Ok(());
        }
        Self::call_soon(slf, callback, context)
    }

    fn remove_done_callback(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>) -> usize {
        let mut this = slf.borrow_mut();
        let same = this.callback.as_ref().is_some_and(|(registered, _)| registered.is(callback));
        let removed = if same { this.callback.take() } else { None };
        drop(this);
        usize::from(removed.is_some())
    }

    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        if slf.borrow().state != State::Pending {
            return Ok(false);
        }
        let callback = Self::finish(slf, State::Cancelled);
        slf.borrow_mut().message = msg;
        if let Some((callback, context)) = callback {
            Self::call_soon(slf, callback, context)?;
        }
        Ok(true)
    }

    fn result(&self, py: Python<'_>) -> PyResult<()> {
        match self.state {
            State::Ready => Ok(()),
            State::Pending => Err(InvalidStateError::new_err("Result is not set.")),
            State::Cancelled => Err(match &self.message {
                Some(message) => CancelledError::new_err((message.clone_ref(py),)),
                None => CancelledError::new_err(()),
            }),
        }
    }

    fn exception(&self, py: Python<'_>) -> PyResult<()> {
        self.result(py)
    }

    fn done(&self) -> bool {
        self.state != State::Pending
    }

    pub fn cancelled(&self) -> bool {
        self.state == State::Cancelled
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.message)?;
        if let Some((callback, context)) = &self.callback {
            visit.call(callback)?;
            visit.call(context)?;
        }
        Ok(())
    }

    fn __clear__(&mut self) {
        self.event_loop = None;
        self.callback = None;
        self.message = None;
    }
}
