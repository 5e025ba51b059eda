//! Calling into Python within a context (PEP 567).
//!
//! PERF: `Context.run` looks a method up and copies the arguments for every message; entering costs two stores (bench: echo,
//! callback, 16 in flight). One of the files with `unsafe`.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::{ffi, sync::PyOnceLock};

/// A copy of the current context.
pub fn copy(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static COPY_CONTEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(COPY_CONTEXT.import(py, "contextvars", "copy_context")?.call0()?.unbind())
}

/// Runs `f` in `context`, as `Context.run` does.
///
/// # Errors
/// Those of `f`; `RuntimeError` if the context is entered already.
pub fn run<R>(context: &Bound<'_, PyAny>, f: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    enter(context)?;
    let result = f();
    let left = exit(context);
    result.and_then(|value| left.map(|()| value))
}

/// Leaves `current`, in which the caller is, for `other`, runs `f` there, and comes back: what is called from within `f` can enter
/// `current` again. If somebody is in `other` already, `f` runs in a new, empty context.
///
/// # Errors
/// Those of `f`; `RuntimeError` if `f` leaves another context than it found.
pub fn run_aside<R>(
    current: &Bound<'_, PyAny>,
    other: &Bound<'_, PyAny>,
    f: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    // A loop that does not call in a context has none to be left.
    let was_in = exit(current).is_ok();
    let new = match enter(other) {
        Ok(()) => None,
        Err(_) => Some(empty(current.py())?),
    };
    if let Some(new) = &new {
        enter(new)?;
    }
    let result = f();
    let left = exit(new.as_ref().unwrap_or(other));
    let back = if was_in { enter(current) } else { Ok(()) };
    let value = result?;
    left.and(back).map(|()| value)
}

/// A new context without variables.
#[allow(unsafe_code)]
pub fn empty(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the GIL is held; a new reference or null with an exception set, which is what the function takes.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_New()) }
}

#[allow(unsafe_code)]
fn enter(context: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: the GIL is held, and the object is a context, which is checked.
    checked(context, || unsafe { ffi::PyContext_Enter(context.as_ptr()) })
}

#[allow(unsafe_code)]
fn exit(context: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: as above. One that is not the thread's current context is refused by CPython.
    checked(context, || unsafe { ffi::PyContext_Exit(context.as_ptr()) })
}

#[allow(unsafe_code)]
fn checked(context: &Bound<'_, PyAny>, call: impl FnOnce() -> i32) -> PyResult<()> {
    // SAFETY: the GIL is held; only the object's type is looked at.
    if unsafe { ffi::PyContext_CheckExact(context.as_ptr()) } == 0 {
        return Err(PyTypeError::new_err("not a context"));
    }
    if call() == 0 { Ok(()) } else { Err(PyErr::fetch(context.py())) }
}
