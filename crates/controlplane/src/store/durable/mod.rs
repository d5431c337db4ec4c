//! The backend that survives: a journal that is the truth, documents in memory, an index that makes starts quick. What
//! waits for a disk runs on threads that may wait; a caller that goes away leaves no half change behind.

mod keeper;
mod shared;
mod start;

#[cfg(test)]
mod tests;

use self::shared::Shared;
use super::{
    Batch, Changes, Condition, Identity, IndexCheck, Key, Listing, Pending, Record, Revision, Store,
    StoreError, Verified, Versioned, backup::Moment,
};
use std::{path::Path, sync::Arc};

pub(crate) use self::start::{JOURNAL, lock, new_cluster};

/// A store in a directory.
#[derive(Debug)]
pub struct Durable {
    shared: Arc<Shared>,
}

// === impl Durable ===

impl Durable {
    /// Opens the store in that directory, or makes one there. May take as long as reading all of the journal; not to
    /// be called where nothing may wait. `check` tries the index in another process first.
    ///
    /// # Errors
    /// When another process has it, when it cannot be read, and when its journal is not whole: nothing is served then.
    pub fn open(dir: &Path, check: Option<IndexCheck>) -> Result<Self, StoreError> {
        Self::open_with(dir, start::Setup::new(check))
    }

    fn open_with(dir: &Path, setup: start::Setup) -> Result<Self, StoreError> {
        Ok(Self { shared: Arc::new(start::open(dir, setup)?) })
    }

    /// Whether anything was ever committed.
    #[must_use]
    pub fn has_data(&self) -> bool {
        // No key begins so: only the revision is wanted.
        self.shared.list("/").revision > 0
    }

    /// What a backup will hold of the journal and of the vault in that directory, as they are now: only while nothing is
    /// being changed. Waits for the disk.
    pub(crate) fn moment(&self, vault: Option<&Path>) -> Result<Moment, StoreError> {
        Moment::note(self.shared.reach(None)?, vault)
    }
}

impl Store for Durable {
    fn get<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Versioned>> {
        Box::pin(async move { Ok(self.shared.get(key)) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Pending<'a, Listing> {
        Box::pin(async move { Ok(self.shared.list(prefix)) })
    }

    fn commit(&self, batch: Batch) -> Pending<'_, Revision> {
        let shared = Arc::clone(&self.shared);
        Box::pin(waiting(move || {
            let revision = shared.commit(batch)?;
            if shared.claims_checkpoint(revision) {
                // On its own thread, so that nobody's change waits for it.
                tokio::task::spawn_blocking(move || shared.checkpoint());
            }
            Ok(revision)
        }))
    }

    fn watch(&self) -> Changes {
        self.shared.watch()
    }

    fn identity(&self) -> Identity {
        self.shared.identity()
    }

    fn head(&self) -> (Revision, [u8; 32]) {
        self.shared.head()
    }

    fn audit(&self, after: Revision, limit: usize) -> Pending<'_, Vec<Record>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(waiting(move || shared.audit(after, limit)))
    }

    fn verify(&self) -> Pending<'_, Verified> {
        let shared = Arc::clone(&self.shared);
        Box::pin(waiting(move || shared.verify()))
    }

    fn condition(&self) -> Condition {
        self.shared.condition()
    }
}

/// Runs what waits for a disk to its end, whether or not the caller stays.
async fn waiting<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let ended = tokio::task::spawn_blocking(call).await;
    ended.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
}
