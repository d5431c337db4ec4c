//! Dumps of all documents at one record, so that an index is rebuilt without replaying everything. A checkpoint that is
//! not whole is passed over; none is needed, the journal has all.

use super::{
    Key, Versioned,
    cut::Cut,
    documents::{self, Documents, Hash},
    journal::record::Head,
    place,
};
use bytes::Bytes;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Its folder in the store.
pub(crate) const FOLDER: &str = "checkpoints";
const MAGIC: &[u8; 8] = b"KWCKPT\0\x01";
const SUFFIX: &str = ".ckpt";
/// So many are kept.
const KEPT: usize = 24;
/// Bytes of one that is read.
const SIZE_LIMIT: u64 = 4 << 30;

/// All documents as they were after a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) head: Head,
    pub(crate) documents: Documents,
}

/// The records that checkpoints were made at, by their names, oldest first.
pub(crate) fn places(folder: &Path) -> io::Result<Vec<u64>> {
    let mut seqs: Vec<u64> =
        place::names(folder)?.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok()).collect();
    seqs.sort_unstable();
    Ok(seqs)
}

/// Writes one; the oldest go.
pub(crate) fn write(folder: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    crate::private_dir(folder)?;
    place::write_whole(&path(folder, checkpoint.head.seq), |to| {
        let mut root = blake3::Hasher::new();
        put(to, &mut root, &opening(checkpoint))?;
        for (key, document) in checkpoint.documents.iter() {
            let entry = encode(key, document).ok_or(io::ErrorKind::InvalidInput)?;
            put(to, &mut root, &entry)?;
        }
        to.write_all(root.finalize().as_bytes())
    })?;
    let mut seqs = places(folder)?;
    seqs.truncate(seqs.len().saturating_sub(KEPT));
    seqs.into_iter().try_for_each(|seq| fs::remove_file(path(folder, seq)))
}

/// Reads one; `None` = it is not whole.
pub(crate) fn read(folder: &Path, seq: u64) -> Option<Checkpoint> {
    let path = path(folder, seq);
    let whole = fs::metadata(&path).ok().filter(|found| found.len() <= SIZE_LIMIT)?;
    let bytes = fs::read(&path).ok().filter(|bytes| bytes.len() as u64 == whole.len())?;
    let (body, root) = bytes.split_last_chunk::<32>()?;
    if blake3::hash(body) != *root {
        return None;
    }
    decode(body).filter(|checkpoint| checkpoint.head.seq == seq)
}

fn path(folder: &Path, seq: u64) -> PathBuf {
    folder.join(format!("{seq:016}{SUFFIX}"))
}

fn put(to: &mut impl Write, root: &mut blake3::Hasher, bytes: &[u8]) -> io::Result<()> {
    root.update(bytes);
    to.write_all(bytes)
}

fn opening(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&checkpoint.head.seq.to_le_bytes());
    bytes.extend_from_slice(&checkpoint.head.epoch.to_le_bytes());
    bytes.extend_from_slice(&checkpoint.head.hash);
    bytes.extend_from_slice(&(checkpoint.documents.len() as u64).to_le_bytes());
    bytes
}

fn encode(key: &Key, document: &Versioned) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(48 + key.as_str().len() + document.value.len());
    super::cut::put_sized(&mut bytes, key.as_str().as_bytes())?;
    bytes.extend_from_slice(&document.version.to_le_bytes());
    super::cut::put_sized(&mut bytes, &document.value)?;
    bytes.extend_from_slice(&documents::hash(key, document));
    Some(bytes)
}

fn decode(body: &[u8]) -> Option<Checkpoint> {
    let mut cut = Cut(body);
    if cut.array() != Some(*MAGIC) {
        return None;
    }
    let head = Head { seq: cut.u64()?, epoch: cut.u64()?, hash: cut.array()? };
    let count = cut.u64()?;
    let mut documents = Documents::default();
    for _ in 0..count {
        let key = Key(std::str::from_utf8(cut.sized()?).ok()?.into());
        let document = Versioned { version: cut.u64()?, value: Bytes::copy_from_slice(cut.sized()?) };
        let own: Hash = cut.array()?;
        if documents::hash(&key, &document) != own {
            return None;
        }
        documents.put(key, document);
    }
    cut.is_empty().then_some(Checkpoint { head, documents })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(seq: u64) -> Checkpoint {
        let mut documents = Documents::default();
        for name in ["a", "b"] {
            documents
                .put(Key::new("client", name), Versioned { version: 2, value: Bytes::from_static(b"{}") });
        }
        Checkpoint { head: Head { seq, epoch: 3, hash: [7; 32] }, documents }
    }

    #[test]
    fn a_changed_byte_anywhere_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &checkpoint(5)).unwrap();
        assert_eq!(read(dir.path(), 5), Some(checkpoint(5)));
        assert_eq!(read(dir.path(), 6), None);
        let good = fs::read(path(dir.path(), 5)).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(path(dir.path(), 5), &bad).unwrap();
            assert_eq!(read(dir.path(), 5), None, "byte {at}");
            fs::write(path(dir.path(), 5), &good[..at]).unwrap();
            assert_eq!(read(dir.path(), 5), None, "cut at {at}");
        }
    }

    #[test]
    fn the_newest_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for seq in 0..30 {
            write(dir.path(), &checkpoint(seq)).unwrap();
        }
        assert_eq!(places(dir.path()).unwrap(), (6..30).collect::<Vec<_>>());
    }
}
