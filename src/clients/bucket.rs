//! A token bucket as one number: when it is full again.
//!
//! A token comes every `interval`, and a full bucket has `burst` of them. What has been taken and
//! has not come back is then the time from now until it is full, in intervals; so nothing has to be
//! refilled, and a bucket that was never used is a full one. Integers only: a rate is kept to
//! within a nanosecond for each request.

/// What all buckets have in common.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Nanoseconds for one token. INVARIANT: at least 1000.
    interval: u64,
    /// How long before it is full there is still one token.
    tolerance: u64,
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// The highest rate that means anything: a thread answers fewer requests.
const RATE_MAX: u32 = 1_000_000;

/// A time on the loop's clock in nanoseconds; half a millennium fits.
pub(super) fn nanos(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

impl Bucket {
    /// Buckets of `burst` tokens, at least one, of which so many come each second.
    pub(super) fn new(tokens_per_second: u32, burst: u32) -> Self {
        let interval = NANOS_PER_SEC / u64::from(tokens_per_second.clamp(1, RATE_MAX));
        Self {
            interval,
            tolerance: interval * u64::from(burst.saturating_sub(1)),
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none; after so many seconds there will be one.
    pub(super) fn take(self, full_at: &mut u64, now_ns: u64) -> Result<(), u32> {
        let start = now_ns.max(*full_at);
        let missing = (start - now_ns).saturating_sub(self.tolerance);
        if missing > 0 {
            let seconds = missing.div_ceil(NANOS_PER_SEC);
            return Err(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
        *full_at = start.saturating_add(self.interval);
        Ok(())
    }

    /// When a bucket of these is full that has as many tokens missing as it had of the others, but
    /// not more than all.
    pub(super) fn translated(self, full_at: u64, before: Self, now_ns: u64) -> u64 {
        let missing = full_at.saturating_sub(now_ns).div_ceil(before.interval);
        let most = self.tolerance.saturating_add(self.interval);
        now_ns.saturating_add(missing.saturating_mul(self.interval).min(most))
    }
}
