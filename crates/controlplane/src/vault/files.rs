//! Where sealed bytes lie: a directory, or memory in tests. A write is whole or has not happened, and has reached the
//! disk when it returns. Knows nothing of what is in the files.

use super::VaultError;
use parking_lot::Mutex;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Bytes that one file may have: a provider's key with all its addresses needs a hundredth of it.
pub(super) const FILE_LIMIT: usize = 256 << 10;
/// How the names of unfinished files end.
const UNFINISHED: &str = ".tmp";

/// Files by name: `keyring`, `secrets/….sealed`.
pub(super) enum Files {
    /// In this directory.
    Disk(PathBuf),
    /// With the store that several control planes share.
    Shared(Box<dyn Place>),
    /// Gone with the process.
    Memory(Mutex<BTreeMap<String, Vec<u8>>>),
}

/// Where sealed files lie that several control planes read. Its calls may wait for it, for some seconds at most.
pub(crate) trait Place: Send + Sync {
    /// What a name stands for, in words for people.
    fn path(&self, name: &str) -> PathBuf;
    /// What is there.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError>;
    /// Writes it, whole.
    fn write(&self, name: &str, bytes: &[u8], over: Over) -> Result<(), VaultError>;
    /// Removes it; one that is not there is removed already.
    fn remove(&self, name: &str) -> Result<(), VaultError>;
    /// Names of all files in a folder, the folder before them.
    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError>;
}

/// What a write may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// What is there.
    Anything,
    /// Nothing: it fails if something is there.
    Nothing,
}

// === impl Files ===

impl Files {
    /// What a name stands for, in words for people.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Disk(dir) => dir.join(name),
            Self::Shared(place) => place.path(name),
            Self::Memory(_) => PathBuf::from(name),
        }
    }

    /// Makes the folder that secrets lie in, if it is not there; on the disk when it returns.
    pub(super) fn make_dir(&self, name: &str) -> Result<(), VaultError> {
        match self {
            Self::Disk(dir) => {
                make_dir(&dir.join(name))?;
                sync(dir)?;
                sync_parent(dir)
            }
            Self::Shared(_) | Self::Memory(_) => Ok(()),
        }
    }

    /// What is there. What is beyond the limit is left out; a seal does not open then.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let dir = match self {
            Self::Disk(dir) => dir,
            Self::Shared(place) => return place.read(name),
            Self::Memory(all) => return Ok(all.lock().get(name).cloned()),
        };
        let path = dir.join(name);
        let Some(file) = found(&path, File::open(&path))? else { return Ok(None) };
        let mut bytes = Vec::new();
        let limit = u64::try_from(FILE_LIMIT).unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut bytes).map_err(|source| VaultError::Io { path, source })?;
        Ok(Some(bytes))
    }

    /// Writes it, whole.
    pub(super) fn write(&self, name: &str, bytes: &[u8], over: Over) -> Result<(), VaultError> {
        match self {
            Self::Disk(dir) => write(&dir.join(name), bytes, over),
            Self::Shared(place) => place.write(name, bytes, over),
            Self::Memory(all) => {
                let mut all = all.lock();
                if over == Over::Nothing && all.contains_key(name) {
                    return Err(VaultError::Exists { path: PathBuf::from(name) });
                }
                all.insert(name.to_owned(), bytes.to_vec());
                Ok(())
            }
        }
    }

    /// Writes it, whole, over what is there; where that is a directory it has reached the disk only after [`Self::sync`].
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
        match self {
            Self::Disk(dir) => put(&dir.join(name), bytes, Over::Anything),
            Self::Shared(_) | Self::Memory(_) => self.write(name, bytes, Over::Anything),
        }
    }

    /// Brings the names in a folder to the disk.
    pub(super) fn sync(&self, folder: &str) -> Result<(), VaultError> {
        match self {
            Self::Disk(dir) => sync(&dir.join(folder)),
            Self::Shared(_) | Self::Memory(_) => Ok(()),
        }
    }

    /// Removes it; one that is not there is removed already. Nothing is written over the old bytes: disks and file
    /// systems of today write elsewhere and keep the old ones, so that it would only look like more.
    pub(super) fn remove(&self, name: &str) -> Result<(), VaultError> {
        let dir = match self {
            Self::Disk(dir) => dir,
            Self::Shared(place) => return place.remove(name),
            Self::Memory(all) => {
                all.lock().remove(name);
                return Ok(());
            }
        };
        let path = dir.join(name);
        match found(&path, fs::remove_file(&path))? {
            Some(()) => sync_parent(&path),
            None => Ok(()),
        }
    }

    /// Removes what writes beside the keyring left that were cut short. Returns how many files.
    pub(super) fn remove_unfinished(&self) -> Result<usize, VaultError> {
        let Self::Disk(dir) = self else { return Ok(0) };
        let Some(entries) = found(dir, fs::read_dir(dir))? else { return Ok(0) };
        let mut removed = 0;
        for entry in entries {
            let path = entry.map_err(|source| VaultError::Io { path: dir.clone(), source })?.path();
            if is_unfinished(&path) {
                removed += usize::from(found(&path, fs::remove_file(&path))?.is_some());
            }
        }
        Ok(removed)
    }

    /// Names of all files in a folder, the folder before them, unfinished ones among them.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        let dir = match self {
            Self::Disk(dir) => dir.join(folder),
            Self::Shared(place) => return place.list(folder),
            Self::Memory(all) => {
                let within = |name: &&String| name.starts_with(folder);
                return Ok(all.lock().keys().filter(within).cloned().collect());
            }
        };
        let Some(entries) = found(&dir, fs::read_dir(&dir))? else { return Ok(Vec::new()) };
        let name = |entry: io::Result<fs::DirEntry>| {
            let name = entry.map_err(|source| VaultError::Io { path: dir.clone(), source })?.file_name();
            Ok(name.to_str().map(|name| format!("{folder}/{name}")))
        };
        entries.filter_map(|entry| name(entry).transpose()).collect()
    }
}

/// Makes a directory that only its owner enters, with its parents.
pub(super) fn make_dir(path: &Path) -> Result<(), VaultError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| fault(path, source))
}

/// Beside its place first, then into it by one step, each on disk before the next.
pub(super) fn write(path: &Path, bytes: &[u8], over: Over) -> Result<(), VaultError> {
    put(path, bytes, over)?;
    sync_parent(path)
}

/// Makes a file that only its owner reads, whole or not at all and on the disk when it returns, where none of that name is.
pub(crate) fn make_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes, Over::Nothing).map_err(|error| match error {
        VaultError::Io { source, .. } => source,
        VaultError::Exists { .. } => io::ErrorKind::AlreadyExists.into(),
        VaultError::Full { .. } => io::ErrorKind::StorageFull.into(),
        other => io::Error::other(other),
    })
}

/// The same without its name being on the disk already.
fn put(path: &Path, bytes: &[u8], over: Over) -> Result<(), VaultError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| VaultError::System)?;
    let unfinished = path.with_file_name(format!(".{:016x}{UNFINISHED}", u64::from_ne_bytes(random)));
    let written = fill(&unfinished, bytes).and_then(|()| match over {
        Over::Anything => fs::rename(&unfinished, path),
        Over::Nothing => name(&unfinished, path),
    });
    if written.is_err() {
        // The first error counts, not this one's; what stays behind in the vault is swept.
        let _ = fs::remove_file(&unfinished);
    }
    written.map_err(|source| fault(path, source))
}

/// Gives it that name unless it is taken.
fn name(unfinished: &Path, path: &Path) -> io::Result<()> {
    // In one step, so that what is in clear never has two names.
    match renameat_with(CWD, unfinished, CWD, path, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => link(unfinished, path),
        done => Ok(done?),
    }
}

/// The same on a file system that cannot: a link fails where a name is taken, a rename would take its place.
fn link(unfinished: &Path, path: &Path) -> io::Result<()> {
    fs::hard_link(unfinished, path)?;
    // That it has its name counts.
    let _ = fs::remove_file(unfinished);
    Ok(())
}

fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with('.') && name.ends_with(UNFINISHED)
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name is on disk when its directory is.
fn sync_parent(path: &Path) -> Result<(), VaultError> {
    sync(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

fn sync(folder: &Path) -> Result<(), VaultError> {
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(|source| fault(folder, source))
}

/// `None` for what is not there.
pub(super) fn found<T>(path: &Path, outcome: io::Result<T>) -> Result<Option<T>, VaultError> {
    match outcome {
        Ok(thing) => Ok(Some(thing)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(VaultError::Io { path: path.to_owned(), source }),
    }
}

fn fault(path: &Path, source: io::Error) -> VaultError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => VaultError::Full { path },
        io::ErrorKind::AlreadyExists => VaultError::Exists { path },
        _ => VaultError::Io { path, source },
    }
}

/// Whether only those read a file who may: its owner is who runs this, or root. What root owns may be readable by a
/// group: so systemd, Kubernetes and others hand a file to a service.
pub(crate) fn private(path: &Path, owner: u32, mode: u32) -> Result<(), VaultError> {
    let bad = |how, owner| Err(VaultError::Permissions { path: path.to_owned(), how, owner });
    let (root, own) = (owner == 0, owner == rustix::process::geteuid().as_raw());
    let others = if root { 0o007 } else { 0o077 };
    if !root && !own {
        return bad("belongs to another user", true);
    }
    if mode & others != 0 { bad("can be read by others", false) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken");
        make_dir(&taken.join("inside")).unwrap();
        assert!(write(&taken, b"x", Over::Anything).is_err());
        assert!(matches!(write(&taken, b"x", Over::Nothing), Err(VaultError::Exists { .. })));
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names, [taken]);
    }

    #[test]
    fn a_new_file_has_one_name_and_takes_no_others_place() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| make_file(&dir.path().join(name), name.as_bytes());
        let links = |name: &str| fs::metadata(dir.path().join(name)).unwrap().nlink();
        write("one").unwrap();
        fs::write(dir.path().join("beside"), b"two").unwrap();
        link(&dir.path().join("beside"), &dir.path().join("two")).unwrap();
        assert_eq!((links("one"), links("two")), (1, 1));
        fs::write(dir.path().join("beside"), b"another").unwrap();
        for name in ["one", "two"] {
            let taken = io::ErrorKind::AlreadyExists;
            assert_eq!(write(name).unwrap_err().kind(), taken);
            assert_eq!(link(&dir.path().join("beside"), &dir.path().join(name)).unwrap_err().kind(), taken);
            assert_eq!(fs::read(dir.path().join(name)).unwrap(), name.as_bytes());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_full_disk_is_told_from_other_faults() {
        let told = |kind: io::ErrorKind| fault(Path::new("vault/keyring"), kind.into());
        assert!(matches!(told(io::ErrorKind::StorageFull), VaultError::Full { .. }));
        assert!(matches!(told(io::ErrorKind::QuotaExceeded), VaultError::Full { .. }));
        assert!(matches!(told(io::ErrorKind::PermissionDenied), VaultError::Io { .. }));
    }
}
