//! By which response headers providers tell what is left of their limits: a dialect's usual ones, and those of rows that
//! use others.

use keyway_proto::snapshot::v1::{self as wire, Dialect};
use serde::Deserialize;

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Unit {
    Requests,
    Tokens,
    InputTokens,
    OutputTokens,
}

/// Headers of one limit, lower-case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitHeaders {
    /// What is counted.
    pub unit: Unit,
    /// The whole of it.
    #[serde(default)]
    pub limit: String,
    /// What is left.
    pub remaining: String,
    /// When it is whole again: seconds, `6m0s`, RFC 3339, or seconds or milliseconds since 1970.
    #[serde(default)]
    pub reset: String,
    /// What is left grows at the reset and not before.
    #[serde(default)]
    pub fixed: bool,
}

/// Names of a family of headers: `x-ratelimit-remaining-requests`, or `anthropic-ratelimit-requests-remaining`.
fn family(name: impl Fn(&str, &str) -> String, units: &[(Unit, &str)]) -> Vec<LimitHeaders> {
    let headers = |&(unit, word): &(Unit, &str)| LimitHeaders {
        unit,
        limit: name(word, "limit"),
        remaining: name(word, "remaining"),
        reset: name(word, "reset"),
        fixed: false,
    };
    units.iter().map(headers).collect()
}

/// What a dialect's own maker sends, and most who speak it: OpenAI's and Anthropic's guides to rate limits, both token
/// buckets that fill steadily. Others tell nothing in headers.
#[must_use]
pub fn usual_limit_headers(dialect: Dialect) -> Vec<LimitHeaders> {
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => family(
            |unit, what| format!("x-ratelimit-{what}-{unit}"),
            &[(Unit::Requests, "requests"), (Unit::Tokens, "tokens")],
        ),
        Dialect::AnthropicMessages => family(
            |unit, what| format!("anthropic-ratelimit-{unit}-{what}"),
            &[
                (Unit::Requests, "requests"),
                (Unit::InputTokens, "input-tokens"),
                (Unit::OutputTokens, "output-tokens"),
            ],
        ),
        Dialect::Gemini | Dialect::BedrockConverse | Dialect::CohereChat | Dialect::Unspecified => Vec::new(),
    }
}

// === impl LimitHeaders ===

impl LimitHeaders {
    /// As the snapshot carries them.
    #[must_use]
    pub fn to_proto(&self) -> wire::LimitHeaders {
        let unit = match self.unit {
            Unit::Requests => wire::LimitUnit::Requests,
            Unit::Tokens => wire::LimitUnit::Tokens,
            Unit::InputTokens => wire::LimitUnit::InputTokens,
            Unit::OutputTokens => wire::LimitUnit::OutputTokens,
        };
        wire::LimitHeaders {
            unit: unit.into(),
            limit: self.limit.clone(),
            remaining: self.remaining.clone(),
            reset: self.reset.clone(),
            fixed: self.fixed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_as_their_makers_name_them() {
        let names = |dialect| -> Vec<String> {
            usual_limit_headers(dialect).into_iter().map(|headers| headers.remaining).collect()
        };
        assert_eq!(
            names(Dialect::OpenaiChat),
            ["x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens"]
        );
        assert_eq!(
            names(Dialect::AnthropicMessages),
            [
                "anthropic-ratelimit-requests-remaining",
                "anthropic-ratelimit-input-tokens-remaining",
                "anthropic-ratelimit-output-tokens-remaining"
            ]
        );
        assert!(names(Dialect::Gemini).is_empty());
    }
}
