//! What the threads of a store share, and the order of a change: journal, then memory and watchers, then index. One
//! change at a time; reads never wait for a disk.

use super::keeper::Keeper;
use crate::store::{
    Batch, Change, Changes, Condition, Identity, Key, Listing, Record, Revision, StoreError, Verified,
    Versioned, Write,
    checkpoint::{self, Checkpoint},
    disk::Disk,
    documents::Documents,
    index::Applied,
    journal::{
        FLOOR_BYTES, Journal, Reach, payload,
        record::{Fault, Head, Sealed},
        records::damaged,
        scan::scan,
    },
    place,
};
use parking_lot::Mutex;
use std::{
    fs::File,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::broadcast;

/// A checkpoint is made at the first change after so long.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(3600);
/// Notes of repairs that are kept; the newest.
const NOTES: usize = 32;

/// A store that is open.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) cluster: String,
    pub(super) held: Mutex<Held>,
    pub(super) writer: Mutex<Writer>,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) notes: Mutex<Vec<String>>,
    pub(super) schedule: Mutex<Schedule>,
    /// Held as long as the store is open.
    pub(super) _lock: File,
}

/// What is read.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) documents: Documents,
    pub(super) head: Head,
    /// Why nothing more is written.
    pub(super) read_only: Option<String>,
}

/// What is written to.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) journal: Journal,
    pub(super) keeper: Keeper,
}

/// When the next checkpoint is due.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) every: u64,
    pub(super) last: u64,
    pub(super) at: Instant,
}

// === impl Shared ===

impl Shared {
    pub(super) fn get(&self, key: &Key) -> Option<Versioned> {
        self.held.lock().documents.get(key).cloned()
    }

    pub(super) fn list(&self, prefix: &str) -> Listing {
        let Checkpoint { head, documents } = self.now();
        documents.list(prefix, head.seq)
    }

    /// All documents as they are: the lock is held for a moment, however many there are.
    fn now(&self) -> Checkpoint {
        let held = self.held.lock();
        Checkpoint { head: held.head, documents: held.documents.clone() }
    }

    pub(super) fn watch(&self) -> Changes {
        self.changes.subscribe()
    }

    pub(super) fn identity(&self) -> Identity {
        Identity { cluster: self.cluster.clone(), epoch: self.held.lock().head.epoch }
    }

    pub(super) fn head(&self) -> (Revision, [u8; 32]) {
        let head = self.held.lock().head;
        (head.seq, head.hash)
    }

    pub(super) fn commit(&self, batch: Batch) -> Result<Revision, StoreError> {
        let mut writer = self.writer.lock();
        let (epoch, before) = {
            let held = self.held.lock();
            held.documents.check(&batch)?;
            let there = |write: &Write| held.documents.get(&write.key).map(|there| there.value.clone());
            (held.head.epoch, batch.writes.iter().map(there).collect::<Vec<_>>())
        };
        let encoded = payload::encode(&batch.entry, &batch.writes, &before);
        let encoded = encoded.ok_or(StoreError::TooLarge { bytes: usize::MAX })?;
        let appended = writer.journal.append(epoch, batch.entry.at, &encoded);
        let head = appended.inspect_err(|_| {
            self.held.lock().read_only = writer.journal.failed().map(str::to_owned);
        })?;
        drop(encoded);
        // Committed. Nothing from here on may answer an error.
        let applied = self.publish(head, &batch);
        let whole = || self.now().documents;
        let notes = writer.keeper.apply(&batch.writes, &applied, whole);
        self.note(notes);
        Ok(head.seq)
    }

    fn publish(&self, head: Head, batch: &Batch) -> Applied {
        let keys = batch.writes.iter().map(|write| write.key.clone()).collect();
        let mut held = self.held.lock();
        held.head = head;
        batch.writes.iter().cloned().for_each(|write| held.documents.write(write));
        // Sent under the lock, so that watchers see commits in their order; without watchers nobody is told.
        let _ = self.changes.send(Change { revision: head.seq, keys });
        Applied::new(head, &held.documents)
    }

    pub(super) fn reach(&self, after: Option<u64>) -> Result<Reach, StoreError> {
        let empty = || StoreError::Damaged("the journal is empty".to_owned());
        self.writer.lock().journal.reach(after).ok_or_else(empty)
    }

    pub(super) fn audit(&self, after: Revision, limit: usize) -> Result<Vec<Record>, StoreError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        self.reach(Some(after))?.after(Some(after), |sealed| {
            found.push(record(sealed).ok_or(Fault::Payload)?);
            Ok(found.len() >= limit)
        })?;
        Ok(found)
    }

    pub(super) fn verify(&self) -> Result<Verified, StoreError> {
        let Reach { folder, head, .. } = self.reach(None)?;
        let read = scan(&folder, Some(head.seq))?;
        if read.head == Some(head) {
            return Ok(Verified { records: head.seq, head: (head.seq, head.hash) });
        }
        let fault = read.torn.map_or(Fault::Short, |torn| torn.fault);
        Err(damaged(&folder, read.end, read.head.map_or(0, |head| head.seq + 1), fault))
    }

    /// Never waits for a change that waits for the disk.
    pub(super) fn condition(&self) -> Condition {
        Condition {
            read_only: self.held.lock().read_only.clone(),
            repairs: self.notes.lock().clone(),
            space: self.disk.space(&self.dir).ok().map(|space| (space.free, space.total)),
            bytes: place::bytes(&self.dir),
        }
    }

    /// Whether the caller has to make a checkpoint now: each is claimed once.
    pub(super) fn claims_checkpoint(&self, revision: Revision) -> bool {
        let mut schedule = self.schedule.lock();
        let behind = revision.saturating_sub(schedule.last);
        let due = behind >= schedule.every || (behind > 0 && schedule.at.elapsed() >= CHECKPOINT_AFTER);
        if due {
            (schedule.last, schedule.at) = (revision, Instant::now());
        }
        due
    }

    pub(super) fn checkpoint(&self) {
        let now = self.now();
        // What is left free is for those who make room, not for a copy of what the journal has. A checkpoint is at most twice
        // its documents' bytes, but for many that are tiny.
        let needed = FLOOR_BYTES.saturating_mul(2).saturating_add(now.documents.bytes().saturating_mul(2));
        if self.disk.space(&self.dir).is_ok_and(|space| space.free < needed) {
            tracing::warn!("no checkpoint was made: the disk is nearly full; the journal has everything");
            return;
        }
        if let Err(error) = checkpoint::write(&self.dir.join(checkpoint::FOLDER), &now) {
            tracing::warn!(%error, "no checkpoint was made; the journal has everything");
        }
    }

    fn note(&self, new: Vec<String>) {
        let mut notes = self.notes.lock();
        notes.extend(new);
        let over = notes.len().saturating_sub(NOTES);
        notes.drain(..over);
    }
}

/// As the audit log shows it.
fn record(sealed: &Sealed) -> Option<Record> {
    let (entry, writes) = payload::decode(&sealed.payload)?;
    Some(Record {
        revision: sealed.link.seq,
        epoch: sealed.link.epoch,
        entry,
        keys: writes.into_iter().map(|write| write.key).collect(),
        hash: sealed.hash,
    })
}
