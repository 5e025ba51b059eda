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

/// How long a loop that is run from within a turn waits at most for what that turn has left.
const PROBE: Duration = Duration::from_millis(10);

/// What the loop has been asked for.
pub struct Schedule {
    event_loop: Guarded<Option<Py<PyAny>>>,
    context: Guarded<Option<Py<PyAny>>>,
    /// The context in which the loop calls its reader, if it can be known.
    reader: Guarded<Option<Py<PyAny>>>,
    /// The empty context of turns.
    inner: Guarded<Option<Py<PyAny>>>,
    /// What the timer is set for, and the loop's handle.
    timer: Guarded<Option<(Instant, Py<PyAny>)>>,
    /// The loop watches the poller.
    is_watched: AtomicBool,
    /// A turn is on the loop's list.
    is_scheduled: AtomicBool,
    /// The handle of a timer that fires within a turn if the loop is run from there.
    probe: Guarded<Option<Py<PyAny>>>,
}

impl Schedule {
    pub fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        Ok(Schedule {
            event_loop: Guarded::new(Some(event_loop.clone().unbind())),
            context: Guarded::new(Some(context::empty(py)?.unbind())),
            inner: Guarded::new(Some(context::empty(py)?.unbind())),
            reader: Guarded::default(),
            timer: Guarded::default(),
            is_watched: AtomicBool::new(false),
            is_scheduled: AtomicBool::new(false),
            probe: Guarded::default(),
        })
    }

    pub fn event_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.hold(py).as_ref().map_or_else(|| py.None(), |event_loop| event_loop.clone_ref(py))
    }

    /// Whether a turn is on the loop's list.
    pub fn is_scheduled(&self) -> bool {
        self.is_scheduled.load(Ordering::Relaxed)
    }

    /// The turn that was on the loop's list runs now.
    pub fn begun(&self) {
        self.is_scheduled.store(false, Ordering::Relaxed);
    }

    /// The probe has fired.
    pub fn probed(&self, py: Python<'_>) {
        let probe = self.probe.hold(py).take();
        drop(probe);
    }

    /// The timer has fired, maybe a little early: loops round. By how long it is late.
    pub fn fired(&self, py: Python<'_>, now: Instant) -> Duration {
        let fired = self.timer.hold(py).take();
        fired.map_or(Duration::ZERO, |(due, _)| now.saturating_duration_since(due))
    }

    /// By how long the timer is late. If it is due, the turn that asks deals with that deadline: the timer has nothing left to say.
    pub fn lateness(&self, py: Python<'_>, now: Instant) -> PyResult<Duration> {
        let due = self.timer.hold(py).take_if(|(due, _)| *due <= now);
        let (late, handle) = due.map(|(due, handle)| (now - due, handle)).unzip();
        cancel(py, handle).map(|()| late.unwrap_or_default())
    }

    /// The context in which the loop calls what it was asked to call soon or later.
    pub fn context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.context.hold(py).as_ref().map(|context| context.clone_ref(py))
    }

    /// The context in which the loop calls its reader.
    pub fn reader_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.reader.hold(py).as_ref().map(|context| context.clone_ref(py))
    }

    /// Runs `f` in a context of turns, and meanwhile outside of the one in which the loop has called: when the loop is run from
    /// within `f`, it calls in that one again.
    pub fn run_aside<R>(
        &self,
        py: Python<'_>,
        called_in: Option<Py<PyAny>>,
        f: impl FnOnce() -> PyResult<R>,
    ) -> PyResult<R> {
        let inner = self.inner.hold(py).as_ref().map(|context| context.clone_ref(py));
        match (called_in, inner) {
            (Some(called_in), Some(inner)) => context::run_aside(called_in.bind(py), inner.bind(py), f),
            _ => f(),
        }
    }

    pub fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.event_loop.visit(visit, |event_loop| visit.call(event_loop))?;
        self.context.visit(visit, |context| visit.call(context))?;
        self.reader.visit(visit, |context| visit.call(context))?;
        self.inner.visit(visit, |context| visit.call(context))?;
        self.probe.visit(visit, |handle| visit.call(handle))?;
        self.timer.visit(visit, |timer| timer.as_ref().map_or(Ok(()), |(_, handle)| visit.call(handle)))
    }

    pub fn clear(&self, py: Python<'_>) {
        let event_loop = self.event_loop.hold(py).take();
        let context = self.context.hold(py).take();
        let reader = self.reader.hold(py).take();
        let timer = self.timer.hold(py).take();
        let probe = self.probe.hold(py).take();
        let inner = self.inner.hold(py).take();
        drop((event_loop, context, reader, inner, timer, probe));
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

    fn cancel_timers(&self, py: Python<'_>) -> PyResult<()> {
        let timer = self.timer.hold(py).take().map(|(_, handle)| handle);
        let probe = self.probe.hold(py).take();
        both(py, cancel(py, timer), cancel(py, probe))
    }
}

impl Shard {
    /// Runs a turn in the loop's next iteration, unless one is running that sees to it.
    pub fn run_soon(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        let schedule = &this.schedule;
        let is_seen_to = this.is_turning.load(Ordering::Relaxed) && !this.is_nested.load(Ordering::Relaxed);
        if is_seen_to || schedule.is_scheduled() {
            return Ok(());
        }
        schedule.call(py, intern!(py, "call_soon"), (slf.getattr(intern!(py, "_run"))?,))?;
        schedule.is_scheduled.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Arranges the next turn: at once for work that is left, later for deadlines, never when nothing lives here any more.
    pub fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (this, py) = (slf.get(), slf.py());
        let (has_work, is_empty, deadline) = this.with(py, |reactor| {
            let has_work = reactor.has_work() || reactor.has_output() || reactor.has_due();
            (has_work, reactor.is_empty(), reactor.next_deadline())
        })?;
        let has_work = has_work || !this.leftover.hold(py).is_empty();
        if !has_work && is_empty {
            return Self::unwatch(slf);
        }
        let scheduled = if has_work { Self::run_soon(slf) } else { Ok(()) };
        let watched = Self::watch(slf);
        both(py, scheduled, both(py, watched, Self::set_timer(slf, deadline)))
    }

    /// Sees to it that a turn is run soon if the loop is run from within the one that begins: it goes on with what this one has
    /// left. One timer does for all turns until it fires.
    pub fn set_probe(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let schedule = &slf.get().schedule;
        if schedule.probe.hold(py).is_none() {
            let on_probe = slf.getattr(intern!(py, "_on_probe"))?;
            let handle = schedule.call(py, intern!(py, "call_later"), (PROBE.as_secs_f64(), on_probe))?;
            *schedule.probe.hold(py) = Some(handle.unbind());
        }
        Ok(())
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
        context::run(&context::empty(py)?, || add_reader.call1((fd, run)))?;
        schedule.is_watched.store(true, Ordering::Relaxed);
        let before = std::mem::replace(&mut *schedule.reader.hold(py), context_of_reader(event_loop.bind(py), fd));
        drop(before);
        Ok(())
    }

    /// The reader goes before the poller can be closed.
    fn unwatch(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let schedule = &slf.get().schedule;
        schedule.cancel_timers(py)?;
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
        cancel(py, before.map(|(_, handle)| handle))
    }
}

fn cancel(py: Python<'_>, handle: Option<Py<PyAny>>) -> PyResult<()> {
    match handle {
        Some(handle) => handle.bind(py).call_method0(intern!(py, "cancel")).map(drop),
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
