//! Messages between Python objects and bytes.

use std::borrow::Cow;

use everwire_wire::Kind;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView, PySlice, PyString};

use crate::errors;
use crate::inbox::Entry;
use crate::text;

/// What a Python object says as a message.
pub struct Outgoing<'a> {
    pub kind: Kind,
    pub bytes: Cow<'a, [u8]>,
}

/// Reads a message; `None` if the object is neither text nor bytes-like. `text` overrules the kind of frame.
pub fn outgoing<'a>(message: &'a Bound<'_, PyAny>, text: Option<bool>) -> PyResult<Option<Outgoing<'a>>> {
    let (kind, bytes) = if let Ok(string) = message.cast::<PyString>() {
        (Kind::Text, Cow::Borrowed(string.to_str()?.as_bytes()))
    } else if let Ok(bytes) = message.cast::<PyBytes>() {
        (Kind::Binary, Cow::Borrowed(bytes.as_bytes()))
    } else {
        // Whatever its items and strides are: a memoryview knows how to flatten it.
        let Ok(view) = PyMemoryView::from(message) else { return Ok(None) };
        let flat = view.call_method0("tobytes")?;
        (Kind::Binary, Cow::Owned(flat.cast::<PyBytes>()?.as_bytes().to_vec()))
    };
    let kind = match text {
        Some(true) if kind == Kind::Binary => {
            std::str::from_utf8(&bytes)
                .map_err(|error| PyValueError::new_err(format!("a text message must be UTF-8: {error}")))?;
            Kind::Text
        }
        Some(true) => Kind::Text,
        Some(false) => Kind::Binary,
        None => kind,
    };
    Ok(Some(Outgoing { kind, bytes }))
}

/// Bytes of a buffer other than `bytes`, which would have to be copied to be looked at; `None` for everything else.
pub fn buffer_size(message: &Bound<'_, PyAny>) -> Option<usize> {
    if message.is_instance_of::<PyString>() || message.is_instance_of::<PyBytes>() {
        return None;
    }
    let view = PyMemoryView::from(message).ok()?;
    view.getattr(intern!(message.py(), "nbytes")).and_then(|size| size.extract()).ok()
}

/// What a message has from byte `start` on, `piece` says how much of its length at most; and its length. Buffers are flat views
/// of bytes.
pub fn slice<'a>(
    message: &'a Bound<'_, PyAny>,
    start: usize,
    piece: impl FnOnce(usize) -> PyResult<usize>,
) -> PyResult<(Cow<'a, [u8]>, usize)> {
    let whole = if let Ok(string) = message.cast::<PyString>() {
        string.to_str()?.as_bytes()
    } else if let Ok(bytes) = message.cast::<PyBytes>() {
        bytes.as_bytes()
    } else {
        let py = message.py();
        let view = PyMemoryView::from(message)?;
        let length: usize = view.getattr(intern!(py, "nbytes"))?.extract()?;
        let end = length.min(start + piece(length)?);
        let slice = view.get_item(PySlice::new(py, start as isize, end as isize, 1))?;
        let flat = slice.call_method0(intern!(py, "tobytes"))?;
        return Ok((Cow::Owned(flat.cast::<PyBytes>()?.as_bytes().to_vec()), length));
    };
    let end = whole.len().min(start + piece(whole.len())?);
    Ok((Cow::Borrowed(whole.get(start..end).unwrap_or_default()), whole.len()))
}

/// Reads a message, of an object that must be one.
pub fn required<'a>(message: &'a Bound<'_, PyAny>, text: Option<bool>) -> PyResult<Outgoing<'a>> {
    outgoing(message, text)?.ok_or_else(|| errors::message_type(message))
}

/// Makes the Python object of a received message; text was checked to be UTF-8 as it came.
pub fn incoming<'py>(py: Python<'py>, kind: Kind, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    Ok(match kind {
        Kind::Text => text::decode(py, bytes)?.into_any(),
        Kind::Binary => PyBytes::new(py, bytes).into_any(),
    })
}

/// A received message as text, or as bytes, whichever it was.
pub fn decoded(object: Bound<'_, PyAny>, decode: bool) -> PyResult<Py<PyAny>> {
    let py = object.py();
    Ok(match (object.cast::<PyString>(), object.cast::<PyBytes>()) {
        (_, Ok(bytes)) if decode => PyString::from_bytes(py, bytes.as_bytes())?.into_any().unbind(),
        (Ok(text), _) if !decode => PyBytes::new(py, text.to_str()?.as_bytes()).into_any().unbind(),
        _ => object.unbind(),
    })
}

/// One entry for several parts of one message, in order; there is at least one.
pub fn joined(py: Python<'_>, mut parts: Vec<Entry>) -> PyResult<Entry> {
    let size = parts.iter().map(|part| part.size).sum();
    let fin = parts.last().is_some_and(|part| part.fin);
    let object = match parts.pop() {
        Some(only) if parts.is_empty() => only.object.into_bound(py),
        last => {
            let objects = PyList::new(py, parts.into_iter().chain(last).map(|part| part.object))?;
            let is_text = objects.get_item(0)?.is_instance_of::<PyString>();
            let nothing = if is_text { PyString::new(py, "").into_any() } else { PyBytes::new(py, b"").into_any() };
            nothing.call_method1(intern!(py, "join"), (objects,))?
        }
    };
    Ok(Entry::new(object, size, fin, true))
}

/// The payload of a ping or pong: text or bytes.
pub fn control<'a>(data: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    Ok(required(data, None)?.bytes)
}
