//! The process-wide account of buffered bytes, and what follows when it runs full.

use std::sync::atomic::{AtomicUsize, Ordering};

static HELD: AtomicUsize = AtomicUsize::new(0);

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

/// Bytes that all connections of the process hold in buffers of ours.
pub fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// Replaces one connection's share of the account.
pub fn update(before: usize, after: usize) {
    if after >= before {
        HELD.fetch_add(after - before, Ordering::Relaxed);
    } else {
        HELD.fetch_sub(before - after, Ordering::Relaxed);
    }
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
}
