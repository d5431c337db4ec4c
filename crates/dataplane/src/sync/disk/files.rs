//! Files and directories that only this user may read: how they are made, locked, read and written.

use super::{StateDirError, Version};
use crate::sync::{
    sealed::{Bad, KEY_LEN, NodeKey},
    trust::Untrusted,
};
use rustix::process::geteuid;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

const LOCK_LOOK: Duration = Duration::from_millis(20);

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("not a file of this user with mode 0600")]
    Exposed,
    #[error("{0}")]
    Bad(#[from] Bad),
    #[error("version {0} is older than what was served here")]
    Older(Version),
    #[error("its cluster is not the one that it names")]
    Cluster,
    #[error("its resources do not have the hash that it names")]
    Hash,
    #[error("the control plane's signature {0}")]
    Untrusted(#[from] Untrusted),
    #[error("{0}")]
    Invalid(#[from] keyway_snapshot::Invalid),
}

pub(crate) fn private_dir(path: &Path) -> Result<(), StateDirError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    if !parent.as_os_str().is_empty() {
        private_dir(parent)?;
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StateDirError::System(path.to_owned(), error))?;
    // One that this user may pass through and not read cannot be brought down: no reason not to start.
    let _ = sync_dir(parent);
    Ok(())
}

/// Held until the file is dropped; the system lets go when a process ends, however it ends.
pub(super) fn locked(path: &Path, wait: Duration) -> Result<File, StateDirError> {
    let system = |error| StateDirError::System(path.to_owned(), error);
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = opened.map_err(system)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < wait => thread::sleep(LOCK_LOOK),
            Err(TryLockError::WouldBlock) => {
                return Err(StateDirError::InUse(path.parent().unwrap_or(path).to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(system(error)),
        }
    }
}

pub(super) fn node_key(path: &Path) -> Result<NodeKey, StateDirError> {
    let system = |error| StateDirError::System(path.to_owned(), error);
    if !path.exists() {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        getrandom::fill(&mut *bytes).map_err(|error| system(io::Error::other(error)))?;
        // Whole or not at all: half a key would be refused at every start.
        let coming = path.with_extension("coming");
        write(&coming, &*bytes).and_then(|()| place(&coming, path)).map_err(system)?;
    }
    let bytes = private_file(path, 2 * KEY_LEN as u64).map_err(|why| match why {
        Unusable::Read(error) => system(error),
        _ => StateDirError::Exposed(path.to_owned()),
    })?;
    NodeKey::new(&Zeroizing::new(bytes)).map_err(|_| StateDirError::NotAKey(path.to_owned()))
}

pub(crate) fn private_file(path: &Path, limit: u64) -> Result<Vec<u8>, Unusable> {
    let file = File::open(path)?;
    // Of the opened file, not of the name: nobody can change it in between.
    let found = file.metadata()?;
    if !found.is_file() || found.mode() & 0o777 != 0o600 || found.uid() != geteuid().as_raw() {
        return Err(Unusable::Exposed);
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What was written takes its name, and keeps it over a loss of power.
pub(crate) fn place(coming: &Path, path: &Path) -> io::Result<()> {
    fs::rename(coming, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    // What has only a name lies in the working directory.
    let here = Path::new(".");
    File::open(if dir.as_os_str().is_empty() { here } else { dir })?.sync_all()
}

/// What is gone already was renamed before.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// It being gone already is as good.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    remove(path)?;
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Behind what is there, down to the disk.
pub(super) fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

pub(super) fn nonce<const N: usize>() -> io::Result<[u8; N]> {
    let mut nonce = [0; N];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    Ok(nonce)
}
