//! Values that only the holder of the GIL touches, one at a time.
//!
//! PERF: a lock, or PyO3's own borrow flag, costs two atomic operations each time, and a message passes half a dozen of them:
//! a third of the engine's own time (bench: echo, 16 in flight). The GIL is held already, so a plain flag is enough to keep
//! re-entry out. One of the files with `unsafe`.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::{PyVisit, Python};

#[cfg(Py_GIL_DISABLED)]
compile_error!("free-threaded Python is not supported: what is in `guarded` relies on the GIL");

const FREE: u8 = 0;
const HELD: u8 = 1;
/// Free, but whoever had it panicked.
const BROKEN: u8 = 2;

/// Exclusive access, under the GIL, to a value inside a shared object.
pub struct Guarded<T> {
    state: AtomicU8,
    value: UnsafeCell<T>,
}

// `state` lets one in at a time: it is read and written by holders of the GIL (a `Python` or `PyVisit` proves it; neither can be
// sent to another thread), so that nobody comes between reading and writing it, and the GIL's own hand-over orders what one
// holder did before what the next one does. Whoever gives the GIL up meanwhile leaves the state as it is.
#[allow(unsafe_code)]
// SAFETY: the value is reached through `Guard` and `visit` only, which hold to that.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub const fn new(value: T) -> Self {
        Guarded { state: AtomicU8::new(FREE), value: UnsafeCell::new(value) }
    }

    /// Access, unless somebody has it (a call from inside) or a panic broke it.
    #[inline]
    pub fn try_hold<'a>(&'a self, _py: Python<'a>) -> Option<Guard<'a, T>> {
        if self.state.load(Ordering::Relaxed) != FREE {
            return None;
        }
        self.state.store(HELD, Ordering::Relaxed);
        Some(Guard { cell: self, _thread: PhantomData })
    }

    /// Access to what nobody holds across a call into Python, which includes dropping an object.
    ///
    /// # Panics
    /// If somebody did.
    #[inline]
    pub fn hold<'a>(&'a self, _py: Python<'a>) -> Guard<'a, T> {
        if self.state.load(Ordering::Relaxed) == HELD {
            held_across_a_call();
        }
        self.state.store(HELD, Ordering::Relaxed);
        Guard { cell: self, _thread: PhantomData }
    }

    /// Whether somebody panicked while he had access.
    pub fn is_broken(&self) -> bool {
        self.state.load(Ordering::Relaxed) == BROKEN
    }

    /// Shows the value to the garbage collector, unless somebody has it: then everything in it is in use.
    pub fn visit<E>(&self, _visit: PyVisit<'_>, show: impl FnOnce(&T) -> Result<(), E>) -> Result<(), E> {
        if self.state.load(Ordering::Relaxed) == HELD {
            return Ok(());
        }
        #[allow(unsafe_code)]
        // SAFETY: the garbage collector holds the GIL, and `show` has no `Python` to get another access with.
        show(unsafe { &*self.value.get() })
    }

    /// The value, for its only owner.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for Guarded<T> {
    fn default() -> Self {
        Guarded::new(T::default())
    }
}

#[cold]
#[inline(never)]
fn held_across_a_call() -> ! {
    unreachable!("the engine's own data was held across a call into Python")
}

/// Access to a [`Guarded`] value; it stays in its thread.
pub struct Guard<'a, T> {
    cell: &'a Guarded<T>,
    _thread: PhantomData<*mut ()>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        #[allow(unsafe_code)]
        // SAFETY: this is the only access there is, see `Sync`.
        unsafe {
            &*self.cell.value.get()
        }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        #[allow(unsafe_code)]
        // SAFETY: this is the only access there is, see `Sync`.
        unsafe {
            &mut *self.cell.value.get()
        }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let state = if std::thread::panicking() { BROKEN } else { FREE };
        self.cell.state.store(state, Ordering::Relaxed);
    }
}
