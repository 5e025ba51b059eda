//! Decisions on requests that wait for one: what the rules of the protocol say, and what a program answers.

use std::time::Instant;

use everwire_reactor::Decision;
use pyo3::prelude::*;

use crate::connection::Connection;
use crate::errors;
use crate::shard::Shard;

/// What becomes of a waiting request if only the rules decide.
#[pyclass(frozen, get_all, module = "everwire._core")]
pub struct Judgement {
    /// The subprotocols that it offers; `None` if it is refused.
    subprotocols: Option<Vec<String>>,
    /// 101, or that of the refusal.
    status: u16,
    /// Why it is refused, for the client.
    text: String,
    /// Fields of the refusal.
    fields: Vec<(String, String)>,
}

/// Judges a request; `None` if it does not wait any more.
pub fn judge(shard: &Bound<'_, Shard>, connection: &Bound<'_, Connection>) -> PyResult<Option<Judgement>> {
    let Some(id) = connection.get().id() else { return Ok(None) };
    shard.get().with(shard.py(), |reactor| {
        reactor.check(id).map(|judgement| match judgement {
            Ok(upgrade) => Judgement {
                subprotocols: Some(upgrade.protocols),
                status: 101,
                text: String::new(),
                fields: Vec::new(),
            },
            Err(refusal) => Judgement {
                subprotocols: None,
                status: refusal.status,
                text: refusal.reason.to_string(),
                fields: refusal.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            },
        })
    })
}

/// Answers a request as the rules demand, with this subprotocol and these fields if it is accepted.
pub fn accept(
    shard: &Bound<'_, Shard>,
    connection: &Bound<'_, Connection>,
    subprotocol: Option<&str>,
    fields: &[(String, String)],
) -> PyResult<()> {
    let py = shard.py();
    let Some(id) = connection.get().id() else { return Ok(()) };
    let now = Instant::now();
    let decided = shard.get().with(py, |reactor| match reactor.check(id) {
        Some(Ok(upgrade)) => reactor.decide(id, Decision::Accept { upgrade: &upgrade, subprotocol, fields }, now),
        Some(Err(refusal)) => reactor.decide(id, Decision::Refuse(&refusal), now),
        None => Ok(()),
    })?;
    decided.map_err(|error| errors::usage(py, error.to_string()))?;
    Shard::run_soon(shard)
}

/// Answers a request with an ordinary response.
pub fn respond(shard: &Bound<'_, Shard>, connection: &Bound<'_, Connection>, response: Decision<'_>) -> PyResult<()> {
    let py = shard.py();
    let Some(id) = connection.get().id() else { return Ok(()) };
    let decided = shard.get().with(py, |reactor| reactor.decide(id, response, Instant::now()))?;
    decided.map_err(|error| errors::usage(py, error.to_string()))?;
    Shard::run_soon(shard)
}
