//! Latencies in buckets that are at most 1/64 wide: exact enough for a percentile, and no memory a message.

/// Buckets in each power of two.
const STEPS: u64 = 64;
const BUCKETS: usize = (64 - STEPS.ilog2() as usize + 1) * STEPS as usize;

/// Counts of durations, in nanoseconds.
pub struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
}

impl Histogram {
    /// A histogram without entries.
    pub fn new() -> Self {
        Self { buckets: vec![0; BUCKETS].into_boxed_slice(), count: 0 }
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Count one duration.
    pub fn record(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
    }

    /// The middle of the bucket that holds the given share (0 to 1) of all durations, in microseconds.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut left = (self.count as f64 * share) as u64;
        for (at, &count) in self.buckets.iter().enumerate() {
            if left < count {
                return middle(at as u64) / 1e3;
            }
            left -= count;
        }
        0.0
    }
}

fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds < STEPS {
        return nanoseconds as usize;
    }
    let shift = nanoseconds.ilog2() - STEPS.ilog2();
    (u64::from(shift + 1) * STEPS + (nanoseconds >> shift) - STEPS) as usize
}

fn middle(bucket: u64) -> f64 {
    if bucket < STEPS {
        return bucket as f64;
    }
    let (power, step) = (bucket / STEPS - 1, bucket % STEPS);
    ((STEPS + step) as f64 + 0.5) * (1u64 << power) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_within_a_64th_of_its_buckets_middle() {
        for exponent in 0..63 {
            for nanoseconds in [1u64 << exponent, (1 << exponent) + (1 << exponent) / 3] {
                let error = (middle(bucket(nanoseconds) as u64) - nanoseconds as f64).abs();
                assert!(error <= nanoseconds as f64 / STEPS as f64, "{nanoseconds}");
            }
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles_of_a_thousand_steps() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|microsecond| histogram.record(microsecond * 1000));
        assert_eq!(histogram.count(), 1000);
        assert!((histogram.percentile(0.5) - 501.0).abs() < 8.0);
        assert!((histogram.percentile(0.99) - 991.0).abs() < 16.0);
    }
}
