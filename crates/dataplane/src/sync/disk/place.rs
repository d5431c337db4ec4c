//! Where a replica keeps what it keeps: directories and files, and why they cannot be used.

use crate::{meter::DISK_LIMIT, sync::sealed::KEY_LEN};
use std::{io, path::PathBuf, time::Duration};

/// A process that was told to end is gone by then.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Where a replica keeps its last good state.
#[derive(Debug, Clone)]
pub struct StateDir {
    /// Of this replica alone; made if missing.
    pub dir: PathBuf,
    /// File of the key that seals it, made if missing. In another directory, so that a copy of `dir` opens nothing.
    pub key_file: PathBuf,
    /// File of this node's identity, beside that key and for the same reason.
    pub identity_file: PathBuf,
    /// How long to wait for a process that still uses `dir`.
    pub lock_wait: Duration,
    /// Bytes of usage that wait here for the control plane. Beyond them requests are summed up, coarser where need be.
    pub usage_limit: u64,
}

impl StateDir {
    /// Of [`Self::usage_limit`], unless another is said.
    pub const USAGE_MIB: u64 = DISK_LIMIT >> 20;

    /// With key and identity in `node-keys` beside it.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        let beside = |ending: &str| {
            let mut name = dir.file_name().unwrap_or_default().to_owned();
            name.push(ending);
            dir.parent().unwrap_or(&dir).join("node-keys").join(name)
        };
        let (key_file, identity_file) = (beside(".key"), beside(".identity"));
        Self { dir, key_file, identity_file, lock_wait: LOCK_WAIT, usage_limit: DISK_LIMIT }
    }
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another replica runs in it.
    #[error("{0} is in use by another replica; give each replica its own --state-dir")]
    InUse(PathBuf),
    /// The system refused something.
    #[error("cannot use {0}: {1}; give another --state-dir, or --no-state to keep nothing on disk")]
    System(PathBuf, io::Error),
    /// Others may read or change the file.
    #[error("{0} must be a file of this user with mode 0600; correct it, or remove it and begin anew")]
    Exposed(PathBuf),
    /// The node key has another length.
    #[error("{0} is not a node key of {KEY_LEN} bytes; remove it and begin anew")]
    NotAKey(PathBuf),
}
