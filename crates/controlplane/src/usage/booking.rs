//! Frames into the books: numbers first, so that nothing is booked twice, then sums of every level and records. All of it
//! happens inside one transaction, which is the caller's.

use super::{error::UsageError, level::Level, spenders::Numbers, tail::Entry};
use keyway_metering::{add, of_record};
use keyway_proto::fleet::v1::{Batch, Frame, Outcome, Record, Spender, Sum};
use prost::Message;
use rusqlite::{Connection, OptionalExtension, params};
use std::{collections::HashMap, sync::Arc};

/// Bytes of the names that a replica gives itself and its process.
const NAME_LIMIT: usize = 256;

/// A batch that was read whole.
#[derive(Debug)]
pub(super) struct Read {
    replica: String,
    incarnation: String,
    frames: Vec<Frame>,
}

/// What a frame's numbers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is next; so many numbers before it never came.
    Next { lost: u64 },
    /// It stands in the books.
    Known,
    /// Part of it stands in the books and part does not, which no replica does. It is passed over whole, because counting
    /// twice is worse than counting too little; doctor shows it.
    Overlap,
}

/// How far one process has been booked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    last: u64,
    lost: u64,
    overlapped: u64,
}

/// What one commit brings.
#[derive(Debug, Default)]
pub(super) struct Booking {
    sums: HashMap<(Level, u64, i64), Sum>,
    /// For whoever follows, once the commit stands.
    pub(super) entries: Vec<Arc<Entry>>,
}

/// What a frame is, given the last number that stands in the books.
pub(super) fn turn(mark: u64, first: u64, last: u64) -> Turn {
    if last <= mark {
        Turn::Known
    } else if first <= mark {
        Turn::Overlap
    } else {
        Turn::Next { lost: first - mark - 1 }
    }
}

// === impl Read ===

impl Read {
    /// Decodes all of a batch before anything is booked.
    pub(super) fn new(batch: &Batch) -> Result<Self, UsageError> {
        let malformed = UsageError::Malformed;
        let names = [&batch.replica, &batch.incarnation];
        if names.iter().any(|name| name.is_empty() || name.len() > NAME_LIMIT) {
            return Err(malformed("replica and incarnation have 1 to 256 bytes"));
        }
        let mut frames = Vec::with_capacity(batch.frames.len());
        for bytes in &batch.frames {
            let frame = Frame::decode(bytes.as_slice()).map_err(|_| malformed("a frame that is none"))?;
            if frame.first == 0 || frame.last < frame.first || i64::try_from(frame.last).is_err() {
                return Err(malformed("a frame's numbers begin at 1 and rise"));
            }
            if frame.records.iter().any(|record| record.id.len() != ID_BYTES) {
                return Err(malformed("a record's id has 16 bytes"));
            }
            frames.push(frame);
        }
        Ok(Self { replica: batch.replica.clone(), incarnation: batch.incarnation.clone(), frames })
    }
}

/// Bytes of a ULID.
pub(super) const ID_BYTES: usize = 16;

// === impl Booking ===

impl Booking {
    /// Books one batch; the number up to which its process has been booked now.
    pub(super) fn batch(
        &mut self,
        db: &Connection,
        numbers: &mut Numbers,
        batch: Read,
        (now, follow): (u64, bool),
    ) -> Result<u64, UsageError> {
        let Read { replica, incarnation, frames } = batch;
        let mut mark = mark(db, &replica, &incarnation)?;
        let number = replica_number(db, &replica)?;
        let replica: Arc<str> = replica.into();
        for frame in frames {
            let (first, last) = (frame.first, frame.last);
            match turn(mark.last, first, last) {
                Turn::Known => continue,
                Turn::Next { lost } => {
                    if lost > 0 {
                        tracing::error!(%replica, incarnation, lost, first, "frames of usage never came");
                    }
                    mark.lost = mark.lost.saturating_add(lost);
                    self.frame(db, numbers, frame, (&replica, number, follow))?;
                }
                Turn::Overlap => {
                    tracing::error!(%replica, incarnation, first, last, booked = mark.last, "a frame overlaps what is booked; passed over");
                    mark.overlapped += 1;
                }
            }
            mark.last = last;
        }
        let sql = "INSERT INTO marks (replica, incarnation, last, lost, overlapped, seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                   ON CONFLICT DO UPDATE SET last = ?3, lost = ?4, overlapped = ?5, seen = ?6";
        db.execute(sql, params![&*replica, incarnation, mark.last, mark.lost, mark.overlapped, now])?;
        Ok(mark.last)
    }

    /// Writes the sums, once for all that share a commit.
    pub(super) fn finish(&mut self, db: &Connection) -> Result<(), UsageError> {
        for level in Level::ALL {
            let table = level.table();
            let mut known =
                db.prepare(&format!("SELECT sum FROM {table} WHERE bucket = ?1 AND spender = ?2"))?;
            let mut put = db.prepare(&format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3)"))?;
            for ((_, bucket, spender), sum) in self.sums.iter().filter(|((at, ..), _)| *at == level) {
                let before = known.query_row(params![bucket, spender], |row| row.get::<_, Vec<u8>>(0));
                let whole = match before.optional()? {
                    None => sum.encode_to_vec(),
                    Some(before) => {
                        let mut whole = decode(&before)?;
                        add(&mut whole, sum);
                        whole.encode_to_vec()
                    }
                };
                put.execute(params![bucket, spender, whole])?;
            }
        }
        Ok(())
    }

    fn frame(
        &mut self,
        db: &Connection,
        numbers: &mut Numbers,
        frame: Frame,
        (replica, replica_number, follow): (&Arc<str>, i64, bool),
    ) -> Result<(), UsageError> {
        for sum in &frame.sums {
            let spender = sum.spender.clone().unwrap_or_default();
            let (number, _) = numbers.number(db, &spender)?;
            self.add(number, sum);
        }
        let sql = "INSERT INTO records (id, spender, status, outcome, unpriced, replica, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let mut put = db.prepare(sql)?;
        for record in frame.records {
            let spender = record.spender.clone().unwrap_or_default();
            let (number, tags_lost) = numbers.number(db, &spender)?;
            self.add(number, &of_record(&record));
            let unpriced = record.nano_dollars.is_none();
            let outcome = match record.outcome() {
                Outcome::Unspecified => Outcome::Served,
                known => known,
            } as i32;
            let body = body(&record, tags_lost);
            put.execute(params![record.id, number, record.status, outcome, unpriced, replica_number, body])?;
            if follow {
                self.entries.push(Arc::new(Entry { record, replica: Arc::clone(replica) }));
            }
        }
        Ok(())
    }

    fn add(&mut self, spender: i64, sum: &Sum) {
        let millis = sum.minute.saturating_mul(Level::Minute.millis());
        for level in Level::ALL {
            let bucket = millis / level.millis();
            add(self.sums.entry((level, bucket, spender)).or_default(), sum);
        }
    }
}

/// A sum as it was written.
pub(super) fn decode(bytes: &[u8]) -> Result<Sum, UsageError> {
    Sum::decode(bytes).map_err(|_| UsageError::Damaged("a sum that is none".into()))
}

/// The record without what stands in columns and in its spender.
fn body(record: &Record, tags_lost: bool) -> Vec<u8> {
    let spender = record.spender.as_ref().filter(|_| tags_lost);
    let spender = spender.map(|spender| Spender { tags: spender.tags.clone(), ..Spender::default() });
    Record { id: Vec::new(), spender, ..record.clone() }.encode_to_vec()
}

fn mark(db: &Connection, replica: &str, incarnation: &str) -> Result<Mark, UsageError> {
    let sql = "SELECT last, lost, overlapped FROM marks WHERE replica = ?1 AND incarnation = ?2";
    let known = db.query_row(sql, [replica, incarnation], |row| {
        Ok(Mark { last: row.get(0)?, lost: row.get(1)?, overlapped: row.get(2)? })
    });
    Ok(known.optional()?.unwrap_or_default())
}

fn replica_number(db: &Connection, name: &str) -> Result<i64, UsageError> {
    let known =
        db.query_row("SELECT id FROM replicas WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    if let Some(number) = known {
        return Ok(number);
    }
    db.execute("INSERT INTO replicas (name) VALUES (?1)", [name])?;
    Ok(db.last_insert_rowid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_booked_once_whatever_a_frame_covers() {
        let cases = [
            ((0, 1, 1), Turn::Next { lost: 0 }),
            ((0, 3, 9), Turn::Next { lost: 2 }),
            ((5, 6, 6), Turn::Next { lost: 0 }),
            ((5, 5, 5), Turn::Known),
            ((5, 1, 3), Turn::Known),
            ((5, 2, 5), Turn::Known),
            ((5, 5, 6), Turn::Overlap),
            ((5, 1, 9), Turn::Overlap),
        ];
        for ((mark, first, last), expected) in cases {
            assert_eq!(turn(mark, first, last), expected, "{mark} {first}..={last}");
        }
    }
}
