//! Copies of everything, and putting one in place: the seams behind which the store that lasts does it.

use crate::store::StoreError;
use std::{fmt::Debug, io::Write, path::PathBuf};

/// What can copy all of a control plane's data.
pub trait Backup: Debug + Send + Sync + 'static {
    /// Writes the whole copy. Waits for disks and for `out`: called on a thread that may.
    ///
    /// # Errors
    /// When something cannot be read, or `out` does not take it; what was written until then is no backup.
    fn write(&self, out: &mut dyn Write) -> Result<(), StoreError> {
        let _ = out;
        Err(StoreError::ReadOnly("this store has no backup".to_owned()))
    }
}

/// A store that nothing is copied of: what it holds is gone with the process anyway.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBackup;

impl Backup for NoBackup {}

/// Which copy to put where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// The backup.
    pub from: PathBuf,
    /// The data directory, in which no control plane may be running.
    pub into: PathBuf,
    /// The life of the data that begins; left out: one more than the backup's.
    pub epoch: Option<u64>,
}

/// What was put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The life of the data that has begun.
    pub epoch: u64,
    /// The last commit that the backup holds.
    pub revision: u64,
}

/// Puts a backup in place of the data in a directory.
///
/// # Errors
/// When the backup is not whole, or the directory is in use or cannot be written.
pub fn restore(restore: &Restore) -> Result<Restored, StoreError> {
    let Restore { .. } = restore;
    Err(StoreError::ReadOnly("this build keeps nothing on disk to restore".to_owned()))
}
