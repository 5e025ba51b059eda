//! The thin binding: reactor objects for Python, and no rule of its own.
//!
//! | file | what Python sees |
//! |---|---|
//! | `shard` | `Shard`: a reactor on one event loop |
//! | `owner` | who may use a shard: its thread, in its process |
//! | `listening`, `connecting`, `decision` | its commands: listeners, clients' handshakes, answers to requests |
//! | `broadcast` | its command for one message to many |
//! | `driver` | TLS that Python does, on sockets of the engine |
//! | `turn` | the order of a turn, and what is left of it |
//! | `dispatch`, `ending` | events and the calls that they become; the last event of each connection |
//! | `connection` | `Connection`: messages in and out of one connection |
//! | `state` | what a connection is doing |
//! | `receiving` | the half of a connection that takes messages |
//! | `schedule` | when the loop runs the shard's next turn |
//! | `receive` | the coroutine that `recv()` returns, and what `async for` asks for one (`unsafe`: type slots) |
//! | `stop` | the `StopIteration` by which it returns a value (`unsafe`: one for all) |
//! | `heads` | the two heads of an opening handshake |
//! | `body` | the body of an answer that a proxy gave |
//! | `waiter` | what a task waits on while there is no message |
//! | `finished` | the coroutine that `send()` returns when nothing has to be waited for |
//! | `raised` | what Python raised: whose it is, and what becomes of it |
//! | `flag` | a flag that is raised for a while |
//! | `guarded` | access under the GIL, to one at a time (`unsafe`: instead of locks) |
//! | `inbox` | received messages that wait |
//! | `message` | text and bytes, in both directions |
//! | `text` | `str` of ASCII (`unsafe`: made without a second look) |
//! | `context` | calls within a context (`unsafe`: C functions) |
//! | `descriptor` | sockets that Python hands over (`unsafe`: ownership) |
//! | `settings`, `tls` | what a listener or connection is made with |
//! | `table` | which Python object belongs to which connection |
//! | `errors` | the exception classes of `everwire.errors` |

#![deny(unsafe_code)]

mod body;
mod broadcast;
mod connecting;
mod connection;
mod context;
mod decision;
mod descriptor;
mod dispatch;
mod driver;
mod ending;
mod errors;
mod finished;
mod flag;
mod guarded;
mod heads;
mod inbox;
mod listening;
mod message;
mod owner;
mod raised;
mod receive;
mod receiving;
mod schedule;
mod settings;
mod shard;
mod state;
mod stop;
mod table;
mod text;
mod tls;
mod turn;
mod waiter;

use pyo3::prelude::*;

/// The engine. Its names are for `everwire` itself; programs use those of the package.
#[pymodule(gil_used = true)]
mod _core {
    use pyo3::prelude::*;
    use pyo3::types::PyList;

    #[pymodule_export]
    use crate::body::Body;
    #[pymodule_export]
    use crate::connecting::Offer;
    #[pymodule_export]
    use crate::connection::Connection;
    #[pymodule_export]
    use crate::decision::Judgement;
    #[pymodule_export]
    use crate::ending::{Cause, Ending, Failure};
    #[pymodule_export]
    use crate::heads::{agreed_extension, drop_request, drop_response, request_head, response_head};
    #[pymodule_export]
    use crate::settings::{Settings, origin};
    #[pymodule_export]
    use crate::shard::Shard;
    #[pymodule_export]
    use crate::tls::{ClientTLS, ServerTLS, TLSSession};

    /// The table of limits: name, default, unit, reason.
    #[pyfunction]
    fn limits(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
        PyList::new(py, everwire_reactor::limits::TABLE.iter().map(|row| (row.name, row.default, row.unit, row.reason)))
    }

    /// Bytes that all connections of this process hold in the engine's buffers.
    #[pyfunction]
    fn memory_held() -> usize {
        everwire_reactor::memory::held()
    }

    /// Told by the package in every forked child: sockets that the parent serves are not the child's.
    #[pyfunction]
    fn forked() {
        crate::owner::on_fork();
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::receive::install(module.py());
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
