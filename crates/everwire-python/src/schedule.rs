//! When the event loop runs the shard's next turn: on readiness of the poller, at once for work that is left, at a deadline.
//!
//! Everything is registered in an empty context: what the loop calls for all connections must not carry the variables of
//! whoever happened to come first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::context;
use crate::guarded::Guarded;
use crate::raised::both;
use crate::shard::Shard;

/// When it is due, and the loop's handle.
type Timer = (Instant, Py<PyAny>);

/// What the loop has been asked for.
pub struct Schedule {
    event_loop: Guarded<Option<Py<PyAny>>>,
    context: Guarded<Option<Py<PyAny>>>,
    /// The context in which the loop calls its reader, if it has one and says which.
    reader: Guarded<Option<Py<PyAny>>>,
    timer: Guarded<Option<Timer>>,
    /// The loop watches the poller.
    is_watched: AtomicBool,
    /// A turn is on the loop's list.
    is_scheduled: AtomicBool,
    /// The poller had something to say, and was left to that turn.
    is_ready: AtomicBool,
}

impl Schedule {
    pub fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let context = event_loop.py().import("contextvars")?.getattr("Context")?.call0()?;
        Ok(Schedule {
            event_loop: Guarded::new(Some(event_loop.clone().unbind())),
            context: Guarded::new(Some(context.unbind())),
            reader: Guarded::default(),
            timer: Guarded::default(),
            is_watched: AtomicBool::new(false),
            is_scheduled: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
        })
    }

    pub fn event_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.hold(py).as_ref().map_or_else(|| py.None(), |event_loop| event_loop.clone_ref(py))
    }

    /// The poller has something to say: whether a turn is on the loop's list that will hear it. A turn for each would make two of
    /// every one, and the loop's iterations longer and longer.
    pub fn will_hear(&self) -> bool {
        let is_scheduled = self.is_scheduled.load(Ordering::Relaxed);
        self.is_ready.store(is_scheduled, Ordering::Relaxed);
        is_scheduled
    }

    /// The turn that was on the loop's list runs now: whether it was left to hear the poller.
    pub fn begun(&self) -> bool {
        self.is_scheduled.store(false, Ordering::Relaxed);
        self.is_ready.swap(false, Ordering::Relaxed)
    }

    /// The timer has fired, maybe a little early: loops round. By how long it is late.
    pub fn fired(&self, py: Python<'_>, now: Instant) -> Duration {
        let fired = self.timer.hold(py).take();
        fired.map_or(Duration::ZERO, |(due, _)| now.saturating_duration_since(due))
    }

    /// By how long the timer is late. If it is due, the turn that asks deals with that deadline: the timer has nothing left to say.
    pub fn lateness(&self, py: Python<'_>, now: Instant) -> PyResult<Duration> {
        let due = self.timer.hold(py).take_if(|(due, _)| *due <= now);
        let late = due.as_ref().map_or(Duration::ZERO, |(due, _)| now - *due);
        cancel(py, due).map(|()| late)
    }

    /// The context in which the loop calls what it was asked to call soon or later.
    pub fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.context.hold(py).as_ref().map(|context| context.clone_ref(py))
    }

    /// The context in which the loop calls its reader.
    pub fn reader_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.reader.hold(py).as_ref().map(|context| context.clone_ref(py))
    }

    pub fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.visit(visit, |event_loop| visit.call(event_loop))?;
        self.context.visit(visit, |context| visit.call(context))?;
        self.reader.visit(visit, |context| visit.call(context))?;
        self.timer.visit(visit, |timer| timer.as_ref().map_or(Ok(()), |(_, handle)| visit.call(handle)))
    }

    pub fn clear(&self, py: Python<'_>) {
        let event_loop = self.event_loop.hold(py).take();
        let context = self.context.hold(py).take();
        let reader = self.reader.hold(py).take();
        let timer = self.timer.hold(py).take();
        drop((event_loop, context, reader, timer));
    }

    /// Calls a method of the loop that takes a context.
    fn call<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
        arguments: impl PyCallArgs<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = PyDict::new(py);
        options.set_item(intern!(py, "context"), self.context(py))?;
        self.event_loop(py).bind(py).getattr(name)?.call(arguments, Some(&options))
    }

    fn cancel_timer(&self, py: Python<'_>) -> PyResult<()> {
        let timer = self.timer.hold(py).take();
        cancel(py, timer)
    }
}

impl Shard {
    /// Runs a turn in the loop's next iteration.
    pub fn run_soon(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let schedule = &slf.get().schedule;
        if schedule.is_scheduled.load(Ordering::Relaxed) {
            return Ok(());
        }
        schedule.call(py, intern!(py, "call_soon"), (slf.getattr(intern!(py, "_run"))?,))?;
        schedule.is_scheduled.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a turn would find something to do that the poller does not tell.
    pub fn has_work(&self, py: Python<'_>) -> PyResult<bool> {
        let has_work = self.with(py, |reactor| reactor.has_work() || reactor.has_output() || reactor.has_outside())?;
        Ok(has_work || !self.leftover.hold(py).is_empty())
    }

    /// Arranges the next turn: at once for work that is left, later for deadlines, never when nothing lives here any more.
    pub fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        let has_work = this.has_work(py)?;
        let (is_empty, deadline) = this.with(py, |reactor| (reactor.is_empty(), reactor.next_deadline()))?;
        if !has_work && is_empty {
            return Self::unwatch(slf);
        }
        let scheduled = if has_work { Self::run_soon(slf) } else { Ok(()) };
        let watched = Self::watch(slf);
        both(py, scheduled, both(py, watched, Self::set_timer(slf, deadline)))
    }

    fn watch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let schedule = &slf.get().schedule;
        if schedule.is_watched.load(Ordering::Relaxed) {
            return Ok(());
        }
        let fd = slf.get().with(py, |reactor| reactor.fd())?;
        let event_loop = schedule.event_loop(py);
        let add_reader = event_loop.bind(py).getattr(intern!(py, "add_reader"))?;
        let run = slf.getattr(intern!(py, "_on_ready"))?;
        context::run_aside(None, py, || add_reader.call1((fd, run)))?;
        schedule.is_watched.store(true, Ordering::Relaxed);
        let before = std::mem::replace(&mut *schedule.reader.hold(py), context_of_reader(event_loop.bind(py), fd));
        drop(before);
        Ok(())
    }

    /// The reader goes before the poller can be closed.
    fn unwatch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let schedule = &slf.get().schedule;
        schedule.cancel_timer(py)?;
        if schedule.is_watched.swap(false, Ordering::Relaxed) {
            let fd = slf.get().with(py, |reactor| reactor.fd())?;
            schedule.event_loop(py).bind(py).call_method1(intern!(py, "remove_reader"), (fd,))?;
        }
        Ok(())
    }

    fn set_timer(slf: &Bound<'_, Self>, deadline: Option<Instant>) -> PyResult<()> {
        let py = slf.py();
        let schedule = &slf.get().schedule;
        let Some(deadline) = deadline else { return Ok(()) };
        if schedule.timer.hold(py).as_ref().is_some_and(|(due, _)| *due <= deadline) {
            return Ok(());
        }
        let now = Instant::now();
        // A deadline of a connection that is gone may have passed while nothing lived here: nobody was kept waiting by that.
        let deadline = deadline.max(now);
        let delay = deadline - now + Duration::from_millis(1);
        let on_timer = slf.getattr(intern!(py, "_on_timer"))?;
        let handle = schedule.call(py, intern!(py, "call_later"), (delay.as_secs_f64(), on_timer))?;
        let before = schedule.timer.hold(py).replace((deadline, handle.unbind()));
        cancel(py, before)
    }
}

fn cancel(py: Python<'_>, timer: Option<Timer>) -> PyResult<()> {
    match timer {
        Some((_, handle)) => handle.bind(py).call_method0(intern!(py, "cancel")).map(drop),
        None => Ok(()),
    }
}

/// The context in which an event loop calls the reader of a descriptor. asyncio copies one and has no call that tells; other loops
/// cannot be run from within themselves, for which alone it is needed.
fn context_of_reader(event_loop: &Bound<'_, PyAny>, fd: i32) -> Option<Py<PyAny>> {
    let selector = event_loop.getattr("_selector").ok()?;
    let handles = selector.call_method1("get_key", (fd,)).ok()?.getattr("data").ok()?;
    Some(handles.get_item(0).ok()?.getattr("_context").ok()?.unbind())
}
