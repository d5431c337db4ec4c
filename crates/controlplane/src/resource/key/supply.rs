//! What a key's document knows of its source: the last try, when the next one may be, and what is under way there. It
//! is written before anything happens at the source that a crash would lose.

use super::{KeyDocument, KeyState, Rollout, Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of the words of an outcome.
const WORDS: usize = 300;
/// What the first failure in a row puts off the next try by; each further one by twice as much, up to the last.
const PAUSE_FIRST_MS: u64 = 10_000;
const PAUSE_LAST_MS: u64 = 3_600_000;

/// What is known of a key's source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Supply {
    /// Tries that failed in a row.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures: u64,
    /// The next try is not before this, milliseconds since 1970; 0 = at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_before: u64,
    /// An operator wants a new secret now, since this moment; 0 = nobody does.
    #[serde(skip_serializing_if = "is_zero")]
    pub asked: u64,
    /// From when the age of that version counts, where the clock was set back to before it was taken in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<(u32, u64)>,
    /// A secret may have been made at the provider and not been taken in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minting: Option<Minting>,
    /// Fingerprint of the id of the one that was made since then, written down before it is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// What the newest try came to, if it was worth a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Supplied>,
}

/// A secret is being made at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minting {
    /// Since when, milliseconds since 1970.
    pub at: u64,
    /// Fingerprints of the ids that were there before.
    pub known: Vec<String>,
}

/// What a try came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Supplied {
    /// When, milliseconds since 1970.
    pub at: u64,
    /// What.
    pub outcome: SupplyOutcome,
    /// Why, in one line; empty = it went well.
    pub words: String,
    /// The rollout that it began; empty = none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rollout: String,
}

/// What a try to get a new secret came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SupplyOutcome {
    /// A new secret came, and its rollout began.
    Rotated,
    /// The secret that it gives is known already.
    Unchanged,
    /// No secret came, or its rollout failed.
    Failed,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

// === impl Supply ===

impl Supply {
    /// A try failed; `jitter` is a random part of the pause, 0 to 255.
    pub fn failed(&mut self, words: &str, jitter: u8, now: u64) {
        self.failures += 1;
        let doublings = u32::try_from(self.failures - 1).unwrap_or(u32::MAX).min(10);
        let pause = (PAUSE_FIRST_MS << doublings).min(PAUSE_LAST_MS);
        // Up to a quarter more, so that what failed together is not tried together.
        let pause = pause + pause / 4 * u64::from(jitter) / 255;
        (self.not_before, self.asked) = (now + pause, 0);
        self.say(SupplyOutcome::Failed, words, now);
    }

    /// It gave a secret that this key had before.
    pub(in crate::resource) fn unchanged(&mut self, words: &str, now: u64) {
        self.settled();
        let said = |last: &Supplied| last.outcome == SupplyOutcome::Unchanged && last.words == words;
        if !self.last.as_ref().is_some_and(said) {
            self.say(SupplyOutcome::Unchanged, words, now);
        }
    }

    /// A new secret came, and this rollout began with it.
    pub(in crate::resource) fn rotated(&mut self, rollout: &str, now: u64) {
        self.settled();
        self.say(SupplyOutcome::Rotated, "", now);
        if let Some(last) = &mut self.last {
            rollout.clone_into(&mut last.rollout);
        }
    }

    /// Nothing is left to be tried again.
    pub(in crate::resource) fn settled(&mut self) {
        (self.failures, self.not_before, self.asked) = (0, 0, 0);
        (self.minting, self.made) = (None, None);
    }

    fn say(&mut self, outcome: SupplyOutcome, words: &str, now: u64) {
        let end =
            words.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= WORDS).last();
        let words = words.get(..end.unwrap_or_default()).unwrap_or_default().to_owned();
        self.last = Some(Supplied { at: now, outcome, words, rollout: String::new() });
    }

    /// The longest pause after a failure, milliseconds.
    #[must_use]
    pub fn longest_pause() -> u64 {
        PAUSE_LAST_MS + PAUSE_LAST_MS / 4
    }
}

// === impl KeyDocument ===

impl KeyDocument {
    /// The rollout that the newest secret of its source began, if it failed and nobody has said so yet.
    #[must_use]
    pub fn supply_refused(&self) -> Option<&Rollout> {
        let last = self.supply.last.as_ref().filter(|last| last.outcome == SupplyOutcome::Rotated)?;
        self.rollout.as_ref().filter(|one| one.id == last.rollout && one.step == Step::Failed)
    }

    /// Versions whose secret nobody uses any more, for a source that takes them away.
    pub fn spent(&self) -> impl Iterator<Item = u32> {
        let gone = |state| matches!(state, KeyState::Retired | KeyState::RolledBack | KeyState::Rejected);
        self.versions.iter().filter(move |one| gone(one.state)).map(|one| one.version)
    }
}
