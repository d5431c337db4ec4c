//! By which response headers a provider tells what is left of its limits.

use crate::Invalid;
use http::HeaderName;
use keyway_proto::snapshot::v1::{self as wire, Kind, LimitUnit};

/// Headers of one limit, each a name that is looked up as it stands.
#[derive(Debug, Clone)]
pub struct LimitHeaders {
    /// What is counted.
    pub unit: LimitUnit,
    /// The whole of it; `None` = not told.
    pub limit: Option<HeaderName>,
    /// What is left.
    pub remaining: HeaderName,
    /// When it is whole again; `None` = not told.
    pub reset: Option<HeaderName>,
    /// What is left grows at the reset and not before.
    pub fixed: bool,
}

// === impl LimitHeaders ===

impl LimitHeaders {
    pub(crate) fn build(provider: &wire::Provider) -> Result<Box<[Self]>, Invalid> {
        provider.limit_headers.iter().enumerate().map(|(at, from)| Self::one(from, provider, at)).collect()
    }

    fn one(from: &wire::LimitHeaders, provider: &wire::Provider, at: usize) -> Result<Self, Invalid> {
        let bad = |field: &str, reason: &str| {
            Invalid::new(Kind::Provider, &provider.name, format!("limit_headers[{at}].{field}"), reason)
        };
        let name = |field: &str, text: &str| text.parse().map_err(|_| bad(field, "not a header name"));
        let maybe = |field: &str, text: &str| (!text.is_empty()).then(|| name(field, text)).transpose();
        if from.unit() == LimitUnit::Unspecified {
            return Err(bad("unit", "unknown unit"));
        }
        Ok(Self {
            unit: from.unit(),
            limit: maybe("limit", &from.limit)?,
            remaining: name("remaining", &from.remaining)?,
            reset: maybe("reset", &from.reset)?,
            fixed: from.fixed,
        })
    }
}
