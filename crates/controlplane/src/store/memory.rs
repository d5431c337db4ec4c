//! Documents in memory: gone with the process. The truth for tests and for `keyway up` without a journal.

use super::{
    Batch, Change, Changes, Condition, Entry, Identity, Key, Listing, Pending, Record, Revision, Store,
    Verified, Versioned, WATCH_BACKLOG, documents::Documents,
};
use parking_lot::Mutex;
use tokio::sync::broadcast;

/// The memory backend.
#[derive(Debug)]
pub struct Memory {
    held: Mutex<Held>,
    changes: broadcast::Sender<Change>,
}

#[derive(Debug, Default)]
struct Held {
    documents: Documents,
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
        Box::pin(async move { Ok(self.held.lock().documents.get(key).cloned()) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Pending<'a, Listing> {
        Box::pin(async move {
            let held = self.held.lock();
            Ok(held.documents.list(prefix, held.revision))
        })
    }

    fn commit(&self, batch: Batch) -> Pending<'_, Revision> {
        Box::pin(async move {
            let mut held = self.held.lock();
            held.documents.check(&batch)?;
            let revision = held.revision + 1;
            held.revision = revision;
            let keys: Vec<Key> = batch.writes.iter().map(|write| write.key.clone()).collect();
            held.record(batch.entry, keys.clone());
            batch.writes.into_iter().for_each(|write| held.documents.write(write));
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

    fn head(&self) -> (Revision, [u8; 32]) {
        self.held.lock().head()
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
            Ok(Verified { records: held.records.len() as u64, head: held.head() })
        })
    }

    fn condition(&self) -> Condition {
        Condition::default()
    }
}

// === impl Held ===

impl Held {
    fn head(&self) -> (Revision, [u8; 32]) {
        self.records.last().map_or((0, [0; 32]), |last| (last.revision, last.hash))
    }

    fn record(&mut self, entry: Entry, keys: Vec<Key>) {
        let before = self.records.last().map_or([0; 32], |last| last.hash);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&before);
        hasher.update(format!("{entry:?} {keys:?}").as_bytes());
        let hash = *hasher.finalize().as_bytes();
        self.records.push(Record { revision: self.revision, epoch: 1, entry, keys, hash });
    }
}
