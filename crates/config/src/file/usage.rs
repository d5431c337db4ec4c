//! The section `usage`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Span};

/// How long is kept what was used and what it cost, and what happens where it finds no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Usage {
    /// Single requests; 30d if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Span>,
    /// Sums by minute; 7d if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<Span>,
    /// Sums by hour; 90d if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Span>,
    /// Sums by day; 1095d if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<Span>,
    /// Of the file that holds them; 4GiB if left out. When it is full single requests go first, the oldest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Size>,
    /// What replicas do while their spool of usage has no room for single requests; serve if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_spool_full: Option<WhenSpoolFull>,
}

/// With calls that come while a replica cannot keep what is used, request by request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenSpoolFull {
    /// Serve them: single requests become sums, no count is lost.
    Serve,
    /// Refuse them with 503 until there is room again.
    Refuse,
}
