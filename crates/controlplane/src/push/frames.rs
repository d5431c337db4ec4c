//! A state or a change as the messages that go over the wire, encoded once. What is given goes before what is taken:
//! secrets, then configuration that uses them, then removals.

use super::{Base, Signature};
use bytes::Bytes;
use keyway_proto::{
    CHUNK_LIMIT, SCHEMA, STATE_LIMIT,
    fleet::v1::{Begin, Chunk, Commit, Part, Removal, ToReplica, to_replica::Message},
    snapshot::v1::{Kind, Resource},
};
use keyway_snapshot::{Change, Resources, Snapshot, Version};
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

/// Begin, chunks, commit.
#[derive(Debug)]
pub struct Frames {
    /// Everything, not what changed.
    pub whole: bool,
    /// Of resources and removals.
    pub bytes: u64,
    frames: Vec<Bytes>,
}

/// A state that no replica would take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// One resource does not fit into a chunk.
    #[error("{name} takes {bytes} bytes; one resource may have {CHUNK_LIMIT}")]
    Resource {
        /// Its kind.
        kind: Kind,
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

/// What stands round the resources.
pub(super) struct Letter<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) signature: &'a Signature,
    pub(super) needs: &'a [String],
    pub(super) traceparent: &'a str,
}

/// Whether these resources, of that whole, may be sent.
pub(super) fn check<'a>(
    mut changed: impl Iterator<Item = &'a Resource>,
    whole: &Resources,
) -> Result<(), TooLarge> {
    // Field number and length prefix of the resource inside its chunk are counted too.
    let bytes_of = |resource: &Resource| encoding::message::encoded_len(1, resource);
    if let Some(large) = changed.find(|resource| bytes_of(resource) > CHUNK_LIMIT) {
        return Err(TooLarge::Resource {
            kind: large.kind(),
            name: large.name.clone(),
            bytes: bytes_of(large),
        });
    }
    let bytes = whole.bytes();
    if bytes > STATE_LIMIT { Err(TooLarge::State { bytes }) } else { Ok(()) }
}

// === impl Frames ===

impl Frames {
    /// The frame at that place; `None` after the last.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Bytes> {
        self.frames.get(place)
    }
}

// === impl Letter ===

impl Letter<'_> {
    /// Everything.
    pub(super) fn whole(&self, resources: &Resources) -> Frames {
        let all: Vec<&Resource> = resources.iter().collect();
        self.frames(Begin { bytes: resources.bytes(), ..self.begin(all.len()) }, &all, &[])
    }

    /// What changed since `base`.
    pub(super) fn change(&self, base: Base, change: &Change) -> Frames {
        let given: Vec<&Resource> = change.given.iter().collect();
        let taken = change.taken.iter().map(|one| Removal { kind: one.kind, name: one.name.clone() });
        let taken: Vec<Removal> = taken.collect();
        let bytes = given.iter().map(|resource| resource.encoded_len() as u64).sum::<u64>()
            + taken.iter().map(|removal| removal.encoded_len() as u64).sum::<u64>();
        let begin = Begin {
            bytes,
            removals: taken.len() as u64,
            base: Some(base.version.into()),
            base_hash: base.hash.0.to_vec(),
            ..self.begin(given.len())
        };
        self.frames(begin, &given, &taken)
    }

    fn begin(&self, resources: usize) -> Begin {
        Begin {
            version: Some(self.snapshot.version.into()),
            schema: SCHEMA,
            resources: resources as u64,
            traceparent: self.traceparent.to_owned(),
            needs: self.needs.to_vec(),
            ..Begin::default()
        }
    }

    fn frames(&self, begin: Begin, given: &[&Resource], taken: &[Removal]) -> Frames {
        let (whole, bytes) = (begin.base.is_none(), begin.bytes);
        let mut frames = vec![frame(Message::Begin(begin))];
        let chunks = chunked(given, |resource| encoding::message::encoded_len(1, *resource));
        frames.extend(chunks.into_iter().map(chunk_frame));
        let chunks = chunked(taken, |removal| encoding::message::encoded_len(2, removal));
        frames.extend(chunks.into_iter().map(|removals| {
            frame(Message::Chunk(Chunk { removals: removals.to_vec(), ..Chunk::default() }))
        }));
        frames.push(frame(Message::Commit(self.commit())));
        Frames { whole, bytes, frames }
    }

    fn commit(&self) -> Commit {
        let (roots, parts) = (self.snapshot.resources().roots(), self.snapshot.parts);
        let part = |version: Version, hash: [u8; 32]| {
            Some(Part { version: Some(version.into()), hash: hash.to_vec() })
        };
        Commit {
            version: Some(self.snapshot.version.into()),
            state_hash: roots.all.0.to_vec(),
            signature: self.signature.bytes.clone(),
            signer: self.signature.signer.clone(),
            secrets: part(parts.secrets, roots.secrets.0),
            configuration: part(parts.configuration, roots.configuration.0),
        }
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
pub(super) fn chunk_frame(resources: &[&Resource]) -> Bytes {
    let inner: usize = resources.iter().map(|resource| encoding::message::encoded_len(1, *resource)).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(inner + encoding::encoded_len_varint(u64::MAX) + 1));
    encoding::encode_key(CHUNK_FIELD, WireType::LengthDelimited, &mut *bytes);
    encoding::encode_varint(inner as u64, &mut *bytes);
    for resource in resources {
        encoding::message::encode(1, *resource, &mut *bytes);
    }
    Bytes::from_owner(bytes)
}

fn chunked<T>(all: &[T], bytes_of: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut chunks, mut start, mut filled) = (Vec::new(), 0, 0);
    for (place, one) in all.iter().enumerate() {
        let bytes = bytes_of(one);
        if filled > 0 && filled + bytes > CHUNK_GOAL {
            chunks.extend(all.get(start..place));
            (start, filled) = (place, 0);
        }
        filled += bytes;
    }
    chunks.extend(all.get(start..).filter(|rest| !rest.is_empty()));
    chunks
}
