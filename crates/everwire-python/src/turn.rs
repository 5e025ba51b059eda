//! A turn of the shard: what the reactor collected becomes calls into Python, and what they said is written.
//!
//! Order: everything of a batch that fills queues comes first, in the order in which it happened; then each task that waits for
//! one of these queues is woken, once, however many messages it got. A turn lasts about [`BUDGET`]; only a single call into
//! Python can make it longer. What is left over goes on in the loop's next iteration.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use everwire_reactor::Event;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::connection::Connection;
use crate::dispatch::{dispatch, report};
use crate::driver;
use crate::errors;
use crate::shard::Shard;
use crate::waiter::Waiter;

/// How long a turn goes on before other work of the event loop has its turn.
pub const BUDGET: Duration = Duration::from_millis(1);
/// A turn that comes later than this was kept waiting by somebody, who should hear of it.
const LATE: Duration = Duration::from_secs(1);

/// What a turn could not finish.
#[derive(Default)]
pub struct Leftover {
    /// Events, and the buffer that their payloads lie in.
    pub batch: Option<(VecDeque<Event>, Box<[u8]>)>,
    /// Connections in which somebody waits for what came.
    pub wakes: VecDeque<Py<Connection>>,
    /// Connections whose callback is to get the messages that wait.
    pub deliveries: Vec<Py<Connection>>,
}

impl Leftover {
    pub fn is_empty(&self) -> bool {
        self.batch.is_none() && self.wakes.is_empty() && self.deliveries.is_empty()
    }

    pub fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.wakes.iter().chain(&self.deliveries).try_for_each(|connection| visit.call(connection))
    }
}

impl Shard {
    /// Runs one turn. Errors of the application go to the loop's exception handler; what ends the program comes out, and
    /// whatever was not dispatched yet is kept.
    pub fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        this.check(slf.py())?;
        if this.is_turning.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        this.turn.fetch_add(1, Ordering::Relaxed);
        let result = turn(slf);
        this.turn.fetch_add(1, Ordering::Relaxed);
        this.is_turning.store(false, Ordering::Relaxed);
        let settled = Self::settle(slf);
        result.and(settled)
    }
}

fn turn(slf: &Bound<'_, Shard>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let began = Instant::now();
    let until = began + BUDGET;
    let late = this.schedule.lateness(py, began);
    this.with(py, |reactor| reactor.wait())?.map_err(|error| errors::system(&error))?;
    deliver(slf)?;
    loop {
        let kept = this.leftover.hold(py).batch.take();
        let (events, scratch) = match kept {
            Some(kept) => kept,
            None => {
                let waiting = |id| this.table.hold(py).waiting(py, id);
                let batch = this.with(py, |reactor| reactor.collect(Instant::now, until, &waiting))?;
                (batch.events.into(), batch.scratch)
            }
        };
        this.is_dispatching.store(true, Ordering::Relaxed);
        let dispatched = dispatch(slf, events, scratch, until);
        this.is_dispatching.store(false, Ordering::Relaxed);
        let dispatched = dispatched.and_then(|()| wake(slf, until));
        this.with(py, |reactor| reactor.flush_until(Instant::now, until))?;
        driver::wrap(slf, until)?;
        dispatched?;
        let has_work = this.with(py, |reactor| reactor.has_work())?;
        if Instant::now() >= until || (!has_work && this.leftover.hold(py).is_empty()) {
            break;
        }
    }
    if late > LATE {
        // This turn deals with that deadline: the next one is not late for the same reason again.
        this.schedule.cancel_timer(py)?;
        warn_late(py, late)?;
    }
    let grace = if late > LATE { late } else { Duration::ZERO };
    this.with(py, |reactor| {
        let now = Instant::now();
        reactor.expire(Instant::now, grace, now.max(until));
        reactor.flush_until(Instant::now, now.max(until));
    })?;
    driver::wrap(slf, until)
}

/// Wakes the tasks that have something to receive, until the time is up.
fn wake(slf: &Bound<'_, Shard>, until: Instant) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    loop {
        let next = this.leftover.hold(py).wakes.pop_front();
        let Some(connection) = next else { return Ok(()) };
        if let Some(waiter) = Connection::take_reader(connection.bind(py)) {
            // What the task sends first leaves at once: it may compute for long afterwards.
            this.turn.fetch_add(1, Ordering::Relaxed);
            Waiter::wake(waiter.bind(py))?;
        }
        if Instant::now() >= until {
            return Ok(());
        }
    }
}

fn deliver(slf: &Bound<'_, Shard>) -> PyResult<()> {
    let py = slf.py();
    let deliveries = std::mem::take(&mut slf.get().leftover.hold(py).deliveries);
    for connection in deliveries {
        let connection = connection.bind(py);
        let id = connection.get().id();
        if let Err(error) = Connection::deliver(connection) {
            if !error.is_instance_of::<PyException>(py) {
                return Err(error);
            }
            report(slf, id, &error)?;
        }
    }
    Ok(())
}

fn warn_late(py: Python<'_>, late: Duration) -> PyResult<()> {
    let logger = py.import(intern!(py, "logging"))?.call_method1(intern!(py, "getLogger"), ("everwire",))?;
    let text = "the event loop was blocked for %.1f s: no peer is blamed for it, but find the call that does not yield";
    logger.call_method1(intern!(py, "warning"), (text, late.as_secs_f64()))?;
    Ok(())
}
