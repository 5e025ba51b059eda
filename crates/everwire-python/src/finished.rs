//! The coroutine that `send()` returns when nothing has to be waited for: one object, shared by all.

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// A coroutine without state that returns `None` at once, every time it is awaited.
#[pyclass(frozen, module = "everwire._core")]
pub struct Finished;

impl Finished {
    /// The shared one.
    pub fn shared(py: Python<'_>) -> PyResult<Py<Finished>> {
        static SHARED: PyOnceLock<Py<Finished>> = PyOnceLock::new();
        SHARED.get_or_try_init(py, || Py::new(py, Finished)).map(|shared| shared.clone_ref(py))
    }
}

#[pymethods]
impl Finished {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self) -> Option<()> {
        None
    }

    fn send(&self, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (kind, value = None, traceback = None))]
    fn throw(
        &self,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Err(crate::receive::thrown(kind, value, traceback)?)
    }

    fn close(&self) {}
}
