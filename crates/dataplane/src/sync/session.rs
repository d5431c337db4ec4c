//! One Sync stream as the replica sees it, without I/O: chunks come in, a whole state or a refusal comes out.

use keyway_proto::{
    SCHEMA, STATE_LIMIT,
    fleet::v1::{Begin, Chunk, Commit, Nack},
    snapshot::v1::Resource,
};
use keyway_snapshot::{Snapshot, StateHash, Version, state_hash};
use prost::Message;

/// A state under way.
#[derive(Debug, Default)]
pub(crate) struct Session {
    serving: Option<Version>,
    coming: Option<Coming>,
}

#[derive(Debug)]
struct Coming {
    begin: Begin,
    resources: Vec<Resource>,
    bytes: u64,
    refused: Option<Nack>,
}

// === impl Session ===

impl Session {
    pub(crate) fn new(serving: Option<Version>) -> Self {
        Self { serving, coming: None }
    }

    pub(crate) fn begin(&mut self, begin: Begin) {
        let version = begin.version.map(Version::from).unwrap_or_default();
        let refused = if begin.schema != SCHEMA {
            Some(nack(version, "schema", format!("this replica reads schema {SCHEMA}, not {}", begin.schema)))
        } else if begin.bytes > STATE_LIMIT {
            Some(nack(version, "bytes", format!("more than {STATE_LIMIT} bytes")))
        } else if self.serving.is_some_and(|serving| version < serving) {
            Some(nack(version, "version", "older than what this replica serves".to_owned()))
        } else {
            None
        };
        self.coming = Some(Coming { begin, resources: Vec::new(), bytes: 0, refused });
    }

    pub(crate) fn chunk(&mut self, chunk: Chunk) {
        let Some(coming) = &mut self.coming else { return };
        if coming.refused.is_some() {
            return;
        }
        coming.bytes += chunk.resources.iter().map(|resource| resource.encoded_len() as u64).sum::<u64>();
        coming.resources.extend(chunk.resources);
        if coming.bytes > coming.begin.bytes || coming.resources.len() as u64 > coming.begin.resources {
            let version = coming.begin.version.map(Version::from).unwrap_or_default();
            coming.refused = Some(nack(version, "chunk", "more than was announced".to_owned()));
            coming.resources = Vec::new();
        }
    }

    /// The whole state, checked.
    ///
    /// # Errors
    /// What to tell the control plane; what was served before stays.
    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<Snapshot, Nack> {
        let version = commit.version.map(Version::from).unwrap_or_default();
        let refuse = |field: &str, reason: &str| Err(nack(version, field, reason.to_owned()));
        let Some(coming) = self.coming.take() else { return refuse("commit", "without a beginning") };
        if let Some(refused) = coming.refused {
            return Err(refused);
        }
        if coming.begin.version.map(Version::from) != Some(version) {
            return refuse("version", "is not the one that began");
        }
        if coming.resources.len() as u64 != coming.begin.resources || coming.bytes != coming.begin.bytes {
            return refuse("commit", "less than was announced");
        }
        let hash = state_hash(&coming.resources);
        if <[u8; 32]>::try_from(commit.state_hash.as_slice()).ok().map(StateHash) != Some(hash) {
            return refuse("state_hash", "does not match what came");
        }
        let snapshot = Snapshot::build(version, &coming.resources).map_err(|invalid| {
            nack(version, &format!("{}: {}", invalid.name, invalid.field), invalid.to_string())
        })?;
        self.serving = Some(version);
        Ok(snapshot)
    }
}

fn nack(version: Version, field: &str, reason: String) -> Nack {
    Nack { version: Some(version.into()), field: field.to_owned(), reason }
}
