//! A state or a change as it lies on disk: a head that can be read, a body that only the node key opens. Pure: bytes in,
//! bytes out.
//!
//! The head is bound to the body, so that neither can be taken from another file. Nothing of a piece whose smallest
//! part does not fit is used.

use super::trust::Signature;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use keyway_proto::{SCHEMA, fleet::v1::Chunk};
use keyway_snapshot::{Parts, StateHash, Version};
use prost::Message;
use zeroize::Zeroizing;

/// Bytes of a node key.
pub(super) const KEY_LEN: usize = 32;

const STATE_MAGIC: &[u8; 8] = b"KEYWAYST";
const NEWEST_MAGIC: &[u8; 8] = b"KEYWAYNW";
const CHANGE_MAGIC: &[u8; 8] = b"KEYWAYCH";
const FORMAT: u16 = 2;
/// Without signature and parts: of builds before there were any, so that an upgrade starts from what they kept.
const FORMAT_BEFORE: u16 = 1;
/// Bytes of a cluster's name.
const CLUSTER_LIMIT: usize = 1024;

/// The key of one node, which never leaves it.
#[derive(Debug)]
pub(super) struct NodeKey(LessSafeKey);

/// What a piece says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The state that a change follows from; absent = the piece holds everything.
    pub(super) base: Option<(Version, StateHash)>,
    pub(super) version: Version,
    pub(super) hash: StateHash,
    pub(super) parts: Parts,
    pub(super) cluster: String,
    /// Seconds since 1970 when the control plane was last heard.
    pub(super) confirmed_at: u64,
    /// The control plane's, as it came with the state.
    pub(super) signature: Signature,
}

/// Which versions may be served after a start: older files that somebody put back are none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) current: Version,
    pub(super) previous: Option<Version>,
}

/// Why a file is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Bad {
    #[error("cut short")]
    Short,
    #[error("not a file of this kind")]
    Magic,
    #[error("written by another version of Keyway")]
    Format,
    #[error("damaged, or sealed under another node key")]
    Sealed,
    #[error("too large to be sealed")]
    Large,
}

// === impl NodeKey ===

impl NodeKey {
    pub(super) fn new(bytes: &[u8]) -> Result<Self, Bad> {
        UnboundKey::new(&AES_256_GCM_SIV, bytes)
            .map(|key| Self(LessSafeKey::new(key)))
            .map_err(|_| Bad::Sealed)
    }

    /// Head, nonce, body and tag.
    fn seal(
        &self,
        mut head: Vec<u8>,
        nonce: [u8; NONCE_LEN],
        mut body: Zeroizing<Vec<u8>>,
    ) -> Result<Vec<u8>, Bad> {
        head.extend_from_slice(&nonce);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(&head), &mut body);
        let tag = tag.map_err(|_| Bad::Large)?;
        head.reserve_exact(body.len() + tag.as_ref().len());
        head.extend_from_slice(&body);
        head.extend_from_slice(tag.as_ref());
        Ok(head)
    }

    /// The body behind a head of that length.
    fn open(&self, file: &[u8], head: usize) -> Result<Zeroizing<Vec<u8>>, Bad> {
        let (aad, sealed) = file.split_at_checked(head + NONCE_LEN).ok_or(Bad::Short)?;
        let nonce = aad.last_chunk::<NONCE_LEN>().ok_or(Bad::Short)?;
        let mut body = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(aad), &mut body).map_err(|_| Bad::Sealed)?.len();
        body.truncate(length);
        Ok(body)
    }
}

/// Reads from the front, never beyond the end.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(Bad::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn u64(&mut self) -> Result<u64, Bad> {
        self.take().map(u64::from_be_bytes)
    }

    fn version(&mut self) -> Result<Version, Bad> {
        Ok(Version { epoch: self.u64()?, counter: self.u64()? })
    }

    fn hash(&mut self) -> Result<StateHash, Bad> {
        self.take().map(StateHash)
    }

    /// With its length before it.
    fn bytes(&mut self) -> Result<&[u8], Bad> {
        let length = usize::from(u16::from_be_bytes(self.take()?));
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Bad::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The format.
    fn begin(&mut self, magic: &[u8; 8]) -> Result<u16, Bad> {
        if self.take::<8>()? != *magic {
            return Err(Bad::Magic);
        }
        let format = self.take().map(u16::from_be_bytes)?;
        let known = (FORMAT_BEFORE..=FORMAT).contains(&format);
        if known && self.take().map(u32::from_be_bytes)? == SCHEMA { Ok(format) } else { Err(Bad::Format) }
    }
}

fn begin(magic: &[u8; 8]) -> Vec<u8> {
    let mut head = magic.to_vec();
    head.extend_from_slice(&FORMAT.to_be_bytes());
    head.extend_from_slice(&SCHEMA.to_be_bytes());
    head
}

fn put(head: &mut Vec<u8>, version: Version) {
    head.extend_from_slice(&version.epoch.to_be_bytes());
    head.extend_from_slice(&version.counter.to_be_bytes());
}

fn put_bytes(head: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Bad> {
    let length = u16::try_from(bytes.len()).ok().filter(|_| bytes.len() <= CLUSTER_LIMIT);
    head.extend_from_slice(&length.ok_or(Bad::Large)?.to_be_bytes());
    head.extend_from_slice(bytes);
    Ok(())
}

// === impl Head ===

impl Head {
    /// A whole piece.
    pub(super) fn seal(&self, key: &NodeKey, nonce: [u8; NONCE_LEN], body: &Chunk) -> Result<Vec<u8>, Bad> {
        let mut head = match &self.base {
            None => begin(STATE_MAGIC),
            Some((version, hash)) => {
                let mut head = begin(CHANGE_MAGIC);
                put(&mut head, *version);
                head.extend_from_slice(&hash.0);
                head
            }
        };
        put(&mut head, self.version);
        head.extend_from_slice(&self.hash.0);
        head.extend_from_slice(&self.confirmed_at.to_be_bytes());
        put_bytes(&mut head, self.cluster.as_bytes())?;
        put(&mut head, self.parts.secrets);
        put(&mut head, self.parts.configuration);
        put_bytes(&mut head, &self.signature.signer)?;
        put_bytes(&mut head, &self.signature.bytes)?;
        key.seal(head, nonce, Zeroizing::new(body.encode_to_vec()))
    }

    /// The head, unproven, and its length.
    pub(super) fn read(file: &[u8]) -> Result<(Self, usize), Bad> {
        let mut from = Reader(file);
        let is_change = file.starts_with(CHANGE_MAGIC);
        let format = from.begin(if is_change { CHANGE_MAGIC } else { STATE_MAGIC })?;
        let base = if is_change { Some((from.version()?, from.hash()?)) } else { None };
        let (version, hash, confirmed_at) = (from.version()?, from.hash()?, from.u64()?);
        let cluster = std::str::from_utf8(from.bytes()?).map_err(|_| Bad::Magic)?.to_owned();
        let (parts, signature) = match format {
            FORMAT_BEFORE => (Parts { secrets: version, configuration: version }, Signature::default()),
            _ => {
                let parts = Parts { secrets: from.version()?, configuration: from.version()? };
                (parts, Signature { signer: from.bytes()?.to_vec(), bytes: from.bytes()?.to_vec() })
            }
        };
        let head = Self { base, version, hash, parts, cluster, confirmed_at, signature };
        Ok((head, file.len() - from.0.len()))
    }

    /// The head and what is in the piece, both proven to be of this node.
    pub(super) fn open(key: &NodeKey, file: &[u8]) -> Result<(Self, Chunk), Bad> {
        let (head, length) = Self::read(file)?;
        // Resources are slices of one piece, which is wiped when the last is gone.
        let body = Bytes::from_owner(key.open(file, length)?);
        Ok((head, Chunk::decode(body).map_err(|_| Bad::Sealed)?))
    }
}

// === impl Newest ===

impl Newest {
    /// A whole file.
    pub(super) fn seal(&self, key: &NodeKey, nonce: [u8; NONCE_LEN]) -> Result<Vec<u8>, Bad> {
        let mut head = begin(NEWEST_MAGIC);
        put(&mut head, self.current);
        put(&mut head, self.previous.unwrap_or(self.current));
        key.seal(head, nonce, Zeroizing::default())
    }

    /// What the file says, proven.
    pub(super) fn open(key: &NodeKey, file: &[u8]) -> Result<Self, Bad> {
        let mut from = Reader(file);
        from.begin(NEWEST_MAGIC)?;
        let (current, previous) = (from.version()?, from.version()?);
        let length = file.len() - from.0.len();
        if !key.open(file, length)?.is_empty() {
            return Err(Bad::Sealed);
        }
        Ok(Self { current, previous: Some(previous).filter(|previous| *previous != current) })
    }

    pub(super) fn allows(&self, version: Version) -> bool {
        version == self.current || Some(version) == self.previous
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_proto::snapshot::v1::Resource;

    fn key(byte: u8) -> NodeKey {
        NodeKey::new(&[byte; KEY_LEN]).unwrap()
    }

    fn file() -> Vec<u8> {
        piece(None)
    }

    fn piece(base: Option<(Version, StateHash)>) -> Vec<u8> {
        let body = Bytes::from_static(b"sk-secret");
        let resources = vec![Resource { kind: 5, name: "a".to_owned(), body, ..Resource::default() }];
        let version = Version { epoch: 1, counter: 7 };
        let head = Head {
            base,
            version,
            hash: StateHash([5; 32]),
            parts: Parts { secrets: version, configuration: version },
            cluster: "here".to_owned(),
            confirmed_at: 1_800_000_000,
            signature: Signature { signer: vec![1; 32], bytes: vec![2; 64] },
        };
        head.seal(&key(1), [3; NONCE_LEN], &Chunk { resources, ..Chunk::default() }).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_and_shows_no_secret() {
        let file = file();
        assert!(!file.windows(9).any(|window| window == b"sk-secret"));
        let (head, chunk) = Head::open(&key(1), &file).unwrap();
        assert_eq!((head.version.counter, &*head.cluster, head.confirmed_at), (7, "here", 1_800_000_000));
        assert_eq!((head.signature.signer, head.signature.bytes), (vec![1; 32], vec![2; 64]));
        assert_eq!(&*chunk.resources[0].body, b"sk-secret");
        let change = piece(Some((Version { epoch: 1, counter: 6 }, StateHash([6; 32]))));
        let (head, _) = Head::open(&key(1), &change).unwrap();
        assert_eq!(head.base, Some((Version { epoch: 1, counter: 6 }, StateHash([6; 32]))));
        assert_eq!(Head::open(&key(2), &file).unwrap_err(), Bad::Sealed);
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_noticed() {
        let newest = Newest { current: Version { epoch: 1, counter: 7 }, previous: None };
        let newest = newest.seal(&key(1), [4; NONCE_LEN]).unwrap();
        let state = |bytes: &[u8]| Head::open(&key(1), bytes).is_ok();
        let tiny = |bytes: &[u8]| Newest::open(&key(1), bytes).is_ok();
        let change = piece(Some((Version::default(), StateHash([6; 32]))));
        for (file, opens) in [(file(), &state as &dyn Fn(&[u8]) -> bool), (change, &state), (newest, &tiny)] {
            assert!(opens(&file));
            for at in 0..file.len() {
                assert!(!opens(&file[..at]), "cut at {at}");
                let mut flipped = file.clone();
                flipped[at] ^= 0x40;
                assert!(!opens(&flipped), "flipped at {at}");
            }
            let longer: Vec<u8> = file.iter().copied().chain([0]).collect();
            assert!(!opens(&longer));
        }
    }
}
