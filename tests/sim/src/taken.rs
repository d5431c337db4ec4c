//! A state as it comes over the wire, to the snapshot that a data plane would serve.

use keyway_proto::{
    fleet::v1::{Ack, Begin, Chunk, Commit, KeyUse, Nack, from_replica::Message},
    snapshot::v1::Resource,
};
use keyway_snapshot::{Snapshot, Version, state_hash};
use std::time::Instant;

/// What one replica serves and what is on its way to it.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// What it serves.
    pub(crate) serving: Option<Snapshot>,
    refuses: bool,
    coming: Vec<Resource>,
    began: Option<Instant>,
}

// === impl Taken ===

impl Taken {
    /// Nothing yet; one that refuses never takes anything.
    pub(crate) fn new(refuses: bool) -> Self {
        Self { refuses, ..Self::default() }
    }

    pub(crate) fn begin(&mut self, _begin: &Begin) {
        self.coming.clear();
        self.began = Some(Instant::now());
    }

    pub(crate) fn chunk(&mut self, chunk: Chunk) {
        self.coming.extend(chunk.resources);
    }

    /// What to answer.
    pub(crate) fn commit(&mut self, commit: &Commit) -> Message {
        let resources = std::mem::take(&mut self.coming);
        let version = commit.version;
        if self.refuses {
            return nack(version, "client/tester: models", "this replica was told to refuse".to_owned());
        }
        if state_hash(&resources).0 != *commit.state_hash {
            return nack(version, "state_hash", "does not match what came".to_owned());
        }
        match Snapshot::build(version.map(Version::from).unwrap_or_default(), &resources) {
            Err(invalid) => nack(version, &invalid.field, invalid.to_string()),
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
