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

use crate::guarded::Guarded;
use crate::shard::Shard;

/// What the loop has been asked for.
pub struct Schedule {
    event_loop: Guarded<Option<Py<PyAny>>>,
    context: Guarded<Option<Py<PyAny>>>,
    timer: Guarded<Option<(Instant, Py<PyAny>)>>,
    /// The loop watches the poller.
    is_watched: AtomicBool,
    /// A turn is on the loop's list.
    is_scheduled: AtomicBool,
}

impl Schedule {
    pub fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let context = event_loop.py().import("contextvars")?.getattr("Context")?.call0()?;
        Ok(Schedule {
            event_loop: Guarded::new(Some(event_loop.clone().unbind())),
            context: Guarded::new(Some(context.unbind())),
            timer: Guarded::default(),
            is_watched: AtomicBool::new(false),
            is_scheduled: AtomicBool::new(false),
        })
    }

    pub fn event_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.hold(py).as_ref().map_or_else(|| py.None(), |event_loop| event_loop.clone_ref(py))
    }

    /// How long ago the deadline that is due now was due.
    pub fn lateness(&self, py: Python<'_>, now: Instant) -> Duration {
        self.armed(py).map_or(Duration::ZERO, |due| now.saturating_duration_since(due))
    }

    /// Whether a turn is on the loop's list.
    pub fn is_scheduled(&self) -> bool {
        self.is_scheduled.load(Ordering::Relaxed)
    }

    /// The turn that was on the loop's list runs now.
    pub fn begun(&self) {
        self.is_scheduled.store(false, Ordering::Relaxed);
    }

    /// What the timer is set for.
    pub fn armed(&self, py: Python<'_>) -> Option<Instant> {
        self.timer.hold(py).as_ref().map(|(at, _)| *at)
    }

    /// The timer that was set for `at` has fired, maybe a little early: loops round. One that was set meanwhile stays.
    pub fn fired(&self, py: Python<'_>, at: Option<Instant>) {
        let fired = self.timer.hold(py).take_if(|(armed, _)| Some(*armed) == at);
        drop(fired);
    }

    pub fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.visit(visit, |event_loop| visit.call(event_loop))?;
        self.context.visit(visit, |context| visit.call(context))?;
        self.timer.visit(visit, |timer| timer.as_ref().map_or(Ok(()), |(_, handle)| visit.call(handle)))
    }

    pub fn clear(&self, py: Python<'_>) {
        let event_loop = self.event_loop.hold(py).take();
        let context = self.context.hold(py).take();
        let timer = self.timer.hold(py).take();
        drop((event_loop, context, timer));
    }

    /// Calls a method of the loop that takes a context.
    fn call<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
        arguments: impl PyCallArgs<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = PyDict::new(py);
        let context = self.context.hold(py).as_ref().map(|context| context.clone_ref(py));
        options.set_item(intern!(py, "context"), context)?;
        self.event_loop(py).bind(py).getattr(name)?.call(arguments, Some(&options))
    }

    pub fn cancel_timer(&self, py: Python<'_>) -> PyResult<()> {
        let timer = self.timer.hold(py).take();
        match timer {
            Some((_, handle)) => handle.bind(py).call_method0(intern!(py, "cancel")).map(drop),
            None => Ok(()),
        }
    }
}

impl Shard {
    /// Runs a turn in the loop's next iteration, unless one is running.
    pub fn run_soon(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let schedule = &slf.get().schedule;
        if slf.get().is_turning.load(Ordering::Relaxed) || schedule.is_scheduled.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let result = schedule.call(py, intern!(py, "call_soon"), (slf.getattr(intern!(py, "_run"))?,));
        if result.is_err() {
            schedule.is_scheduled.store(false, Ordering::Relaxed);
        }
        result.map(drop)
    }

    /// Arranges the next turn: at once for work that is left, later for deadlines, never when nothing lives here any more.
    pub fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (has_work, is_empty, deadline) = this.with(py, |reactor| {
            (
                reactor.has_work() || reactor.has_output() || reactor.has_due(),
                reactor.is_empty(),
                reactor.next_deadline(),
            )
        })?;
        let has_work = has_work || !this.leftover.hold(py).is_empty();
        if has_work {
            Self::run_soon(slf)?;
        } else if is_empty {
            return Self::unwatch(slf);
        }
        Self::watch(slf)?;
        Self::set_timer(slf, deadline)
    }

    fn watch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let schedule = &slf.get().schedule;
        if schedule.is_watched.load(Ordering::Relaxed) {
            return Ok(());
        }
        let fd = slf.get().with(py, |reactor| reactor.fd())?;
        let add_reader = schedule.event_loop(py).bind(py).getattr(intern!(py, "add_reader"))?;
        let run = slf.getattr(intern!(py, "_on_ready"))?;
        let context = schedule.context.hold(py).as_ref().map(|context| context.clone_ref(py));
        match context {
            Some(context) => context.bind(py).call_method1(intern!(py, "run"), (add_reader, fd, run))?,
            None => add_reader.call1((fd, run))?,
        };
        schedule.is_watched.store(true, Ordering::Relaxed);
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
        if schedule.armed(py).is_some_and(|armed| armed <= deadline) {
            return Ok(());
        }
        schedule.cancel_timer(py)?;
        let now = Instant::now();
        // A deadline of a connection that is gone may have passed while nothing lived here: nobody was kept waiting by that.
        let deadline = deadline.max(now);
        let delay = deadline - now + Duration::from_millis(1);
        let on_timer = slf.getattr(intern!(py, "_on_timer"))?;
        let handle = schedule.call(py, intern!(py, "call_later"), (delay.as_secs_f64(), on_timer))?;
        *schedule.timer.hold(py) = Some((deadline, handle.unbind()));
        Ok(())
    }
}
