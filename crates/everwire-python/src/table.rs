//! Which Python objects belong to which connection of the reactor. Changed only while the GIL is held, and never during a call
//! into Python: what comes out of it is dropped by the caller, after the lock.

use everwire_reactor::Id;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use crate::connection::Connection;
use crate::inbox::Marks;

/// A connection's objects.
pub struct Row {
    id: Id,
    pub connection: Py<Connection>,
    /// Who is told about its handshake.
    pub endpoint: Py<PyAny>,
    /// Who carries its bytes, if the reactor does not.
    pub driver: Option<Py<PyAny>>,
    /// The driver takes no output now.
    pub is_blocked: bool,
}

struct Listener {
    id: Id,
    endpoint: Py<PyAny>,
    marks: Marks,
}

/// Connections and listeners by id.
#[derive(Default)]
pub struct Table {
    rows: Vec<Option<Row>>,
    /// Rows whose place somebody else has already, because the end of their connection was not told yet.
    displaced: Vec<Row>,
    listeners: Vec<Listener>,
}

impl Table {
    pub fn connection(&self, py: Python<'_>, id: Id) -> Option<Py<Connection>> {
        Some(self.row(id)?.connection.clone_ref(py))
    }

    pub fn endpoint(&self, py: Python<'_>, id: Id) -> Option<Py<PyAny>> {
        Some(self.row(id)?.endpoint.clone_ref(py))
    }

    pub fn driver(&self, py: Python<'_>, id: Id) -> Option<Py<PyAny>> {
        self.row(id)?.driver.as_ref().map(|driver| driver.clone_ref(py))
    }

    /// Who is told about the connections of a listener, and how much may wait in each.
    pub fn listener(&self, py: Python<'_>, id: Id) -> Option<(Py<PyAny>, Marks)> {
        let listener = self.listeners.iter().find(|listener| listener.id == id)?;
        Some((listener.endpoint.clone_ref(py), listener.marks))
    }

    pub fn row(&self, id: Id) -> Option<&Row> {
        match self.rows.get(id.index())? {
            Some(row) if row.id == id => Some(row),
            _ => self.displaced.iter().find(|row| row.id == id),
        }
    }

    pub fn row_mut(&mut self, id: Id) -> Option<&mut Row> {
        match self.rows.get_mut(id.index())? {
            Some(row) if row.id == id => Some(row),
            _ => self.displaced.iter_mut().find(|row| row.id == id),
        }
    }

    pub fn insert(&mut self, id: Id, connection: Py<Connection>, endpoint: Py<PyAny>, driver: Option<Py<PyAny>>) {
        if self.rows.len() <= id.index() {
            self.rows.resize_with(id.index() + 1, || None);
        }
        let row = Row { id, connection, endpoint, driver, is_blocked: false };
        self.displaced.extend(self.rows[id.index()].replace(row));
    }

    #[must_use = "drop it after the lock"]
    pub fn remove(&mut self, id: Id) -> Option<Row> {
        match self.rows.get_mut(id.index())?.take_if(|row| row.id == id) {
            Some(row) => Some(row),
            None => {
                let at = self.displaced.iter().position(|row| row.id == id)?;
                Some(self.displaced.swap_remove(at))
            }
        }
    }

    pub fn add_listener(&mut self, id: Id, endpoint: Py<PyAny>, marks: Marks) {
        self.listeners.push(Listener { id, endpoint, marks });
    }

    #[must_use = "drop it after the lock"]
    pub fn remove_listener(&mut self, id: Id) -> Option<Py<PyAny>> {
        let at = self.listeners.iter().position(|listener| listener.id == id)?;
        Some(self.listeners.swap_remove(at).endpoint)
    }

    pub fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for row in self.rows.iter().flatten().chain(&self.displaced) {
            visit.call(&row.connection)?;
            visit.call(&row.endpoint)?;
            visit.call(&row.driver)?;
        }
        for listener in &self.listeners {
            visit.call(&listener.endpoint)?;
        }
        Ok(())
    }
}
