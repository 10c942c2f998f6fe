//! The time, read once a turn. The coarse clocks are exact to the kernel's tick (1 to 10 ms), which
//! is enough for timeouts of seconds, and cost a fifth of the fine ones.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds that never go back; their zero is of no meaning.
#[must_use]
pub fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Seconds since 1970; a clock set to before that counts as 1970.
#[must_use]
pub fn unix_secs() -> u64 {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    u64::try_from(now.tv_sec).unwrap_or(0)
}

/// Processor time of this process with all its threads, microseconds.
#[must_use]
pub fn processor_us() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as u64 * 1_000_000 + used.tv_nsec as u64 / 1_000
}

/// Microseconds on a fine clock that never goes back; their zero is of no meaning.
#[must_use]
pub fn fine_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}
