//! The end of a migration that is an etcd: everything is laid there first, and counts with the one transaction that makes its head.

use super::{
    super::{
        address::Address,
        inner::{all, chained, load, read_records, unreadable},
        keys::{Kept, Keys, Logged, Top, delete_all, made_at, put, seq_of, written_at},
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
/// How keys begin that a run writes before the head.
const FILLED: [&str; 4] = ["log/", "part/", "doc/", "vault/"];
/// A transaction is tried so often: what lies there before the head counts for nothing and may be written twice.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(300);

pub(super) async fn from_etcd(wire: &Wire, keys: &Keys) -> Result<Option<Moved>, StoreError> {
    let Some((cluster, mirror)) = load(wire, keys).await? else { return Ok(None) };
    let records = read_records(wire, keys, 0, mirror.head.seq).await?;
    if chained(None, &records)? != Some(mirror.head) {
        return Err(StoreError::Damaged("the log in etcd does not end where head says".to_owned()));
    }
    let vault = mirror.vault.into_iter().map(|(name, file)| (name, file.bytes)).collect();
    Ok(Some(Moved { cluster, records, documents: mirror.documents, vault }))
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
    match left_over(&wire, &keys, first).await? {
        Left::Nothing => {}
        Left::Ours(since) => clear(&wire, &keys, since).await?,
        Left::Other => return Err(not_empty(&address.to_string())),
    }
    let (rest, last) =
        (moved.records.split_last()).map(|(last, rest)| (rest, last)).ok_or_else(unreadable)?;
    let mut filling = Filling { wire: &wire, head: keys.head(), ops: Vec::new(), bytes: 0 };
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

/// What lies there without a head.
enum Left {
    Nothing,
    /// An earlier run left it; etcd's revision of its first record, 0 = it has none.
    Ours(i64),
    Other,
}

async fn left_over(wire: &Wire, keys: &Keys, first: &Sealed) -> Result<Left, StoreError> {
    let mut left = Left::Nothing;
    for one in all(wire, keys.all(""), 0).await? {
        let name = keys.name(&one.key).ok_or_else(unreadable)?;
        if !FILLED.iter().any(|beginning| name.starts_with(beginning)) {
            return Ok(Left::Other);
        }
        if name.strip_prefix("log/").and_then(seq_of) == Some(0) {
            if Logged::decode(&one.value) != Some(Logged::Here(frame(first)?)) {
                return Ok(Left::Other);
            }
            left = Left::Ours(one.mod_revision);
        } else if matches!(left, Left::Nothing) {
            left = Left::Ours(0);
        }
    }
    Ok(left)
}

/// Takes away what an earlier run left: the source may have gone on since. The first record is compared too, so that one that
/// comes late takes nothing of what is written next.
async fn clear(wire: &Wire, keys: &Keys, since: i64) -> Result<(), StoreError> {
    let request = TxnRequest {
        compare: vec![made_at(keys.head(), 0), written_at(keys.log(0), since)],
        success: FILLED.map(|beginning| delete_all(keys.all(beginning))).to_vec(),
        failure: Vec::new(),
    };
    if wire.txn(request).await?.succeeded { Ok(()) } else { Err(others_write()) }
}

fn others_write() -> StoreError {
    StoreError::Unusable("something else writes to the target meanwhile; look, and begin again".to_owned())
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
    /// While it is absent: what comes late must not stand over what was written since.
    head: Vec<u8>,
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
        let compare = vec![made_at(self.head.clone(), 0)];
        let request = TxnRequest { compare, success, failure: Vec::new() };
        let mut outcome = self.wire.txn(request.clone()).await;
        for _ in 1..TRIES {
            if !matches!(outcome, Err(WireError::Unknown(_) | WireError::Unreached(_))) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            outcome = self.wire.txn(request.clone()).await;
        }
        if outcome?.succeeded { Ok(()) } else { Err(others_write()) }
    }
}
