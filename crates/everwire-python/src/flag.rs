//! A flag that is raised for a while, whatever happens meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

/// While it lives the flag has a value; then it has the one from before again.
#[must_use = "the flag is put back when it is dropped"]
pub struct While<'a> {
    flag: &'a AtomicBool,
    before: bool,
}

impl<'a> While<'a> {
    pub fn is(flag: &'a AtomicBool, value: bool) -> Self {
        While { flag, before: flag.swap(value, Ordering::Relaxed) }
    }
}

impl Drop for While<'_> {
    fn drop(&mut self) {
        self.flag.store(self.before, Ordering::Relaxed);
    }
}
