//! The one place where the data plane asks what time it is by the calendar. Waits and durations are monotonic.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since 1970. A clock set before that counts as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock of the shell")]
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
