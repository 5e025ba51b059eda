//! The two heads of a connection's opening handshake, as long as somebody may want to see them.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::connection::Connection;

/// The request as it went over the wire; `None` once it was dropped.
#[pyfunction]
pub fn request_head(connection: &Bound<'_, Connection>) -> PyResult<Option<Py<PyBytes>>> {
    let py = connection.py();
    if let Some(head) = connection.get().request(py) {
        return Ok(Some(head.unbind()));
    }
    let (shard, id) = Connection::connected(connection)?;
    let head = shard.get().with(py, |reactor| reactor.request(id).map(|request| request.as_bytes().to_vec()))?;
    Ok(head.map(|head| PyBytes::new(py, &head).unbind()))
}

/// What a server answered, as it came; `None` once it was dropped.
#[pyfunction]
pub fn response_head(connection: &Bound<'_, Connection>) -> PyResult<Option<Py<PyBytes>>> {
    let py = connection.py();
    let (shard, id) = Connection::connected(connection)?;
    let head = shard.get().with(py, |reactor| reactor.response(id).map(|response| response.as_bytes().to_vec()))?;
    Ok(head.map(|head| PyBytes::new(py, &head).unbind()))
}

/// The extensions that a server agrees on, as its response names them; `None` once the request was dropped.
#[pyfunction]
pub fn agreed_extension(connection: &Bound<'_, Connection>) -> PyResult<Option<String>> {
    let (shard, id) = Connection::connected(connection)?;
    shard.get().with(connection.py(), |reactor| reactor.extension(id))
}

/// Frees what the engine keeps of the request.
#[pyfunction]
pub fn drop_request(connection: &Bound<'_, Connection>) -> PyResult<()> {
    let (shard, id) = Connection::connected(connection)?;
    shard.get().with(connection.py(), |reactor| {
        if reactor.request(id).is_some() {
            reactor.drop_head(id);
        }
    })?;
    connection.get().keep_request(connection.py(), None);
    Ok(())
}

/// Frees what the engine keeps of the response.
#[pyfunction]
pub fn drop_response(connection: &Bound<'_, Connection>) -> PyResult<()> {
    let (shard, id) = Connection::connected(connection)?;
    shard.get().with(connection.py(), |reactor| {
        if reactor.response(id).is_some() {
            reactor.drop_head(id);
        }
    })
}
