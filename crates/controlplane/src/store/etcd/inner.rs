//! What the tasks of one open store share, and how all of it is read: a question at one revision of etcd, whole or not at
//! all. Large answers come in pages of that same revision.

use super::{
    keys::{Kept, Keys, Logged, PAGE, Top, seq_of},
    mirror::Mirror,
    proto::{KeyValue, RangeRequest},
    wire::Wire,
};
use crate::{
    lead::{Member, Standing},
    store::{
        Change, Key, Record, Revision, StoreError, Versioned,
        documents::Documents,
        journal::{
            payload,
            record::{Head, Sealed},
            scan::cluster,
        },
    },
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use tokio::sync::{broadcast, watch};

/// Records that are read at one time.
const RECORDS: usize = 64;
/// How keys begin that lie beside documents and log.
pub(super) const BESIDE: [&str; 4] = ["leader", "member/", "books", FILES];
/// How keys of sealed files begin.
pub(super) const FILES: &str = "vault/";

/// An open store.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(super) wire: Wire,
    pub(super) keys: Keys,
    pub(super) cluster: String,
    pub(super) me: Member,
    pub(super) mirror: Mutex<Mirror>,
    pub(super) writer: tokio::sync::Mutex<Writer>,
    pub(super) changes: broadcast::Sender<Change>,
    /// Counts what came in: leader, members, books.
    pub(super) news: watch::Sender<u64>,
    pub(super) standing: watch::Sender<Standing>,
}

/// Held by whoever writes.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The last transaction may or may not have happened: look before the next.
    pub(super) doubt: bool,
}

// === impl Inner ===

impl Inner {
    /// One key as it is now, and the revision of the answer.
    pub(super) async fn get(&self, key: Vec<u8>) -> Result<(Option<KeyValue>, i64), StoreError> {
        get(&self.wire, key).await
    }

    /// Records after that one, up to and with another.
    pub(super) async fn records(&self, after: Revision, until: Revision) -> Result<Vec<Sealed>, StoreError> {
        self.records_from(after.saturating_add(1), until).await
    }

    /// Records from that one on, up to and with another.
    pub(super) async fn records_from(
        &self,
        first: Revision,
        until: Revision,
    ) -> Result<Vec<Sealed>, StoreError> {
        let (mut found, mut next) = (Vec::new(), first);
        while next <= until {
            let last = until.min(next.saturating_add(RECORDS as u64 - 1));
            for record in read_records(&self.wire, &self.keys, next, last).await? {
                if record.link.seq != next {
                    return Err(missing(next));
                }
                next += 1;
                found.push(record);
            }
            if next <= last {
                return Err(missing(next));
            }
        }
        Ok(found)
    }

    /// Under the lock, so that watchers see commits in their order.
    pub(super) fn follow_all(&self, mirror: &mut Mirror, records: &[Sealed]) -> Result<(), StoreError> {
        for record in records {
            if let Some(change) = mirror.follow(record)? {
                // Without watchers nobody is told.
                let _ = self.changes.send(change);
            }
        }
        Ok(())
    }

    /// The same record never stands for two states.
    pub(super) fn agrees(&self, mirror: &Mirror, top: &Top) -> Result<(), StoreError> {
        let same =
            mirror.head.seq != top.head.seq || (mirror.head.hash == top.head.hash && mirror.sum() == top.sum);
        if same { Ok(()) } else { Err(unlike()) }
    }

    /// What a value of `log/` stands for.
    pub(super) async fn logged(&self, value: &Bytes) -> Result<Sealed, StoreError> {
        unfold(&self.wire, &self.keys, value).await
    }
}

pub(super) async fn get(wire: &Wire, key: Vec<u8>) -> Result<(Option<KeyValue>, i64), StoreError> {
    let answer = wire.range(RangeRequest { key, ..RangeRequest::default() }).await?;
    let revision = answer.header.map_or(0, |header| header.revision);
    Ok((answer.kvs.into_iter().next(), revision))
}

/// Every key that begins so, as of one revision; 0 = now.
pub(super) async fn all(
    wire: &Wire,
    mut range: RangeRequest,
    revision: i64,
) -> Result<Vec<KeyValue>, StoreError> {
    let mut found = Vec::new();
    range.revision = revision;
    loop {
        let answer = wire.range(RangeRequest { limit: PAGE, ..range.clone() }).await?;
        let last = answer.kvs.last().map(|one| one.key.to_vec());
        if range.revision == 0 {
            range.revision = answer.header.map_or(0, |header| header.revision);
        }
        found.extend(answer.kvs);
        match last.filter(|_| answer.more) {
            // The first key after the last one.
            Some(mut last) => {
                last.push(0);
                range.key = last;
            }
            None => return Ok(found),
        }
    }
}

/// All that etcd holds of this product; `None` = nothing was ever written.
pub(super) async fn load(wire: &Wire, keys: &Keys) -> Result<Option<(String, Mirror)>, StoreError> {
    let (found, revision) = get(wire, keys.head()).await?;
    let Some(found) = found else { return Ok(None) };
    let top = Top::decode(&found.value).ok_or_else(unreadable)?;
    let genesis = read_records(wire, keys, 0, 0).await?;
    let cluster = genesis.first().and_then(cluster).ok_or_else(|| missing(0))?;
    let mut documents = Documents::default();
    for one in all(wire, keys.all("doc/"), revision).await? {
        let name = keys.name(&one.key).and_then(|name| name.strip_prefix("doc/"));
        let key = Key(name.ok_or_else(unreadable)?.into());
        let document = match Kept::decode(&one.value).ok_or_else(unreadable)? {
            Kept::Here(document) => document,
            Kept::InRecord { version, seq } => in_record(wire, keys, &key, (version, seq)).await?,
        };
        documents.put(key, document);
    }
    // What was committed in one piece and not yet spread over the documents' keys.
    let mut next = top.applied + 1;
    while next <= top.head.seq {
        let records = read_records(wire, keys, next, top.head.seq.min(next + RECORDS as u64 - 1)).await?;
        for record in records {
            let (_, writes) = payload::decode(&record.payload).ok_or_else(unreadable)?;
            let writes = payload::over(writes, &documents).ok_or_else(unreadable)?;
            writes.into_iter().for_each(|write| documents.write(write));
            next = record.link.seq + 1;
        }
    }
    if documents.sum() != top.sum {
        return Err(unlike());
    }
    let mut mirror = Mirror {
        documents,
        head: top.head,
        wrote: top.head.seq,
        written: found.mod_revision,
        applied: top.applied,
        published: top.published,
        leader: None,
        members: BTreeMap::new(),
        books: None,
        vault: BTreeMap::new(),
        seen: revision,
    };
    for beginning in BESIDE {
        for one in all(wire, keys.all(beginning), revision).await? {
            if let Some(name) = keys.name(&one.key) {
                mirror.aside(name, Some(&one), one.mod_revision);
            }
        }
    }
    Ok(Some((cluster, mirror)))
}

/// A document that is too large for a key of its own.
async fn in_record(
    wire: &Wire,
    keys: &Keys,
    key: &Key,
    (version, seq): (u64, Revision),
) -> Result<Versioned, StoreError> {
    let record = read_records(wire, keys, seq, seq).await?;
    let (_, writes) =
        record.first().and_then(|record| payload::decode(&record.payload)).ok_or_else(|| missing(seq))?;
    let found = writes.into_iter().find(|write| write.key == *key).and_then(|write| write.over(None)?.value);
    found.map(|value| Versioned { version, value }).ok_or_else(unreadable)
}

/// Records by number, as far as they are there.
pub(super) async fn read_records(
    wire: &Wire,
    keys: &Keys,
    first: Revision,
    last: Revision,
) -> Result<Vec<Sealed>, StoreError> {
    let end = last.checked_add(1).map_or_else(|| keys.at("log0"), |after| keys.log(after));
    let range = RangeRequest { key: keys.log(first), range_end: end, ..RangeRequest::default() };
    let mut records = Vec::new();
    for one in all(wire, range, 0).await? {
        let record = unfold(wire, keys, &one.value).await?;
        let named = keys.name(&one.key).and_then(|name| name.strip_prefix("log/")).and_then(seq_of);
        if named != Some(record.link.seq) {
            return Err(unreadable());
        }
        records.push(record);
    }
    Ok(records)
}

async fn unfold(wire: &Wire, keys: &Keys, value: &Bytes) -> Result<Sealed, StoreError> {
    let frame = match Logged::decode(value).ok_or_else(unreadable)? {
        Logged::Here(frame) => frame,
        Logged::Parts { id, count } => {
            let mut frame = Vec::new();
            for number in 0..count {
                let part = get(wire, keys.part(&id, number)).await?.0.ok_or_else(unreadable)?;
                frame.extend_from_slice(&part.value);
            }
            frame.into()
        }
    };
    let read = Sealed::read(&mut frame.as_ref());
    read.ok().flatten().ok_or_else(unreadable)
}

/// As the audit log shows it.
pub(super) fn shown(sealed: &Sealed) -> Result<Record, StoreError> {
    let (entry, writes) = payload::decode(&sealed.payload).ok_or_else(unreadable)?;
    Ok(Record {
        revision: sealed.link.seq,
        epoch: sealed.link.epoch,
        entry,
        keys: writes.into_iter().map(|write| write.key).collect(),
        hash: sealed.hash,
    })
}

/// Whether the records are a chain from the first on; its end.
pub(super) fn chained(before: Option<Head>, records: &[Sealed]) -> Result<Option<Head>, StoreError> {
    records.iter().try_fold(before, |before, record| {
        let seq = record.link.seq;
        let fault = |fault| StoreError::Damaged(format!("record {seq} in etcd: {fault}"));
        record.follows(before).map_err(fault)?;
        Ok(Some(record.head()))
    })
}

pub(super) fn unreadable() -> StoreError {
    StoreError::Damaged(
        "etcd holds under this prefix what Keyway did not write, or a newer one did".to_owned(),
    )
}

pub(super) fn gone() -> StoreError {
    StoreError::Damaged("what was under this prefix in etcd is gone".to_owned())
}

fn missing(seq: Revision) -> StoreError {
    StoreError::Damaged(format!("record {seq} is missing in etcd"))
}

fn unlike() -> StoreError {
    StoreError::Damaged("the documents in etcd are not what its log of changes says".to_owned())
}
