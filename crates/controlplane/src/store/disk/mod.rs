//! What the journal asks of a disk, one call each, so that tests can make each of them fail. Says nothing of what a
//! failure means.

use rustix::fs::statvfs;
use std::{
    fmt,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// For us, without what is kept for root.
    pub(crate) free: u64,
    pub(crate) total: u64,
}

/// A disk.
pub(crate) trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Opens for writing, makes it if it is not there; only the owner may read it.
    fn open(&self, path: &Path) -> io::Result<File>;
    /// Writes at that place; may write less than all.
    fn write(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Returns when the file's bytes survive a loss of power.
    fn sync(&self, file: &File) -> io::Result<()>;
    fn truncate(&self, file: &File, length: u64) -> io::Result<()>;
    /// Returns when the names in it survive a loss of power.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    fn space(&self, folder: &Path) -> io::Result<Space>;
}

/// The real one.
#[derive(Debug)]
pub(crate) struct System;

// === impl System ===

impl Disk for System {
    fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    }

    fn write(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<usize> {
        file.write_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn space(&self, folder: &Path) -> io::Result<Space> {
        let found = statvfs(folder)?;
        let block = found.f_frsize;
        Ok(Space { free: found.f_bavail.saturating_mul(block), total: found.f_blocks.saturating_mul(block) })
    }
}

#[cfg(test)]
pub(crate) mod faulty;
