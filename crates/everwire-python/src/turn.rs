//! A turn of the shard: what the reactor collected becomes calls into Python, and what they said is written.
//!
//! Order: everything of a batch that fills queues comes first, in the order in which it happened; then each task that waits for
//! one of these queues is woken, once, however many messages it got. A turn lasts about [`BUDGET`]; only a single call into
//! Python can make it longer. What is left over goes on in the loop's next iteration.
//!
//! Whatever is called may raise anything, and may run the event loop from within (notebooks and nested loops of user interfaces
//! do): then the shard's next turn runs before this one is over. So what a turn has still to do is never in its own hands, but in
//! [`Leftover`], from which each thing is taken just before it is done; and flags are put back by guards. A turn that is left by an
//! error, or that waits for an inner one, thus keeps nothing back. That the loop is run from within nobody tells: the poller may,
//! and a timer does, which is always set while turns are run.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use everwire_reactor::{Batch, Event};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::connection::Connection;
use crate::dispatch::dispatch;
use crate::driver;
use crate::errors;
use crate::flag::While;
use crate::raised::{both, contain, tell};
use crate::shard::Shard;
use crate::waiter::Waiter;

/// How long a turn goes on before other work of the event loop has its turn.
pub const BUDGET: Duration = Duration::from_millis(1);
/// Messages that waited have this much of it: sockets are read in every turn.
const DELIVERY: Duration = Duration::from_micros(500);
/// Events, or messages that waited, between two looks at the clock.
pub const LOOK: usize = 4;
/// A turn that comes later than this was kept waiting by somebody, who should hear of it.
const LATE: Duration = Duration::from_secs(1);

/// What is still to be done.
#[derive(Default)]
pub struct Leftover {
    /// Events of the batch that is being dispatched, in order.
    pub events: VecDeque<Event>,
    /// Where their payloads lie, unless the reactor has it.
    pub scratch: Option<Box<[u8]>>,
    /// Connections in which somebody waits for what came.
    pub wakes: VecDeque<Py<Connection>>,
    /// Connections whose callback is to get the messages that wait.
    pub deliveries: VecDeque<Py<Connection>>,
}

impl Leftover {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.wakes.is_empty() && self.deliveries.is_empty()
    }

    /// The buffers of a batch that is dispatched.
    pub fn take_used(&mut self) -> Option<Batch> {
        let scratch = self.scratch.take_if(|_| self.events.is_empty())?;
        Some(Batch { events: std::mem::take(&mut self.events).into(), scratch })
    }

    pub fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.wakes.iter().chain(&self.deliveries).try_for_each(|connection| visit.call(connection))
    }
}

impl Shard {
    /// Runs one turn, for a loop that calls in this `context`. Errors of the application go to the loop's exception handler; what
    /// ends the program comes out. `late` is by how long the timer is, if it is what has fired.
    pub fn run(slf: &Bound<'_, Self>, context: Option<Py<PyAny>>, late: Option<Duration>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        this.check(py)?;
        this.schedule.run_aside(py, context, || {
            let turned = {
                let is_inner = this.is_turning.load(Ordering::Relaxed);
                // Until the outermost turn is over.
                this.is_nested.store(is_inner, Ordering::Relaxed);
                let _turning = While::is(&this.is_turning, true);
                this.turn.fetch_add(1, Ordering::Relaxed);
                turn(slf, late)
            };
            this.turn.fetch_add(1, Ordering::Relaxed);
            both(py, turned, Self::settle(slf))
        })
    }
}

fn turn(slf: &Bound<'_, Shard>, late: Option<Duration>) -> PyResult<()> {
    let py = slf.py();
    let began = Instant::now();
    let until = began + BUDGET;
    let late = match late {
        Some(late) => late,
        None => slf.get().schedule.lateness(py, began)?,
    };
    let served = serve(slf, began, until, late);
    // Whatever that raised, what is queued leaves, and deadlines are dealt with.
    let grace = if late > LATE { late } else { Duration::ZERO };
    let expired = slf.get().with(py, |reactor| {
        let until = until.max(Instant::now());
        reactor.expire(Instant::now, grace, until);
        reactor.flush_until(Instant::now, until);
    });
    served.and(expired).and_then(|()| driver::wrap(slf, until))
}

/// The part of a turn that calls Python. An error that comes out of it ends it: nothing else is called.
fn serve(slf: &Bound<'_, Shard>, began: Instant, until: Instant, late: Duration) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    Shard::set_probe(slf)?;
    if late > LATE {
        tell(slf, None, warn_late(py, late))?;
    }
    this.with(py, |reactor| reactor.wait())?.map_err(|error| errors::system(&error))?;
    deliver(slf, began + DELIVERY)?;
    loop {
        collect(slf, until)?;
        dispatch(slf, until)?;
        wake(slf, until)?;
        let has_work = this.with(py, |reactor| {
            reactor.flush_until(Instant::now, until);
            reactor.has_work()
        })?;
        driver::wrap(slf, until)?;
        if Instant::now() >= until || (!has_work && this.leftover.hold(py).is_empty()) {
            return Ok(());
        }
    }
}

/// Gets the next batch, if the last one is dispatched.
fn collect(slf: &Bound<'_, Shard>, until: Instant) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    if !this.leftover.hold(py).events.is_empty() {
        return Ok(());
    }
    let waiting = |id| this.table.hold(py).waiting(py, id);
    let batch = this.with(py, |reactor| reactor.collect(Instant::now, until, &waiting))?;
    let mut leftover = this.leftover.hold(py);
    leftover.events = batch.events.into();
    leftover.scratch = Some(batch.scratch);
    Ok(())
}

/// Wakes the tasks that have something to receive, until the time is up.
fn wake(slf: &Bound<'_, Shard>, until: Instant) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let _waking = While::is(&this.is_dispatching, false);
    loop {
        let next = this.leftover.hold(py).wakes.pop_front();
        let Some(connection) = next else { return Ok(()) };
        if let Some(waiter) = Connection::take_reader(connection.bind(py)) {
            // What the task sends first leaves at once: it may compute for long afterwards.
            this.turn.fetch_add(1, Ordering::Relaxed);
            tell(slf, Some(&connection), Waiter::wake(waiter.bind(py)))?;
        }
        if Instant::now() >= until {
            return Ok(());
        }
    }
}

/// Hands messages that waited to callbacks, one of each connection in turn, until the time is up.
fn deliver(slf: &Bound<'_, Shard>, until: Instant) -> PyResult<()> {
    let py = slf.py();
    let mut count = 0;
    loop {
        let next = slf.get().leftover.hold(py).deliveries.pop_front();
        let Some(connection) = next else { return Ok(()) };
        if let Some(id) = connection.get().id() {
            contain(slf, id, Connection::deliver(connection.bind(py)))?;
        }
        count += 1;
        if count % LOOK == 0 && Instant::now() >= until {
            return Ok(());
        }
    }
}

fn warn_late(py: Python<'_>, late: Duration) -> PyResult<()> {
    let logger = py.import(intern!(py, "logging"))?.call_method1(intern!(py, "getLogger"), ("everwire",))?;
    let text = "the event loop was blocked for %.1f s: no peer is blamed for it, but find the call that does not yield";
    logger.call_method1(intern!(py, "warning"), (text, late.as_secs_f64()))?;
    Ok(())
}
