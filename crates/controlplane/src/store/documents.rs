//! The documents themselves, in order of their keys, with a sum over all of them: two sets with the same sum are the
//! same set, whatever way they were reached.

use super::{BATCH_LIMIT, Batch, Key, Listing, Revision, StoreError, Versioned, Write, shelves::Shelves};
use std::{collections::HashSet, sync::Arc};

/// A BLAKE3 hash.
pub(crate) type Hash = [u8; 32];

/// All documents. A copy shares them, and takes next to no time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Documents {
    entries: Shelves<Versioned>,
    sum: Hash,
}

/// Hash of one document with its name and version.
pub(crate) fn hash(key: &Key, document: &Versioned) -> Hash {
    let mut hasher = blake3::Hasher::new();
    let name = key.as_str().as_bytes();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name);
    hasher.update(&document.version.to_le_bytes());
    hasher.update(&document.value);
    *hasher.finalize().as_bytes()
}

// === impl Documents ===

impl Documents {
    pub(crate) fn get(&self, key: &Key) -> Option<&Versioned> {
        self.entries.get(key).map(|document| &**document)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Versioned)> {
        self.entries.iter().map(|(key, document)| (key, &**document))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        self.iter().map(|(key, document)| (key.as_str().len() + document.value.len()) as u64).sum()
    }

    /// Of all hashes, whatever their order.
    pub(crate) fn sum(&self) -> Hash {
        self.sum
    }

    pub(crate) fn list(&self, prefix: &str, revision: Revision) -> Listing {
        let first = Key(prefix.into());
        let with_prefix = self.entries.from(&first).take_while(|(key, _)| key.as_str().starts_with(prefix));
        let entries = with_prefix.map(|(key, document)| (key.clone(), Versioned::clone(document))).collect();
        Listing { revision, entries }
    }

    /// Whether the batch may be applied.
    pub(crate) fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut seen = HashSet::with_capacity(batch.writes.len());
        if batch.writes.len() > BATCH_LIMIT || !batch.writes.iter().all(|write| seen.insert(&write.key)) {
            return Err(StoreError::BadBatch { writes: batch.writes.len() });
        }
        for write in &batch.writes {
            let found = self.get(&write.key).map_or(0, |entry| entry.version);
            if found != write.expected {
                return Err(StoreError::Conflict { key: write.key.clone(), expected: write.expected, found });
            }
        }
        Ok(())
    }

    /// What the sum will be once these, which were checked, are written.
    pub(crate) fn sum_after(&self, writes: &[Write]) -> Hash {
        let mut sum = self.sum;
        for write in writes {
            if let Some(old) = self.get(&write.key) {
                mix(&mut sum, hash(&write.key, old));
            }
            if let Some(value) = &write.value {
                let version = write.expected + 1;
                mix(&mut sum, hash(&write.key, &Versioned { version, value: value.clone() }));
            }
        }
        sum
    }

    pub(crate) fn write(&mut self, write: Write) {
        match write.value {
            Some(value) => self.put(write.key, Versioned { version: write.expected + 1, value }),
            None => {
                if let Some(old) = self.entries.remove(&write.key) {
                    self.mix(hash(&write.key, &old));
                }
            }
        }
    }

    pub(crate) fn put(&mut self, key: Key, document: Versioned) {
        self.mix(hash(&key, &document));
        if let Some(old) = self.entries.put(key.clone(), Arc::new(document)) {
            self.mix(hash(&key, &old));
        }
    }

    fn mix(&mut self, hash: Hash) {
        mix(&mut self.sum, hash);
    }
}

/// Adds what is not in the sum and takes out what is.
fn mix(sum: &mut Hash, hash: Hash) {
    sum.iter_mut().zip(hash).for_each(|(byte, other)| *byte ^= other);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_copy_shares_all_but_what_is_written_after_it() {
        let mut documents = Documents::default();
        (0..10_000).for_each(|number| documents.write(write(&format!("{number}"), 0, Some("1"))));
        let copy = documents.clone();
        let (shared, all) = copy.entries.shared(&documents.entries);
        assert_eq!(shared, all);
        documents.write(write("5000", 1, Some("2")));
        assert_eq!(copy.entries.shared(&documents.entries), (all - 1, all));
        assert_eq!(copy.get(&Key::new("client", "5000")).unwrap().version, 1);
    }

    fn write(name: &str, expected: u64, value: Option<&'static str>) -> Write {
        Write {
            key: Key::new("client", name),
            expected,
            value: value.map(|text| Bytes::from_static(text.as_bytes())),
        }
    }

    #[test]
    fn the_sum_knows_the_set_and_not_the_way() {
        let (mut one, mut other) = (Documents::default(), Documents::default());
        for step in [write("a", 0, Some("1")), write("b", 0, Some("2")), write("b", 1, None)] {
            let foretold = one.sum_after(std::slice::from_ref(&step));
            one.write(step);
            assert_eq!(one.sum(), foretold);
        }
        assert_ne!(one.sum(), other.sum());
        other.write(write("a", 0, Some("1")));
        assert_eq!(one, other);
        other.write(write("a", 1, Some("1")));
        assert_ne!(one.sum(), other.sum(), "a version more");
        one.write(write("a", 1, None));
        assert_eq!(one, Documents::default());
    }
}
