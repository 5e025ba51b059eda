//! Descriptors that Python hands over. One of the files with `unsafe`.

use std::os::fd::{FromRawFd, OwnedFd};

use everwire_reactor::Socket;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors;

/// Takes over a socket that its caller has detached: `socket.detach()` gives the number and forgets it.
#[allow(unsafe_code)]
pub fn adopt(fd: i32) -> PyResult<Socket> {
    if fd < 0 {
        return Err(PyValueError::new_err("the socket is closed"));
    }
    // SAFETY: the package calls this with the result of `socket.detach()` only, so that nobody else owns the descriptor.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Socket::adopt(fd).map_err(|error| errors::system(&error))
}
