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
#[allow(unsafe_code)]
pub fn run<R>(context: &Bound<'_, PyAny>, f: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let py = context.py();
    // SAFETY: the GIL is held, and the object is what `copy_context()` returned; CPython checks its type again.
    if unsafe { ffi::PyContext_CheckExact(context.as_ptr()) } == 0 {
        return Err(PyTypeError::new_err("not a context"));
    }
    // SAFETY: as above.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    let result = f();
    // SAFETY: it was entered just above, in this thread, and whatever `f` entered it has left again.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    result
}
