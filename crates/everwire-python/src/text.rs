//! The `str` of a text that was received.
//!
//! PERF: CPython decodes UTF-8 eight bytes at a time, although it was checked already; text that is ASCII, which most is, is
//! only copied (bench: echo, 16 KiB). One of the files with `unsafe`.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// A `str` of these bytes, which are UTF-8.
///
/// # Errors
/// No memory, or they are not UTF-8 after all.
pub fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    // Of the shortest ones CPython has each only once.
    if bytes.len() > 1 && bytes.is_ascii() { ascii(py, bytes) } else { PyString::from_bytes(py, bytes) }
}

/// Bytes of memory that the characters of a `str` take: one, two or four each, as the widest of them needs.
pub fn memory(string: &Bound<'_, PyString>) -> usize {
    let pointer = string.as_ptr();
    #[allow(unsafe_code)]
    // SAFETY: the GIL is held, and the object is a `str`, which has both.
    unsafe {
        ffi::PyUnicode_KIND(pointer) as usize * ffi::PyUnicode_GET_LENGTH(pointer) as usize
    }
}

#[allow(unsafe_code)]
fn ascii<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let length = bytes.len();
    // SAFETY: the GIL is held; a length of memory that is there fits. A new `str` whose greatest character is 127 has room for
    // as many bytes, of which `PyUnicode_DATA` is the first, and nobody else has it yet. The bytes are ASCII, so that what it
    // promises about its characters holds.
    unsafe {
        let string = Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_New(length as isize, 127))?;
        let data = ffi::PyUnicode_DATA(string.as_ptr()).cast::<u8>();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, length);
        Ok(string.cast_into_unchecked::<PyString>())
    }
}
