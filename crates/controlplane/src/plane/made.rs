//! What a state comes to: settings, everything that replicas are sent, and what a change must not take along. Pure.

use crate::{
    compile::{Compiler, DataPlane},
    push::{Push, Sign, Signature},
    resource::{Body, Document, Held, Refusal, State},
    vault::Vault,
};
use keyway_catalog::Catalog;
use keyway_config::WhenSpoolFull;
use keyway_proto::snapshot::v1::Resource;
use keyway_snapshot::{Change, ResourceName, Resources, Snapshot};
use std::{sync::Arc, time::Duration};

/// How long replicas use secrets without word from here, unless the file says otherwise.
const LEASE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A change must not take a secret along to where it was not entered for. Where a provider moved by itself (its row in the
/// catalogue), its secrets are withheld instead.
pub(super) fn moved(
    name: &str,
    before: Option<&Arc<Held>>,
    document: &Document,
    now: &[Resource],
) -> Result<(), Refusal> {
    let (Some(Body::Provider { spec: old, .. }), Body::Provider { spec, keys }) =
        (before.map(|held| &held.document.body), &document.body)
    else {
        return Ok(());
    };
    let same = serde_json::to_value(old).ok() == serde_json::to_value(spec).ok();
    if same {
        return Ok(());
    }
    let origins = crate::compile::origins_in(now);
    for key in keys {
        for version in key.versions.iter().filter(|version| version.state.is_served()) {
            if let Some(origin) = origins.difference(&version.origins).next() {
                let allowed = version.origins.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(Refusal::Origin {
                    key: format!("{name}/{}", key.name),
                    origin: origin.clone(),
                    allowed,
                });
            }
        }
    }
    Ok(())
}

/// What is in every state beside documents.
pub(super) fn base(
    catalog: &Catalog,
    vault: &Vault,
    cluster: &str,
    state: &State,
) -> Result<Vec<Resource>, Refusal> {
    let lease = lease(state).map_or(0, |lease| lease.as_secs());
    let compiler = Compiler { catalog, secrets: &|_, _| None };
    let refuse_when_spool_full = state.usage().when_spool_full == Some(WhenSpoolFull::Refuse);
    compiler.base(&DataPlane { digest_key: vault.digest_key(), cluster, lease, refuse_when_spool_full })
}

pub(super) fn lease(state: &State) -> Option<Duration> {
    let set = state.rotation().lease.map(|span| Duration::from_millis(span.millis()));
    Some(set.unwrap_or(LEASE)).filter(|lease| !lease.is_zero())
}

pub(super) fn resources(base: &[Resource], state: &State) -> Vec<Resource> {
    base.iter().chain(state.resources()).cloned().collect()
}

/// A first state, checked as a replica would.
pub(super) fn first(base: &[Resource], state: &State, vault: &Vault) -> Result<Push, Refusal> {
    let snapshot = Snapshot::build(state.version(), &resources(base, state))?;
    Ok(Push::first(snapshot, vault)?)
}

/// What follows from a state by a change, checked as a replica would.
pub(super) fn next(before: &Push, change: &Change, state: &State, vault: &Vault) -> Result<Push, Refusal> {
    let snapshot = before.snapshot().changed(state.version(), change)?;
    Ok(before.next(snapshot, vault)?)
}

/// As `next`, where nobody knows what changed.
pub(super) fn after(before: &Push, base: &[Resource], state: &State, vault: &Vault) -> Result<Push, Refusal> {
    let now = Resources::whole(&resources(base, state))?;
    next(before, &before.resources().change_to(&now), state, vault)
}

/// What of `now` is not the same in `before`, and what of `old` is no more.
pub(super) fn differing(before: &Push, (old, now): (&[Resource], &[Resource]), change: &mut Change) {
    let named = |one: &Resource, other: &Resource| one.kind == other.kind && one.name == other.name;
    let gone = old.iter().filter(|old| !now.iter().any(|now| named(old, now)));
    change.taken.extend(gone.map(ResourceName::of));
    let known = |one: &Resource| before.resources().get(one.kind, &one.name) == Some(one);
    change.given.extend(now.iter().filter(|one| !known(one)).cloned());
}

impl Sign for Vault {
    fn sign(&self, bytes: &[u8]) -> Signature {
        Signature { signer: self.public_key(), bytes: self.sign(bytes) }
    }
}
