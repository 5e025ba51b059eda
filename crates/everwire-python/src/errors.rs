//! The package's exception classes. They live in Python; here they are raised.

use std::io;

use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use everwire_reactor::Refused;
use everwire_wire::SendError;

/// The caller did something that cannot work.
pub fn usage(py: Python<'_>, text: impl Into<String>) -> PyErr {
    raise(py, "UsageError", text.into())
}

/// Something is larger than a limit allows.
pub fn limit(py: Python<'_>, text: impl Into<String>) -> PyErr {
    raise(py, "LimitExceeded", text.into())
}

/// The exception for a message that was not sent; `None` when the connection is closing: it knows the exception itself.
pub fn refused(py: Python<'_>, refused: Refused) -> Option<PyErr> {
    Some(match refused {
        Refused::Full => {
            limit(py, "the peer does not read: queued output is at limits.output; use send() to wait for it")
        }
        Refused::Wire(SendError::Closing) => return None,
        Refused::Wire(SendError::MidMessage) => usage(
            py,
            "a message is being sent in parts (an iterable, or more than limits.output): finish it first, or send() to wait",
        ),
        Refused::Wire(SendError::ControlTooLong) => usage(py, "a ping or pong carries at most 125 bytes"),
        Refused::Wire(SendError::CloseCode(code)) => usage(
            py,
            format!("{code} is not a close code to send: use 1000 to 1014 (but 1004, 1005, 1006) or 3000 to 4999"),
        ),
        Refused::Wire(SendError::ReasonTooLong) => usage(py, "a close reason has at most 123 bytes in UTF-8"),
    })
}

/// What the system said, as the subclass of `OSError` that its number has.
pub fn system(error: &io::Error) -> PyErr {
    let Some(number) = error.raw_os_error() else { return PyOSError::new_err(error.to_string()) };
    let text = error.to_string();
    let meaning = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text);
    PyOSError::new_err((number, meaning.to_owned()))
}

/// A message of a type that cannot be sent.
pub fn message_type(message: &Bound<'_, PyAny>) -> PyErr {
    let name = message.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("data must be str, bytes, or iterable, not {name}"))
}

fn raise(py: Python<'_>, name: &str, text: String) -> PyErr {
    match class(py, name) {
        Ok(class) => PyErr::from_type(class, text),
        Err(error) => error,
    }
}

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    static MODULE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let module =
        MODULE.get_or_try_init(py, || py.import("everwire.errors").map(|module| module.into_any().unbind()))?;
    Ok(module.bind(py).getattr(name)?.cast_into::<PyType>()?)
}
