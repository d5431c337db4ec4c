//! A store in one file, to keep elsewhere. Holds journal, vault and the books of usage, never the key that opens the vault; is checked whole
//! before anything is made of it.

mod file;
mod restore;

#[cfg(test)]
mod tests;

pub(crate) use self::restore::refuse_half_restored;
pub use self::restore::{Restored, restore};
use crate::{attest::Check, usage::NAME as USAGE};

use self::file::{Packer, Unpacker};
use super::{
    StoreError,
    journal::{
        Reach, payload,
        record::{Fault, Head, ReadError, Sealed},
        records::{segment_path, segments},
        scan,
    },
};
use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// Where the journal stands in a backup and under a home.
const JOURNAL: &str = "store/journal";
/// Where sealed secrets stand in both.
const VAULT: &str = "vault";
/// Folders in folders of what is packed.
const DEPTH: usize = 8;
/// Bytes of a file that is not a segment.
const FILE_LIMIT: u64 = 64 << 20;
/// What is in no backup, whatever it is asked for: with it, the backup would be the secrets.
const NEVER: &str = "root.key";

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Whose data it is.
    pub cluster: String,
    /// In which life of it.
    pub epoch: u64,
    /// The newest change in it.
    pub revision: u64,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Writes one of a store that may be in use, with the folders beside it and a copy of the books.
pub(crate) fn write(
    reach: &Reach,
    extra: &[(String, PathBuf)],
    usage: Option<File>,
    out: impl Write,
) -> Result<BackedUp, StoreError> {
    if let Some((name, _)) = extra.iter().find(|(name, _)| name != VAULT) {
        return Err(StoreError::Unusable(format!("a backup has no place for {name}")));
    }
    let mut packer = Packer::begin(out)?;
    // First what others may change: the journal up to the noted end stays as it is.
    for (name, folder) in extra {
        pack_folder(&mut packer, name, folder, DEPTH)?;
    }
    let folder = &reach.folder;
    let there = segments(folder).map_err(|error| StoreError::unusable(folder, &error))?;
    for segment in there.into_iter().filter(|segment| *segment <= reach.end.segment) {
        let path = segment_path(folder, segment);
        let file = File::open(&path).map_err(|error| StoreError::unusable(&path, &error))?;
        let length = match segment == reach.end.segment {
            true => reach.end.offset,
            false => file.metadata().map_err(|error| StoreError::unusable(&path, &error))?.len(),
        };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        packer.add(&format!("{JOURNAL}/{name}"), length, file)?;
    }
    if let Some(file) = usage {
        let length = file.metadata().map_err(|error| StoreError::unusable(Path::new(USAGE), &error))?.len();
        packer.add(USAGE, length, file)?;
    }
    let genesis = scan::scan(folder, Some(0))?;
    let (files, bytes) = packer.end()?;
    let Head { seq, epoch, .. } = reach.head;
    Ok(BackedUp { cluster: genesis.cluster, epoch, revision: seq, files, bytes })
}

/// Reads all of a backup and checks every byte of it and the chain of its journal.
///
/// # Errors
/// When it is not whole, or its journal is not.
pub fn verify_backup(from: impl Read) -> Result<BackedUp, StoreError> {
    read_all(from, |_, _| Ok(()))
}

/// The same, and what signed statements in its audit log say of it.
///
/// # Errors
/// As [`verify_backup`], and when a statement does not hold.
pub fn attested_backup(from: impl Read, check: &mut Check) -> Result<BackedUp, StoreError> {
    read_all(from, |cluster, record| {
        check.of_cluster(cluster);
        let seq = record.link.seq;
        let bad = |why: &dyn std::fmt::Display| StoreError::BadBackup(format!("record {seq}: {why}"));
        let (entry, _) = payload::decode(&record.payload).ok_or_else(|| bad(&Fault::Payload))?;
        check.next((seq, record.hash), &entry).map_err(|why| bad(&why))
    })
}

fn read_all(
    from: impl Read,
    mut each: impl FnMut(&str, &Sealed) -> Result<(), StoreError>,
) -> Result<BackedUp, StoreError> {
    let mut unpacker = Unpacker::begin(from)?;
    let (mut head, mut cluster) = (None, String::new());
    let mut segments = 0;
    while let Some((path, length)) = unpacker.next_file()? {
        refuse_foreign(&path)?;
        let mut contents = unpacker.contents(length);
        if !path.starts_with(&format!("{JOURNAL}/")) {
            contents.skip()?;
            continue;
        }
        let bad = |why: &dyn std::fmt::Display| StoreError::BadBackup(format!("{path}: {why}"));
        segments += 1;
        if Path::new(&path) != segment_path(Path::new(JOURNAL), segments) {
            return Err(bad(&"it stands where another segment should"));
        }
        loop {
            match Sealed::read(&mut contents) {
                Ok(None) => break,
                Ok(Some(record)) => {
                    record.follows(head).map_err(|fault| bad(&fault))?;
                    if head.is_none() {
                        cluster =
                            scan::cluster(&record).ok_or_else(|| bad(&"it begins as no journal does"))?;
                    }
                    each(&cluster, &record)?;
                    head = Some(record.head());
                }
                Err(ReadError::Fault(fault)) => return Err(bad(&fault)),
                Err(ReadError::Io(error)) => return Err(bad(&error)),
            }
        }
        contents.skip()?;
    }
    let (files, bytes) = unpacker.end()?;
    let Some(Head { seq, epoch, .. }) = head else {
        return Err(StoreError::BadBackup("it holds no journal".to_owned()));
    };
    Ok(BackedUp { cluster, epoch, revision: seq, files, bytes })
}

fn refuse_foreign(path: &str) -> Result<(), StoreError> {
    let known = [JOURNAL, VAULT].iter().any(|folder| path.starts_with(&format!("{folder}/")));
    if (known || path == USAGE) && path.split('/').all(|part| part != NEVER) {
        return Ok(());
    }
    Err(StoreError::BadBackup(format!("{path} belongs into no backup")))
}

fn pack_folder(
    packer: &mut Packer<impl Write>,
    name: &str,
    folder: &Path,
    depth: usize,
) -> Result<(), StoreError> {
    let unusable = |error| StoreError::unusable(folder, &error);
    for entry in super::place::names(folder).map_err(unusable)? {
        let (path, inside) = (folder.join(&entry), format!("{name}/{entry}"));
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_dir() && depth > 0 {
            pack_folder(packer, &inside, &path, depth - 1)?;
        } else if found.is_file() && entry != NEVER {
            let mut bytes = Vec::new();
            // Read whole first: one that is replaced meanwhile is in the backup as it was or as it will be.
            let read = File::open(&path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut bytes));
            match read {
                Ok(length) if length as u64 <= FILE_LIMIT => {
                    packer.add(&inside, length as u64, bytes.as_slice())?
                }
                Ok(_) => return Err(StoreError::Unusable(format!("{} is too large", path.display()))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::unusable(&path, &error)),
            }
        }
    }
    Ok(())
}
