//! One version of the whole state, encoded once into the frames that every stream sends, and the rules by which a
//! stream sends them. Pure: the streams themselves are in `fleet`.

mod session;

pub use session::{ANSWER_DEADLINE, Heard, Session};

use bytes::Bytes;
use keyway_proto::{
    CHUNK_LIMIT, SCHEMA, STATE_LIMIT,
    fleet::v1::{Begin, Commit, ToReplica, to_replica::Message},
    snapshot::v1::Resource,
};
use keyway_snapshot::{StateHash, Version};
use prost::{
    Message as _,
    encoding::{self, WireType},
};
use zeroize::{Zeroize, Zeroizing};

/// `ToReplica.chunk`.
const CHUNK_FIELD: u32 = 2;
/// A chunk is closed at so many bytes; only a resource that is larger makes a larger one. Each stream copies a chunk into a
/// buffer of its own, which stays as large as the largest was.
const CHUNK_GOAL: usize = 64 << 10;

/// A whole state, ready to be sent. Frames hold secrets and are wiped when the last stream lets go.
pub struct Push {
    /// Which state.
    pub version: Version,
    /// Root over its resources.
    pub hash: StateHash,
    begin: Begin,
    frames: Vec<Bytes>,
    bytes: u64,
}

/// A state that no replica would take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// One resource does not fit into a chunk.
    #[error("{name} takes {bytes} bytes; one resource may have {CHUNK_LIMIT}")]
    Resource {
        /// Its name.
        name: String,
        /// Its size, encoded.
        bytes: usize,
    },
    /// The sum of all.
    #[error("the whole state takes {bytes} bytes; it may have {STATE_LIMIT}")]
    State {
        /// Its size, encoded.
        bytes: u64,
    },
}

// === impl Push ===

impl Push {
    /// Encodes a state: begin, chunks of about 64 KiB and at most [`CHUNK_LIMIT`], commit. `hash` is the root over these resources.
    ///
    /// # Errors
    /// When a resource or the whole is over its limit.
    pub fn encode(version: Version, hash: StateHash, resources: &[Resource]) -> Result<Self, TooLarge> {
        let chunks = chunked(resources)?;
        let bytes = resources.iter().map(|resource| resource.encoded_len() as u64).sum();
        if bytes > STATE_LIMIT {
            return Err(TooLarge::State { bytes });
        }
        let begin = Begin {
            version: Some(version.into()),
            schema: SCHEMA,
            resources: resources.len() as u64,
            bytes,
            traceparent: String::new(),
        };
        let commit = Commit { version: Some(version.into()), state_hash: hash.0.to_vec() };
        let mut frames = Vec::with_capacity(chunks.len() + 2);
        frames.push(frame(Message::Begin(begin.clone())));
        frames.extend(chunks.into_iter().map(chunk_frame));
        frames.push(frame(Message::Commit(commit)));
        Ok(Self { version, hash, begin, frames, bytes })
    }

    /// Tells replicas of which change it is, as `traceparent`; empty = not traced.
    #[must_use]
    pub fn traced(mut self, traceparent: String) -> Self {
        self.begin.traceparent = traceparent;
        if let Some(first) = self.frames.first_mut() {
            *first = frame(Message::Begin(self.begin.clone()));
        }
        self
    }

    /// The frame at that place; `None` after the last.
    #[must_use]
    pub fn frame(&self, place: usize) -> Option<&Bytes> {
        self.frames.get(place)
    }
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Push({}, {} bytes in {} frames)", self.version, self.bytes, self.frames.len())
    }
}

/// One message as it goes over the wire.
pub(crate) fn frame(message: Message) -> Bytes {
    let mut whole = ToReplica { message: Some(message) };
    let bytes = Bytes::from_owner(Zeroizing::new(whole.encode_to_vec()));
    if let Some(Message::Probe(probe)) = &mut whole.message {
        probe.secret.zeroize();
    }
    bytes
}

/// As `frame(Message::Chunk(…))`, without a copy of every resource.
fn chunk_frame(resources: &[Resource]) -> Bytes {
    let inner: usize = resources.iter().map(|resource| encoding::message::encoded_len(1, resource)).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(inner + encoding::encoded_len_varint(u64::MAX) + 1));
    encoding::encode_key(CHUNK_FIELD, WireType::LengthDelimited, &mut *bytes);
    encoding::encode_varint(inner as u64, &mut *bytes);
    for resource in resources {
        encoding::message::encode(1, resource, &mut *bytes);
    }
    Bytes::from_owner(bytes)
}

fn chunked(resources: &[Resource]) -> Result<Vec<&[Resource]>, TooLarge> {
    let (mut chunks, mut start, mut filled) = (Vec::new(), 0, 0);
    for (place, resource) in resources.iter().enumerate() {
        // Field number and length prefix of the resource inside its chunk are counted too.
        let bytes = encoding::message::encoded_len(1, resource);
        if bytes > CHUNK_LIMIT {
            return Err(TooLarge::Resource { name: resource.name.clone(), bytes });
        }
        if filled > 0 && filled + bytes > CHUNK_GOAL {
            chunks.extend(resources.get(start..place));
            (start, filled) = (place, 0);
        }
        filled += bytes;
    }
    chunks.extend(resources.get(start..).filter(|rest| !rest.is_empty()));
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_proto::fleet::v1::Chunk;
    use keyway_snapshot::state_hash;

    fn encode(version: Version, resources: &[Resource]) -> Result<Push, TooLarge> {
        Push::encode(version, state_hash(resources), resources)
    }

    fn resource(name: &str, bytes: usize) -> Resource {
        Resource { kind: 5, name: name.to_owned(), body: vec![7; bytes].into() }
    }

    fn decoded(push: &Push) -> Vec<Message> {
        push.frames.iter().map(|frame| ToReplica::decode(frame.clone()).unwrap().message.unwrap()).collect()
    }

    #[test]
    fn every_resource_once_in_chunks_within_the_limit() {
        let large = |n| if n == 4 { 1_000_000 } else { 30_000 };
        let resources: Vec<_> = (0..10).map(|n| resource(&format!("r{n}"), large(n))).collect();
        let push = encode(Version { epoch: 1, counter: 3 }, &resources).unwrap();
        let messages = decoded(&push);
        let mut seen = Vec::new();
        for message in &messages {
            if let Message::Chunk(chunk) = message {
                assert!(chunk.encoded_len() <= CHUNK_LIMIT);
                seen.extend(chunk.resources.clone());
            }
        }
        assert_eq!(seen, resources);
        assert_eq!(messages.len(), 8, "two in a chunk, the large one alone");
        let Message::Begin(begin) = &messages[0] else { panic!("begins with Begin") };
        assert_eq!(begin.resources, 10);
        assert_eq!(begin.bytes, seen.iter().map(|r| r.encoded_len() as u64).sum::<u64>());
        let Message::Commit(commit) = &messages[7] else { panic!("ends with Commit") };
        assert_eq!(commit.state_hash, state_hash(&seen).0);
    }

    #[test]
    fn chunks_are_encoded_as_the_generated_code_does() {
        let resources = [resource("a", 10), resource("", 0), resource("b", 300)];
        let generated = frame(Message::Chunk(Chunk { resources: resources.to_vec() }));
        assert_eq!(chunk_frame(&resources), generated);
    }

    #[test]
    fn only_its_beginning_names_the_change() {
        let resources = [resource("a", 10)];
        let plain = encode(Version::default(), &resources).unwrap();
        let (before, traced) = (decoded(&plain), decoded(&plain.traced("00-t-s-01".to_owned())));
        let Message::Begin(begin) = &traced[0] else { panic!("begins with Begin") };
        assert_eq!(begin.traceparent, "00-t-s-01");
        assert_eq!(before[1..], traced[1..]);
    }

    #[test]
    fn an_empty_state_has_no_chunk() {
        assert_eq!(decoded(&encode(Version::default(), &[]).unwrap()).len(), 2);
    }

    #[test]
    fn too_large_is_refused_here() {
        let one = encode(Version::default(), &[resource("big", CHUNK_LIMIT)]).unwrap_err();
        assert!(matches!(one, TooLarge::Resource { name, .. } if name == "big"));
        let many: Vec<_> = (0..70).map(|n| resource(&format!("r{n}"), 1_000_000)).collect();
        assert!(matches!(encode(Version::default(), &many), Err(TooLarge::State { .. })));
    }
}
