//! The body of an answer that refused us, where the answer does not come through the engine: a proxy's.

use everwire_wire::handshake;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::guarded::Guarded;

/// A body that arrives bit by bit.
#[pyclass(frozen, module = "everwire._core")]
pub struct Body {
    reader: Guarded<handshake::BodyReader>,
}

#[pymethods]
impl Body {
    /// One that ends where the head says, or with the connection if that cannot be told.
    #[new]
    fn new(head: &[u8], limit: usize) -> Self {
        let response = handshake::Response::parse(head, &handshake::Limits::default());
        let body = response.map_or(handshake::Body::UntilClose, |response| response.body());
        Body { reader: Guarded::new(handshake::BodyReader::new(body, limit)) }
    }

    fn take(&self, py: Python<'_>, data: &[u8]) -> bool {
        let mut reader = self.reader.hold(py);
        reader.take(data);
        reader.is_complete()
    }

    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.reader.hold(py).bytes())
    }
}
