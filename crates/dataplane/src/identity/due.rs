//! When a certificate is renewed. Pure: the clock and the dice come in.

use std::time::Duration;

/// Thousandths of its life by which a renewal may come before or after the half of it, so that nodes that joined in one
/// moment do not renew in one.
const JITTER: u64 = 50;

/// How long to wait from `now` until a certificate is renewed that was received at `received` and is good for `life`;
/// all in seconds, both moments by the node's clock. `dice` is drawn once for each certificate. A clock that went back
/// behind the moment of receipt says nothing any more: it is renewed at once.
pub(super) fn due(received: u64, life: u64, dice: u64, now: u64) -> Duration {
    let Some(age) = now.checked_sub(received) else { return Duration::ZERO };
    let millis = life.saturating_mul(1000);
    let shift = dice % (2 * JITTER + 1);
    let at = (millis / 2 - (millis / 1000 * JITTER).min(millis / 2)) + millis / 1000 * shift;
    Duration::from_millis(at.saturating_sub(age.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn at_half_life_with_a_twentieth_of_jitter() {
        let hours = |dice| due(1000, DAY, dice, 1000).as_secs_f64() / 3600.0;
        assert!((hours(0) - 10.8).abs() < 0.01, "{}", hours(0));
        assert!((hours(50) - 12.0).abs() < 0.01);
        assert!((hours(100) - 13.2).abs() < 0.01);
        assert!((0..1000).all(|dice| (10.8..=13.2).contains(&hours(dice))));
    }

    #[test]
    fn what_is_over_or_lies_before_is_due_at_once() {
        assert_eq!(due(1000, DAY, 100, 1000 + DAY), Duration::ZERO);
        assert_eq!(due(1000, DAY, 0, 999), Duration::ZERO);
        assert_eq!(due(0, 0, 7, 0), Duration::ZERO);
        assert_eq!(due(0, u64::MAX, 0, u64::MAX), Duration::ZERO);
        assert!(due(1000, 4, 50, 1001) == Duration::from_secs(1));
    }
}
