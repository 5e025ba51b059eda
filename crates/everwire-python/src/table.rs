//! Which Python objects belong to which connection of the reactor. Changed only while the GIL is held, and never during a call
//! into Python: what comes out of it is dropped by the caller, after the lock.

use std::collections::HashMap;

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
    /// Who does the TLS of connections, if neither the core nor nobody does.
    drivers: HashMap<Id, Py<PyAny>>,
}

impl Table {
    pub fn connection(&self, py: Python<'_>, id: Id) -> Option<Py<Connection>> {
        Some(self.row(id)?.connection.clone_ref(py))
    }

    pub fn endpoint(&self, py: Python<'_>, id: Id) -> Option<Py<PyAny>> {
        Some(self.row(id)?.endpoint.clone_ref(py))
    }

    pub fn driver(&self, py: Python<'_>, id: Id) -> Option<Py<PyAny>> {
        self.drivers.get(&id).map(|driver| driver.clone_ref(py))
    }

    /// Who is told about the connections of a listener, and how much may wait in each.
    pub fn listener(&self, py: Python<'_>, id: Id) -> Option<(Py<PyAny>, Marks)> {
        let listener = self.listeners.iter().find(|listener| listener.id == id)?;
        Some((listener.endpoint.clone_ref(py), listener.marks))
    }

    /// Memory of a connection's messages that nobody has taken.
    pub fn waiting(&self, py: Python<'_>, id: Id) -> usize {
        self.row(id).map_or(0, |row| row.connection.get().waiting(py))
    }

    fn row(&self, id: Id) -> Option<&Row> {
        match self.rows.get(id.index())? {
            Some(row) if row.id == id => Some(row),
            _ => self.displaced.iter().find(|row| row.id == id),
        }
    }

    pub fn insert_driver(&mut self, id: Id, driver: Py<PyAny>) {
        self.drivers.insert(id, driver);
    }

    pub fn insert(&mut self, id: Id, connection: Py<Connection>, endpoint: Py<PyAny>) {
        if self.rows.len() <= id.index() {
            self.rows.resize_with(id.index() + 1, || None);
        }
        let row = Row { id, connection, endpoint };
        self.displaced.extend(self.rows[id.index()].replace(row));
    }

    #[must_use = "drop it after the lock"]
    pub fn remove(&mut self, id: Id) -> (Option<Row>, Option<Py<PyAny>>) {
        let driver = self.drivers.remove(&id);
        let own = self.rows.get_mut(id.index()).and_then(|place| place.take_if(|row| row.id == id));
        let row = own.or_else(|| {
            let at = self.displaced.iter().position(|row| row.id == id)?;
            Some(self.displaced.swap_remove(at))
        });
        (row, driver)
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
        }
        for driver in self.drivers.values() {
            visit.call(driver)?;
        }
        for listener in &self.listeners {
            visit.call(&listener.endpoint)?;
        }
        Ok(())
    }
}
