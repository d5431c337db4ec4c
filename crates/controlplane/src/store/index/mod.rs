//! The documents on disk in a sled tree, so that a start need not replay the journal. Never believed without its
//! checksums, never needed: whatever is wrong with it, the journal makes it anew.

mod check;
mod entry;
mod patience;

#[cfg(test)]
mod tests;

pub(crate) use self::check::Verdict;
pub use self::check::{IndexCheck, check_index};
pub(crate) use self::entry::Applied;

use self::{
    entry::{decode_document, decode_key, encode_document, encode_key},
    patience::within,
};
use super::{Key, Versioned, Write, documents::Documents};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Its folder in the store.
pub(crate) const FOLDER: &str = "index";
/// Where the last applied record is named.
const HEAD_KEY: &[u8] = b"h";
/// Bytes that sled may hold; documents are read from our own memory.
const CACHE_BYTES: u64 = 8 << 20;
/// Documents in one step of what is large: of a batch sled holds several kilobytes a document until it is written.
const CHUNK: usize = 1_000;
/// sled lets its lock go a moment after it is closed.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_STEP: Duration = Duration::from_millis(20);

/// sled gets so long for one call.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open index.
#[derive(Debug)]
pub(crate) struct Index {
    db: sled::Db,
}

/// Why it cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("sled: {0}")]
    Sled(#[from] sled::Error),
    #[error("sled panicked")]
    Panicked,
    #[error("sled does not answer")]
    Hung,
    #[error("no thread can be started for it")]
    NoThread,
    #[error("a document in it is not what was written")]
    Document,
    #[error("it does not say up to where it reaches")]
    NoHead,
    #[error("it has lost or kept documents")]
    Sum,
}

// === impl Index ===

impl Index {
    /// Opens or makes it.
    pub(crate) fn open(folder: &Path) -> Result<Self, IndexError> {
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            // Nothing is written by sled's own thread: a full disk shall meet us, not a thread that gives up.
            let config = sled::Config::new().path(folder).flush_every_ms(None).cache_capacity(CACHE_BYTES);
            match within(PATIENCE, move || Ok(config.open()?)) {
                Err(IndexError::Sled(sled::Error::Io(_))) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_STEP);
                }
                opened => return Ok(Self { db: opened? }),
            }
        }
    }

    /// All it holds, checked; `None` = it is new.
    pub(crate) fn load(&self) -> Result<Option<(Applied, Documents)>, IndexError> {
        let documents = self.call(|db| {
            let mut documents = Documents::default();
            for item in db.iter() {
                let (key, value) = item?;
                match decode_key(&key).and_then(|key| decode_document(key, &value)) {
                    Some((key, document)) => documents.put(key, document),
                    None if key == HEAD_KEY => {}
                    None => return Err(IndexError::Document),
                }
            }
            Ok(documents)
        })?;
        let Some(applied) = self.applied()? else {
            return if documents.len() == 0 { Ok(None) } else { Err(IndexError::NoHead) };
        };
        if applied.sum != documents.sum() || applied.documents != documents.len() as u64 {
            return Err(IndexError::Sum);
        }
        Ok(Some((applied, documents)))
    }

    /// The last record that it has; `None` = none.
    pub(crate) fn applied(&self) -> Result<Option<Applied>, IndexError> {
        let found = self.call(|db| Ok(db.get(HEAD_KEY)?))?;
        found.map(|bytes| Applied::decode(&bytes).ok_or(IndexError::NoHead)).transpose()
    }

    /// Applies one record's writes whole, with its place, and returns when they are on the disk. A large one is written in steps
    /// without a head, which comes with the last: one that ends early is seen, and made anew.
    pub(crate) fn apply(&self, writes: &[Write], applied: &Applied) -> Result<(), IndexError> {
        let mut rest = writes;
        while let Some((step, behind)) = rest.split_at_checked(CHUNK).filter(|(_, behind)| !behind.is_empty())
        {
            let mut batch = batch(step);
            batch.remove(HEAD_KEY);
            self.write(batch)?;
            rest = behind;
        }
        let mut batch = batch(rest);
        batch.insert(HEAD_KEY, applied.encode());
        self.write(batch)
    }

    /// Fills a new one. Its head comes last: a fill that ends early is seen as one.
    pub(crate) fn fill(&self, documents: &Documents, applied: &Applied) -> Result<(), IndexError> {
        let all: Vec<(&Key, &Versioned)> = documents.iter().collect();
        for chunk in all.chunks(CHUNK) {
            let mut batch = sled::Batch::default();
            for (key, document) in chunk {
                batch.insert(encode_key(key), encode_document(key, document));
            }
            self.write(batch)?;
        }
        self.apply(&[], applied)
    }

    /// Closes one that works.
    pub(crate) fn close(self) -> Result<(), IndexError> {
        let db = self.db;
        within(PATIENCE, move || {
            drop(db);
            Ok(())
        })
    }

    /// Leaves one that failed as it is, with its memory and its open file: to close it would flush it, and that may
    /// never return and take every other tree of the process along.
    pub(crate) fn abandon(self) {
        std::mem::forget(self.db);
    }

    fn write(&self, batch: sled::Batch) -> Result<(), IndexError> {
        self.call(|db| {
            db.apply_batch(batch)?;
            db.flush()?;
            Ok(())
        })
    }

    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&sled::Db) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, IndexError> {
        let db = self.db.clone();
        within(PATIENCE, move || call(&db))
    }
}

fn batch(writes: &[Write]) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for write in writes {
        let key = encode_key(&write.key);
        match &write.value {
            Some(value) => {
                let document = Versioned { version: write.expected + 1, value: value.clone() };
                batch.insert(key, encode_document(&write.key, &document));
            }
            None => batch.remove(key),
        }
    }
    batch
}
