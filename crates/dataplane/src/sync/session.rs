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
    /// Of the state that is served; empty = not said.
    cluster: Box<str>,
    coming: Option<Coming>,
}

/// A whole state, typed and as it came.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) snapshot: Snapshot,
    pub(crate) state: Chunk,
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
    /// What this replica serves from, if anything.
    pub(crate) fn new(serving: Option<&Snapshot>) -> Self {
        let cluster = serving.map(|snapshot| snapshot.settings.cluster.clone()).unwrap_or_default();
        Self { serving: serving.map(|snapshot| snapshot.version), cluster, coming: None }
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
    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<Taken, Nack> {
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
        let cluster = &snapshot.settings.cluster;
        if !self.cluster.is_empty() && self.cluster != *cluster {
            return refuse("settings: cluster", "is not the one whose state this replica serves");
        }
        self.cluster = cluster.clone();
        self.serving = Some(version);
        Ok(Taken { snapshot, state: Chunk { resources: coming.resources } })
    }
}

fn nack(version: Version, field: &str, reason: String) -> Nack {
    Nack { version: Some(version.into()), field: field.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use keyway_proto::snapshot::v1::{self as wire, Kind};

    fn settings(limit: u64) -> Resource {
        of_cluster(limit, "")
    }

    fn of_cluster(limit: u64, cluster: &str) -> Resource {
        let body = wire::Settings {
            cluster: cluster.to_owned(),
            digest_key: vec![1; 32],
            body_limit: limit,
            bodies_in_flight_limit: 1,
            ..wire::Settings::default()
        };
        let body = Bytes::from(body.encode_to_vec());
        Resource { kind: Kind::Settings as i32, name: "settings".to_owned(), body }
    }

    struct Sent {
        version: u64,
        schema: u32,
        announced: u64,
        resources: Vec<Resource>,
        hash: Vec<u8>,
    }

    fn good(version: u64) -> Sent {
        let resources = vec![settings(1)];
        let hash = state_hash(&resources).0.to_vec();
        Sent { version, schema: SCHEMA, announced: 1, resources, hash }
    }

    fn send(session: &mut Session, sent: Sent) -> Result<Version, String> {
        let version = Some(wire::Version { epoch: 1, counter: sent.version });
        let bytes = sent.resources.iter().map(|resource| resource.encoded_len() as u64).sum();
        session.begin(Begin {
            version,
            schema: sent.schema,
            resources: sent.announced,
            bytes,
            ..Begin::default()
        });
        session.chunk(Chunk { resources: sent.resources });
        let done = session.commit(&Commit { version, state_hash: sent.hash });
        done.map(|taken| taken.snapshot.version).map_err(|nack| nack.field)
    }

    #[test]
    fn whole_states_are_taken_and_versions_only_grow() {
        let mut session = Session::new(None);
        assert_eq!(send(&mut session, good(5)), Ok(Version { epoch: 1, counter: 5 }));
        assert_eq!(send(&mut session, good(4)), Err("version".to_owned()));
        assert_eq!(send(&mut session, good(6)), Ok(Version { epoch: 1, counter: 6 }));
    }

    #[test]
    fn two_clusters_are_never_mixed() {
        let of = |version, cluster| {
            let resources = vec![of_cluster(1, cluster)];
            let hash = state_hash(&resources).0.to_vec();
            Sent { resources, hash, ..good(version) }
        };
        let mut session = Session::new(None);
        assert!(send(&mut session, of(5, "one")).is_ok());
        assert_eq!(send(&mut session, of(6, "two")), Err("settings: cluster".to_owned()));
        assert!(send(&mut session, of(7, "one")).is_ok());
    }

    #[test]
    fn what_is_wrong_is_refused_whole_and_named() {
        let invalid = vec![settings(0)];
        let hash = state_hash(&invalid).0.to_vec();
        for (sent, field) in [
            (Sent { schema: SCHEMA + 1, ..good(1) }, "schema"),
            (Sent { announced: 2, ..good(1) }, "commit"),
            (Sent { announced: 0, ..good(1) }, "chunk"),
            (Sent { hash: vec![0; 32], ..good(1) }, "state_hash"),
            (Sent { hash: vec![], ..good(1) }, "state_hash"),
            (Sent { resources: invalid, hash, ..good(1) }, "settings: body_limit"),
        ] {
            let mut session = Session::new(None);
            assert_eq!(send(&mut session, sent), Err(field.to_owned()));
            assert!(send(&mut session, good(2)).is_ok(), "the next good one is taken");
        }
        assert!(Session::new(None).commit(&Commit::default()).is_err());
    }
}
