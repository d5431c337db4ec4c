//! What was told of one limit, and what that comes to later. Pure: times are milliseconds on one monotonic clock, amounts
//! of what is left thousandths, so that a small rest can be shared.

/// Of one limit, as a provider told it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    pub(crate) read_at: u64,
    /// When it is whole again.
    pub(crate) reset_at: u64,
    /// It grows at the reset and not before; else steadily, as a token bucket does.
    pub(crate) fixed: bool,
}

// === impl Level ===

impl Level {
    /// Whether less than half of it was left, and it has not been whole since.
    pub(crate) fn is_scarce(&self, now: u64) -> bool {
        now < self.reset_at && self.remaining.saturating_mul(2) < self.limit
    }

    /// Thousandths that are left by now, if nobody has taken any since.
    pub(crate) fn left(&self, now: u64) -> u64 {
        let (told, missing) = self.parts();
        if now >= self.reset_at || missing == 0 {
            return told.saturating_add(missing);
        }
        if self.fixed {
            return told;
        }
        let grown = scaled(missing, now.saturating_sub(self.read_at), self.span());
        told.saturating_add(grown.min(missing))
    }

    /// When so many thousandths will be left, if nobody takes any; never later than the reset.
    pub(crate) fn due(&self, wanted: u64) -> u64 {
        let (told, missing) = self.parts();
        let Some(need) = wanted.checked_sub(told).filter(|need| *need > 0) else { return self.read_at };
        if self.fixed || need >= missing {
            return self.reset_at;
        }
        let wait = scaled(need, self.span(), missing).saturating_add(1);
        self.read_at.saturating_add(wait).min(self.reset_at)
    }

    fn parts(&self) -> (u64, u64) {
        let told = self.remaining.min(self.limit);
        (told.saturating_mul(1000), (self.limit - told).saturating_mul(1000))
    }

    fn span(&self) -> u64 {
        self.reset_at.saturating_sub(self.read_at).max(1)
    }
}

/// `amount` × `by` / `of`.
fn scaled(amount: u64, by: u64, of: u64) -> u64 {
    let scaled = u128::from(amount) * u128::from(by) / u128::from(of.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bucket_fills_steadily_and_a_window_at_once() {
        let bucket = Level { limit: 60, remaining: 0, read_at: 1_000, reset_at: 61_000, fixed: false };
        assert_eq!(bucket.left(1_000), 0);
        assert_eq!(bucket.left(2_000), 1_000, "one request after one second");
        assert_eq!(bucket.left(90_000), 60_000);
        assert_eq!(bucket.due(1_000), 2_001);
        assert_eq!(bucket.due(60_000), 61_000);
        let window = Level { fixed: true, ..bucket };
        assert_eq!((window.left(60_999), window.left(61_000)), (0, 60_000));
        assert_eq!(window.due(1_000), 61_000);
        assert_eq!(Level { remaining: 7, ..window }.due(7_000), 1_000, "it is there already");
    }

    proptest! {
        #[test]
        fn what_is_due_is_there(
            limit in 1_u64..1_000_000,
            part in 0_u64..=1000,
            span in 1_u64..10_000_000,
            wanted in 0_u64..=1000,
            fixed: bool,
        ) {
            let level = Level { limit, remaining: limit * part / 1000, read_at: 5, reset_at: 5 + span, fixed };
            let wanted = limit * wanted;
            let due = level.due(wanted);
            prop_assert!(due <= level.reset_at);
            prop_assert!(level.left(due) >= wanted, "{} of {wanted} at {due}", level.left(due));
            prop_assert!(level.left(due) <= limit * 1000);
        }
    }
}
