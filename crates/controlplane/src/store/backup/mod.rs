//! A store in one file, to keep elsewhere. Holds journal, vault and the books of usage, never the key that opens the vault; is checked whole
//! before anything is made of it.

mod file;
mod restore;

#[cfg(test)]
mod tests;

pub(crate) use self::restore::refuse_half_restored;
pub use self::restore::{Restored, restore};
use crate::{
    attest::Check,
    usage::NAME as USAGE,
    vault::{Packed, RootKey},
};

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
    io::{self, Read, Write},
    path::Path,
};

/// Where the journal stands in a backup and under a home.
const JOURNAL: &str = "store/journal";
/// Where sealed secrets stand in both.
const VAULT: &str = "vault";
/// Folders in folders of what is packed.
const DEPTH: usize = 8;
/// Bytes of a vault's files together: they are held until the backup is written. A secret has about 500.
const VAULT_LIMIT: u64 = 256 << 20;
/// Bytes of a file of the vault: one that is longer is none of its own.
const FILE_LIMIT: u64 = 1 << 20;
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

/// What belongs together, as it was at one moment: how far the journal reached, and the vault, whole. The journal up to there
/// stays as it is; the vault's files do not, so they are read before anything changes again.
#[derive(Debug)]
pub(crate) struct Moment {
    reach: Reach,
    /// Paths in the backup, and bytes: sealed.
    vault: Vec<(String, Vec<u8>)>,
}

// === impl Moment ===

impl Moment {
    /// Of now. Only while nothing is being changed.
    pub(crate) fn note(reach: Reach, vault: Option<&Path>) -> Result<Self, StoreError> {
        let (mut files, mut room) = (Vec::new(), VAULT_LIMIT);
        if let Some(folder) = vault {
            read_folder(&mut files, &mut room, VAULT, folder, DEPTH)?;
        }
        Ok(Self { reach, vault: files })
    }
}

/// Writes what a moment was, with a copy of the books. Changes may go on.
pub(crate) fn write(moment: &Moment, usage: Option<File>, out: impl Write) -> Result<BackedUp, StoreError> {
    let Moment { reach, vault } = moment;
    let mut packer = Packer::begin(out)?;
    for (path, bytes) in vault {
        packer.add(path, bytes.len() as u64, bytes.as_slice())?;
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
    let (mut segments, mut packed) = (0, Packed::default());
    while let Some((path, length)) = unpacker.next_file()? {
        refuse_foreign(&path)?;
        let mut contents = unpacker.contents(length);
        if !path.starts_with(&format!("{JOURNAL}/")) {
            see(&mut packed, &path, &mut contents).map_err(file::not_read)?;
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
    refuse_orphan(&packed, None)?;
    Ok(BackedUp { cluster, epoch, revision: seq, files, bytes })
}

fn refuse_foreign(path: &str) -> Result<(), StoreError> {
    let known = [JOURNAL, VAULT].iter().any(|folder| path.starts_with(&format!("{folder}/")));
    if (known || path == USAGE) && path.split('/').all(|part| part != NEVER) {
        return Ok(());
    }
    Err(StoreError::BadBackup(format!("{path} belongs into no backup")))
}

/// Looks at a file, if it is the vault's and not longer than one of those can be.
fn see(packed: &mut Packed, path: &str, contents: &mut impl Read) -> io::Result<()> {
    let Some(name) = path.strip_prefix(VAULT).and_then(|name| name.strip_prefix('/')) else { return Ok(()) };
    let mut bytes = Vec::new();
    contents.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    packed.take(name, bytes);
    Ok(())
}

/// What was taken while the wrapping key changed may hold secrets that nothing opens.
fn refuse_orphan(packed: &Packed, root: Option<&RootKey>) -> Result<(), StoreError> {
    let Some((name, version)) = packed.orphan(root) else { return Ok(()) };
    Err(StoreError::BadBackup(format!(
        "{VAULT}/{name} is wrapped with version {version} of the wrapping key, which is not in its keyring: nothing could open \
         it. It was taken while that key changed; use another backup"
    )))
}

/// Reads what is in a folder and in its folders, until there is no more room.
fn read_folder(
    files: &mut Vec<(String, Vec<u8>)>,
    room: &mut u64,
    name: &str,
    folder: &Path,
    depth: usize,
) -> Result<(), StoreError> {
    let unusable = |error| StoreError::unusable(folder, &error);
    for entry in super::place::names(folder).map_err(unusable)? {
        let (path, inside) = (folder.join(&entry), format!("{name}/{entry}"));
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_dir() && depth > 0 {
            read_folder(files, room, &inside, &path, depth - 1)?;
        } else if found.is_file() && entry != NEVER {
            let mut bytes = Vec::new();
            let read = File::open(&path).and_then(|file| file.take(*room + 1).read_to_end(&mut bytes));
            let length = read.map_err(|error| StoreError::unusable(&path, &error))? as u64;
            let why = || format!("{} and what is beside it have over {VAULT_LIMIT} bytes", path.display());
            *room = room.checked_sub(length).ok_or_else(|| StoreError::Unusable(why()))?;
            files.push((inside, bytes));
        }
    }
    Ok(())
}
