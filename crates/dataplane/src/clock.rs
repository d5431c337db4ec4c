//! The one place where the data plane asks what time it is by the calendar. Waits and durations are monotonic.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since 1970. A clock set before that counts as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock of the shell")]
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since 1970, up to a tick of the system's timer (1 to 10 ms) late: the vDSO answers from memory, so that
/// every attempt can ask twice.
pub(crate) fn coarse_millis() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    let millis = now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000);
    u64::try_from(millis).unwrap_or_default()
}
