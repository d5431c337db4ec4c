//! What of a rollout decides how long is waited and what is said of it. Printed as JSON it is the API's own, whole.

use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// A rollout as the API shows it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct View {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) verb: String,
    pub(super) step: Step,
    pub(super) outcome: String,
    pub(super) version: Option<u32>,
    pub(super) old: Vec<Old>,
    pub(super) snapshot: Option<String>,
    pub(super) probe: Option<Probe>,
    pub(super) replicas: u64,
    pub(super) silent: Vec<String>,
    /// `id: field: reason` each.
    pub(super) refused: Vec<String>,
    pub(super) unconfirmed: Vec<String>,
    pub(super) in_flight_old: u64,
    pub(super) acknowledged: u64,
    pub(super) ack_micros: Option<u64>,
    pub(super) total_ms: u64,
    pub(super) served_old: u64,
    pub(super) served_new: u64,
    pub(super) standby: u64,
    pub(super) failed: u64,
    pub(super) last_use_old: u64,
    pub(super) begun: u64,
    pub(super) activated: u64,
    pub(super) overlap_ms: u64,
    pub(super) ack_timeout_ms: u64,
    pub(super) trial: Option<Trial>,
    pub(super) trial_ms: u64,
    pub(super) failure: Option<String>,
}

/// How the new version was tried before all replicas use it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Trial {
    pub(super) stages: Vec<Stage>,
    pub(super) undone: bool,
}

/// One stage of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stage {
    pub(super) replicas: u64,
    pub(super) of: u64,
    pub(super) new: Trials,
    pub(super) old: Trials,
    pub(super) end: String,
}

/// Attempts, and how many failed.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Trials {
    pub(super) started: u64,
    pub(super) errors: u64,
}

/// A version that goes out of use.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Old {
    pub(super) version: u32,
    pub(super) state: String,
}

/// What the provider said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Probe {
    pub(super) verdict: String,
    pub(super) status: u32,
    pub(super) latency_ms: u64,
    pub(super) replica: String,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    #[default]
    Staged,
    Verified,
    Trial,
    Active,
    Withdrawn,
    Done,
    Failed,
    Superseded,
}

// === impl View ===

impl View {
    pub(super) fn read(view: &Value) -> Result<Self, Failure> {
        Self::deserialize(view).map_err(|error| {
            Failure::Other(format!(
                "the control plane describes this change in words that this keyway does not know ({error}); are both of one version?"
            ))
        })
    }

    /// Why the new version was taken back by itself.
    pub(super) fn undone(&self) -> Option<&str> {
        let undone = self.trial.as_ref().is_some_and(|trial| trial.undone);
        self.failure.as_deref().filter(|_| undone)
    }

    /// Whether the deadline for acknowledgements is over, by the control plane's clock.
    pub(super) fn is_late(&self) -> bool {
        let now = self.begun + self.total_ms;
        self.step >= Step::Done || (self.activated > 0 && now >= self.activated + self.ack_timeout_ms)
    }

    /// Replicas that did not do their part, each once, with the reason where one gave it.
    pub(super) fn laggards(&self) -> Vec<String> {
        let reason = |id: &String| self.refused.iter().find(|one| refuser(one) == id);
        let silent = self.silent.iter().map(|id| reason(id).unwrap_or(id).clone());
        let others = self.refused.iter().filter(|one| !self.silent.iter().any(|id| refuser(one) == id));
        silent.chain(others.cloned()).collect()
    }

    /// Whether nobody but laggards has still to confirm.
    pub(super) fn awaits_only_laggards(&self) -> bool {
        let lags = |id: &String| {
            self.silent.contains(id) || self.refused.iter().any(|refused| refuser(refused) == id)
        };
        !self.unconfirmed.is_empty() && self.unconfirmed.iter().all(lags)
    }
}

// === impl Stage ===

impl Stage {
    /// `1/10 replicas, new 0 of 120 failed, old 1 of 1080: proven`.
    pub(super) fn line(&self) -> String {
        let Self { replicas, of, new, old, end } = self;
        format!(
            "{replicas}/{of} replicas, new {} of {} failed, old {} of {}: {end}",
            new.errors, new.started, old.errors, old.started
        )
    }
}

fn refuser(refused: &str) -> &str {
    refused.split_once(": ").map_or(refused, |(id, _)| id)
}
