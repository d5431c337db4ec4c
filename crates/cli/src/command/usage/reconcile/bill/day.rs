//! Days of bills: all providers count in UTC.

use std::fmt;
use std::str::FromStr;

use keyway_config::Expiry;

const SECONDS: u64 = 86_400;
/// Characters of `2027-01-31`.
const DATE: usize = 10;
/// What may stand behind date and time.
const UTC: &[&str] = &["", "Z", "z", "UTC", "+00:00", "+0000"];

/// Days since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Day(u64);

/// It is none.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a day is a date like 2027-01-31")]
pub(in super::super) struct NoDay;

// === impl Day ===

impl Day {
    /// From seconds since 1970, a date, or a moment in UTC.
    pub(in super::super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self::of(text.parse().ok()?));
        }
        let (date, time) = text.split_at_checked(DATE)?;
        let zone = time.trim_start_matches(|each: char| each.is_ascii_digit() || "Tt :.".contains(each));
        UTC.contains(&zone).then(|| Expiry::parse(date)).flatten().map(|start| Self::of(start.unix()))
    }

    /// The one of this moment, in seconds since 1970.
    pub(super) fn of(unix: u64) -> Self {
        Self(unix / SECONDS)
    }

    pub(in super::super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        Self::parse(text).ok_or(NoDay)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = Expiry::from_unix(self.0.saturating_mul(SECONDS)).to_string();
        f.write_str(start.get(..DATE).unwrap_or(&start))
    }
}
