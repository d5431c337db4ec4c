//! What operators see of limits.

use super::{Table, table::Entry};
use keyway_proto::snapshot::v1::LimitUnit;
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// What is known of one model's limits in one quota domain.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct QuotaView {
    /// `provider/domain`.
    domain: String,
    /// The provider's own name.
    model: String,
    limits: Vec<LimitView>,
    /// Milliseconds for which a 429 keeps requests back; 0 = none does.
    cooling_ms: u64,
    /// That use it now.
    replicas: usize,
}

/// One limit, as the provider told it last.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct LimitView {
    /// `requests`, `tokens`, `input_tokens`, `output_tokens`.
    unit: &'static str,
    limit: u64,
    remaining: u64,
    /// Milliseconds until it is whole again.
    reset_ms: u64,
    /// Milliseconds since it was told.
    age_ms: u64,
}

// === impl Table ===

impl Table {
    /// What is known of a provider's limits: of one model, or of all.
    pub(crate) fn views(&self, provider: &str, model: Option<&str>, now: u64) -> Vec<QuotaView> {
        self.of(provider, model)
            .map(|(domain, model, entry)| QuotaView::new((domain, model), entry, now))
            .collect()
    }
}

// === impl QuotaView ===

impl QuotaView {
    fn new((domain, model): (&str, &str), entry: &Entry, now: u64) -> Self {
        let limits = entry.levels.iter().map(|(unit, level)| LimitView {
            unit: word(*unit),
            limit: level.limit,
            remaining: level.remaining,
            reset_ms: level.reset_at.saturating_sub(now),
            age_ms: now.saturating_sub(level.read_at),
        });
        Self {
            domain: domain.to_owned(),
            model: model.to_owned(),
            limits: limits.collect(),
            cooling_ms: entry.cooled_until.saturating_sub(now),
            replicas: entry.sharers(now),
        }
    }

    /// Whether it is of that domain.
    pub(crate) fn is_of(&self, domain: &str) -> bool {
        self.domain == domain
    }
}

impl fmt::Display for QuotaView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, quota domain `{}`: ", self.model, self.domain)?;
        if self.cooling_ms > 0 {
            write!(f, "429, rests for {}; ", seconds(self.cooling_ms))?;
        }
        for (place, limit) in self.limits.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            let LimitView { unit, limit, remaining, reset_ms, age_ms } = limit;
            let (reset, age) = (seconds(*reset_ms), seconds(*age_ms));
            let unit = unit.replace('_', " ");
            write!(f, "{comma}{remaining} of {limit} {unit} are left, whole in {reset} (told {age} ago)")?;
        }
        Ok(())
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

fn word(unit: i32) -> &'static str {
    match LimitUnit::try_from(unit).unwrap_or_default() {
        LimitUnit::Requests => "requests",
        LimitUnit::Tokens => "tokens",
        LimitUnit::InputTokens => "input_tokens",
        LimitUnit::OutputTokens => "output_tokens",
        LimitUnit::Unspecified => "unknown",
    }
}
