//! The coroutine that `recv()` returns.
//!
//! asyncio takes it for what it is, a coroutine: it has `send`, `throw`, `close` and `__await__`. A message is taken when it is
//! first driven, never at the call, so a task that is cancelled before loses nothing; cancelled while it waits, it leaves the
//! message for the next one.
//!
//! PERF: slots of the types are set here, once (bench: echo, `async for`). PyO3 knows no `am_send`, by which a task drives a
//! coroutine without `StopIteration`; where `await` does raise one, it makes it by the detour over a boxed closure; and it comes
//! between C and what has nothing to do. `async for` gets one object for all of its messages. One of the files with `unsafe`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{PyTraverseError, PyVisit};

use crate::connection::{Connection, Mode};
use crate::finished::Finished;
use crate::guarded::Guarded;
use crate::stop;
use crate::waiter::Waiter;

enum Stage {
    /// Not driven yet.
    Fresh,
    /// Waiting for a message.
    Waiting(Py<Waiter>),
    /// Returned or raised.
    Done,
}

#[pyclass(frozen, module = "everwire._core")]
pub struct Receive {
    connection: Py<Connection>,
    mode: Mode,
    stage: Guarded<Stage>,
}

/// What driving it came to.
enum Step {
    Return(Py<PyAny>),
    Yield(Py<Waiter>),
}

impl Receive {
    pub fn new(connection: Py<Connection>, mode: Mode) -> Self {
        Receive { connection, mode, stage: Guarded::new(Stage::Fresh) }
    }

    fn step(slf: &Bound<'_, Self>) -> PyResult<Step> {
        let py = slf.py();
        let Receive { connection, mode, stage } = slf.get();
        let connection = connection.bind(py);
        let is_fresh = match *stage.hold(py) {
            Stage::Fresh => true,
            Stage::Waiting(_) => false,
            Stage::Done => return Err(PyRuntimeError::new_err("cannot reuse already awaited recv()")),
        };
        let is_part = *mode == Mode::Part;
        let call = if is_part { "recv_streaming" } else { "recv" };
        let taken = if is_fresh { Connection::check_reader(connection, call, is_part) } else { Ok(()) };
        match taken.and_then(|()| Connection::take(connection, *mode)) {
            Ok(Some(message)) => {
                Self::finish(slf);
                Ok(Step::Return(message))
            }
            Ok(None) => {
                let waiter = Connection::wait(connection)?;
                let before = std::mem::replace(&mut *stage.hold(py), Stage::Waiting(waiter.clone_ref(py)));
                drop(before);
                Ok(Step::Yield(waiter))
            }
            Err(error) => {
                Self::finish(slf);
                Err(error)
            }
        }
    }

    /// Makes it as good as new, for somebody who knows that nobody else has it.
    fn renew(slf: &Bound<'_, Self>) {
        Self::finish(slf);
        *slf.get().stage.hold(slf.py()) = Stage::Fresh;
    }

    /// Ends it; a waiter that is still registered is not woken any more.
    fn finish(slf: &Bound<'_, Self>) {
        let this = slf.get();
        let stage = std::mem::replace(&mut *this.stage.hold(slf.py()), Stage::Done);
        if let Stage::Waiting(waiter) = stage {
            Connection::forget(this.connection.bind(slf.py()), &waiter);
        }
    }
}

#[pymethods]
impl Receive {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<Waiter>> {
        match Self::step(slf)? {
            Step::Yield(waiter) => Ok(waiter),
            Step::Return(message) => Err(PyStopIteration::new_err((message,))),
        }
    }

    fn send(slf: &Bound<'_, Self>, _value: &Bound<'_, PyAny>) -> PyResult<Py<Waiter>> {
        Self::__next__(slf)
    }

    #[pyo3(signature = (kind, value = None, traceback = None))]
    fn throw(
        slf: &Bound<'_, Self>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Waiter>> {
        Self::finish(slf);
        Err(thrown(kind, value, traceback)?)
    }

    fn close(slf: &Bound<'_, Self>) {
        Self::finish(slf);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)?;
        self.stage.visit(visit, |stage| match stage {
            Stage::Waiting(waiter) => visit.call(waiter),
            Stage::Fresh | Stage::Done => Ok(()),
        })
    }

    /// The connection forgets whom it had, which is enough for that cycle.
    fn __clear__(slf: &Bound<'_, Self>) {
        Self::finish(slf);
    }
}

/// A task that is thrown away while it waits must not keep the next one from receiving.
impl Drop for Receive {
    fn drop(&mut self) {
        if let Stage::Waiting(waiter) = self.stage.get_mut() {
            Python::attach(|py| Connection::forget(self.connection.bind(py), waiter));
        }
    }
}

/// The exception that `throw(kind, value, traceback)` means.
pub fn thrown(
    kind: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    traceback: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyErr> {
    let py = kind.py();
    let error = match (kind.cast::<PyType>(), value) {
        (Err(_), _) => PyErr::from_value(kind.clone()),
        (Ok(_), Some(value)) if value.is_instance_of::<pyo3::exceptions::PyBaseException>() => {
            PyErr::from_value(value.clone())
        }
        (Ok(class), Some(value)) if !value.is_none() => PyErr::from_value(class.call1((value,))?),
        (Ok(class), _) => PyErr::from_value(class.call0()?),
    };
    if let Some(traceback) = traceback
        && !traceback.is_none()
    {
        error.set_traceback(
            py,
            Some(
                traceback
                    .clone()
                    .cast_into()
                    .map_err(|_| PyTypeError::new_err("throw() third argument must be a traceback object"))?,
            ),
        );
    }
    Ok(error)
}

/// What `async for` asks for the next message, again and again.
#[pyclass(frozen, module = "everwire._core")]
pub struct Iteration {
    connection: Py<Connection>,
    /// The coroutine of the message before, to be used again if nobody has kept it.
    last: Guarded<Option<Py<Receive>>>,
}

impl Iteration {
    pub fn new(connection: Py<Connection>) -> Self {
        Iteration { connection, last: Guarded::default() }
    }
}

#[pymethods]
impl Iteration {
    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__(&self, py: Python<'_>) -> PyResult<Py<Receive>> {
        let last = self.last.hold(py).as_ref().map(|last| last.clone_ref(py));
        if let Some(last) = last
            && references(last.bind(py)) == 2
        {
            Receive::renew(last.bind(py));
            return Ok(last);
        }
        let next = Py::new(py, Receive::new(self.connection.clone_ref(py), Mode::Iteration))?;
        let before = self.last.hold(py).replace(next.clone_ref(py));
        drop(before);
        Ok(next)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)?;
        self.last.visit(visit, |last| visit.call(last))
    }

    fn __clear__(slf: &Bound<'_, Self>) {
        let last = slf.get().last.hold(slf.py()).take();
        drop(last);
    }
}

/// Sets slots of the two awaitables that every message passes.
pub fn install(py: Python<'_>) {
    set_slots(&py.get_type::<Receive>(), iternext, Some(am_send));
    set_slots(&py.get_type::<Finished>(), return_none, None);
}

#[allow(unsafe_code)]
fn set_slots(class: &Bound<'_, PyType>, next: ffi::iternextfunc, send: Option<ffi::sendfunc>) {
    let class = class.as_type_ptr();
    // SAFETY: the class is a heap type made by PyO3 and has `__await__`, so CPython gave it a table of async slots, which
    // lives as long as the type. Nobody has an instance yet: this runs while the module is made, under the GIL.
    unsafe {
        if let Some(methods) = (*class).tp_as_async.as_mut() {
            methods.am_await = Some(ffi::PyObject_SelfIter);
            methods.am_send = send;
        }
        (*class).tp_iternext = Some(next);
    }
}

/// Drives a [`Finished`]: no value and no exception is the end, with `None`.
extern "C" fn return_none(_object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    std::ptr::null_mut()
}

/// One step, for C.
#[allow(unsafe_code)]
fn drive(py: Python<'_>, object: *mut ffi::PyObject) -> PyResult<Step> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: CPython calls a slot with a borrowed reference to an instance of the type. `cast` checks the type again.
        let object = unsafe { Bound::from_borrowed_ptr(py, object) };
        Receive::step(object.cast::<Receive>()?)
    }));
    outcome.unwrap_or_else(|_| Err(PyRuntimeError::new_err("defect in recv()")))
}

/// Drives a [`Receive`] without `StopIteration` (`am_send`, CPython 3.10).
#[allow(unsafe_code)]
extern "C" fn am_send(
    object: *mut ffi::PyObject,
    _value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    Python::attach(|py| {
        let (kind, object) = match drive(py, object) {
            Ok(Step::Return(message)) => (ffi::PySendResult::PYGEN_RETURN, message.into_ptr()),
            Ok(Step::Yield(waiter)) => (ffi::PySendResult::PYGEN_NEXT, waiter.into_ptr()),
            Err(error) => {
                error.restore(py);
                (ffi::PySendResult::PYGEN_ERROR, std::ptr::null_mut())
            }
        };
        // SAFETY: CPython gives a place for one result.
        unsafe { *result = object };
        kind
    })
}

/// Drives a [`Receive`] for `await` (`tp_iternext`): what it returns is the value of a `StopIteration`.
#[allow(unsafe_code)]
extern "C" fn iternext(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    Python::attach(|py| {
        match drive(py, object) {
            Ok(Step::Yield(waiter)) => return waiter.into_ptr(),
            Ok(Step::Return(message)) => stop::raise(py, message),
            Err(error) => error.restore(py),
        }
        std::ptr::null_mut()
    })
}

/// How many references to an object there are, the caller's included.
#[allow(unsafe_code)]
fn references<T>(object: &Bound<'_, T>) -> isize {
    // SAFETY: the object is alive, and its count is only read.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}
