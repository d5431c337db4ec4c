//! Where documents live: a few calls that a backend fills in one file. A commit is all or nothing and checks the
//! versions that the caller read. Knows nothing of what the documents mean.

mod memory;

#[cfg(test)]
mod conformance;

pub use memory::Memory;

use bytes::Bytes;
use std::{future::Future, pin::Pin, sync::Arc};
use tokio::sync::broadcast;

/// Revisions that a slow watcher may fall behind before it has to list again.
pub const WATCH_BACKLOG: usize = 256;
/// Writes in one commit.
pub const BATCH_LIMIT: usize = 200_000;

/// What a call returns: boxed, because backends differ at run time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Counts commits; never used twice. 0 = nothing was ever committed.
pub type Revision = u64;

/// Names one document: `provider/openai`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// A value with the number of times that it was written since it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// 1 for a new document.
    pub version: u64,
    /// The document.
    pub value: Bytes,
}

/// A consistent read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Of the newest commit that the read saw.
    pub revision: Revision,
    /// In order of keys.
    pub entries: Vec<(Key, Versioned)>,
}

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What is written.
    pub key: Key,
    /// The version that must be there; 0 = none may be there.
    pub expected: u64,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
}

/// What one commit does, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Each key at most once.
    pub writes: Vec<Write>,
    /// The commit's revision is above this one too: versions that replicas saw are not used again.
    pub above: Revision,
}

/// One commit, as a watcher sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of the commit.
    pub revision: Revision,
    /// The keys that it wrote or deleted.
    pub keys: Vec<Key>,
}

/// Commits after the call, in order. A watcher that falls more than [`WATCH_BACKLOG`] behind is told so by
/// `RecvError::Lagged` and lists again.
pub type Changes = broadcast::Receiver<Change>;

/// A backend.
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// The document of that name.
    fn get<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Versioned>>;
    /// Every document whose key starts so.
    fn list<'a>(&'a self, prefix: &'a str) -> Pending<'a, Listing>;
    /// Writes the whole batch or nothing. Once it answers, the batch survives what the backend promises to survive.
    fn commit(&self, batch: Batch) -> Pending<'_, Revision>;
    /// Every commit from now on.
    fn watch(&self) -> Changes;
}

/// Why a call did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Someone else wrote first.
    #[error("{key} has version {found}, not {expected}")]
    Conflict {
        /// Which document.
        key: Key,
        /// What the caller had read; 0 = none.
        expected: u64,
        /// What is there; 0 = none.
        found: u64,
    },
    /// The batch itself is at fault.
    #[error("a batch of {writes} writes is over the limit of {BATCH_LIMIT} or names a key twice")]
    BadBatch {
        /// How many it had.
        writes: usize,
    },
}

// === impl Key ===

impl Key {
    /// `kind/name`.
    #[must_use]
    pub fn new(kind: &str, name: &str) -> Self {
        Self(format!("{kind}/{name}").into())
    }

    /// The whole key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `/`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or("", |(kind, _)| kind)
    }

    /// The part after the first `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
