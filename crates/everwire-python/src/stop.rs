//! The `StopIteration` by which an awaited coroutine returns a value.
//!
//! PERF: making one costs more than all else about taking a message that waits, and `await` only takes the value out of it. So it
//! is always the same one, unless somebody has kept it (bench: echo, `async for`). One of the files with `unsafe`.

use pyo3::exceptions::PyStopIteration;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::guarded::Guarded;

/// Values longer than this are not kept until the next one comes.
const SMALL: usize = 4 * 1024;

static LAST: Guarded<Option<Py<PyStopIteration>>> = Guarded::new(None);

/// Raises a `StopIteration` with this value.
pub fn raise(py: Python<'_>, value: Py<PyAny>) {
    let is_small = value.bind(py).len().is_ok_and(|length| length <= SMALL);
    if !is_small || value.bind(py).is_instance_of::<PyTuple>() {
        return PyStopIteration::new_err((value,)).restore(py);
    }
    let last = LAST.hold(py).take();
    let exception = match last.filter(is_ours_alone) {
        Some(exception) => exception,
        None => match PyStopIteration::new_err(()).into_value(py).into_bound(py).cast_into::<PyStopIteration>() {
            Ok(exception) => exception.unbind(),
            Err(error) => return PyErr::from(error).restore(py),
        },
    };
    *LAST.hold(py) = Some(exception.clone_ref(py));
    raise_with(exception, value);
}

#[allow(unsafe_code)]
fn is_ours_alone(exception: &Py<PyStopIteration>) -> bool {
    // SAFETY: the object is alive, and its count is only read.
    unsafe { ffi::Py_REFCNT(exception.as_ptr()) == 1 }
}

/// Raises this very exception, with a new value and without a traceback.
#[allow(unsafe_code, deprecated)]
fn raise_with(exception: Py<PyStopIteration>, value: Py<PyAny>) {
    let exception = exception.into_ptr();
    // SAFETY: the caller has the GIL and an exact `StopIteration` that nobody else looks at. `value` is a field that owns its
    // object, or null; what was there was a message, so that giving it up runs no code. `PyErr_Restore` takes over what it gets.
    unsafe {
        let fields = exception.cast::<ffi::PyStopIterationObject>();
        let before = std::mem::replace(&mut (*fields).value, value.into_ptr());
        ffi::Py_XDECREF(before);
        ffi::PyErr_Restore(ffi::Py_NewRef(ffi::PyExc_StopIteration), exception, std::ptr::null_mut());
    }
}
