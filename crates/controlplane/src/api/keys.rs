//! Provider keys: list, show, and every change of their versions. A secret comes in and never goes out.

use super::{
    answer::{Answer, Fault},
    call::Call,
    view::KeyView,
};
use crate::{
    plane::unix_millis,
    resource::{Body, How, KeyDocument, Kind, Proposal, Refusal, Step, Verdict},
    rotation::RolloutView,
    store::Record,
};
use http::StatusCode;
use keyway_config::{Secret, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// A change answers once it is in use or has failed; probing takes a few seconds at most.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Records of a history at most.
const HISTORY: usize = 1000;
/// Records that are read from the audit log at a time.
const PAGE: usize = 1000;

/// A new secret, and how it comes into use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSecret {
    /// What the provider is shown.
    secret: Secret,
    /// `false`: the provider is not asked first.
    verify: Option<bool>,
    /// Ends once it is verified; `promote` takes it into use.
    #[serde(default)]
    hold: bool,
    /// How long old versions stay as standby.
    overlap: Option<Span>,
    /// After this a replica that has not acknowledged is silent.
    ack_timeout: Option<Span>,
    /// Share of the requests, for a new key.
    weight: Option<u32>,
}

/// Which version, and how it comes or goes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    /// Absent: the one that the verb means by itself.
    version: Option<u32>,
    /// Revoke only: attempts that use it may finish.
    graceful: bool,
    /// `false`: the provider is not asked first.
    verify: Option<bool>,
    /// How long old versions stay as standby.
    overlap: Option<Span>,
    /// After this a replica that has not acknowledged is silent.
    ack_timeout: Option<Span>,
}

/// Where a key may go too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrigin {
    /// `https://api.example.com`.
    origin: String,
}

/// A key.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct KeyDetail {
    provider: String,
    #[serde(flatten)]
    key: KeyView,
    /// Use of each version, summed over all replicas.
    #[serde(rename = "use")]
    used: BTreeMap<u32, UseView>,
    /// The newest change of versions.
    rollout: Option<RolloutView>,
}

/// How one version is used.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct UseView {
    /// Attempts that use it now.
    in_flight: u64,
    /// Attempts that took it, since the replicas started.
    started: u64,
    /// Of these, as standby.
    standby: u64,
    /// That the provider answered with 401 or 403.
    refused: u64,
    /// Milliseconds since 1970; 0 = never.
    last_use: u64,
}

/// One line of a key's history.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Event {
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
pub(super) struct History {
    /// `provider/key`.
    key: String,
    versions: Vec<super::view::KeyVersionView>,
    events: Vec<Event>,
    replicas: Vec<ReplicaUse>,
    rollout: Option<RolloutView>,
    /// When this was made, milliseconds since 1970.
    at: u64,
}

/// How one replica uses a key.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReplicaUse {
    replica: String,
    /// What it serves.
    snapshot: Option<String>,
    /// What it would serve after a restart.
    kept: Option<String>,
    /// By version.
    versions: BTreeMap<u32, UseView>,
}

/// What proves a rollout: the history, and a signature of the control plane over its exact text.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Report {
    /// JSON; the signature is over these bytes.
    evidence: String,
    /// Ed25519, hex.
    signature: String,
    /// Of the control plane, hex.
    public_key: String,
}

pub(super) async fn list(call: Call) -> Result<Answer, Fault> {
    let state = call.plane().state();
    let mut all = Vec::new();
    for (provider, held) in state.each(Kind::Provider) {
        let Body::Provider { keys, .. } = &held.document.body else { continue };
        all.extend(keys.iter().map(|key| detail(&call, provider, key)));
    }
    Answer::json(&all)
}

pub(super) async fn show(call: Call) -> Result<Answer, Fault> {
    Answer::json(&detail(&call, call.param("provider"), &find(&call)?))
}

pub(super) async fn rollout(call: Call) -> Result<Answer, Fault> {
    Answer::json(&rollout_of(&call)?)
}

pub(super) async fn history(call: Call) -> Result<Answer, Fault> {
    Answer::json(&history_of(&call).await?)
}

pub(super) async fn report(call: Call) -> Result<Answer, Fault> {
    let history = history_of(&call).await?;
    let evidence =
        serde_json::to_string(&history).map_err(|_| Fault::internal("a history that is no JSON"))?;
    let vault = call.plane().vault();
    let signature = hex(&vault.sign(evidence.as_bytes()));
    Answer::json(&Report { evidence, signature, public_key: hex(&vault.public_key()) })
}

pub(super) async fn add(call: Call) -> Result<Answer, Fault> {
    let new: NewSecret = body(&call)?;
    let (provider, key) = names(&call)?;
    changed(&call, |proposal| proposal.add_key(provider, key, new.secret.expose(), &new.how())).await
}

pub(super) async fn rotate(call: Call) -> Result<Answer, Fault> {
    let new: NewSecret = body(&call)?;
    let (provider, key) = names(&call)?;
    changed(&call, |proposal| proposal.rotate_key(provider, key, new.secret.expose(), &new.how())).await
}

pub(super) async fn promote(call: Call) -> Result<Answer, Fault> {
    let which: Which = body(&call)?;
    let (provider, key) = names(&call)?;
    changed(&call, |proposal| proposal.promote_key(provider, key, which.version, &which.how())).await
}

pub(super) async fn rollback(call: Call) -> Result<Answer, Fault> {
    let which: Which = body(&call)?;
    let (provider, key) = names(&call)?;
    changed(&call, |proposal| proposal.rollback_key(provider, key, which.version, &which.how())).await
}

pub(super) async fn revoke(call: Call) -> Result<Answer, Fault> {
    let which: Which = body(&call)?;
    let (provider, key) = names(&call)?;
    changed(&call, |proposal| proposal.revoke_key(provider, key, which.version, &which.how())).await
}

pub(super) async fn destroy(call: Call) -> Result<Answer, Fault> {
    let Which { version, .. } = body(&call)?;
    let version = version.ok_or_else(|| Fault::malformed("`version` is missing"))?;
    let (provider, key) = names(&call)?;
    let author = call.author(&subject(&call));
    call.plane().change(&author, |proposal| proposal.destroy_key(provider, key, version)).await?;
    Answer::json(&detail(&call, provider, &find(&call)?))
}

pub(super) async fn allow_origin(call: Call) -> Result<Answer, Fault> {
    let NewOrigin { origin } = body(&call)?;
    let (provider, key) = names(&call)?;
    let author = call.author(&subject(&call));
    call.plane().change(&author, |proposal| proposal.allow_origin(provider, key, &origin)).await?;
    Answer::json(&detail(&call, provider, &find(&call)?))
}

/// Makes a change and answers once it is in use, held back, or has failed.
async fn changed(
    call: &Call,
    propose: impl FnOnce(&mut Proposal<'_>) -> Result<(), Refusal>,
) -> Result<Answer, Fault> {
    let mut keys = call.plane().key_changes();
    let (before, began) = (call.plane().fleet().evidence(), Instant::now());
    call.plane().change(&call.author(&subject(call)), propose).await?;
    let (provider, key) = names(call)?;
    call.api.counts.committed(&(provider.to_owned(), key.to_owned()), &find(call)?, &before, began);
    let settled = async {
        loop {
            let view = rollout_of(call)?;
            if view.step >= Step::Active {
                return Ok(view);
            }
            if keys.changed().await.is_err() {
                return Err(Fault::internal("the control plane stops"));
            }
        }
    };
    // Beyond the limit it goes on by itself: the view says how far it is.
    let view = match timeout(ANSWER_LIMIT, settled).await {
        Ok(view) => view?,
        Err(_) => rollout_of(call)?,
    };
    match view.probe.as_ref().map(|probe| probe.verdict) {
        Some(Verdict::Rejected) if view.step == Step::Failed => {
            Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "key_probe_failed", failure(&view)))
        }
        Some(Verdict::Unreachable) if view.step == Step::Failed => {
            Err(Fault::new(StatusCode::BAD_GATEWAY, "provider_unreachable", failure(&view)))
        }
        _ => Answer::json(&view),
    }
}

fn failure(view: &RolloutView) -> String {
    let why = view.failure.as_deref().unwrap_or("the provider was not reached");
    format!("{why}; the version in use stays, and nothing else has to be done")
}

/// The newest rollout of the key in the path.
pub(super) fn rollout_of(call: &Call) -> Result<RolloutView, Fault> {
    let (provider, key) = names(call)?;
    let found = RolloutView::of(call.plane(), &call.api.counts, provider, key);
    found.ok_or_else(|| Fault::not_found("rotation of the key", &format!("{provider}/{key}"), Vec::new()))
}

fn detail(call: &Call, provider: &str, key: &KeyDocument) -> KeyDetail {
    let mut used: BTreeMap<u32, UseView> = BTreeMap::new();
    for replica in replica_uses(call, provider, key) {
        for (version, one) in replica.versions {
            used.entry(version).or_default().add(&one);
        }
    }
    KeyDetail {
        provider: provider.to_owned(),
        key: KeyView::from(key),
        used,
        rollout: RolloutView::of(call.plane(), &call.api.counts, provider, &key.name),
    }
}

fn replica_uses(call: &Call, provider: &str, key: &KeyDocument) -> Vec<ReplicaUse> {
    let fleet = call.plane().fleet().evidence();
    let used = fleet.into_iter().map(|replica| {
        let of = |version: u32| replica.uses.get(&format!("{provider}/{}/{version}", key.name));
        let versions =
            key.versions.iter().filter_map(|one| Some((one.version, UseView::from(of(one.version)?))));
        ReplicaUse {
            versions: versions.collect(),
            snapshot: replica.serves.map(|at| at.to_string()),
            kept: replica.kept.map(|at| at.to_string()),
            replica: replica.id.clone(),
        }
    });
    used.collect()
}

async fn history_of(call: &Call) -> Result<History, Fault> {
    let key = find(call)?;
    let (provider, name) = names(call)?;
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
        versions: KeyView::from(&key).versions,
        events,
        replicas: replica_uses(call, provider, &key),
        rollout: RolloutView::of(call.plane(), &call.api.counts, provider, name),
        at: unix_millis(),
    })
}

fn find(call: &Call) -> Result<KeyDocument, Fault> {
    let (provider, key) = names(call)?;
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

fn names(call: &Call) -> Result<(&str, &str), Fault> {
    Ok((call.param("provider"), call.param("key")))
}

fn subject(call: &Call) -> String {
    format!("key/{}/{}", call.param("provider"), call.param("key"))
}

fn body<T: serde::de::DeserializeOwned>(call: &Call) -> Result<T, Fault> {
    let value = if call.body.is_empty() { Value::Object(serde_json::Map::new()) } else { call.value()? };
    // The parser's words may repeat a value, and that may be a secret.
    let told = |error: serde_json::Error| Fault::malformed(words(&error.to_string()));
    serde_json::from_value(value).map_err(told)
}

/// What is wrong, without what was sent.
fn words(error: &str) -> String {
    let known = ["missing field", "unknown field", "invalid type", "invalid value"];
    let kind = known.into_iter().find(|kind| error.starts_with(kind)).unwrap_or("it does not fit");
    let field = error.split('`').nth(1).filter(|_| kind.ends_with("field")).unwrap_or_default();
    format!("the body does not fit: {kind} {field}; GET /api/v1/openapi.json describes it")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// === the other types ===

impl NewSecret {
    fn how(&self) -> How {
        How {
            unverified: self.verify == Some(false),
            hold: self.hold,
            overlap_ms: self.overlap.map(Span::millis),
            ack_timeout_ms: self.ack_timeout.map(Span::millis),
            weight: self.weight,
            ..How::default()
        }
    }
}

impl Which {
    fn how(&self) -> How {
        How {
            unverified: self.verify == Some(false),
            overlap_ms: self.overlap.map(Span::millis),
            ack_timeout_ms: self.ack_timeout.map(Span::millis),
            graceful: self.graceful,
            ..How::default()
        }
    }
}

impl UseView {
    fn add(&mut self, other: &Self) {
        self.in_flight += other.in_flight;
        self.started += other.started;
        self.standby += other.standby;
        self.refused += other.refused;
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
