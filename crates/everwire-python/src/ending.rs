//! The last event of a connection: how it ended, or why it did not come about.

use everwire_reactor as reactor;
use everwire_reactor::Id;
use everwire_wire::close::Received;
use pyo3::intern;
use pyo3::prelude::*;

use crate::connection::State;
use crate::dispatch;
use crate::raised::tell;
use crate::shard::Shard;

/// Why something ended that should have gone on.
#[pyclass(frozen, get_all, module = "everwire._core")]
pub struct Cause {
    /// Whose fault, in one word.
    kind: &'static str,
    /// For people.
    text: String,
    /// The HTTP status, or the system's number of the error; 0 if it has none.
    number: u16,
}

/// How a connection ended.
#[pyclass(frozen, get_all, module = "everwire._core")]
pub struct Ending {
    /// Code and reason of the peer's close frame.
    received: Option<Said>,
    /// Those of ours.
    sent: Option<Said>,
    /// The peer's came before ours.
    received_first: bool,
    /// Why there was no complete closing handshake.
    cause: Option<Py<Cause>>,
}

type Said = (Option<u16>, String);

/// How an opening handshake failed.
#[pyclass(frozen, get_all, module = "everwire._core")]
pub struct Failure {
    cause: Py<Cause>,
    /// The server's answer, for a client that got one.
    head: Option<Vec<u8>>,
    /// What came of the answer's body.
    body: Vec<u8>,
}

/// The connection is gone.
pub fn close(shard: &Bound<'_, Shard>, id: Id, ending: reactor::Ending) -> PyResult<()> {
    let py = shard.py();
    let (row, driver) = shard.get().table.hold(py).remove(id);
    drop(driver);
    let Some(row) = row else { return Ok(()) };
    let connection = row.connection.bind(py);
    connection.get().advance(State::Closed);
    connection.get().keep_client(py, ending.client);
    if let Some(request) = &ending.request {
        connection.get().keep_request(py, Some(request.as_bytes().into()));
    }
    dispatch::wake_later(shard, &row.connection);
    let said = |close: Option<Received>| close.map(|close| (close.code, close.reason));
    let ending = Ending {
        received: said(ending.received),
        sent: said(ending.sent),
        received_first: ending.received_first,
        cause: ending.cause.map(|cause| Py::new(py, Cause::of(&cause))).transpose()?,
    };
    let told = connection.call_method1(intern!(py, "_on_closed"), (ending,));
    tell(shard, Some(&row.connection), told.map(drop))
}

/// The opening handshake failed.
pub fn fail(shard: &Bound<'_, Shard>, id: Id, failure: reactor::Failure) -> PyResult<()> {
    let py = shard.py();
    let (row, driver) = shard.get().table.hold(py).remove(id);
    drop(driver);
    let (connection, endpoint) = match row {
        Some(row) => {
            row.connection.get().advance(State::Closed);
            (Some(row.connection), row.endpoint)
        }
        None => match failure.listener.and_then(|listener| dispatch::listener_of(shard, listener)) {
            Some((endpoint, _)) => (None, endpoint),
            None => return Ok(()),
        },
    };
    let failure = Failure {
        cause: Py::new(py, Cause::of(&failure.cause))?,
        head: failure.response.map(|response| response.as_bytes().to_vec()),
        body: failure.body,
    };
    let told = endpoint.bind(py).call_method1(intern!(py, "failed"), (&connection, failure));
    tell(shard, connection.as_ref(), told.map(drop))
}

impl Cause {
    fn of(cause: &reactor::Cause) -> Self {
        use reactor::Cause as Of;
        let (kind, text, number) = match cause {
            Of::Eof => ("eof", "the connection ended without a closing handshake".to_owned(), 0),
            Of::Io(error) => {
                let number = error.raw_os_error().and_then(|number| u16::try_from(number).ok());
                ("io", error.to_string(), number.unwrap_or(0))
            }
            Of::Tls(text) => ("tls", text.clone(), 0),
            Of::Protocol(text) => ("protocol", text.clone(), 0),
            Of::Limit(text) => ("limit", text.clone(), 0),
            Of::Refused(status, text) => ("refused", text.clone(), *status),
            Of::Timeout(timeout) => ("timeout", timeout.describe().to_owned(), 0),
            Of::Aborted => ("aborted", "the connection was aborted".to_owned(), 0),
            Of::Defect => ("defect", "a defect of the engine, contained to this connection".to_owned(), 0),
        };
        Cause { kind, text, number }
    }
}
