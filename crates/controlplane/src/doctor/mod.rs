//! What is wrong or soon will be, from what is known already. Pure: facts and the time come in, findings go out; nothing is
//! put right here, and no secret is in any finding.

mod certificates;
mod configuration;
mod hosts;
mod keys;
mod replicas;
mod store;
#[cfg(test)]
mod tests;
mod usage;

pub(crate) use certificates::certificates;
pub(crate) use configuration::configuration;
pub(crate) use hosts::hosts;
pub(crate) use keys::{KeyFacts, keys};
pub(crate) use replicas::{clocks, replicas};
pub(crate) use store::{seal, store, told};
pub(crate) use usage::usage;

use schemars::JsonSchema;
use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Works, but somebody should look.
    Warn,
    /// Does not work, or will stop to.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Finding {
    /// `seal`, `store`, `replicas`, `hosts`, `clock`, `keys`, `usage`, `configuration`.
    pub(crate) area: &'static str,
    pub(crate) level: Level,
    /// One line.
    pub(crate) what: String,
    /// One line; empty = nothing.
    pub(crate) what_to_do: String,
}

// === impl Finding ===

impl Finding {
    pub(crate) fn ok(area: &'static str, what: impl Into<String>) -> Self {
        Self { area, level: Level::Ok, what: what.into(), what_to_do: String::new() }
    }

    pub(crate) fn warn(area: &'static str, what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { area, level: Level::Warn, what: what.into(), what_to_do: what_to_do.into() }
    }

    pub(crate) fn fail(area: &'static str, what: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { area, level: Level::Fail, what: what.into(), what_to_do: what_to_do.into() }
    }
}

/// An area in which nothing was found is said to be well.
fn or_ok(found: Vec<Finding>, area: &'static str, what: impl FnOnce() -> String) -> Vec<Finding> {
    if found.is_empty() { vec![Finding::ok(area, what())] } else { found }
}
