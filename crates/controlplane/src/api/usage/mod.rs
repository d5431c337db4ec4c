//! What was used and what it cost: sums, single requests, and those that are just booked.

mod cursor;
mod exposure;
mod follow;
mod logs;
mod moment;
mod query;
mod report;
mod rules;
mod shown;

pub(super) use exposure::{Exposure, exposure};
pub(super) use follow::follow;
pub(super) use logs::{LogPage, list, show as show_record};
pub(super) use report::{Page, show};
pub(super) use rules::Why;
pub(super) use shown::RecordView;

use super::answer::Fault;
use crate::usage::UsageError;
use http::StatusCode;

/// Names in the query of `GET /usage`.
pub(super) const OF_REPORT: &[&str] = &[
    "by", "since", "until", "client", "team", "provider", "model", "key", "alias", "tag", "sort", "limit",
    "cursor",
];
/// Names in the query of `GET /logs`.
pub(super) const OF_LOGS: &[&str] = &[
    "since", "until", "client", "team", "provider", "model", "key", "alias", "tag", "status", "outcome",
    "unpriced", "limit", "cursor",
];
/// Names in the query of `GET /logs/follow`.
pub(super) const OF_FOLLOW: &[&str] =
    &["client", "team", "provider", "model", "key", "alias", "tag", "status", "outcome", "unpriced"];

const NANOS_PER_USD: u64 = 1_000_000_000;

/// US dollars with nine places.
fn usd(nano_dollars: u64) -> String {
    format!("{}.{:09}", nano_dollars / NANOS_PER_USD, nano_dollars % NANOS_PER_USD)
}

/// Milliseconds with three decimals.
#[expect(clippy::cast_precision_loss, reason = "exact for 285 years")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

impl From<UsageError> for Fault {
    fn from(error: UsageError) -> Self {
        let (status, code) = match &error {
            UsageError::TooLong => (StatusCode::UNPROCESSABLE_ENTITY, "too_much"),
            UsageError::Ended => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            UsageError::Full
            | UsageError::NoRoom { .. }
            | UsageError::Newer { .. }
            | UsageError::Malformed(_)
            | UsageError::Damaged(_)
            | UsageError::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "storage_failed"),
        };
        Self::new(status, code, error.to_string())
    }
}
