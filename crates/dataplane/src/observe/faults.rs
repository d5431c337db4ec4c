//! How requests ended, and how long they took: fixed sets of counters, one set a core.

use crate::meter::Outcome;
use http::StatusCode;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the duration histogram, in milliseconds; the last bucket has none.
pub(crate) const BOUNDS_MS: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 60_000, 600_000];

/// One core's counts of endings.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// By status: 2xx, 3xx, 4xx, 5xx.
    by_class: [AtomicU64; 4],
    broken: AtomicU64,
    cancelled: AtomicU64,
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_micros: AtomicU64,
}

/// Sums over cores.
#[derive(Debug, Default, Clone)]
pub(crate) struct Endings {
    pub(crate) by_class: [u64; 4],
    pub(crate) broken: u64,
    pub(crate) cancelled: u64,
    pub(crate) buckets: [u64; BOUNDS_MS.len() + 1],
    pub(crate) sum_micros: u64,
}

// === impl Faults ===

impl Faults {
    pub(crate) fn ended(&self, status: StatusCode, outcome: Outcome, took: Duration) {
        let add = |counter: &AtomicU64, by: u64| {
            // One writer: a plain load and store is enough, and cheaper than a locked add.
            counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
        };
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
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MS.iter().position(|bound| millis <= *bound).unwrap_or(BOUNDS_MS.len());
        if let Some(counter) = self.buckets.get(bucket) {
            add(counter, 1);
        }
        add(&self.sum_micros, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds this core's counts to a sum.
    pub(crate) fn add_to(&self, sum: &mut Endings) {
        for (sum, counter) in sum.by_class.iter_mut().zip(&self.by_class) {
            *sum += counter.load(Relaxed);
        }
        for (sum, counter) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += counter.load(Relaxed);
        }
        sum.broken += self.broken.load(Relaxed);
        sum.cancelled += self.cancelled.load(Relaxed);
        sum.sum_micros += self.sum_micros.load(Relaxed);
    }
}
