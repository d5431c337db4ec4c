//! The section `models`: aliases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Span, Timeouts};

/// An alias: a name that callers ask for and the targets that may serve it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// How a target is chosen; `weighted` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// At least one.
    pub targets: Vec<Target>,
    /// Names (aliases or `provider/model`) that are tried when every target failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// Attempts after the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Short for `timeouts: { total }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Bounds in time for one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// One way to serve an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// A configured provider, or `sandbox`.
    pub provider: String,
    /// What goes upstream as the model's name.
    pub model: String,
    /// Share of the requests; 1 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Lower is tried first; 0 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
}

/// How a target is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are contract.md's")]
pub enum Strategy {
    #[default]
    Weighted,
    Priority,
    LeastLatency,
    LeastCost,
    LeastBusy,
    Sticky,
    Semantic,
}

impl Model {
    /// Its timeouts with `timeout` as the total; where both are given the shorter holds.
    #[must_use]
    pub fn bounds(&self) -> Timeouts {
        let mut bounds = self.timeouts.unwrap_or_default();
        bounds.total = match (bounds.total, self.timeout) {
            (Some(total), Some(timeout)) => Some(total.min(timeout)),
            (total, timeout) => total.or(timeout),
        };
        bounds
    }
}

impl Strategy {
    /// True: data planes choose by it. The others are accepted and act as `weighted`.
    #[must_use]
    pub fn is_enforced(self) -> bool {
        matches!(self, Self::Weighted | Self::Priority)
    }
}
