//! What the API shows of keys: versions, use, history, reports.

use super::super::{
    answer::Fault,
    call::Call,
    view::{KeyVersionView, KeyView},
};
use crate::{
    plane::unix_millis,
    quota::QuotaView,
    resource::{KeyDocument, Refusal, Supplied},
    rotation::{RolloutView, schedule},
    store::Record,
};
use keyway_config::{Rotation, Span};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Records of a history at most.
const HISTORY: usize = 1000;
/// Records that are read from the audit log at a time.
const PAGE: usize = 1000;

/// A key.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct KeyDetail {
    provider: String,
    #[serde(flatten)]
    key: KeyView,
    /// Use of each version, summed over all replicas.
    #[serde(rename = "use")]
    used: BTreeMap<u32, UseView>,
    /// What is known of the limits of its quota domain, by model.
    limits: Vec<QuotaView>,
    /// The newest change of versions.
    rollout: Option<RolloutView>,
    /// Where its next secret comes from by itself; absent: it is entered by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceView>,
}

/// Where a key's next secret comes from.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct SourceView {
    /// In words.
    from: String,
    /// How long one secret is used, milliseconds; absent = nobody said.
    every_ms: Option<u64>,
    /// When the one in use is to be replaced, milliseconds since 1970; absent = whenever the source has a new one.
    due: Option<u64>,
    /// Tries that failed in a row.
    failures: u64,
    /// The next try is not before this, milliseconds since 1970; 0 = at once.
    not_before: u64,
    /// What the newest try came to, if it was worth a line.
    last: Option<Supplied>,
}

/// How one version is used.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::api) struct UseView {
    /// Attempts that use it now.
    in_flight: u64,
    /// Attempts that took it, since the replicas started.
    started: u64,
    /// Of these, as standby.
    standby: u64,
    /// That the provider answered with 401 or 403.
    refused: u64,
    /// That ended in 5xx or 402, without a connection, or with a reply that could not be used.
    faults: u64,
    /// That the provider answered with 429.
    throttled: u64,
    /// That got no answer in time.
    timeouts: u64,
    /// Requests that failed because this version was refused, withdrawn or cut.
    failed: u64,
    /// Milliseconds since 1970; 0 = never.
    last_use: u64,
}

/// One line of a key's history.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Event {
    /// Its place in the audit log.
    revision: u64,
    /// Milliseconds since 1970.
    at: u64,
    /// Who.
    actor: String,
    /// Did what.
    action: String,
    /// Trace of the command; empty = not traced.
    trace: String,
}

/// A key's history and how each replica uses it.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct History {
    /// `provider/key`.
    key: String,
    versions: Vec<KeyVersionView>,
    events: Vec<Event>,
    replicas: Vec<ReplicaUse>,
    rollout: Option<RolloutView>,
    /// When this was made, milliseconds since 1970.
    at: u64,
}

/// How one replica uses a key.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct ReplicaUse {
    replica: String,
    /// What it serves.
    snapshot: Option<String>,
    /// Hash of that state, hex.
    hash: Option<String>,
    /// When it applied that state, milliseconds since 1970; 0 = not known since the control plane started.
    applied_at: u64,
    /// What it would serve after a restart.
    kept: Option<String>,
    /// It is connected and said something lately.
    answers: bool,
    /// By version.
    versions: BTreeMap<u32, UseView>,
}

pub(super) fn detail(call: &Call, provider: &str, key: &KeyDocument) -> KeyDetail {
    let mut used: BTreeMap<u32, UseView> = BTreeMap::new();
    for replica in replica_uses(call, provider, key) {
        for (version, one) in replica.versions {
            used.entry(version).or_default().add(&one);
        }
    }
    KeyDetail {
        provider: provider.to_owned(),
        key: KeyView::of(provider, key),
        limits: {
            let domain = key.domain(provider);
            let all = call.plane().fleet().limits(provider, None);
            all.into_iter().filter(|one| one.is_of(&domain)).collect()
        },
        used,
        rollout: RolloutView::of(call.plane(), &call.api.counts, provider, &key.name),
        source: SourceView::of(provider, key, &call.plane().state().rotation()),
    }
}

fn replica_uses(call: &Call, provider: &str, key: &KeyDocument) -> Vec<ReplicaUse> {
    let (fleet, now) = (call.plane().fleet().evidence(), unix_millis());
    let used = fleet.into_iter().map(|replica| {
        let of = |version: u32| {
            let id = format!("{provider}/{}/{version}", key.name);
            let used = UseView::from(replica.last_use(&id)?);
            // What is not counted any more was last counted with nobody on it.
            Some(if replica.uses.contains_key(&id) { used } else { UseView { in_flight: 0, ..used } })
        };
        let versions = key.versions.iter().filter_map(|one| Some((one.version, of(one.version)?)));
        ReplicaUse {
            versions: versions.collect(),
            snapshot: replica.serves.map(|at| at.to_string()),
            hash: replica.hash.map(|hash| hash.to_string()),
            applied_at: replica.applied_at().map_or(0, |at| {
                let ago = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
                now.saturating_sub(ago)
            }),
            kept: replica.kept.map(|at| at.to_string()),
            answers: replica.answers,
            replica: replica.id.clone(),
        }
    });
    used.collect()
}

pub(super) async fn history_of(call: &Call) -> Result<History, Fault> {
    let key = find(call)?;
    let (provider, name) = names(call);
    let store = call.plane().store();
    let subject = subject(call);
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = store.audit(after, PAGE).await.map_err(Refusal::from)?;
        let Some(last) = page.last() else { break };
        after = last.revision;
        events.extend(page.iter().filter(|record| record.entry.subject == subject).map(Event::from));
    }
    let surplus = events.len().saturating_sub(HISTORY);
    events.drain(..surplus);
    Ok(History {
        key: format!("{provider}/{name}"),
        versions: KeyView::of(provider, &key).versions,
        events,
        replicas: replica_uses(call, provider, &key),
        rollout: RolloutView::of(call.plane(), &call.api.counts, provider, name),
        at: unix_millis(),
    })
}

/// The newest rollout of the key in the path.
pub(in crate::api) fn rollout_of(call: &Call) -> Result<RolloutView, Fault> {
    let (provider, key) = names(call);
    let found = RolloutView::of(call.plane(), &call.api.counts, provider, key);
    found.ok_or_else(|| Fault::not_found("rotation of the key", &format!("{provider}/{key}"), Vec::new()))
}

pub(super) fn find(call: &Call) -> Result<KeyDocument, Fault> {
    let (provider, key) = names(call);
    let state = call.plane().state();
    let found = state.provider(provider).and_then(|(_, keys)| keys.iter().find(|one| one.name == key));
    let name = format!("{provider}/{key}");
    let nearest = || {
        let all: Vec<String> =
            state.keys().map(|(provider, key)| format!("{provider}/{}", key.name)).collect();
        keyway_config::nearest(&name, all.iter().map(String::as_str))
    };
    found.cloned().ok_or_else(|| Fault::not_found("key", &name, nearest()))
}

pub(super) fn names(call: &Call) -> (&str, &str) {
    (call.param("provider"), call.param("key"))
}

pub(super) fn subject(call: &Call) -> String {
    format!("key/{}/{}", call.param("provider"), call.param("key"))
}

// === impl SourceView ===

impl SourceView {
    fn of(provider: &str, key: &KeyDocument, section: &Rotation) -> Option<Self> {
        let rotation = key.rotation.as_ref()?;
        let supply = &key.supply;
        Some(Self {
            from: rotation.source.place()?.to_string(),
            every_ms: rotation.every.or(section.every).map(Span::millis),
            due: schedule::at(&(provider.to_owned(), key.name.clone()), key, section),
            failures: supply.failures,
            not_before: supply.not_before,
            last: supply.last.clone(),
        })
    }
}

// === impl UseView ===

impl UseView {
    fn add(&mut self, other: &Self) {
        self.in_flight += other.in_flight;
        self.started += other.started;
        self.standby += other.standby;
        self.refused += other.refused;
        self.faults += other.faults;
        self.throttled += other.throttled;
        self.timeouts += other.timeouts;
        self.failed += other.failed;
        self.last_use = self.last_use.max(other.last_use);
    }
}

impl From<&keyway_proto::fleet::v1::KeyUse> for UseView {
    fn from(one: &keyway_proto::fleet::v1::KeyUse) -> Self {
        Self {
            in_flight: one.in_flight,
            started: one.started,
            standby: one.standby,
            refused: one.refused,
            faults: one.faults,
            throttled: one.throttled,
            timeouts: one.timeouts,
            failed: one.failed,
            last_use: one.last_use_unix_millis,
        }
    }
}

impl From<&Record> for Event {
    fn from(record: &Record) -> Self {
        let entry = &record.entry;
        Self {
            revision: record.revision,
            at: entry.at,
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            trace: entry.trace.clone(),
        }
    }
}
