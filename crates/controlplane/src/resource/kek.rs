//! A change of the vault's wrapping key, as the store holds it: which step it is at. How far the secrets are is what
//! their files say, so that nothing here can be wrong about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The one document of its kind is named so.
pub(crate) const WRAPPING: &str = "wrapping";

/// A change of the wrapping key, under way or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KekDocument {
    /// The version that was in use.
    pub from: u32,
    /// The version that takes its place.
    pub to: u32,
    /// How far it is.
    pub step: KekStep,
    /// When it began, milliseconds since 1970.
    pub begun: u64,
    /// When it ended, milliseconds since 1970; 0 = not yet.
    pub ended: u64,
}

/// How far a change of the wrapping key is. Each step is done before it is left, and may be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KekStep {
    /// The new version comes into the keyring; secrets that come in from then on are under it.
    Create,
    /// Each secret's file is written anew under it.
    Rewrap,
    /// Each secret opens under it, and none is under an older one.
    Verify,
    /// The older versions leave the keyring.
    Retire,
    /// Ended.
    Done,
}

// === impl KekDocument ===

impl KekDocument {
    /// Whether there is something left to do.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.step != KekStep::Done
    }
}

// === impl KekStep ===

impl KekStep {
    /// What follows once it is done.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Create => Self::Rewrap,
            Self::Rewrap => Self::Verify,
            Self::Verify => Self::Retire,
            Self::Retire | Self::Done => Self::Done,
        }
    }

    /// As it stands in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Rewrap => "rewrap",
            Self::Verify => "verify",
            Self::Retire => "retire",
            Self::Done => "done",
        }
    }
}
