//! A replica as the admin API shows it.

use super::{Row, SILENT_AFTER};
use keyway_snapshot::{StateHash, Version};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What a replica is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaState {
    /// Takes in its first state, or a newer one.
    Syncing,
    /// Serves the newest state.
    Ready,
    /// Refused the newest state and serves the one before.
    Rejected,
    /// Connected, but said nothing for three seconds.
    Silent,
    /// Finishes what runs.
    Draining,
    /// Its stream ended without a word, or it was not seen since the control plane started.
    Lost,
    /// It cannot read the newest state, by its build, and serves the one before.
    Incompatible,
    /// It holds a state that this control plane never made: of another backup, or of data that was lost here.
    Ahead,
}

// === impl ReplicaState ===

impl ReplicaState {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Syncing,
        Self::Ready,
        Self::Rejected,
        Self::Silent,
        Self::Draining,
        Self::Lost,
        Self::Incompatible,
        Self::Ahead,
    ];

    /// As it stands in answers.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Syncing => "syncing",
            Self::Ready => "ready",
            Self::Rejected => "rejected",
            Self::Silent => "silent",
            Self::Draining => "draining",
            Self::Lost => "lost",
            Self::Incompatible => "incompatible",
            Self::Ahead => "ahead",
        }
    }
}

/// One replica as the admin API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Replica {
    /// Unique among running replicas.
    pub id: String,
    /// Where it runs.
    pub host: String,
    /// The supervisor that started it; absent = nobody.
    pub supervisor: Option<String>,
    /// Its process.
    pub pid: u32,
    /// What it is doing.
    pub state: ReplicaState,
    /// The state that it serves, `epoch.counter`; absent = none yet.
    pub snapshot: Option<String>,
    /// Versions that it is behind.
    pub lag: u64,
    /// Requests that it is answering.
    pub in_flight: u64,
    /// Requests a second between its last two beats.
    pub rps: f64,
    /// Requests since its start.
    pub requests: u64,
    /// Of the program.
    pub version: String,
    /// Where it answers callers.
    pub listen: String,
    /// Where its health and metrics are.
    pub ops_listen: String,
    /// Milliseconds since it last said anything.
    pub last_heard_ms: u64,
    /// From its last state's first frame to its answer, microseconds; absent = it acknowledged none on this stream.
    pub ack_micros: Option<u64>,
    /// What it refused last; absent = nothing.
    pub refused: Option<Refused>,
    /// What it cannot do that the newest state needs; absent = nothing.
    pub lacks: Option<String>,
    /// The version that last changed the secrets which it serves from; absent = it did not say.
    pub secrets: Option<String>,
    /// The newest snapshot schema that it reads.
    pub schema: u32,
    /// What it can do beyond the first schema.
    pub features: Vec<String>,
    /// What would be served after a restart, from its disk; `0.0` = nothing yet, absent = it keeps nothing.
    pub kept: Option<String>,
    /// Milliseconds that its clock is ahead of ours; absent = it did not say.
    pub clock_ahead_ms: Option<i64>,
    /// The newest record of the audit log that it was told of, `epoch.revision`; absent = none.
    pub audit: Option<String>,
}

/// A state that a replica refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refused {
    /// Which state.
    pub snapshot: String,
    /// Where in it.
    pub field: String,
    /// Why.
    pub reason: String,
}

// === impl Row ===

impl Row {
    fn state(&self, newest: (Version, StateHash), now: Instant) -> ReplicaState {
        if self.draining {
            // Without a link too: its process is still to be reaped.
            ReplicaState::Draining
        } else if self.link.is_none() {
            ReplicaState::Lost
        } else if now.saturating_duration_since(self.heard) >= SILENT_AFTER {
            ReplicaState::Silent
        } else if self.lacks.is_some() {
            ReplicaState::Incompatible
        } else if self.refused.as_ref().is_some_and(|((_, hash), _)| *hash == newest.1) {
            ReplicaState::Rejected
        } else if self.serving().is_some_and(|version| version > newest.0) {
            ReplicaState::Ahead
        } else if self.serving() == Some(newest.0) {
            ReplicaState::Ready
        } else {
            ReplicaState::Syncing
        }
    }

    pub(super) fn view(&self, newest: (Version, StateHash), now: Instant) -> Replica {
        let hello = &self.hello;
        let serving = self.serving();
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Replica {
            id: hello.id.clone(),
            host: hello.host.clone(),
            supervisor: Some(hello.supervisor.clone()).filter(|name| !name.is_empty()),
            pid: hello.pid,
            state: self.state(newest, now),
            snapshot: serving.map(|version| version.to_string()),
            lag: newest.0.counter.saturating_sub(serving.map_or(0, |version| version.counter)),
            in_flight: self.in_flight,
            rps: (self.rps * 10.0).round() / 10.0,
            requests: self.requests,
            version: hello.build.clone(),
            listen: hello.listen.clone(),
            ops_listen: hello.ops_listen.clone(),
            last_heard_ms: micros(now.saturating_duration_since(self.heard)) / 1000,
            ack_micros: self.ack.map(micros),
            refused: self.refused.as_ref().map(|(_, refused)| refused.clone()),
            lacks: self.lacks.clone(),
            secrets: self.secrets.map(|version| version.to_string()),
            schema: hello.schema,
            features: hello.features.clone(),
            kept: self.kept.map(|version| version.to_string()),
            clock_ahead_ms: self.clock_ahead_ms,
            audit: self.told.as_ref().map(|told| format!("{}.{}", told.epoch, told.revision)),
        }
    }
}
