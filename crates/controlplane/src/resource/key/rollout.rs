//! One change of a key's versions as the store holds it: enough to go on with it after any interruption.

use super::{KeyState, Trial};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One change of a key's versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    /// Unique; the same call sent again finds it.
    pub id: String,
    /// What was asked for.
    pub verb: Verb,
    /// The version that comes into use.
    pub to: Option<u32>,
    /// Versions that go out of use.
    pub leaving: Vec<u32>,
    /// What they become.
    pub ends_as: KeyState,
    /// Whether the provider is asked first.
    pub probe: bool,
    /// Ends once it is verified; `promote` takes it into use.
    pub hold: bool,
    /// How long the old versions stay as standby, milliseconds.
    pub overlap_ms: u64,
    /// After this a replica that has not acknowledged is named silent, milliseconds.
    pub ack_timeout_ms: u64,
    /// How the new version is tried before all replicas use it; absent = it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// How far it is.
    pub step: Step,
    /// When it began, milliseconds since 1970.
    pub begun: u64,
    /// When the new version came into use, milliseconds since 1970; 0 = not yet.
    pub activated: u64,
    /// The first snapshot with the new version in use, `(epoch, counter)`.
    pub active_in: Option<(u64, u64)>,
    /// Its trace, W3C `traceparent`; empty = not traced.
    #[serde(default)]
    pub trace: String,
    /// Who asked for it: `operator/NAME`, `bootstrap`, `system`.
    #[serde(default)]
    pub actor: String,
    /// What the provider said.
    #[serde(default)]
    pub probed: Option<Probing>,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<String>,
    /// Counted once it has ended.
    #[serde(default)]
    pub figures: Option<Figures>,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// A new key.
    Add,
    /// A new version.
    Rotate,
    /// A version that is there already.
    Promote,
    /// The version before.
    Rollback,
    /// Out of use at once.
    Revoke,
}

/// How far a rollout is. Each step is one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The new version is stored.
    Staged,
    /// It may come into use.
    Verified,
    /// Some replicas use it, the others the old ones.
    Trial,
    /// It is in use; the old ones are standby.
    Active,
    /// The old ones are in no snapshot; confirmations are awaited.
    Withdrawn,
    /// Ended as wanted.
    Done,
    /// Ended without a change of what is in use.
    Failed,
    /// Another one took its place.
    Superseded,
}

/// What a provider said to a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probing {
    /// What it means.
    pub verdict: Verdict,
    /// HTTP status; 0 = no answer.
    pub status: u32,
    /// Of the call at the provider, milliseconds.
    pub latency_ms: u64,
    /// Who asked.
    pub replica: String,
    /// Why there was no answer.
    pub reason: String,
}

/// What a probe says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The provider took it.
    Verified,
    /// The answer says nothing about the key.
    Unproven,
    /// The provider refused it.
    Rejected,
    /// No answer.
    Unreachable,
}

/// What a change cost, counted over all replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// Replicas that acknowledged.
    pub acknowledged: u64,
    /// From the commit that activated to the last acknowledgement, microseconds; absent = not measured.
    pub ack_micros: Option<u64>,
    /// From the command to the end, milliseconds.
    pub total_ms: u64,
    /// Attempts on the old versions since then.
    pub served_old: u64,
    /// Attempts on the new version.
    pub served_new: u64,
    /// Of those on old versions, as standby because the new one was refused.
    pub standby: u64,
    /// Requests that failed because of the change.
    pub failed: u64,
    /// When an old version was last used, milliseconds since 1970; 0 = not since.
    pub last_use_old: u64,
}

// === impl Step ===

impl Step {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Superseded)
    }

    /// As it stands in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Verified => "verified",
            Self::Trial => "trial",
            Self::Active => "active",
            Self::Withdrawn => "withdrawn",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

// === impl Verb ===

impl Verb {
    /// As it stands in the audit log.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Rotate => "rotate",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Revoke => "revoke",
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// By the rulings: 2xx proves; 429, 404 and a forbidden list of models say nothing; 401 and a body that names the
    /// key refuse; no answer and 5xx mean that nobody was reached. Any other 4xx says nothing of the key either.
    #[must_use]
    pub fn of(status: u32, key_invalid: bool) -> Self {
        match status {
            _ if key_invalid => Self::Rejected,
            200..=299 => Self::Verified,
            401 => Self::Rejected,
            400..=499 => Self::Unproven,
            _ => Self::Unreachable,
        }
    }
}
