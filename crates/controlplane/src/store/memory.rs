//! Documents in memory: gone with the process. The truth for tests and for `keyway up` without a journal.

use super::{
    BATCH_LIMIT, Batch, Change, Changes, Condition, Entry, Identity, Key, Listing, Pending, Record, Revision,
    Store, StoreError, Verified, Versioned, WATCH_BACKLOG, Write,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use tokio::sync::broadcast;

/// The memory backend.
#[derive(Debug)]
pub struct Memory {
    held: Mutex<Held>,
    changes: broadcast::Sender<Change>,
}

#[derive(Debug, Default)]
struct Held {
    entries: BTreeMap<Key, Versioned>,
    records: Vec<Record>,
    revision: Revision,
}

// === impl Memory ===

impl Default for Memory {
    fn default() -> Self {
        Self { held: Mutex::default(), changes: broadcast::Sender::new(WATCH_BACKLOG) }
    }
}

impl Store for Memory {
    fn get<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Versioned>> {
        Box::pin(async move { Ok(self.held.lock().entries.get(key).cloned()) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Pending<'a, Listing> {
        Box::pin(async move {
            let held = self.held.lock();
            let with_prefix = held.entries.iter().filter(|(key, _)| key.as_str().starts_with(prefix));
            let entries = with_prefix.map(|(key, value)| (key.clone(), value.clone())).collect();
            Ok(Listing { revision: held.revision, entries })
        })
    }

    fn commit(&self, batch: Batch) -> Pending<'_, Revision> {
        Box::pin(async move {
            let mut held = self.held.lock();
            held.check(&batch)?;
            let revision = held.revision + 1;
            held.revision = revision;
            let keys: Vec<Key> = batch.writes.iter().map(|write| write.key.clone()).collect();
            held.record(batch.entry, keys.clone());
            batch.writes.into_iter().for_each(|write| held.write(write));
            // Sent under the lock, so that watchers see commits in their order; without watchers nobody is told.
            let _ = self.changes.send(Change { revision, keys });
            Ok(revision)
        })
    }

    fn watch(&self) -> Changes {
        self.changes.subscribe()
    }

    fn identity(&self) -> Identity {
        Identity { cluster: "memory".to_owned(), epoch: 1 }
    }

    fn audit(&self, after: Revision, limit: usize) -> Pending<'_, Vec<Record>> {
        Box::pin(async move {
            let held = self.held.lock();
            Ok(held.records.iter().filter(|record| record.revision > after).take(limit).cloned().collect())
        })
    }

    fn verify(&self) -> Pending<'_, Verified> {
        Box::pin(async move {
            let held = self.held.lock();
            let head = held.records.last().map_or((0, [0; 32]), |last| (last.revision, last.hash));
            Ok(Verified { records: held.records.len() as u64, head })
        })
    }

    fn condition(&self) -> Condition {
        Condition::default()
    }
}

// === impl Held ===

impl Held {
    fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut seen = HashSet::with_capacity(batch.writes.len());
        if batch.writes.len() > BATCH_LIMIT || !batch.writes.iter().all(|write| seen.insert(&write.key)) {
            return Err(StoreError::BadBatch { writes: batch.writes.len() });
        }
        for write in &batch.writes {
            let found = self.entries.get(&write.key).map_or(0, |entry| entry.version);
            if found != write.expected {
                return Err(StoreError::Conflict { key: write.key.clone(), expected: write.expected, found });
            }
        }
        Ok(())
    }

    fn record(&mut self, entry: Entry, keys: Vec<Key>) {
        let before = self.records.last().map_or([0; 32], |last| last.hash);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&before);
        hasher.update(format!("{entry:?} {keys:?}").as_bytes());
        let hash = *hasher.finalize().as_bytes();
        self.records.push(Record { revision: self.revision, epoch: 1, entry, keys, hash });
    }

    fn write(&mut self, write: Write) {
        match write.value {
            Some(value) => {
                self.entries.insert(write.key, Versioned { version: write.expected + 1, value });
            }
            None => {
                self.entries.remove(&write.key);
            }
        }
    }
}
