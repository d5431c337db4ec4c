//! A state as it comes over the wire, to the snapshot that a data plane would serve.

use keyway_proto::fleet::v1::{Ack, Begin, Chunk, Commit, KeyUse, Nack, from_replica::Message};
use keyway_snapshot::{Change, ResourceName, Resources, Snapshot, Version};
use std::time::Instant;

/// What one replica serves and what is on its way to it.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// What it serves.
    pub(crate) serving: Option<Snapshot>,
    refuses: bool,
    coming: Change,
    /// On top of which state it is to be put; absent = it is the whole.
    base: Option<Version>,
    began: Option<Instant>,
}

// === impl Taken ===

impl Taken {
    /// Nothing yet; one that refuses never takes anything.
    pub(crate) fn new(refuses: bool) -> Self {
        Self { refuses, ..Self::default() }
    }

    pub(crate) fn begin(&mut self, begin: &Begin) {
        self.coming = Change::default();
        self.base = begin.base.map(Version::from);
        self.began = Some(Instant::now());
    }

    pub(crate) fn chunk(&mut self, chunk: Chunk) {
        self.coming.given.extend(chunk.resources);
        let removals = chunk.removals.into_iter();
        self.coming.taken.extend(removals.map(|one| ResourceName { kind: one.kind, name: one.name }));
    }

    /// What to answer.
    pub(crate) fn commit(&mut self, commit: &Commit) -> Message {
        let (change, base) = (std::mem::take(&mut self.coming), self.base.take());
        let version = commit.version;
        if self.refuses {
            return nack(version, "client/tester: models", "this replica was told to refuse".to_owned());
        }
        let number = version.map(Version::from).unwrap_or_default();
        let built = match (base, self.serving.as_ref()) {
            (None, _) => Resources::whole(&change.given).and_then(|all| Snapshot::of(number, all)),
            (Some(base), Some(serving)) if serving.version == base => serving.changed(number, &change),
            (Some(_), _) => {
                let (field, reason) = ("base".to_owned(), "is not what is served here".to_owned());
                return Message::Nack(Nack { version, field, reason, resend: true });
            }
        };
        match built {
            Err(invalid) => nack(version, &invalid.field, invalid.to_string()),
            Ok(snapshot) if snapshot.hash.0 != *commit.state_hash => {
                nack(version, "state_hash", "does not match what came".to_owned())
            }
            Ok(snapshot) => {
                let took = self.began.take().map_or(0, |began| began.elapsed().as_micros());
                self.serving = Some(snapshot);
                let apply_micros = u64::try_from(took).unwrap_or(u64::MAX);
                Message::Ack(Ack { version, state_hash: commit.state_hash.clone(), apply_micros })
            }
        }
    }

    /// Every key version that it holds; nobody asks it, so none is in use.
    pub(crate) fn keys(&self) -> Vec<KeyUse> {
        let held = self.serving.iter().flat_map(|snapshot| snapshot.credentials.values().flatten());
        held.map(|one| KeyUse {
            id: format!("{}/{}/{}", one.provider, one.key, one.version),
            state: one.state as i32,
            ..KeyUse::default()
        })
        .collect()
    }
}

fn nack(version: Option<keyway_proto::snapshot::v1::Version>, field: &str, reason: String) -> Message {
    Message::Nack(Nack { version, field: field.to_owned(), reason, resend: false })
}
