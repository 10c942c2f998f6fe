//! A histogram, read: what is in each bucket, and the percentiles that follow from it.

use crate::figures::Figures;

/// A histogram.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    /// By the upper bound, which for the last one is infinite.
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) sum_seconds: Option<f64>,
}

/// What took longer than the bucket before says, and not longer than this one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) bound_seconds: f64,
    pub(crate) count: f64,
}

/// An estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percentile {
    pub(crate) seconds: f64,
    /// It is in the last bucket: longer than that.
    pub(crate) is_over: bool,
}

impl Latency {
    pub(crate) fn new(figures: &Figures<'_>, name: &str) -> Self {
        let mut below = 0.0;
        let mut buckets = Vec::new();
        for sample in figures.all(&format!("{name}_bucket")) {
            let Ok(bound_seconds) = sample.label("le").parse() else {
                continue;
            };
            // Cumulative in the text.
            let count = (sample.value - below).max(0.0);
            below = sample.value;
            buckets.push(Bucket {
                bound_seconds,
                count,
            });
        }
        Self {
            buckets,
            sum_seconds: figures.number(&format!("{name}_sum")),
        }
    }

    pub(crate) fn count(&self) -> f64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }

    pub(crate) fn mean_seconds(&self) -> Option<f64> {
        let count = self.count();
        self.sum_seconds
            .filter(|_| count > 0.0)
            .map(|sum| sum / count)
    }

    /// How long the `part`th of all took at most, as if they were spread evenly over their bucket.
    pub(crate) fn percentile(&self, part: f64) -> Option<Percentile> {
        let rank = self.count() * part;
        let (mut below, mut lower) = (0.0, 0.0);
        for bucket in &self.buckets {
            if bucket.count > 0.0 && below + bucket.count >= rank {
                let is_over = bucket.bound_seconds.is_infinite();
                let width = if is_over {
                    0.0
                } else {
                    bucket.bound_seconds - lower
                };
                return Some(Percentile {
                    seconds: lower + width * ((rank - below) / bucket.count),
                    is_over,
                });
            }
            below += bucket.count;
            lower = bucket.bound_seconds;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "t_bucket{le=\"0.001\"} 50\nt_bucket{le=\"0.01\"} 90\n\
                        t_bucket{le=\"0.1\"} 90\nt_bucket{le=\"+Inf\"} 100\nt_sum 2\nt_count 100\n";

    #[test]
    fn percentiles_are_within_their_bucket() {
        let latency = Latency::new(&Figures::parse(TEXT), "t");
        assert_eq!(latency.count(), 100.0);
        assert_eq!(latency.mean_seconds(), Some(0.02));
        let seconds = |part| latency.percentile(part).unwrap().seconds;
        for (part, wanted) in [(0.25, 0.0005), (0.5, 0.001), (0.7, 0.0055), (0.9, 0.01)] {
            assert!((seconds(part) - wanted).abs() < 1e-9, "{part}");
        }
        let last = latency.percentile(0.99).unwrap();
        assert_eq!((last.seconds, last.is_over), (0.1, true));
    }

    #[test]
    fn nothing_has_no_percentile() {
        let latency = Latency::new(&Figures::parse("t_bucket{le=\"+Inf\"} 0\nt_sum 0\n"), "t");
        assert_eq!(latency.percentile(0.5), None);
        assert_eq!(latency.mean_seconds(), None);
    }
}
