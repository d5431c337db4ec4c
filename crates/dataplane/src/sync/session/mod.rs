//! One Sync stream as the replica sees it, without I/O: messages come in, what is to be built or a refusal comes out.
//! Building takes time and memory, so it is apart: the caller does it where nobody waits for it. Nothing is used of a
//! state before all of it holds: its size, its hash, its signature, its resources.

use super::trust::{Signature, Trust};
use bytes::Bytes;
use keyway_proto::{
    SCHEMA, STATE_LIMIT, feature,
    fleet::v1::{Begin, Chunk, Commit, Nack, Part},
    snapshot::v1::{Kind, Resource},
};
use keyway_snapshot::{
    Change, Invalid, Parts, ResourceName, Resources, Snapshot, StateHash, Version, signed,
};
use prost::Message;
use std::sync::Arc;
use zeroize::Zeroizing;

/// One stream.
#[derive(Debug, Default)]
pub(crate) struct Session {
    serving: Option<Arc<Snapshot>>,
    coming: Option<Coming>,
}

/// What came whole, to be built.
#[derive(Debug)]
pub(crate) struct Build {
    /// What it is built upon; absent = nothing, it is a whole state.
    base: Option<Arc<Snapshot>>,
    /// Of the state that is served; empty = not said.
    cluster: Box<str>,
    change: Change,
    /// Of resources and removals.
    bytes: u64,
    commit: Commit,
    trust: Trust,
}

/// A state that holds.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) signature: Signature,
    /// It came as everything, not as what changed.
    pub(crate) whole: bool,
    /// In which it came.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Coming {
    begin: Begin,
    base: Option<Arc<Snapshot>>,
    change: Change,
    bytes: u64,
    refused: Option<Nack>,
}

// === impl Session ===

impl Session {
    /// What this replica serves from, if anything.
    pub(crate) fn new(serving: Option<Arc<Snapshot>>) -> Self {
        Self { serving, coming: None }
    }

    /// A state begins: another that was under way is forgotten.
    pub(crate) fn begin(&mut self, begin: Begin) {
        let version = begin.version.map(Version::from).unwrap_or_default();
        let serving = self.serving.as_ref();
        let lacks = begin.needs.iter().find(|need| !feature::ALL.contains(&need.as_str()));
        let base = begin.base.map(Version::from).map(|base| {
            serving.filter(|held| held.version == base && held.hash.0 == *begin.base_hash).cloned()
        });
        let refused = if begin.schema != SCHEMA {
            Some(nack(version, "schema", format!("this replica reads schema {SCHEMA}, not {}", begin.schema)))
        } else if let Some(feature) = lacks {
            Some(nack(version, "needs", format!("this replica does not know {feature}")))
        } else if begin.bytes > STATE_LIMIT {
            Some(nack(version, "bytes", format!("more than {STATE_LIMIT} bytes")))
        } else if serving.is_some_and(|serving| version < serving.version) {
            Some(nack(version, "version", "older than what this replica serves".to_owned()))
        } else if matches!(base, Some(None)) {
            Some(resend(version, "base", "is not what this replica serves"))
        } else {
            None
        };
        let (base, change) = (base.flatten(), Change::default());
        self.coming = Some(Coming { begin, base, change, bytes: 0, refused });
    }

    /// A part of it.
    pub(crate) fn chunk(&mut self, chunk: Chunk) {
        let Some(coming) = self.coming.as_mut().filter(|coming| coming.refused.is_none()) else { return };
        coming.bytes += chunk.resources.iter().map(|one| one.encoded_len() as u64).sum::<u64>();
        coming.bytes += chunk.removals.iter().map(|one| one.encoded_len() as u64).sum::<u64>();
        let Change { given, taken } = &mut coming.change;
        given.extend(chunk.resources.into_iter().map(own));
        let removals = chunk.removals.into_iter();
        taken.extend(removals.map(|one| ResourceName { kind: one.kind, name: one.name }));
        let Begin { bytes, resources, removals, .. } = coming.begin;
        if coming.bytes > bytes || given.len() as u64 > resources || taken.len() as u64 > removals {
            let version = coming.begin.version.map(Version::from).unwrap_or_default();
            coming.refused = Some(nack(version, "chunk", "more than was announced".to_owned()));
            coming.change = Change::default();
        }
    }

    /// All of it came: what is to be built.
    ///
    /// # Errors
    /// What to tell the control plane; what was served before stays.
    pub(crate) fn commit(&mut self, commit: Commit, trust: &Trust) -> Result<Build, Nack> {
        let version = commit.version.map(Version::from).unwrap_or_default();
        let refuse = |field: &str, reason: &str| Err(nack(version, field, reason.to_owned()));
        let Some(coming) = self.coming.take() else { return refuse("commit", "without a beginning") };
        if let Some(refused) = coming.refused {
            return Err(refused);
        }
        let Coming { begin, base, change, bytes, .. } = coming;
        if begin.version.map(Version::from) != Some(version) {
            return refuse("version", "is not the one that began");
        }
        let counts = (change.given.len() as u64, change.taken.len() as u64, bytes);
        if counts != (begin.resources, begin.removals, begin.bytes) {
            return refuse("commit", "less than was announced");
        }
        let cluster = self.serving.as_ref().map(|held| held.settings.cluster.clone()).unwrap_or_default();
        Ok(Build { base, cluster, change, bytes, commit, trust: trust.clone() })
    }

    /// It was built and is served from now on.
    pub(crate) fn serves(&mut self, snapshot: &Arc<Snapshot>) {
        self.serving = Some(Arc::clone(snapshot));
    }
}

// === impl Build ===

impl Build {
    /// Of which state.
    pub(crate) fn version(&self) -> Version {
        self.commit.version.map(Version::from).unwrap_or_default()
    }

    /// The state, if all of it holds.
    ///
    /// # Errors
    /// What to tell the control plane.
    pub(crate) fn run(self) -> Result<Built, Nack> {
        let version = self.version();
        let invalid = |why: Invalid| nack(version, &format!("{}: {}", why.name, why.field), why.to_string());
        let refuse = |field: &str, reason: String| Err(nack(version, field, reason));
        let needs = self.change.given.iter().find_map(|one| {
            let lacks = one.needs.iter().find(|need| !feature::ALL.contains(&need.as_str()));
            lacks.map(|feature| (&one.name, feature))
        });
        if let Some((name, feature)) = needs {
            return refuse(&format!("{name}: needs"), format!("this replica does not know {feature}"));
        }
        let resources = match &self.base {
            Some(base) => base.resources().changed(&self.change),
            None => Resources::whole(&self.change.given).map_err(invalid)?,
        };
        let roots = resources.roots();
        if !is(roots.all, &self.commit.state_hash) {
            return Err(match self.base {
                Some(_) => resend(version, "state_hash", "does not match what the change leads to"),
                None => nack(version, "state_hash", "does not match what came".to_owned()),
            });
        }
        let cluster = resources.cluster();
        if !self.cluster.is_empty() && *self.cluster != *cluster {
            let reason = "is not the one whose state this replica serves";
            return refuse("settings: cluster", reason.to_owned());
        }
        let Commit { signature, signer, secrets, configuration, .. } = self.commit;
        let signature = Signature { signer, bytes: signature };
        let bytes = signed(&cluster, version, roots.all, SCHEMA);
        if let Err(why) = self.trust.verify(&bytes, &signature) {
            return refuse("signature", why.to_string());
        }
        let mut snapshot = match &self.base {
            Some(base) => base.with(version, &self.change, resources),
            None => Snapshot::of(version, resources),
        }
        .map_err(invalid)?;
        if let Some((secrets, configuration)) = secrets.zip(configuration) {
            if !is(roots.secrets, &secrets.hash) || !is(roots.configuration, &configuration.hash) {
                return refuse("commit", "its parts are not those of the state".to_owned());
            }
            let of = |part: Part| part.version.map_or(version, Version::from);
            snapshot.parts = Parts { secrets: of(secrets), configuration: of(configuration) };
        }
        let (snapshot, whole) = (Arc::new(snapshot), self.base.is_none());
        Ok(Built { snapshot, signature, whole, bytes: self.bytes })
    }
}

/// In memory of its own, so that it is wiped when the last state that holds it is dropped, whatever came with it.
pub(super) fn own(resource: Resource) -> Resource {
    let body = match resource.kind() {
        Kind::Credential | Kind::Client | Kind::Settings => {
            Bytes::from_owner(Zeroizing::new(resource.body.to_vec()))
        }
        Kind::Unspecified | Kind::Provider | Kind::Model => Bytes::copy_from_slice(&resource.body),
    };
    Resource { body, ..resource }
}

fn is(hash: StateHash, said: &[u8]) -> bool {
    hash.0 == *said
}

fn nack(version: Version, field: &str, reason: String) -> Nack {
    Nack { version: Some(version.into()), field: field.to_owned(), reason, resend: false }
}

/// The whole state would do.
fn resend(version: Version, field: &str, reason: &str) -> Nack {
    Nack { resend: true, ..nack(version, field, reason.to_owned()) }
}

/// For a state whose building did not come to an end.
pub(crate) fn unbuilt(version: Version, reason: &str) -> Nack {
    nack(version, "state", reason.to_owned())
}

#[cfg(test)]
mod tests;
