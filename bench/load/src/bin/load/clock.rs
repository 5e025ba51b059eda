//! Time as nanoseconds, which is what the histogram counts.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of one second.
pub const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since some fixed moment.
pub fn now() -> u64 {
    read(ClockId::Monotonic)
}

/// Nanoseconds of CPU time that this process has used, in user code and in the kernel.
pub fn own_cpu() -> u64 {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}
