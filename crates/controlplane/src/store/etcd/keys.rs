//! What lies where in etcd, and as which bytes. Pure.
//!
//! `head`: revision, epoch and hash of the newest record · `log/N`: the record, byte for byte as in a journal, or where its parts
//! are · `part/ID/N` · `doc/KIND/NAME` · `vault/FILE` · `leader`, `member/NAME`: under a lease · `books`: who keeps them.

use super::proto::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op,
};
use crate::store::{Key, Versioned, cut::Cut, cut::put_sized, documents::Hash, journal::record};
use bytes::Bytes;

/// First byte of the head.
const HEAD_FORMAT: u8 = 1;
/// How a value of `doc/` or `log/` goes on.
const HERE: u8 = 1;
const ELSEWHERE: u8 = 2;
/// Keys in one answer.
pub(super) const PAGE: i64 = 500;
/// Digits of a record's number, so that keys are in the order of numbers.
const DIGITS: usize = 20;

/// Names of keys.
#[derive(Debug, Clone)]
pub(super) struct Keys(String);

/// The newest record, and how far the documents' own keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Top {
    pub(super) head: record::Head,
    /// Keys of documents are as after this record; what came later is in the log.
    pub(super) applied: u64,
    /// Over all documents after the newest record.
    pub(super) sum: Hash,
    /// The record whose state replicas are sent, and that state's hash, hex.
    pub(super) published: Option<(u64, String)>,
}

/// A record's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Logged {
    /// The record itself.
    Here(Bytes),
    /// So many parts under that name.
    Parts { id: String, count: u32 },
}

/// A document's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    Here(Versioned),
    /// Too large for one key: it is in the record of that number.
    InRecord {
        version: u64,
        seq: u64,
    },
}

// === impl Keys ===

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self(prefix.to_owned())
    }

    /// A key in words for people.
    pub(super) fn named(&self, folder: &str, name: &str) -> String {
        format!("{}{folder}{name}", self.0)
    }

    pub(super) fn at(&self, name: &str) -> Vec<u8> {
        format!("{}{name}", self.0).into_bytes()
    }

    pub(super) fn head(&self) -> Vec<u8> {
        self.at("head")
    }

    pub(super) fn leader(&self) -> Vec<u8> {
        self.at("leader")
    }

    pub(super) fn document(&self, key: &Key) -> Vec<u8> {
        self.at(&format!("doc/{key}"))
    }

    pub(super) fn log(&self, seq: u64) -> Vec<u8> {
        self.at(&format!("log/{seq:0DIGITS$}"))
    }

    pub(super) fn part(&self, id: &str, number: u32) -> Vec<u8> {
        self.at(&format!("part/{id}/{number:010}"))
    }

    pub(super) fn sealed(&self, name: &str) -> Vec<u8> {
        self.at(&format!("vault/{name}"))
    }

    /// A key of ours without the prefix.
    pub(super) fn name<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(key.strip_prefix(self.0.as_bytes())?).ok()
    }

    /// All keys that begin so.
    pub(super) fn all(&self, beginning: &str) -> RangeRequest {
        let key = self.at(beginning);
        RangeRequest { range_end: after(&key), key, limit: PAGE, ..RangeRequest::default() }
    }
}

/// The record's number in the rest of a `log/` key.
pub(super) fn seq_of(name: &str) -> Option<u64> {
    name.parse().ok()
}

/// The first key that does not begin so.
pub(super) fn after(beginning: &[u8]) -> Vec<u8> {
    let mut end = beginning.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

// === impl Top ===

impl Top {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = vec![HEAD_FORMAT];
        let published = self.published.as_ref();
        for number in [self.head.seq, self.head.epoch, self.applied, published.map_or(0, |(seq, _)| *seq)] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.head.hash);
        bytes.extend_from_slice(&self.sum);
        bytes.extend_from_slice(published.map_or(&[][..], |(_, hash)| hash.as_bytes()));
        bytes.into()
    }

    /// `None` = no such thing was encoded.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cut = Cut(bytes);
        (cut.u8()? == HEAD_FORMAT).then_some(())?;
        let (seq, epoch, applied, published) = (cut.u64()?, cut.u64()?, cut.u64()?, cut.u64()?);
        let (hash, sum) = (cut.array()?, cut.array()?);
        let state = std::str::from_utf8(cut.0).ok()?.to_owned();
        let published = (!state.is_empty()).then_some((published, state));
        Some(Self { head: record::Head { seq, epoch, hash }, applied, sum, published })
    }
}

// === impl Logged ===

impl Logged {
    pub(super) fn encode(&self) -> Bytes {
        match self {
            Self::Here(frame) => [&[HERE], frame.as_ref()].concat().into(),
            Self::Parts { id, count } => {
                let mut bytes = vec![ELSEWHERE];
                bytes.extend_from_slice(&count.to_le_bytes());
                bytes.extend_from_slice(id.as_bytes());
                bytes.into()
            }
        }
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut cut = Cut(bytes);
        match cut.u8()? {
            HERE => Some(Self::Here(bytes.slice_ref(cut.0))),
            ELSEWHERE => {
                let count = cut.u32()?;
                Some(Self::Parts { count, id: std::str::from_utf8(cut.0).ok()?.to_owned() })
            }
            _ => None,
        }
    }
}

// === impl Kept ===

impl Kept {
    pub(super) fn encode(&self) -> Option<Bytes> {
        let mut bytes = Vec::new();
        match self {
            Self::Here(document) => {
                bytes.push(HERE);
                bytes.extend_from_slice(&document.version.to_le_bytes());
                put_sized(&mut bytes, &document.value)?;
            }
            Self::InRecord { version, seq } => {
                bytes.push(ELSEWHERE);
                bytes.extend_from_slice(&version.to_le_bytes());
                bytes.extend_from_slice(&seq.to_le_bytes());
            }
        }
        Some(bytes.into())
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut cut = Cut(bytes);
        let kind = cut.u8()?;
        let version = cut.u64()?;
        match kind {
            HERE => {
                let value = bytes.slice_ref(cut.sized()?);
                cut.is_empty().then_some(Self::Here(Versioned { version, value }))
            }
            ELSEWHERE => Some(Self::InRecord { version, seq: cut.u64()? }),
            _ => None,
        }
    }
}

/// One write of a transaction.
pub(super) fn put(key: Vec<u8>, value: Bytes, lease: i64) -> RequestOp {
    let put = PutRequest { key: key.into(), value, lease };
    RequestOp { request: Some(request_op::Request::Put(put)) }
}

/// One deletion.
pub(super) fn delete(key: Vec<u8>) -> RequestOp {
    let delete = DeleteRangeRequest { key, range_end: Vec::new() };
    RequestOp { request: Some(request_op::Request::DeleteRange(delete)) }
}

/// The deletion of all that a question would find.
pub(super) fn delete_all(range: RangeRequest) -> RequestOp {
    let delete = DeleteRangeRequest { key: range.key, range_end: range.range_end };
    RequestOp { request: Some(request_op::Request::DeleteRange(delete)) }
}

/// One read.
pub(super) fn get(key: Vec<u8>) -> RequestOp {
    let range = RangeRequest { key, ..RangeRequest::default() };
    RequestOp { request: Some(request_op::Request::Range(range)) }
}

/// The key is the one that was made then; 0 = there is none.
pub(super) fn made_at(key: Vec<u8>, revision: i64) -> Compare {
    compare(key, CompareTarget::Create, TargetUnion::CreateRevision(revision))
}

/// Nobody wrote the key since.
pub(super) fn written_at(key: Vec<u8>, revision: i64) -> Compare {
    compare(key, CompareTarget::Mod, TargetUnion::ModRevision(revision))
}

fn compare(key: Vec<u8>, target: CompareTarget, union: TargetUnion) -> Compare {
    Compare { result: CompareResult::Equal.into(), target: target.into(), key, target_union: Some(union) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_of_records_are_in_the_order_of_numbers() {
        let keys = Keys::new("k/");
        assert!(keys.log(9) < keys.log(10) && keys.log(10) < keys.log(u64::MAX));
        assert_eq!(keys.name(&keys.log(7)).and_then(|name| seq_of(name.strip_prefix("log/")?)), Some(7));
        assert_eq!(after(b"k/doc/"), b"k/doc0");
        assert_eq!(after(&[0xff]), [0]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            numbers in any::<[u64; 4]>(), hashes in any::<[[u8; 32]; 2]>(), state in "[0-9a-f]{0,64}",
            value in any::<Vec<u8>>(), count in any::<u32>()
        ) {
            let [seq, epoch, applied, published] = numbers;
            let published = (!state.is_empty()).then_some((published, state.clone()));
            let top = Top { head: record::Head { seq, epoch, hash: hashes[0] }, applied, sum: hashes[1], published };
            prop_assert_eq!(Top::decode(&top.encode()), Some(top));
            let value = Bytes::from(value);
            for kept in [Kept::Here(Versioned { version: seq, value: value.clone() }), Kept::InRecord { version: seq, seq: epoch }] {
                prop_assert_eq!(Kept::decode(&kept.encode().unwrap()), Some(kept));
            }
            for logged in [Logged::Here(value), Logged::Parts { id: state, count }] {
                prop_assert_eq!(Logged::decode(&logged.encode()), Some(logged));
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in any::<Vec<u8>>()) {
            let bytes = Bytes::from(bytes);
            let _ = (Top::decode(&bytes), Kept::decode(&bytes), Logged::decode(&bytes));
        }
    }
}
