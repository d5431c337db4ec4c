//! The end of a migration that is an etcd: everything is laid there first, and counts with the one transaction that makes its head.

use super::{
    super::{
        address::Address,
        inner::{all, chained, load, read_records, unreadable},
        keys::{Kept, Keys, Logged, Top, made_at, put, seq_of},
        proto::{RequestOp, TxnRequest},
        wire::{Wire, WireError},
    },
    Moved, not_empty,
};
use crate::store::{
    StoreError, Versioned,
    journal::{
        payload,
        record::{Hex, Sealed},
    },
};
use bytes::Bytes;
use std::time::Duration;

/// Bytes of one value, and about those of one transaction.
const BYTES: usize = 1 << 20;
/// Writes of one transaction.
const OPS: usize = 100;
/// A transaction is tried so often: what lies there before the head counts for nothing and may be written twice.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(300);

pub(super) async fn from_etcd(wire: &Wire, keys: &Keys) -> Result<Option<Moved>, StoreError> {
    let Some((cluster, mirror)) = load(wire, keys).await? else { return Ok(None) };
    let records = read_records(wire, keys, 0, mirror.head.seq).await?;
    if chained(None, &records)? != Some(mirror.head) {
        return Err(StoreError::Damaged("the log in etcd does not end where head says".to_owned()));
    }
    Ok(Some(Moved { cluster, records, documents: mirror.documents, vault: mirror.vault }))
}

/// `true`: it was there.
pub(super) async fn to_etcd(address: &Address, moved: &Moved) -> Result<bool, StoreError> {
    let (wire, keys) = (Wire::new(address)?, Keys::new(address.prefix()));
    if let Some(there) = from_etcd(&wire, &keys).await? {
        // Compared in full by the caller; here only whether it is another's.
        let ours = there.records.first().map(|one| one.hash) == moved.records.first().map(|one| one.hash);
        return if ours { Ok(true) } else { Err(not_empty(&address.to_string())) };
    }
    let first = moved.records.first().ok_or_else(unreadable)?;
    for one in all(&wire, keys.all(""), 0).await? {
        let name = keys.name(&one.key).ok_or_else(unreadable)?;
        let beginning = name.split('/').next().unwrap_or_default();
        let genesis = name.strip_prefix("log/").and_then(seq_of) == Some(0);
        let other = genesis && Logged::decode(&one.value) != Some(Logged::Here(frame(first)?));
        if other || !["log", "part", "doc", "vault"].contains(&beginning) {
            return Err(not_empty(&address.to_string()));
        }
    }
    let (rest, last) =
        (moved.records.split_last()).map(|(last, rest)| (rest, last)).ok_or_else(unreadable)?;
    let mut filling = Filling { wire: &wire, ops: Vec::new(), bytes: 0 };
    for record in rest {
        filling.record(&keys, record).await?;
    }
    for (key, document) in moved.documents.iter() {
        filling.put(keys.document(key), kept(document, moved, key)?).await?;
    }
    for (name, bytes) in &moved.vault {
        filling.put(keys.sealed(name), bytes.clone().into()).await?;
    }
    filling.flush().await?;
    let top = Top { head: last.head(), applied: last.link.seq, sum: moved.documents.sum(), published: None };
    let end = vec![
        put(keys.log(last.link.seq), Logged::Here(frame(last)?).encode(), 0),
        put(keys.head(), top.encode(), 0),
    ];
    let request = TxnRequest { compare: vec![made_at(keys.head(), 0)], success: end, failure: Vec::new() };
    // An outcome that is not known is seen when it is read back.
    match wire.txn(request).await {
        Ok(_) | Err(WireError::Unknown(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn kept(document: &Versioned, moved: &Moved, key: &crate::store::Key) -> Result<Bytes, StoreError> {
    let kept = if document.value.len() <= BYTES {
        Kept::Here(document.clone())
    } else {
        let wrote = |record: &&Sealed| {
            let writes = payload::decode(&record.payload).map(|(_, writes)| writes);
            writes.is_some_and(|writes| writes.iter().any(|write| write.key == *key))
        };
        let record = moved.records.iter().rev().find(wrote).ok_or_else(unreadable)?;
        Kept::InRecord { version: document.version, seq: record.link.seq }
    };
    kept.encode().ok_or(StoreError::TooLarge { bytes: usize::MAX })
}

fn frame(record: &Sealed) -> Result<Bytes, StoreError> {
    let sealed = record.link.seal(&record.payload);
    sealed.map(|(frame, _)| frame.into()).ok_or(StoreError::TooLarge { bytes: record.payload.len() })
}

/// Writes that wait for their transaction.
struct Filling<'a> {
    wire: &'a Wire,
    ops: Vec<RequestOp>,
    bytes: usize,
}

// === impl Filling ===

impl Filling<'_> {
    async fn record(&mut self, keys: &Keys, record: &Sealed) -> Result<(), StoreError> {
        let frame = frame(record)?;
        let logged = if frame.len() <= BYTES {
            Logged::Here(frame)
        } else {
            let id = Hex(record.hash).to_string();
            let mut count = 0;
            for part in frame.chunks(BYTES) {
                self.put(keys.part(&id, count), frame.slice_ref(part)).await?;
                count += 1;
            }
            Logged::Parts { id, count }
        };
        self.put(keys.log(record.link.seq), logged.encode()).await
    }

    async fn put(&mut self, key: Vec<u8>, value: Bytes) -> Result<(), StoreError> {
        if self.ops.len() >= OPS || (!self.ops.is_empty() && self.bytes + value.len() > BYTES) {
            self.flush().await?;
        }
        self.bytes += key.len() + value.len();
        self.ops.push(put(key, value, 0));
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        let success = std::mem::take(&mut self.ops);
        self.bytes = 0;
        if success.is_empty() {
            return Ok(());
        }
        let request = TxnRequest { success, ..TxnRequest::default() };
        let mut outcome = self.wire.txn(request.clone()).await;
        for _ in 1..TRIES {
            if !matches!(outcome, Err(WireError::Unknown(_) | WireError::Unreached(_))) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            outcome = self.wire.txn(request.clone()).await;
        }
        outcome.map(drop).map_err(StoreError::from)
    }
}
