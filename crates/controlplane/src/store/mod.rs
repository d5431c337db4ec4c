//! Where documents live: a few calls that a backend fills in one file. A commit is all or nothing and checks the
//! versions that the caller read. Knows nothing of what the documents mean.

mod backup;
mod checkpoint;
mod cut;
mod disk;
mod documents;
mod durable;
mod etcd;
mod index;
mod journal;
mod memory;
mod place;
mod shelves;

#[cfg(test)]
mod conformance;

pub(crate) use backup::write as write_backup;
pub use backup::{BackedUp, Restored, attested_backup, restore, verify_backup};
pub use durable::Durable;
pub use etcd::{Address, Etcd, Migrated, Place, migrate};
pub use index::{IndexCheck, check_index};
pub use memory::Memory;
pub(crate) use shelves::Shelves;

use crate::lead::{Member, Standing};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{future::Future, io, path::Path, pin::Pin, sync::Arc};
use tokio::sync::{broadcast, watch};

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
    /// Each key at most once; none = only the entry is kept.
    pub writes: Vec<Write>,
    /// What the audit log says of it.
    pub entry: Entry,
}

/// Who did what. Words of this product and names of its documents; never a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since 1970, for people: order comes from the revision.
    pub at: u64,
    /// `operator/NAME`, `bootstrap`, `system`, `file:NAME`.
    pub actor: String,
    /// `key.rotate`, `apply`, `client.disable`…
    pub action: String,
    /// What it was done to: `key/openai/main`; empty = the whole.
    pub subject: String,
    /// What else is worth knowing: JSON without free text.
    pub detail: serde_json::Value,
    /// Trace id, hex; empty = not traced.
    pub trace: String,
    /// Hash of the state that replicas are sent after it, hex; empty = they are sent none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

/// One record of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place; the commit's revision.
    pub revision: Revision,
    /// In which life of the data.
    pub epoch: u64,
    /// Who did what.
    pub entry: Entry,
    /// The documents that were written or deleted.
    pub keys: Vec<Key>,
    /// Hash over it and all before it.
    pub hash: [u8; 32],
}

/// Whose data this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Made once, with the store; part of what secrets are bound to.
    pub cluster: String,
    /// Rises when a backup is restored.
    pub epoch: u64,
}

/// What a full check of the log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Records that were read.
    pub records: u64,
    /// The last one's place and hash.
    pub head: (Revision, [u8; 32]),
}

/// How the store is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Why it takes no writes; absent = it does.
    pub read_only: Option<String>,
    /// What was put right at the start or since: a torn tail cut, an index rebuilt.
    pub repairs: Vec<String>,
    /// Bytes free where it lies, and of how many; absent = it does not lie on a disk.
    pub space: Option<(u64, u64)>,
    /// Bytes of its files.
    pub bytes: u64,
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
    /// As `commit`, for a batch that was planned over all documents as of `over`: refused where some were written since.
    /// Records without writes may have come between. Where nobody else writes there is nothing to look for.
    fn commit_over(&self, batch: Batch, over: Revision) -> Pending<'_, Revision> {
        let _ = over;
        self.commit(batch)
    }
    /// Every commit from now on.
    fn watch(&self) -> Changes;
    /// Whose data it holds.
    fn identity(&self) -> Identity;
    /// The newest record's place and hash.
    fn head(&self) -> (Revision, [u8; 32]);
    /// Records of the audit log after that revision, oldest first, at most `limit`.
    fn audit(&self, after: Revision, limit: usize) -> Pending<'_, Vec<Record>>;
    /// Reads the whole log and checks that nothing in it was changed.
    fn verify(&self) -> Pending<'_, Verified>;
    /// How it is.
    fn condition(&self) -> Condition;
    /// What there is to know beyond that where other control planes write to it too; absent = nobody else does.
    fn shared(&self) -> Option<&dyn Shared> {
        None
    }
}

/// A store that several control planes have, of which one writes at a time.
pub trait Shared: Send + Sync {
    /// Who this one is to the others.
    fn me(&self) -> &Member;
    /// Who leads, and whether the store answers.
    fn standing(&self) -> watch::Receiver<Standing>;
    /// Every control plane that is there now.
    fn members(&self) -> Vec<Member>;
    /// Wakes when somebody came, went, or took the lead or the books.
    fn news(&self) -> watch::Receiver<u64>;
    /// These documents, as of one commit.
    fn read(&self, keys: &[Key]) -> Read;
    /// Takes in everything that was committed before the call.
    fn catch_up(&self) -> Pending<'_, ()>;
    /// Who keeps the books; absent = nobody was asked to yet.
    fn books(&self) -> Option<String>;
    /// Makes this one keep them if nobody does, or takes them from whoever does. Gives whose they are then.
    fn keep_books(&self, take: bool) -> Pending<'_, String>;
}

/// Some documents, as of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The newest commit then.
    pub revision: Revision,
    /// Which commit made the state that replicas are sent, and its hash, hex; absent = none did.
    pub published: Option<(Revision, String)>,
    /// As asked; absent = there is none.
    pub entries: Vec<(Key, Option<Versioned>)>,
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
    /// There is no room on the disk; nothing was written.
    #[error("the disk of the store is full; make room, nothing else has to be done")]
    Full,
    /// The disk failed; from now on the store takes no writes.
    #[error(
        "the disk of the store failed ({0}); it takes no more writes until the control plane is started again"
    )]
    Failed(String),
    /// Another control plane writes.
    #[error("this control plane does not lead{}; ask that one, or try again in some seconds", at(leader.as_deref()))]
    NotLeader {
        /// Where the one that does is; absent = not known.
        leader: Option<String>,
    },
    /// It does not answer, or not in time.
    #[error("the store does not answer: {0}; what is served goes on, try again later")]
    Unavailable(String),
    /// It takes no writes.
    #[error("the store is read-only: {0}")]
    ReadOnly(String),
    /// What it holds is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Another process has it.
    #[error("{0} is in use by another process; end that one first")]
    Locked(String),
    /// It, or a backup of it, cannot be read or written.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
    /// What was given is no backup, or not all of one.
    #[error("this backup cannot be used: {0}")]
    BadBackup(String),
    /// The batch is larger than a record may be.
    #[error("a batch of {bytes} bytes is over the limit of 256 MiB")]
    TooLarge {
        /// How large it would be.
        bytes: usize,
    },
    /// The batch itself is at fault.
    #[error("a batch of {writes} writes is over the limit of {BATCH_LIMIT} or names a key twice")]
    BadBatch {
        /// How many it had.
        writes: usize,
    },
}

fn at(leader: Option<&str>) -> String {
    leader.map(|leader| format!(", {leader} does")).unwrap_or_default()
}

// === impl StoreError ===

impl StoreError {
    fn unusable(path: &Path, error: &io::Error) -> Self {
        Self::Unusable(format!("{}: {error}", path.display()))
    }
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
