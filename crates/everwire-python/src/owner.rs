//! Who may use a shard: the thread that made it, in the process that made it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

static FORKS: AtomicU32 = AtomicU32::new(0);

/// A forked child must not touch what its parent serves.
pub fn on_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    everwire_reactor::memory::forked();
}

/// The thread and process that something belongs to.
pub struct Owner {
    thread: u64,
    forks: u32,
}

impl Owner {
    /// Whoever calls this.
    pub fn caller() -> Self {
        Owner { thread: thread(), forks: FORKS.load(Ordering::Relaxed) }
    }

    /// Whether the caller is the owner.
    #[inline]
    pub fn is_caller(&self) -> bool {
        self.thread == thread() && self.is_in_process()
    }

    /// Whether the calling process is the owner's.
    #[inline]
    pub fn is_in_process(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    /// What to tell a caller who is not the owner.
    pub fn objection(&self) -> Option<&'static str> {
        if self.thread != thread() {
            Some("called from another thread: use loop.call_soon_threadsafe() or asyncio.run_coroutine_threadsafe()")
        } else if !self.is_in_process() {
            Some("this connection belongs to the parent process: open your own after a fork")
        } else {
            None
        }
    }
}

/// A number of the calling thread that no other one ever has; asking the standard library costs two atomic operations.
fn thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static NUMBER: Cell<u64> = const { Cell::new(0) });
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}
