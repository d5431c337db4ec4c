//! The truth: an append-only chain of records in segments. An append is on the disk before it is answered. After a
//! failure that leaves its state unknown it takes no more.

pub(crate) mod payload;
pub(crate) mod record;
pub(crate) mod records;
pub(crate) mod scan;

#[cfg(test)]
mod tests;

use self::{
    record::{Fault, Head, Link, Sealed},
    records::{Place, Records, segment_path},
    scan::{Mark, Scan},
};
use super::{Entry, StoreError, disk::Disk, documents::Hash};
use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A segment of this size gets no more records.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;
/// Free bytes that are left alone: room for the index to close and for an operator to work.
pub(crate) const FLOOR_BYTES: u64 = 8 << 20;
/// Says whose journal it is, as the action of the first record.
pub(crate) const GENESIS: &str = "genesis";

/// A journal that takes records.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    file: File,
    /// Where the next record belongs: all before it is on the disk.
    end: Place,
    head: Option<Head>,
    marks: Vec<Mark>,
    failed: Option<String>,
}

/// How far a journal reaches: enough to read it while it grows.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) folder: PathBuf,
    pub(crate) end: Place,
    pub(crate) head: Head,
    /// Of a record at or before the first that was asked for.
    pub(crate) from: Place,
}

// === impl Journal ===

impl Journal {
    /// Goes on after what was read; cuts off what a crash left.
    pub(crate) fn open(
        folder: &Path,
        scan: Scan,
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
    ) -> Result<Self, StoreError> {
        let path = segment_path(folder, scan.end.segment);
        let opened = disk.open(&path).and_then(|file| {
            if scan.torn.is_some() {
                disk.truncate(&file, scan.end.offset)?;
            }
            // Whole records that were read may never have been synced by who wrote them, and are answered from now on.
            soil(&*disk, &file, &scan)?;
            disk.sync(&file)?;
            disk.sync_folder(folder)?;
            Ok(file)
        });
        let file = opened.map_err(|error| StoreError::unusable(&path, &error))?;
        let Scan { head, end, marks, .. } = scan;
        Ok(Self { folder: folder.to_owned(), disk, segment_bytes, file, end, head, marks, failed: None })
    }

    /// Writes the first record.
    pub(crate) fn begin(&mut self, cluster: &str, at: u64) -> Result<Head, StoreError> {
        let payload = first(cluster, at).ok_or(StoreError::TooLarge { bytes: usize::MAX })?;
        self.append(1, at, &payload)
    }

    /// Why it takes no more.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Adds a record; once it answers, the record is on the disk.
    pub(crate) fn append(&mut self, epoch: u64, time: u64, payload: &[u8]) -> Result<Head, StoreError> {
        if let Some(why) = &self.failed {
            return Err(StoreError::ReadOnly(why.clone()));
        }
        let (seq, before) = self.head.map_or((0, [0; 32]), |head| (head.seq + 1, head.hash));
        let sealed = Link { seq, epoch, time, before }.seal(payload);
        let (frame, hash) = sealed.ok_or(StoreError::TooLarge { bytes: payload.len() })?;
        // Once here, once in the index.
        self.leave_reserve((frame.len() as u64).saturating_mul(2))?;
        self.begin_segment_if_due()?;
        if let Err(error) = self.write(&frame) {
            return Err(self.take_back(&error));
        }
        // What a failed sync left on the disk is unknown, and asking again may answer well without it being there.
        self.disk.sync(&self.file).map_err(|error| self.fail("sync", &error))?;
        scan::mark(&mut self.marks, seq, self.end);
        self.end.offset += frame.len() as u64;
        let head = Head { seq, epoch, hash };
        self.head = Some(head);
        Ok(head)
    }

    /// How far it reaches, to read what comes after record `after`.
    pub(crate) fn reach(&self, after: Option<u64>) -> Option<Reach> {
        let from = scan::place_before(&self.marks, after);
        Some(Reach { folder: self.folder.clone(), end: self.end, head: self.head?, from })
    }

    fn leave_reserve(&self, bytes: u64) -> Result<(), StoreError> {
        // A disk that cannot tell its space will tell by failing the write.
        let free = self.disk.space(&self.folder).map_or(u64::MAX, |space| space.free);
        if free < FLOOR_BYTES.saturating_add(bytes) { Err(StoreError::Full) } else { Ok(()) }
    }

    fn begin_segment_if_due(&mut self) -> Result<(), StoreError> {
        if self.end.offset < self.segment_bytes {
            return Ok(());
        }
        let next = Place { segment: self.end.segment + 1, offset: 0 };
        let opened = self.disk.open(&segment_path(&self.folder, next.segment));
        let file = match opened {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Err(StoreError::Full),
            Err(error) => return Err(self.fail("new segment", &error)),
        };
        self.disk.sync_folder(&self.folder).map_err(|error| self.fail("sync of the folder", &error))?;
        (self.file, self.end) = (file, next);
        Ok(())
    }

    fn write(&self, frame: &[u8]) -> io::Result<()> {
        write_all(&*self.disk, &self.file, self.end.offset, frame)
    }

    /// Removes what a failed write left. Only a full disk that let itself be tidied is trusted further.
    fn take_back(&mut self, error: &io::Error) -> StoreError {
        let good = self.end.offset;
        let tidied = self.disk.truncate(&self.file, good).and_then(|()| self.disk.sync(&self.file));
        match tidied {
            Ok(()) if is_full(error) => StoreError::Full,
            Ok(()) => self.fail("write", error),
            Err(later) => self.fail("truncation after a failed write", &later),
        }
    }

    fn fail(&mut self, what: &str, error: &io::Error) -> StoreError {
        let why = format!("{what}: {error}");
        self.failed = Some(why.clone());
        StoreError::Failed(why)
    }
}

// === impl Reach ===

impl Reach {
    /// Gives the records after `after` in order, until the head or until `each` answers that it has enough.
    pub(crate) fn after(
        &self,
        after: Option<u64>,
        mut each: impl FnMut(&Sealed) -> Result<bool, Fault>,
    ) -> Result<(), StoreError> {
        if after.is_some_and(|after| after >= self.head.seq) {
            return Ok(());
        }
        let opened = Records::open(&self.folder, self.from, self.end.segment);
        let mut records = opened.map_err(|error| StoreError::unusable(&self.folder, &error))?;
        loop {
            let expected = after.map_or(0, |after| after + 1);
            let read = records.read().map_err(|why| records.trouble(expected, why))?;
            let Some((place, record)) = read else {
                return Err(records.trouble(expected, Fault::Short.into()));
            };
            let seq = record.link.seq;
            let wanted = after.is_none_or(|after| seq > after);
            let enough =
                wanted && each(&record).map_err(|fault| records::damaged(&self.folder, place, seq, fault))?;
            if enough || seq >= self.head.seq {
                return Ok(());
            }
        }
    }

    /// Hash of one record.
    pub(crate) fn hash_at(&self, seq: u64) -> Result<Option<Hash>, StoreError> {
        let mut found = None;
        self.after(seq.checked_sub(1), |record| {
            found = Some(record.hash);
            Ok(true)
        })?;
        Ok(found)
    }
}

/// Writes the last record once more as it was read: after a failed sync the system holds what is not on the disk for
/// written, and syncs only what was written since.
fn soil(disk: &dyn Disk, file: &File, scan: &Scan) -> io::Result<()> {
    let Some(last) = scan.last.filter(|last| last.segment == scan.end.segment) else { return Ok(()) };
    let length = scan.end.offset.saturating_sub(last.offset);
    let mut frame = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut frame, last.offset)?;
    match write_all(disk, file, last.offset, &frame) {
        // Where writing in place takes room: a full disk can still be read from.
        Err(error) if is_full(&error) => Ok(()),
        written => written,
    }
}

fn write_all(disk: &dyn Disk, file: &File, mut at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match disk.write(file, at, rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                rest = rest.get(written..).unwrap_or_default();
                at += written as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Room will come back; anything else is a disk that cannot be trusted.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// What the first record says.
fn first(cluster: &str, at: u64) -> Option<Vec<u8>> {
    let entry = Entry {
        at,
        actor: "system".to_owned(),
        action: GENESIS.to_owned(),
        detail: serde_json::json!({ "cluster": cluster }),
        ..Entry::default()
    };
    payload::encode(&entry, &[], &[])
}

/// The first record of a log that lies elsewhere than in files, as bytes and taken apart.
pub(crate) fn genesis(cluster: &str, at: u64) -> Option<(Vec<u8>, record::Sealed)> {
    let link = record::Link { seq: 0, epoch: 1, time: at, before: [0; 32] };
    let payload = first(cluster, at)?;
    let (frame, hash) = link.seal(&payload)?;
    Some((frame, record::Sealed { link, payload, hash }))
}
