//! The process-wide account of buffered bytes, and what follows when it runs full.
//!
//! Whoever holds bytes owns a [`Charge`] for them: it says how many whenever that changes, and dropping it says none. What many
//! connections share has a charge of its own, so that it counts once. Nothing is counted that its holder could forget to take back.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Bytes that are charged.
static HELD: AtomicUsize = AtomicUsize::new(0);
/// Connections, which share the cap.
static MEMBERS: AtomicUsize = AtomicUsize::new(0);
/// How often this process came out of a fork: what was charged before is the parent's.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// By how much a holder's bytes may differ from its charge where exactness would cost an atomic operation for each message.
const SLACK: usize = 4 * 1024;

/// What the fill level of the account allows; each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Everything.
    None,
    /// No new handshakes: they are refused with 503.
    Refuse,
    /// No reading: TCP slows every peer down.
    Pause,
    /// The largest holders are closed with 1013.
    Shed,
}

/// Bytes that somebody holds. They are part of the account until it is dropped.
#[derive(Debug, Default)]
pub struct Charge {
    bytes: usize,
    forks: u32,
}

impl Charge {
    /// A charge of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let mut charge = Charge::default();
        charge.set(bytes);
        charge
    }

    /// What is charged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds so many bytes from now on.
    #[inline]
    pub fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.replace(bytes);
        }
    }

    /// The same, but may be a little behind (4 KiB) as long as something is held.
    #[inline]
    pub fn follow(&mut self, bytes: usize) {
        if bytes.abs_diff(self.bytes) > SLACK || (bytes == 0 && self.bytes > 0) {
            self.replace(bytes);
        }
    }

    fn replace(&mut self, bytes: usize) {
        let forks = FORKS.load(Ordering::Relaxed);
        let before = if self.forks == forks { self.bytes } else { 0 };
        if bytes >= before {
            HELD.fetch_add(bytes - before, Ordering::Relaxed);
        } else {
            HELD.fetch_sub(before - bytes, Ordering::Relaxed);
        }
        (self.bytes, self.forks) = (bytes, forks);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What one connection holds alone. As many as there are share the cap.
#[derive(Debug)]
pub struct Member {
    charge: Charge,
    forks: u32,
}

impl Member {
    /// One that holds nothing yet.
    #[allow(clippy::new_without_default, reason = "making one counts")]
    pub fn new() -> Self {
        MEMBERS.fetch_add(1, Ordering::Relaxed);
        Member { charge: Charge::default(), forks: FORKS.load(Ordering::Relaxed) }
    }

    /// What is charged.
    pub fn bytes(&self) -> usize {
        self.charge.bytes()
    }

    /// Holds so many bytes from now on.
    #[inline]
    pub fn set(&mut self, bytes: usize) {
        self.charge.set(bytes);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.forks == FORKS.load(Ordering::Relaxed) {
            MEMBERS.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Bytes that all connections of the process hold in buffers of ours.
pub fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// The child of a fork begins an account of its own: what its parent charged is not released in it.
pub fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    HELD.store(0, Ordering::Relaxed);
    MEMBERS.store(0, Ordering::Relaxed);
}

/// What a connection may hold, whoever else holds the rest, without being asked to leave: half of an equal part of the cap.
pub fn fair_part(limit: u64) -> u64 {
    limit / (2 * MEMBERS.load(Ordering::Relaxed).max(1) as u64)
}

/// What `held` bytes mean under a cap of `limit` bytes.
pub fn pressure(held: usize, limit: u64) -> Pressure {
    let held = held as u64;
    if held > limit {
        Pressure::Shed
    } else if held > limit / 10 * 9 {
        Pressure::Pause
    } else if held > limit / 10 * 8 {
        Pressure::Refuse
    } else {
        Pressure::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_in_the_documented_order() {
        let levels = [0, 800, 801, 900, 901, 1000, 1001].map(|held| pressure(held, 1000));
        use Pressure::*;
        assert_eq!(levels, [None, None, Refuse, Refuse, Pause, Pause, Shed]);
        assert!(None < Refuse && Refuse < Pause && Pause < Shed);
    }

    #[test]
    fn a_charge_may_be_a_little_behind_but_not_beyond_the_end() {
        let mut charge = Charge::default();
        charge.follow(SLACK);
        assert_eq!(charge.bytes(), 0);
        charge.follow(SLACK + 1);
        assert_eq!(charge.bytes(), SLACK + 1);
        charge.follow(1);
        assert_eq!(charge.bytes(), SLACK + 1);
        charge.follow(0);
        assert_eq!(charge.bytes(), 0);
    }
}
