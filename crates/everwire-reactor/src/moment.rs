//! Time as the reactor keeps it: passed in with every call, never asked for.

use std::time::{Duration, Instant};

/// A moment of a shard's life, in microseconds since it began; the first is 1, and 0 stands for "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// No moment at all.
    pub const NEVER: Moment = Moment(0);

    /// What `now` is for a shard that began at `began`.
    pub fn of(began: Instant, now: Instant) -> Self {
        Moment(now.saturating_duration_since(began).as_micros() as u64 + 1)
    }

    /// The moment `millis` milliseconds after the beginning.
    pub fn from_millis(millis: u64) -> Self {
        Moment(millis * 1000)
    }

    /// Whole milliseconds since the beginning.
    pub fn millis(self) -> u64 {
        self.0 / 1000
    }

    /// The first whole millisecond that is not before it.
    pub fn ceil_millis(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// Since the beginning.
    pub fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// Whether it ever was.
    pub fn is_set(self) -> bool {
        self.0 != 0
    }

    /// How long ago `earlier` was; nothing if it is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::AddAssign<Duration> for Moment {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_from_one_and_never_overflow() {
        let began = Instant::now();
        let first = Moment::of(began, began);
        assert!(first.is_set() && first > Moment::NEVER);
        assert_eq!(Moment::of(began + Duration::from_secs(1), began), first);
        assert_eq!((first + Duration::from_millis(3)).millis(), 3);
        assert_eq!((first + Duration::from_millis(3)).since(first), Duration::from_millis(3));
        assert_eq!(first.since(first + Duration::MAX), Duration::ZERO);
    }
}
