//! A provider's key: its versions, where each is in its life, and the rollout that moves them. What may be done to it
//! is in `steps`; nothing here reads a clock or opens a secret.

mod merge;
mod rollout;
mod steps;
mod supply;
#[cfg(test)]
mod tests;
mod trial;
#[cfg(test)]
mod walks;

pub(super) use merge::{Merged, Merging, Unmerged, merge, stage};
pub use rollout::{Figures, Probing, Rollout, Step, Verb, Verdict};
pub use steps::{Barred, Begin};
pub use supply::{Minting, Supplied, Supply, SupplyOutcome};
pub use trial::{Closed, NextStage, Stage, StageEnd, Trial, Trials};

use super::Made;
use crate::vault::SecretId;
use keyway_config::{KeyRotation, Percent, Price};
use keyway_snapshot::Version;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Versions that one key may ever have; the history of a key that is rotated daily for 25 years fits.
pub(super) const VERSION_LIMIT: usize = 10_000;

/// A provider's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDocument {
    /// Unique in its provider.
    pub name: String,
    /// Where it came from.
    pub made: Made,
    /// Share of the requests; 1 if absent.
    pub weight: Option<u32>,
    /// What it is charged, by upstream model, where that is not the provider's price.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<String, Price>,
    /// Off every cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Percent>,
    /// The limit of the provider's that it shares with others; its own name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
    /// Oldest first; never removed, so that a secret that was ever there is known again.
    pub versions: Vec<KeyVersion>,
    /// The newest change of versions, under way or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// How it is replaced by itself; absent = it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<KeyRotation>,
    /// What is known of its source.
    #[serde(default, skip_serializing_if = "is_fresh")]
    pub supply: Supply,
}

fn is_fresh(supply: &Supply) -> bool {
    *supply == Supply::default()
}

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyVersion {
    /// From 1.
    pub version: u32,
    /// Where it is in its life.
    pub state: KeyState,
    /// Keyed BLAKE3 of the secret, hex.
    pub fingerprint: String,
    /// What may be seen of the secret.
    pub shown: String,
    /// When it was taken in, seconds since 1970.
    pub at: u64,
    /// When its state began, milliseconds since 1970.
    #[serde(default)]
    pub since: u64,
    /// What the provider said to it before it was used.
    #[serde(default)]
    pub proof: Proof,
    /// Where the secret may be sent: `https://api.openai.com:443` each. It is sealed for these and no others.
    #[serde(default)]
    pub origins: BTreeSet<String>,
    /// Which sealing of the secret is in force.
    #[serde(default)]
    pub seal: u32,
    /// Set from the moment when no snapshot holds it any more until every replica has confirmed that nobody uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
}

/// How a version goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Its state once every replica has confirmed.
    pub ends_as: KeyState,
    /// The first snapshot without it: `(epoch, counter)`.
    pub without: (u64, u64),
    /// Attempts that still use it are cut.
    pub cut: bool,
}

/// Where a key version is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Stored; in no snapshot.
    Staged,
    /// The provider took it, or could not tell; in no snapshot.
    Verified,
    /// In snapshots, used for new requests.
    Active,
    /// In snapshots as standby: taken only by a request whose active versions were all refused.
    Retiring,
    /// In no snapshot; not every replica has confirmed yet that nobody uses it.
    Withdrawn,
    /// In no snapshot; every replica has confirmed that nobody uses it. The secret is kept.
    Retired,
    /// Its secret is erased.
    Destroyed,
    /// Taken out of use at once.
    Revoked,
    /// The provider refused it; in no snapshot.
    Rejected,
    /// Out of use again because the change that brought it was undone.
    RolledBack,
}

/// What a provider said to a version before it was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// It was not asked.
    #[default]
    None,
    /// One real call succeeded.
    Verified,
    /// The answer says nothing about the key: 429, 404, a forbidden list of models.
    Unproven,
}

// === impl KeyState ===

impl KeyState {
    /// Whether replicas are sent it with its secret.
    #[must_use]
    pub fn is_served(self) -> bool {
        matches!(self, Self::Active | Self::Retiring)
    }

    /// Whether its secret is in the vault.
    #[must_use]
    pub fn has_secret(self) -> bool {
        !matches!(self, Self::Destroyed | Self::Revoked)
    }

    /// As it stands in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Verified => "verified",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Withdrawn => "withdrawn",
            Self::Retired => "retired",
            Self::Destroyed => "destroyed",
            Self::Revoked => "revoked",
            Self::Rejected => "rejected",
            Self::RolledBack => "rolled_back",
        }
    }
}

// === impl KeyVersion ===

impl KeyVersion {
    pub(super) fn set(&mut self, state: KeyState, now: u64) {
        (self.state, self.since) = (state, now);
    }

    /// What the vault calls its secret.
    #[must_use]
    pub fn secret_id(&self, provider: &str, key: &str) -> SecretId {
        SecretId {
            provider: provider.to_owned(),
            key: key.to_owned(),
            version: self.version,
            seal: self.seal,
        }
    }

    /// Whether replicas are told to cut what still uses it.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.state == KeyState::Revoked && self.leaving.as_ref().is_some_and(|leaving| leaving.cut)
    }
}

// === impl Leaving ===

impl Leaving {
    /// The first snapshot without it.
    #[must_use]
    pub fn without(&self) -> Version {
        let (epoch, counter) = self.without;
        Version { epoch, counter }
    }
}

// === impl KeyDocument ===

impl KeyDocument {
    /// The quota domain that it is in: `provider/domain`.
    #[must_use]
    pub fn domain(&self, provider: &str) -> String {
        format!("{provider}/{}", self.quota.as_deref().unwrap_or(&self.name))
    }

    /// The newest version that new requests use.
    #[must_use]
    pub fn active(&self) -> Option<&KeyVersion> {
        self.versions.iter().rev().find(|version| version.state == KeyState::Active)
    }

    /// The version of that number.
    #[must_use]
    pub fn version(&self, number: u32) -> Option<&KeyVersion> {
        self.versions.iter().find(|version| version.version == number)
    }

    pub(super) fn version_mut(&mut self, number: u32) -> Option<&mut KeyVersion> {
        self.versions.iter_mut().find(|version| version.version == number)
    }

    /// Numbers of the versions in that state.
    pub fn in_state(&self, state: KeyState) -> impl Iterator<Item = u32> {
        self.versions.iter().filter(move |version| version.state == state).map(|version| version.version)
    }

    /// The rollout, if it has not ended.
    #[must_use]
    pub fn under_way(&self) -> Option<&Rollout> {
        self.rollout.as_ref().filter(|rollout| !rollout.step.is_end())
    }
}
