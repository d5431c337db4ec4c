//! Reads records one after the other, across segments. Judges single records, not the chain; writes nothing.

use super::record::{Fault, ReadError, Sealed};
use crate::store::StoreError;
use std::{
    fs::{self, File},
    io::{self, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// Bytes read at once.
const READ_AHEAD: usize = 256 << 10;
/// What segments are called: `00000001.log`.
const SUFFIX: &str = ".log";
const DIGITS: usize = 8;

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// A reader of records.
#[derive(Debug)]
pub(crate) struct Records {
    folder: PathBuf,
    last: u64,
    place: Place,
    file: BufReader<File>,
}

/// The file of a segment.
pub(crate) fn segment_path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("{segment:0DIGITS$}{SUFFIX}"))
}

/// The segments that are there, in order.
pub(crate) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        found.extend(number.filter(|number| number.len() >= DIGITS).and_then(|n| n.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// The error that names where a record is bad and what to do.
pub(crate) fn damaged(folder: &Path, place: Place, seq: u64, fault: Fault) -> StoreError {
    let path = segment_path(folder, place.segment);
    StoreError::Damaged(format!(
        "{} at byte {}, record {seq}: {fault}; it is left as it is: bring back a backup with `keyway restore`",
        path.display(),
        place.offset
    ))
}

// === impl Records ===

impl Records {
    /// Begins at that place and ends with segment `last`.
    pub(crate) fn open(folder: &Path, place: Place, last: u64) -> io::Result<Self> {
        let mut file = File::open(segment_path(folder, place.segment))?;
        file.seek(SeekFrom::Start(place.offset))?;
        let file = BufReader::with_capacity(READ_AHEAD, file);
        Ok(Self { folder: folder.to_owned(), last, place, file })
    }

    /// The next record and where it stands; `None` = that was the last.
    pub(crate) fn read(&mut self) -> Result<Option<(Place, Sealed)>, ReadError> {
        loop {
            if let Some(record) = Sealed::read(&mut self.file)? {
                let place = self.place;
                self.place.offset += record.frame_bytes();
                return Ok(Some((place, record)));
            }
            if self.place.segment >= self.last {
                return Ok(None);
            }
            let next = Place { segment: self.place.segment + 1, offset: 0 };
            *self = Self::open(&self.folder, next, self.last)?;
        }
    }

    /// Where the next record begins.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// As an error of the store, where reading stopped before record `seq`.
    pub(crate) fn trouble(&self, seq: u64, why: ReadError) -> StoreError {
        match why {
            ReadError::Fault(fault) => damaged(&self.folder, self.place, seq, fault),
            ReadError::Io(error) => {
                let path = segment_path(&self.folder, self.place.segment);
                StoreError::unusable(&path, &error)
            }
        }
    }
}
