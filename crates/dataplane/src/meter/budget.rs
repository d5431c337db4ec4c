//! How many requests get a record of their own: a rate for the whole replica, shared by its cores. Beyond it they only
//! read the count, so that its cache line stays with all of them.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

/// Records a second; as many may come at once.
pub(crate) const RECORDS_PER_SECOND: u32 = 1_000;

/// What is left of this moment's records.
#[derive(Debug)]
pub(crate) struct Budget(AtomicI64);

// === impl Budget ===

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicI64::new(RECORDS_PER_SECOND.into()))
    }
}

impl Budget {
    /// Takes one, if there is one.
    pub(crate) fn take(&self) -> bool {
        self.0.load(Relaxed) > 0 && self.0.fetch_sub(1, Relaxed) > 0
    }

    /// Adds what so much time brings; gives the time that brought less than one more.
    pub(crate) fn refill(&self, since: Duration) -> Duration {
        let (more, rest) = due(since);
        // Several cores may each have taken one too many.
        let left = self.0.load(Relaxed);
        self.0.fetch_add(more.min(i64::from(RECORDS_PER_SECOND) - left), Relaxed);
        rest
    }
}

/// The records of so much time, and what of it is left over.
fn due(since: Duration) -> (i64, Duration) {
    let each = Duration::from_secs(1) / RECORDS_PER_SECOND;
    let more = since.as_nanos() / each.as_nanos().max(1);
    match u32::try_from(more).ok().filter(|more| *more < RECORDS_PER_SECOND) {
        Some(more) => (more.into(), since.saturating_sub(each * more)),
        None => (RECORDS_PER_SECOND.into(), Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let budget = Budget::default();
        let taken = |budget: &Budget| (0..5_000).filter(|_| budget.take()).count();
        assert_eq!(taken(&budget), 1_000);
        let mut rest = Duration::ZERO;
        for _ in 0..10 {
            rest = budget.refill(Duration::from_micros(2_500) + rest);
        }
        assert_eq!((taken(&budget), rest), (25, Duration::ZERO));
        budget.refill(Duration::from_secs(90));
        assert_eq!(taken(&budget), 1_000, "time without requests does not pile up");
    }
}
