//! Reads the whole journal and checks its chain. Tells a torn tail, which a crash leaves, from damage, which it never
//! heals; changes nothing itself.

use super::{
    Reach, payload,
    record::{self, Fault, HEAD_BYTES, Head, Link, MAGIC, ReadError, Sealed},
    records::{Place, Records, damaged, segment_path, segments},
};
use crate::store::StoreError;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// Of so many records one's place is remembered.
const MARK_EVERY: u64 = 512;
/// Bytes after a bad record that are looked through: more than a segment and its last record can have.
const TAIL_LIMIT: u64 = (record::PAYLOAD_LIMIT as u64) * 2;

/// Where the first record stands.
const START: Place = Place { segment: 1, offset: 0 };

/// Where one record of many stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) seq: u64,
    pub(crate) place: Place,
}

/// What a whole journal holds.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The first record says whose it is.
    pub(crate) cluster: String,
    /// `None` = there is no record at all.
    pub(crate) head: Option<Head>,
    /// Where the last record stands.
    pub(crate) last: Option<Place>,
    /// Where the next record belongs.
    pub(crate) end: Place,
    pub(crate) marks: Vec<Mark>,
    /// What a crash left after the last record.
    pub(crate) torn: Option<Torn>,
}

/// A record that was not written to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) bytes: u64,
    pub(crate) fault: Fault,
}

/// Remembers every [`MARK_EVERY`]th record.
pub(crate) fn mark(marks: &mut Vec<Mark>, seq: u64, place: Place) {
    if seq.is_multiple_of(MARK_EVERY) {
        marks.push(Mark { seq, place });
    }
}

/// Reads everything, or up to record `until`.
pub(crate) fn scan(folder: &Path, until: Option<u64>) -> Result<Scan, StoreError> {
    let there = segments(folder).map_err(|error| StoreError::unusable(folder, &error))?;
    let mut found =
        Scan { cluster: String::new(), head: None, last: None, end: START, marks: Vec::new(), torn: None };
    let Some(last) = there.last().copied() else { return Ok(found) };
    if let Some((expected, _)) = (1..).zip(&there).find(|(expected, number)| expected != *number) {
        let path = segment_path(folder, expected);
        return Err(StoreError::Damaged(format!(
            "{} is missing: bring back a backup with `keyway restore`",
            path.display()
        )));
    }
    let mut records = Records::open(folder, START, last).map_err(|e| StoreError::unusable(folder, &e))?;
    while until.is_none() || found.head.map(|head| head.seq) < until {
        let next = found.head.map_or(0, |head| head.seq + 1);
        match records.read() {
            Ok(Some((place, record))) => found.accept(folder, place, &record)?,
            Ok(None) => break,
            Err(ReadError::Fault(fault)) => {
                found.torn = Some(torn(folder, records.place(), last, next, fault)?);
                break;
            }
            Err(why) => return Err(records.trouble(next, why)),
        }
    }
    found.end = records.place();
    Ok(found)
}

// === impl Scan ===

impl Scan {
    /// As [`super::Journal::reach`], before the journal is opened for writing.
    pub(crate) fn reach(&self, folder: &Path, after: Option<u64>) -> Option<Reach> {
        let from = place_before(&self.marks, after);
        Some(Reach { folder: folder.to_owned(), end: self.end, head: self.head?, from })
    }

    fn accept(&mut self, folder: &Path, place: Place, record: &Sealed) -> Result<(), StoreError> {
        let bad = |fault| damaged(folder, place, record.link.seq, fault);
        record.follows(self.head).map_err(bad)?;
        if self.head.is_none() {
            self.cluster = cluster(record).ok_or_else(|| bad(Fault::Payload))?;
        }
        self.head = Some(record.head());
        self.last = Some(place);
        mark(&mut self.marks, record.link.seq, place);
        Ok(())
    }
}

/// A place from which the record after `after` is soon reached.
pub(crate) fn place_before(marks: &[Mark], after: Option<u64>) -> Place {
    let wanted = after.map_or(0, |after| after.saturating_add(1));
    let mark = marks.partition_point(|mark| mark.seq <= wanted).checked_sub(1).and_then(|at| marks.get(at));
    mark.map_or(START, |mark| mark.place)
}

// === impl Torn ===

impl Torn {
    /// For people, once it is cut.
    pub(crate) fn note(&self, end: Place) -> String {
        format!(
            "cut {} bytes of a record that was never acknowledged from segment {} at byte {}: {}",
            self.bytes, end.segment, end.offset, self.fault
        )
    }
}

/// What a first record says.
pub(crate) fn cluster(genesis: &Sealed) -> Option<String> {
    let (entry, _) = payload::decode(&genesis.payload)?;
    Some(entry.detail.get("cluster")?.as_str()?.to_owned())
}

/// Whether the bad bytes there are the rest of one append that was never acknowledged. An append begins only when
/// all before it is on the disk, so a torn record is the last thing in the last segment and has nothing after it.
fn torn(folder: &Path, place: Place, last: u64, seq: u64, fault: Fault) -> Result<Torn, StoreError> {
    let path = segment_path(folder, place.segment);
    let tail = read_tail(&path, place.offset).map_err(|error| StoreError::unusable(&path, &error))?;
    let whole = place.segment == last && (tail.len() as u64) < TAIL_LIMIT;
    if !whole || more_than_one(&tail) || holds_record(&tail, seq) {
        return Err(damaged(folder, place, seq, fault));
    }
    Ok(Torn { bytes: tail.len() as u64, fault })
}

fn read_tail(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut tail = Vec::new();
    file.take(TAIL_LIMIT).read_to_end(&mut tail)?;
    Ok(tail)
}

/// Whether bytes stand after where the first record says that it ends. Zeros are blocks that were never written.
fn more_than_one(tail: &[u8]) -> bool {
    let parsed = tail.first_chunk::<HEAD_BYTES>().and_then(|head| Link::parse(head).ok());
    let claimed = parsed.and_then(|(_, payload)| usize::try_from(record::frame_bytes(payload)).ok());
    let after = claimed.and_then(|claimed| tail.get(claimed..));
    after.is_some_and(|after| after.iter().any(|byte| *byte != 0))
}

/// Whether a good record of that number or a later one stands anywhere in it.
fn holds_record(tail: &[u8], seq: u64) -> bool {
    let starts = tail.windows(MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == MAGIC);
    starts.into_iter().any(|(at, _)| {
        let read = Sealed::read(&mut tail.get(at..).unwrap_or_default());
        matches!(read, Ok(Some(record)) if record.link.seq >= seq)
    })
}
