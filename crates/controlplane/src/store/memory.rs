//! Documents in memory: gone with the process. The truth for tests and for `keyway up` without a journal.

use super::{
    BATCH_LIMIT, Batch, Change, Changes, Key, Listing, Pending, Revision, Store, StoreError, Versioned,
    WATCH_BACKLOG, Write,
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
    revision: Revision,
    entries: BTreeMap<Key, Versioned>,
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
            let revision = held.revision.max(batch.above) + 1;
            held.revision = revision;
            let keys = batch.writes.iter().map(|write| write.key.clone()).collect();
            batch.writes.into_iter().for_each(|write| held.write(write));
            // Sent under the lock, so that watchers see commits in their order; without watchers nobody is told.
            let _ = self.changes.send(Change { revision, keys });
            Ok(revision)
        })
    }

    fn watch(&self) -> Changes {
        self.changes.subscribe()
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
