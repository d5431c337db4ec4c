//! A host as the admin API shows it.

use super::Row;
use crate::fleet::registry::SILENT_AFTER;
use keyway_proto::fleet::v1::{HostReplica as Said, HostReplicaState as SaidState};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Instant;

/// Whether a host's supervisor is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// It is connected and talks.
    Connected,
    /// Connected, but said nothing for three seconds.
    Silent,
    /// Its stream ended without a word, or it was not seen since the control plane started.
    Lost,
}

/// What one replica of a host is doing, as its supervisor sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostReplicaState {
    /// Has not acknowledged a state yet.
    Starting,
    /// Serves.
    Ready,
    /// Finishes what runs.
    Draining,
    /// Failed, and is started again after a while.
    Waiting,
    /// An operator drained it; it stays away until the host is scaled or upgraded.
    Away,
}

/// One replica of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostReplica {
    /// As in the fleet.
    pub id: String,
    /// Its process; 0 = none.
    pub pid: u32,
    /// What it is doing.
    pub state: HostReplicaState,
    /// Times that it failed and was started again.
    pub restarts: u32,
}

/// One host with a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Host {
    /// The supervisor's name.
    pub name: String,
    /// The machine.
    pub host: String,
    /// Whether the supervisor is there.
    pub state: HostState,
    /// Replicas that an operator wants there; absent = as many as it was started with.
    pub wanted: Option<u32>,
    /// Replicas that the supervisor keeps running.
    pub keeps: u32,
    /// Of these, ready.
    pub ready: usize,
    /// Every one.
    pub replicas: Vec<HostReplica>,
    /// Of the supervisor's program.
    pub version: String,
    /// The supervisor's process.
    pub pid: u32,
    /// Replicas are being replaced by ones of a newer program.
    pub upgrading: bool,
    /// The program on its disk is another than the one that runs.
    pub newer_program: bool,
    /// Why the last upgrade stopped; empty = it did not.
    pub fault: String,
    /// Where it answers callers.
    pub listen: String,
    /// Where health and metrics of all its replicas are.
    pub ops_listen: String,
    /// Milliseconds since it last said anything; absent = not in this life of the control plane.
    pub last_heard_ms: Option<u64>,
}

// === impl HostReplica ===

impl HostReplica {
    fn of(said: &Said) -> Self {
        let state = match said.state() {
            SaidState::Unspecified | SaidState::Starting => HostReplicaState::Starting,
            SaidState::Ready => HostReplicaState::Ready,
            SaidState::Draining => HostReplicaState::Draining,
            SaidState::Waiting => HostReplicaState::Waiting,
            SaidState::Away => HostReplicaState::Away,
        };
        Self { id: said.id.clone(), pid: said.pid, state, restarts: said.restarts }
    }
}

// === impl Host ===

impl Host {
    pub(super) fn of(name: &str, row: Option<&Row>, wanted: Option<u32>, now: Instant) -> Self {
        let (hello, report) = row.map(|row| (row.hello.clone(), row.report.clone())).unwrap_or_default();
        let since = row.map(|row| now.saturating_duration_since(row.heard));
        let state = match since {
            Some(since) if row.is_some_and(|row| row.link.is_some()) => {
                if since >= SILENT_AFTER {
                    HostState::Silent
                } else {
                    HostState::Connected
                }
            }
            _ => HostState::Lost,
        };
        let replicas: Vec<HostReplica> = report.replicas.iter().map(HostReplica::of).collect();
        Self {
            name: name.to_owned(),
            host: hello.host,
            state,
            wanted,
            keeps: report.wanted,
            ready: replicas.iter().filter(|one| one.state == HostReplicaState::Ready).count(),
            replicas,
            version: hello.build,
            pid: hello.pid,
            upgrading: report.rolling,
            newer_program: report.newer_program,
            fault: report.fault,
            listen: hello.listen,
            ops_listen: hello.ops_listen,
            last_heard_ms: since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}
