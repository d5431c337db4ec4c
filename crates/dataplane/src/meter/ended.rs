//! What is known of a request: gathered as it goes, handed over as it is when it ends. Nothing here is formatted or
//! encoded: that is for the spool's thread.

use super::{Outcome, Used};
use crate::route::Step;
use keyway_snapshot::{Alias, Client, Dialect, Endpoint, Resolved, Target, Version, looks_like_key};
use std::sync::Arc;
use ulid::Ulid;

/// Bytes of a model's name that is kept, where nothing has it.
const ASKED_LIMIT: usize = 256;

/// In place of such a name that may be a key.
const WITHHELD: &str = "[withheld]";
/// Letters and digits without a break, mixed: keys have such a stretch, names of models do not.
const RANDOM_STRETCH: usize = 16;

/// What a request is and where it went.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) client: Option<Arc<Client>>,
    /// `k=v,k=v`, sorted.
    pub(crate) tags: Option<Arc<str>>,
    pub(crate) asked: Asked,
    pub(crate) endpoint: Endpoint,
    pub(crate) dialect: Dialect,
    pub(crate) stream: bool,
    pub(crate) snapshot: Version,
    /// Every target that might have been tried.
    pub(crate) route: Vec<Step>,
    /// Attempts without an answer, in order.
    pub(crate) failed: Vec<Try>,
    /// The attempt that answered.
    pub(crate) answered: Option<Try>,
    pub(crate) request_bytes: u64,
    pub(crate) reply_bytes: u64,
}

/// The model as the caller named it; where something has the name, without a copy of it.
#[derive(Debug, Default)]
pub(crate) enum Asked {
    #[default]
    Nothing,
    /// A name that leads nowhere.
    Text(Box<str>),
    Alias(Arc<Alias>),
    /// As `provider/model`.
    Target(Arc<Target>),
    /// By the model's name alone.
    Bare(Arc<Target>),
}

/// One attempt.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) target: Arc<Target>,
    /// `provider/key/version`.
    pub(crate) key: Arc<str>,
    /// 0 = no answer.
    pub(crate) status: u16,
    /// Empty = it answered.
    pub(crate) reason: &'static str,
    pub(crate) micros: u64,
}

/// A request that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) id: Ulid,
    pub(crate) story: Story,
    /// What the caller got.
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    /// Why, where the outcome is not served.
    pub(crate) reason: &'static str,
    pub(crate) total_micros: u64,
    /// 0 = no first token.
    pub(crate) first_token_micros: u64,
    pub(crate) used: Used,
}

// === impl Asked ===

impl Asked {
    /// What resolved.
    pub(crate) fn resolved(resolved: Resolved, asked: &str) -> Self {
        match resolved {
            Resolved::Alias(alias) => Self::Alias(alias),
            Resolved::Target(target) if *target.label == *asked => Self::Target(target),
            Resolved::Target(target) => Self::Bare(target),
        }
    }

    /// What did not. A name that could be a key, put there by mistake, is kept nowhere.
    pub(crate) fn text(asked: &str) -> Self {
        if looks_random(asked) || looks_like_key(asked) {
            return Self::Text(WITHHELD.into());
        }
        let end = asked.floor_char_boundary(ASKED_LIMIT);
        Self::Text(asked.get(..end).unwrap_or_default().into())
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Nothing => "",
            Self::Text(text) => text,
            Self::Alias(alias) => &alias.name,
            Self::Target(target) => &target.label,
            Self::Bare(target) => &target.model,
        }
    }

    pub(crate) fn alias(&self) -> Option<&Arc<Alias>> {
        match self {
            Self::Alias(alias) => Some(alias),
            Self::Nothing | Self::Text(_) | Self::Target(_) | Self::Bare(_) => None,
        }
    }
}

// === impl Story ===

impl Story {
    /// The last attempt: it answered, or none did.
    pub(crate) fn last(&self) -> Option<&Try> {
        self.answered.as_ref().or(self.failed.last())
    }

    /// Every attempt in order.
    pub(crate) fn tries(&self) -> impl Iterator<Item = &Try> {
        self.failed.iter().chain(&self.answered)
    }
}

// === impl Ended ===

impl Ended {
    /// Refused or broken.
    pub(crate) fn is_error(&self) -> bool {
        matches!(self.outcome, Outcome::Refused | Outcome::Broken(_))
    }

    /// Waiting for providers.
    pub(crate) fn upstream_micros(&self) -> u64 {
        self.story.tries().map(|one| one.micros).sum()
    }

    /// Since 1970.
    pub(crate) fn started_millis(&self) -> u64 {
        self.id.timestamp_ms()
    }
}

/// Whether it holds a long stretch of letters and digits of which not all are of one kind, as keys do.
fn looks_random(name: &str) -> bool {
    let kinds = [char::is_ascii_lowercase, char::is_ascii_uppercase, char::is_ascii_digit];
    name.split(|one: char| !one.is_ascii_alphanumeric())
        .filter(|stretch| stretch.len() >= RANDOM_STRETCH)
        .any(|stretch| kinds.iter().filter(|is| stretch.chars().any(|one| is(&one))).count() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_place_of_a_name_is_not_kept() {
        let kept = |name: &str| Asked::text(name).name() == name;
        for name in [
            "gpt-9",
            "openai/claude-3-5-sonnet-20241022",
            "ft:gpt-4o-mini-2024-07-18:acme::9pVkBq2X",
            "internationalization",
            "",
        ] {
            assert!(kept(name), "{name}");
        }
        for key in [
            "sk-proj-Ab3dEf6hIj9lMn2pQr5t",
            "kw_0123456789abcdef0123",
            "x/AIzaSyD4r8fGh1jK2lM3nO4pQ",
            "x/sk-a1b2c3d4e5f6-g7h8i9j0",
        ] {
            assert_eq!(Asked::text(key).name(), "[withheld]");
        }
        assert_eq!(Asked::text(&"é ".repeat(200)).name().len(), 255);
    }
}
