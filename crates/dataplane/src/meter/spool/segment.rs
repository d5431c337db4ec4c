//! A piece of the spool: a file that is only ever appended to, or the same bytes in memory where there is no directory or
//! the disk takes nothing.
//!
//! Its name says what it is: `00000003-00000003.spool`, or `.sent` once any of it may have been offered to the control
//! plane. One that was made of others names the whole range, so that after a crash those that it replaced are known.

use super::{
    BATCH,
    entry::{self, HEAD},
};
use keyway_proto::BATCH_LIMIT;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

const WAITS: &str = "spool";
const SENT: &str = "sent";
/// Of a file that is not whole yet.
const COMING: &str = "coming";

/// One piece.
#[derive(Debug)]
pub(super) struct Segment {
    /// Segments that it stands for; equal, but where it was folded.
    pub(super) from: u64,
    pub(super) to: u64,
    /// Some of it may have been offered: its frames keep their numbers.
    pub(super) is_sent: bool,
    /// How far it has been folded.
    pub(super) level: u8,
    /// Bytes that were written whole.
    pub(super) length: u64,
    store: Store,
}

#[derive(Debug)]
enum Store {
    File(PathBuf, Arc<File>),
    Memory(Vec<u8>),
}

// === impl Segment ===

impl Segment {
    /// An empty one in memory.
    pub(super) fn in_memory(number: u64) -> Self {
        Self::new(number, number, Store::Memory(Vec::new()), 0)
    }

    /// These entries in memory, in place of those segments.
    pub(super) fn of_bytes(from: u64, to: u64, bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self::new(from, to, Store::Memory(bytes), length)
    }

    fn new(from: u64, to: u64, store: Store, length: u64) -> Self {
        Self { from, to, is_sent: false, level: 0, length, store }
    }

    /// An empty file.
    ///
    /// # Errors
    /// The system refused it.
    pub(super) fn create(dir: &Path, number: u64) -> io::Result<Self> {
        let path = dir.join(name(number, number, WAITS));
        let file = OpenOptions::new().create_new(true).read(true).append(true).mode(0o600).open(&path)?;
        Ok(Self::new(number, number, Store::File(path, Arc::new(file)), 0))
    }

    /// These entries as a file, whole or not at all, in place of those segments.
    ///
    /// # Errors
    /// The system refused it; nothing has changed.
    pub(super) fn store(dir: &Path, (from, to): (u64, u64), is_sent: bool, bytes: &[u8]) -> io::Result<Self> {
        let coming = dir.join(COMING);
        let path = dir.join(name(from, to, if is_sent { SENT } else { WAITS }));
        let open =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&coming);
        let mut file = open?;
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&coming, &path))?;
        sync_dir(dir)?;
        let store = Store::File(path, Arc::new(file));
        Ok(Self { is_sent, ..Self::new(from, to, store, bytes.len() as u64) })
    }

    /// What an earlier process left; `None` if the name is none of ours.
    ///
    /// # Errors
    /// The system refused it.
    pub(super) fn found(path: &Path) -> io::Result<Option<Self>> {
        let Some((from, to, is_sent)) = path.file_name().and_then(|name| name.to_str()).and_then(parse)
        else {
            return Ok(None);
        };
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let store = Store::File(path.to_owned(), Arc::new(file));
        Ok(Some(Self { is_sent, ..Self::new(from, to, store, length) }))
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// The system refused it. What was written of it lies behind `length` and is read by nobody.
    pub(super) fn append(&mut self, entry: &[u8]) -> io::Result<()> {
        match &mut self.store {
            Store::File(_, file) => (&**file).write_all(entry)?,
            Store::Memory(bytes) => bytes.extend_from_slice(entry),
        }
        self.length += entry.len() as u64;
        Ok(())
    }

    /// Some of the entries from a place on, at least one, where it is whole.
    ///
    /// # Errors
    /// The system refused it.
    pub(super) fn window(&self, from: u64) -> io::Result<Vec<u8>> {
        let window = self.read(from, BATCH + HEAD)?;
        let is_too_small = window.len() == BATCH + HEAD && entry::read(&window).is_none();
        if is_too_small { self.read(from, BATCH_LIMIT + HEAD) } else { Ok(window) }
    }

    fn read(&self, from: u64, most: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.length.saturating_sub(from)).unwrap_or(usize::MAX).min(most);
        match &self.store {
            Store::File(_, file) => {
                let mut bytes = vec![0; left];
                file.read_exact_at(&mut bytes, from)?;
                Ok(bytes)
            }
            Store::Memory(bytes) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX);
                Ok(bytes.get(from..from.saturating_add(left)).unwrap_or_default().to_vec())
            }
        }
    }

    /// Notes down to the disk that some of it is offered.
    ///
    /// # Errors
    /// The system refused it: it must not be offered then.
    pub(super) fn offer(&mut self) -> io::Result<()> {
        if self.is_sent {
            return Ok(());
        }
        if let Store::File(path, _) = &mut self.store {
            let sent = path.with_extension(SENT);
            fs::rename(&*path, &sent)?;
            *path = sent;
            path.parent().map_or(Ok(()), sync_dir)?;
        }
        self.is_sent = true;
        Ok(())
    }

    /// Its file, to be brought down to the disk.
    pub(super) fn file(&self) -> Option<Arc<File>> {
        match &self.store {
            Store::File(_, file) => Some(Arc::clone(file)),
            Store::Memory(_) => None,
        }
    }

    /// Its bytes, if they are in memory.
    pub(super) fn memory(&self) -> Option<&[u8]> {
        match &self.store {
            Store::File(..) => None,
            Store::Memory(bytes) => Some(bytes),
        }
    }

    /// Removes it: everything in it is in the control plane's books, or in the segment that replaced it.
    ///
    /// # Errors
    /// The system refused it; then it is sent once more after a start, and passed over there.
    pub(super) fn remove(self) -> io::Result<()> {
        match self.store {
            Store::File(path, _) => fs::remove_file(path),
            Store::Memory(_) => Ok(()),
        }
    }
}

fn name(from: u64, to: u64, kind: &str) -> String {
    format!("{from:08}-{to:08}.{kind}")
}

fn parse(name: &str) -> Option<(u64, u64, bool)> {
    let (range, kind) = name.split_once('.')?;
    let (from, to) = range.split_once('-')?;
    let is_sent = match kind {
        WAITS => false,
        SENT => true,
        _ => return None,
    };
    Some((from.parse().ok()?, to.parse().ok()?, is_sent))
}

/// Makes names in a directory last.
///
/// # Errors
/// The system refused it.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
