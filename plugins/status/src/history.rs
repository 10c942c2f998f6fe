//! How fast it goes: the counters of the last minute, one sample a second while somebody looks.

use crate::figures::Figures;
use std::collections::VecDeque;

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moment {
    /// The server's clock.
    pub(crate) ms: u64,
    pub(crate) requests: f64,
    pub(crate) sent_bytes: f64,
    pub(crate) cpu_seconds: f64,
}

/// The last minute.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// INVARIANT: in the order of time, and at most [`MOMENTS_MAX`].
    moments: VecDeque<Moment>,
}

/// For how many seconds back the page shows how it went.
pub(crate) const SECONDS: usize = 60;

/// One second lies between two.
const MOMENTS_MAX: usize = SECONDS + 1;

/// Over how many seconds a rate is taken.
const RATE_SECONDS: usize = 5;

/// Moments closer than this tell nothing, milliseconds.
const GAP_MS: u64 = 500;

/// What happens in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    pub(crate) requests: f64,
    pub(crate) sent_bytes: f64,
    /// Processor seconds in a second.
    pub(crate) cpu: f64,
}

impl Moment {
    pub(crate) fn of(figures: &Figures<'_>, ms: u64) -> Self {
        let answered = figures.sum("swiftd_requests_total").unwrap_or(0.0);
        let broken = figures.sum("swiftd_requests_broken_total").unwrap_or(0.0);
        let number = |name| figures.number(name).unwrap_or(0.0);
        Self {
            ms,
            requests: answered + broken,
            sent_bytes: number("swiftd_sent_bytes_total"),
            cpu_seconds: number("process_cpu_seconds_total"),
        }
    }

    fn rates_since(&self, before: &Self) -> Rates {
        let seconds = (self.ms - before.ms) as f64 / 1e3;
        // Counters do not go back, but the text is somebody else's.
        let per_second = |now: f64, then: f64| ((now - then) / seconds).max(0.0);
        Rates {
            requests: per_second(self.requests, before.requests),
            sent_bytes: per_second(self.sent_bytes, before.sent_bytes),
            cpu: per_second(self.cpu_seconds, before.cpu_seconds),
        }
    }
}

impl History {
    /// Adds a moment, unless the last one was just before.
    pub(crate) fn add(&mut self, moment: Moment) {
        let last = self.moments.back();
        if last.is_some_and(|last| moment.ms < last.ms.saturating_add(GAP_MS)) {
            return;
        }
        if self.moments.len() == MOMENTS_MAX {
            self.moments.pop_front();
        }
        self.moments.push_back(moment);
    }

    /// Nobody looks any more.
    pub(crate) fn clear(&mut self) {
        self.moments.clear();
    }

    /// What happens in a second just now; `None` as long as one moment is all there is.
    pub(crate) fn rates(&self) -> Option<Rates> {
        let last = self.moments.back()?;
        let back = self.moments.len().checked_sub(1)?.min(RATE_SECONDS);
        let before = self.moments.get(self.moments.len() - 1 - back)?;
        (back > 0).then(|| last.rates_since(before))
    }

    /// Requests in each second, the last one last.
    pub(crate) fn requests(&self) -> impl Iterator<Item = f64> {
        let later = self.moments.iter().skip(1);
        let pairs = self.moments.iter().zip(later);
        pairs.map(|(before, now)| now.rates_since(before).requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(ms: u64, requests: f64) -> Moment {
        Moment {
            ms,
            requests,
            ..Moment::default()
        }
    }

    #[test]
    fn a_rate_needs_two_moments() {
        let mut history = History::default();
        assert_eq!(history.rates(), None);
        history.add(moment(1000, 10.0));
        assert_eq!(history.rates(), None);
        history.add(moment(1001, 500.0));
        assert_eq!(history.rates(), None, "too soon");
        history.add(moment(3000, 30.0));
        assert_eq!(history.rates().map(|rates| rates.requests), Some(10.0));
    }

    #[test]
    fn only_the_last_minute_is_kept() {
        let mut history = History::default();
        for second in 0..1000_u64 {
            history.add(moment(second * 1000, (second * second) as f64));
        }
        let each: Vec<_> = history.requests().collect();
        assert_eq!(each.len(), SECONDS);
        assert_eq!(each.last(), Some(&(999.0 * 999.0 - 998.0 * 998.0)));
        let rate = history.rates().map(|rates| rates.requests);
        assert_eq!(rate, Some((999.0 * 999.0 - 994.0 * 994.0) / 5.0));
    }

    #[test]
    fn a_counter_that_goes_back_is_no_negative_rate() {
        let mut history = History::default();
        history.add(moment(0, 10.0));
        history.add(moment(1000, 0.0));
        assert_eq!(history.requests().collect::<Vec<_>>(), [0.0]);
    }
}
