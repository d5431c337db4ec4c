//! What the index writes, as bytes: each value with a hash over itself and its key. Touches no file.

use crate::store::{
    Key, Versioned,
    cut::Cut,
    documents::{self, Documents, Hash},
    journal::record::Head,
};
use bytes::Bytes;

/// Keys of documents begin so.
const DOCUMENT: u8 = b'd';

/// Up to where the index reaches, and what it then holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
    pub(crate) documents: u64,
    pub(crate) sum: Hash,
}

// === impl Applied ===

impl Applied {
    pub(crate) fn new(head: Head, documents: &Documents) -> Self {
        Self { seq: head.seq, hash: head.hash, documents: documents.len() as u64, sum: documents.sum() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(112);
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(&self.documents.to_le_bytes());
        bytes.extend_from_slice(&self.sum);
        let own = blake3::hash(&bytes);
        bytes.extend_from_slice(own.as_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, own) = bytes.split_last_chunk::<32>()?;
        if blake3::hash(body) != *own {
            return None;
        }
        let mut cut = Cut(body);
        let (seq, hash, documents, sum) = (cut.u64()?, cut.array()?, cut.u64()?, cut.array()?);
        cut.is_empty().then_some(Self { seq, hash, documents, sum })
    }
}

pub(super) fn encode_key(key: &Key) -> Vec<u8> {
    let mut bytes = vec![DOCUMENT];
    bytes.extend_from_slice(key.as_str().as_bytes());
    bytes
}

pub(super) fn decode_key(bytes: &[u8]) -> Option<Key> {
    let name = bytes.strip_prefix(&[DOCUMENT])?;
    Some(Key(std::str::from_utf8(name).ok()?.into()))
}

pub(super) fn encode_document(key: &Key, document: &Versioned) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40 + document.value.len());
    bytes.extend_from_slice(&documents::hash(key, document));
    bytes.extend_from_slice(&document.version.to_le_bytes());
    bytes.extend_from_slice(&document.value);
    bytes
}

pub(super) fn decode_document(key: Key, bytes: &[u8]) -> Option<(Key, Versioned)> {
    let mut cut = Cut(bytes);
    let own: Hash = cut.array()?;
    let document = Versioned { version: cut.u64()?, value: Bytes::copy_from_slice(cut.0) };
    (documents::hash(&key, &document) == own).then_some((key, document))
}
