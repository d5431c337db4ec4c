//! How many retries against the same target a core allows itself: a fifth of its requests, over ten seconds, and a few
//! for quiet times. Going to another target is not a retry in this sense: it puts no more load on what fails.

use std::cell::Cell;

/// Milliseconds over which requests earn retries.
const WINDOW: u64 = 10_000;
/// Retries that a window always allows.
const FLOOR: u64 = 10;
/// One retry is earned by so many requests.
const EARNED_BY: u64 = 5;

/// A core's count of the current window.
#[derive(Debug, Default)]
pub(crate) struct RetryBudget {
    window: Cell<u64>,
    requests: Cell<u64>,
    retries: Cell<u64>,
}

// === impl RetryBudget ===

impl RetryBudget {
    /// A request begins.
    pub(crate) fn request(&self, now: u64) {
        self.turn(now);
        self.requests.set(self.requests.get() + 1);
    }

    /// Whether one more retry is within the budget; counts it if so.
    pub(crate) fn take(&self, now: u64) -> bool {
        self.turn(now);
        let allowed = self.retries.get() < FLOOR.max(self.requests.get() / EARNED_BY);
        if allowed {
            self.retries.set(self.retries.get() + 1);
        }
        allowed
    }

    fn turn(&self, now: u64) {
        let window = now / WINDOW;
        if self.window.replace(window) != window {
            self.requests.set(0);
            self.retries.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_and_a_floor() {
        let budget = RetryBudget::default();
        assert_eq!((0..20).filter(|_| budget.take(1)).count(), 10);
        (0..200).for_each(|_| budget.request(WINDOW));
        assert_eq!((0..100).filter(|_| budget.take(WINDOW + 1)).count(), 40);
    }
}
