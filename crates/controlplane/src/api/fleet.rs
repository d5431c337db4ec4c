//! Replicas, status, and keys tried on a replica.

use super::{
    answer::{Answer, Fault},
    call::Call,
    resources::find,
};
use crate::{
    compile::SANDBOX,
    fleet::{Asked, KEYLESS, Replica, ReplicaState, is_of},
    resource::{Body, Held, Kind, NodeDocument, Proposal, ReplicaDocument, Verdict},
};
use http::StatusCode;
use keyway_proto::snapshot::v1 as wire;
use prost::Message;
use schemars::JsonSchema;
use serde::Serialize;

/// What runs.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Status {
    /// The state in force, `epoch.counter`.
    version: String,
    /// Of the program.
    build: &'static str,
    /// Replicas that are connected.
    replicas: usize,
    /// Replicas that serve the state in force.
    ready: usize,
    /// Providers, models, teams, clients and sections.
    resources: usize,
    /// Seconds.
    uptime: u64,
    /// The control plane that answers, which is the one that leads; absent = it is the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    control_plane: Option<String>,
}

/// What a provider said to one version of a key.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Tried {
    key: String,
    version: u32,
    /// HTTP status; 0 = no answer.
    status: u32,
    latency_ms: f64,
    /// Whether the provider took it.
    ok: bool,
    /// What the answer says of the key.
    verdict: Verdict,
    /// Why not.
    reason: String,
}

pub(super) async fn list(call: Call) -> Result<Answer, Fault> {
    Answer::json(&call.plane().fleet().list())
}

pub(super) async fn show(call: Call) -> Result<Answer, Fault> {
    Answer::json(&one(&call)?)
}

pub(super) async fn drain(call: Call) -> Result<Answer, Fault> {
    let id = one(&call)?.id;
    call.record(&format!("replica/{id}")).await?;
    let ordered = call.plane().fleet().drain(&id, "ordered by an operator");
    let failed = |_| Fault::new(StatusCode::CONFLICT, "not_connected", format!("`{id}` is not connected"));
    ordered.map_err(failed)?;
    Answer::json(&one(&call).ok())
}

/// A replica that may not come back, and what it could see.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Evicted {
    id: String,
    /// Key versions that it may still hold: rotate them.
    keys: Vec<String>,
}

/// A node goes with all of its replicas; a replica goes alone, unless it is its node's only one.
pub(super) async fn evict(call: Call) -> Result<Answer, Fault> {
    let id = call.param("id").to_owned();
    let node = call.plane().state().node(&id).cloned();
    if !call.plane().state().nodes().any(|(name, _)| is_of(&id, name)) {
        return evict_own(call, &id).await;
    }
    let of_node = format!("{id}~");
    let is_meant =
        |replica: &Replica| replica.id == id || (node.is_some() && replica.id.starts_with(&of_node));
    let mut replicas: Vec<(String, ReplicaDocument)> = match &node {
        None => Vec::from([one(&call)?]),
        Some(_) => call.plane().fleet().list().into_iter().filter(is_meant).collect(),
    }
    .into_iter()
    .map(|Replica { id, host, supervisor, .. }| {
        (id, ReplicaDocument { host, supervisor: supervisor.unwrap_or_default(), evicted: true })
    })
    .collect();
    if let Some(node) = node.as_ref().filter(|_| replicas.is_empty()) {
        let (host, supervisor) = (node.host.clone(), String::new());
        replicas.push((id.clone(), ReplicaDocument { host, supervisor, evicted: true }));
    }
    let author = call.author(&format!("{}/{id}", if node.is_some() { "node" } else { "replica" }));
    let evicted = |proposal: &mut Proposal<'_>| {
        if let Some(node) = proposal.state.node(&id).cloned() {
            proposal.put(Kind::Node, &id, Body::Node(NodeDocument { evicted: true, ..node }))?;
        }
        let mut each = replicas.iter();
        each.try_for_each(|(id, out)| proposal.put(Kind::Replica, id, Body::Replica(out.clone())))
    };
    call.plane().change(&author, evicted).await?;
    for (id, _) in &replicas {
        call.plane().fleet().evict(id);
    }
    evicted_with_keys(&call, id)
}

/// A replica of no node that joined is a data plane of `keyway up` itself: it forgets what it holds and ends, and may come
/// back when `keyway up` is started again.
async fn evict_own(call: Call, id: &str) -> Result<Answer, Fault> {
    one(&call)?;
    let fleet = call.plane().fleet();
    // One that is lost hears nothing, and has nobody to serve.
    let _ = fleet.drain(id, "evicted by an operator");
    let forget = |proposal: &mut Proposal<'_>| match proposal.state.get(Kind::Replica, id) {
        Some(_) => proposal.delete(Kind::Replica, id),
        None => Ok(()),
    };
    call.plane().change(&call.author(&format!("replica/{id}")), forget).await?;
    fleet.evict(id);
    evicted_with_keys(&call, id.to_owned())
}

fn evicted_with_keys(call: &Call, id: String) -> Result<Answer, Fault> {
    let state = call.plane().state();
    let held = state.keys().flat_map(|(provider, key)| {
        let served = key.versions.iter().filter(|version| version.state.is_served());
        served.map(move |version| format!("{provider}/{}/{}", key.name, version.version))
    });
    Answer::json(&Evicted { id, keys: held.collect() })
}

pub(super) async fn status(call: Call) -> Result<Answer, Fault> {
    let plane = call.plane();
    let (version, replicas) = (plane.version(), plane.fleet().list());
    let connected = replicas.iter().filter(|replica| replica.state != ReplicaState::Lost);
    Answer::json(&Status {
        version: version.to_string(),
        build: env!("CARGO_PKG_VERSION"),
        replicas: connected.count(),
        ready: plane.fleet().serving(version),
        resources: Kind::OF_FILE.into_iter().map(|kind| plane.state().each(kind).count()).sum(),
        uptime: plane.started().elapsed().as_secs(),
        control_plane: plane.store().shared().map(|shared| shared.me().name.clone()),
    })
}

/// One small call for each key, one after the other; one without a key where none is wanted.
pub(super) async fn test_provider(call: Call) -> Result<Answer, Fault> {
    let subject = Kind::Provider.key(call.name()).to_string();
    if call.name() == SANDBOX {
        call.record(&subject).await?;
        return Answer::json(&[tried(&call, KEYLESS, 0).await?]);
    }
    let held = find(&call, Kind::Provider)?;
    let Body::Provider { keys, .. } = &held.document.body else {
        return Err(Fault::internal("a provider of another kind"));
    };
    call.record(&subject).await?;
    if is_keyless(&held) {
        return Answer::json(&[tried(&call, KEYLESS, 0).await?]);
    }
    let mut all = Vec::new();
    for key in keys {
        if let Some(active) = key.active() {
            all.push(tried(&call, &key.name, active.version).await?);
        }
    }
    Answer::json(&all)
}

fn is_keyless(held: &Held) -> bool {
    let provider = held.resources.first().and_then(|first| wire::Provider::decode(first.body.clone()).ok());
    provider.is_some_and(|provider| !crate::compile::sends_key(&provider))
}

async fn tried(call: &Call, key: &str, version: u32) -> Result<Tried, Fault> {
    let probed =
        call.plane().fleet().probe(&Asked { provider: call.name(), key, version, secret: None }).await?;
    let verdict = Verdict::of(probed.status, probed.key_invalid);
    Ok(Tried {
        key: key.to_owned(),
        version,
        status: probed.status,
        latency_ms: probed.latency.as_secs_f64() * 1000.0,
        ok: verdict == Verdict::Verified,
        verdict,
        reason: probed.reason,
    })
}

fn one(call: &Call) -> Result<Replica, Fault> {
    let id = call.param("id");
    let (replicas, state) = (call.plane().fleet().list(), call.plane().state());
    let names = replicas.iter().map(|replica| replica.id.as_str()).chain(state.nodes().map(|(name, _)| name));
    let nearest = keyway_config::nearest(id, names);
    let found = replicas.into_iter().find(|replica| replica.id == id);
    found.ok_or_else(|| Fault::not_found("replica", id, nearest))
}
