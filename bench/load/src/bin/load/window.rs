//! The measured part of a run: what is counted in it, and its report.

use crate::clock::{self, SECOND};
use crate::histogram::Histogram;
use crate::options::Options;

/// How much longer a window lasts at most, in nanoseconds, while nothing at all was counted in it.
const PATIENCE: u64 = 5 * SECOND;

/// Counts nothing until the warm-up is over.
pub struct Window {
    start: u64,
    end: u64,
    length: u64,
    is_measuring: bool,
    /// What this process had used when the window began; what it used in it, once that is over.
    own_cpu: u64,
    latencies: Histogram,
}

impl Window {
    /// A window whose warm-up begins now.
    pub fn new(options: &Options) -> Self {
        let start = clock::now() + nanoseconds(options.warmup);
        let length = nanoseconds(options.seconds);
        Self { start, end: start + length, length, is_measuring: false, own_cpu: 0, latencies: Histogram::new() }
    }

    /// Count one message, delivery or handshake that began at `began`.
    pub fn record(&mut self, began: u64, now: u64) {
        if self.is_measuring {
            self.latencies.record(now - began);
        }
    }

    /// Whether the run goes on; to be asked once a turn.
    pub fn goes_on(&mut self) -> bool {
        let now = clock::now();
        if !self.is_measuring && now >= self.start {
            println!(r#"{{"event": "measuring"}}"#);
            self.is_measuring = true;
            self.own_cpu = clock::own_cpu();
            self.start = clock::now();
            self.end = self.start + self.length;
        }
        now < self.end || (self.latencies.count() == 0 && now < self.end + PATIENCE)
    }

    /// End the window: nothing counts from now on.
    pub fn close(&mut self) {
        self.length = clock::now() - self.start;
        self.own_cpu = clock::own_cpu() - self.own_cpu;
        self.is_measuring = false;
        println!(r#"{{"event": "measured"}}"#);
    }

    /// Print the figures of the closed window, and `more` of them.
    pub fn report(&self, more: &[(&str, u64)]) {
        let seconds = self.length as f64 / SECOND as f64;
        let own_cpu = self.own_cpu as f64 / SECOND as f64;
        let count = self.latencies.count() as f64;
        let figures = [
            ("seconds", seconds),
            ("count", count),
            ("rate", count / seconds),
            ("p50_us", self.latencies.percentile(0.5)),
            ("p99_us", self.latencies.percentile(0.99)),
            ("load_share", own_cpu / seconds),
        ];
        let more = more.iter().map(|&(name, value)| (name, value as f64));
        let members: String =
            figures.into_iter().chain(more).map(|(name, value)| format!(r#", "{name}": {value:.4}"#)).collect();
        println!(r#"{{"event": "done"{members}}}"#);
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * SECOND as f64) as u64
}
