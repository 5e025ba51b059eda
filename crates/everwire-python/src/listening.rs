//! Sockets that listen: whose clients are accepted, and when that stops.

use std::time::Instant;

use everwire_reactor::Id;
use everwire_wire::handshake::Refusal;
use pyo3::prelude::*;

use crate::descriptor;
use crate::errors;
use crate::settings::Settings;
use crate::shard::Shard;
use crate::turn::BUDGET;

/// Accepts connections on a listening socket, whose descriptor it takes over. `endpoint` is told about them.
pub fn listen(shard: &Bound<'_, Shard>, fd: i32, settings: &Settings, endpoint: Py<PyAny>) -> PyResult<u64> {
    let (this, py) = (shard.get(), shard.py());
    // Taken over first: it is closed, whatever goes wrong.
    let socket = descriptor::adopt(fd)?;
    let listening = this.with(py, |reactor| reactor.listen(socket, settings.settings.clone()))?;
    let id = listening.map_err(|error| errors::system(&error))?;
    this.table.hold(py).add_listener(id, endpoint, settings.marks);
    Shard::settle(shard)?;
    Ok(id.to_bits())
}

/// Stops accepting; connections stay.
pub fn stop(shard: &Bound<'_, Shard>, id: Id) -> PyResult<()> {
    let (this, py) = (shard.get(), shard.py());
    this.with(py, |reactor| reactor.stop_listening(id))?;
    let endpoint = this.table.hold(py).remove_listener(id);
    drop(endpoint);
    Shard::settle(shard)
}

/// Refuses every handshake of a listener that is still under way with 503.
pub fn refuse_opening(shard: &Bound<'_, Shard>, id: Id) -> PyResult<()> {
    let refusal = Refusal::new(503, "the server is shutting down").with_field("Retry-After", "1");
    shard.get().with(shard.py(), |reactor| {
        let now = Instant::now();
        for id in reactor.opening(id) {
            reactor.refuse(id, &refusal, now);
        }
        // They may be many.
        reactor.flush_until(Instant::now, now + BUDGET);
    })?;
    Shard::settle(shard)
}
