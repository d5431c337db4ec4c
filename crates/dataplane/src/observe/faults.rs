//! How requests ended, and how long they took: fixed sets of counters, one set a core.

use super::tries::{Tries, add};
use crate::meter::Outcome;
use http::StatusCode;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the histograms, in milliseconds; the last bucket has none.
pub(crate) const BOUNDS_MS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 60_000, 600_000];

/// One core's counts of durations.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_micros: AtomicU64,
}

/// Sums of histograms over cores.
#[derive(Debug, Default, Clone)]
pub(crate) struct Durations {
    pub(crate) buckets: [u64; BOUNDS_MS.len() + 1],
    pub(crate) sum_micros: u64,
}

/// One core's counts of endings.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// By status: 2xx, 3xx, 4xx, 5xx.
    by_class: [AtomicU64; 4],
    broken: AtomicU64,
    cancelled: AtomicU64,
    took: Histogram,
    first_token: Histogram,
    pub(crate) tries: Tries,
}

/// Sums over cores.
#[derive(Debug, Default, Clone)]
pub(crate) struct Endings {
    pub(crate) by_class: [u64; 4],
    pub(crate) broken: u64,
    pub(crate) cancelled: u64,
    pub(crate) took: Durations,
    pub(crate) first_token: Durations,
}

// === impl Histogram ===

impl Histogram {
    fn add(&self, took: Duration) {
        // In microseconds, so that 5.9 ms is not within 5 ms.
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.iter().position(|bound| micros <= *bound * 1000).unwrap_or(BOUNDS_MS.len());
        if let Some(counter) = self.buckets.get(bucket) {
            add(counter, 1);
        }
        add(&self.sum_micros, micros);
    }

    fn add_to(&self, sum: &mut Durations) {
        for (sum, counter) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += counter.load(Relaxed);
        }
        sum.sum_micros += self.sum_micros.load(Relaxed);
    }
}

// === impl Faults ===

impl Faults {
    pub(crate) fn ended(&self, status: StatusCode, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Served | Outcome::Refused => {
                let class = usize::from(status.as_u16() / 100).saturating_sub(2).min(3);
                if let Some(counter) = self.by_class.get(class) {
                    add(counter, 1);
                }
            }
            Outcome::Broken(_) => add(&self.broken, 1),
            Outcome::Cancelled => add(&self.cancelled, 1),
        }
        self.took.add(took);
    }

    /// The first content of a stream went out, so long after its request began.
    pub(crate) fn first_token(&self, after: Duration) {
        self.first_token.add(after);
    }

    /// Adds this core's counts to a sum.
    pub(crate) fn add_to(&self, sum: &mut Endings) {
        for (sum, counter) in sum.by_class.iter_mut().zip(&self.by_class) {
            *sum += counter.load(Relaxed);
        }
        sum.broken += self.broken.load(Relaxed);
        sum.cancelled += self.cancelled.load(Relaxed);
        self.took.add_to(&mut sum.took);
        self.first_token.add_to(&mut sum.first_token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_the_bound_is_within_it_and_one_above_is_not() {
        let histogram = Histogram::default();
        histogram.add(Duration::from_millis(5));
        histogram.add(Duration::from_micros(5_001));
        histogram.add(Duration::from_secs(601));
        let mut sum = Durations::default();
        histogram.add_to(&mut sum);
        assert_eq!((sum.buckets[0], sum.buckets[1], sum.buckets[BOUNDS_MS.len()]), (1, 1, 1));
        assert_eq!(sum.sum_micros, 601_010_001);
    }
}
