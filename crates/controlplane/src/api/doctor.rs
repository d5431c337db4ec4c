//! `GET /doctor`: gathers what the checks of `crate::doctor` need and gives their findings.

use super::{
    answer::{Answer, Fault},
    call::Call,
};
use crate::{
    attest::contradictions,
    compile::origins_in,
    doctor::{
        Finding, KeyFacts, certificates, clocks, configuration, hosts, keys, replicas, seal, store, told,
        usage,
    },
    fleet::keyless_id,
    plane::unix_millis,
    rekey,
    resource::{Body, Kind},
    rotation::{RolloutView, schedule},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How everything is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Doctor {
    /// Of the control plane's program.
    build: &'static str,
    /// Milliseconds since 1970, by the control plane's clock.
    at: u64,
    findings: Vec<Finding>,
}

pub(super) async fn look(call: Call) -> Result<Answer, Fault> {
    let plane = call.plane();
    let deep = call.query.get("deep").is_some_and(|deep| deep == "true");
    let verified = if deep { Some(plane.store().verify().await) } else { None };
    let (fleet, state, at) = (plane.fleet().list(), plane.state(), unix_millis());
    let findings = [
        seal(plane.vault().wrapped(), rekey::current(plane).as_ref(), at),
        store(&plane.store().condition(), verified.as_ref()),
        told(&contradictions(&**plane.store(), plane.fleet().told()).await),
        replicas(&fleet),
        hosts(&plane.fleet().hosts(), &fleet),
        clocks(&fleet),
        of_certificates(&call, at / 1000),
        of_keys(&call, at),
        of_usage(&call).await,
        configuration(&state.export()),
    ];
    Answer::json(&Doctor { build: env!("CARGO_PKG_VERSION"), at, findings: findings.concat() })
}

fn of_certificates(call: &Call, now: u64) -> Vec<Finding> {
    let Some(authority) = &call.api.authority else { return Vec::new() };
    let state = call.plane().state();
    let nodes: Vec<_> = state.nodes().collect();
    certificates(state.authority(), nodes.into_iter(), (authority.node_life_seconds(), now))
}

async fn of_usage(call: &Call) -> Vec<Finding> {
    match call.api.books.condition().await {
        Ok(condition) => usage(&condition, &call.plane().state().retention()),
        Err(error) => {
            vec![Finding::fail("usage", error.to_string(), "look at the disk of the data directory")]
        }
    }
}

fn of_keys(call: &Call, now: u64) -> Vec<Finding> {
    let state = call.plane().state();
    let origins: BTreeMap<&str, BTreeSet<String>> =
        state.each(Kind::Provider).map(|(name, held)| (name, origins_in(&held.resources))).collect();
    let mut all = Vec::new();
    for (provider, held) in state.each(Kind::Provider) {
        let (Body::Provider { keys, .. }, Some(origins)) = (&held.document.body, origins.get(provider))
        else {
            continue;
        };
        for key in keys {
            let rollout = RolloutView::of(call.plane(), &call.api.counts, provider, &key.name);
            let name = (provider, key.name.as_str());
            let closed = closed(call, provider, key);
            let (refused, used) = counted(call, name);
            let due = schedule::at(&(provider.to_owned(), key.name.clone()), key, &state.rotation());
            all.push(KeyFacts { provider, key, origins, closed, refused, used, rollout, due });
        }
    }
    keys(&all, &keyless(call, state.each(Kind::Provider).map(|(name, _)| name)), now)
}

/// Providers that refused what was sent without a key, and how often.
fn keyless<'a>(call: &Call, providers: impl Iterator<Item = &'a str>) -> Vec<(&'a str, u64)> {
    let replicas = call.plane().fleet().evidence();
    let refused = |provider: &str| {
        let id = keyless_id(provider);
        replicas.iter().filter_map(|replica| replica.uses.get(&id)).map(|used| used.refused).sum()
    };
    providers.map(|name| (name, refused(name))).filter(|(_, refused)| *refused > 0).collect()
}

/// Versions that replicas should have and whose secrets do not open.
fn closed(call: &Call, provider: &str, key: &crate::resource::KeyDocument) -> BTreeMap<u32, String> {
    let served = key.versions.iter().filter(|version| version.state.is_served());
    let opened = served.filter_map(|version| {
        let opened = call.plane().vault().open(&version.secret_id(provider, &key.name), &version.origins);
        opened.err().map(|error| (version.version, error.to_string()))
    });
    opened.collect()
}

/// Refusals that replicas counted, by version, and versions that some attempt took.
fn counted(call: &Call, (provider, key): (&str, &str)) -> (BTreeMap<u32, u64>, BTreeSet<u32>) {
    let prefix = format!("{provider}/{key}/");
    let (mut refused, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for replica in call.plane().fleet().evidence() {
        for (id, used) in &replica.uses {
            if let Some(version) = id.strip_prefix(&prefix).and_then(|number| number.parse().ok()) {
                *refused.entry(version).or_default() += used.refused;
                taken.extend((used.started > 0).then_some(version));
            }
        }
    }
    (refused, taken)
}
