//! The books and copies of everything: one moment of them as a file for a backup, and whose books a home goes on with when a
//! backup is brought back.

use super::{
    error::UsageError,
    file::Place,
    level::Level,
    records,
    retention::{MARK_MILLIS, signed, used_bytes},
};
use rusqlite::{Connection, params};
use rustix::fs::statvfs;
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Bytes that stay free on the disk beside a copy: books and journal go on meanwhile.
const SPARE: u64 = 16 << 20;
/// A mark may have been forgotten so much earlier than the newest one shows: while it was the newest, nobody reported.
const IDLE_MILLIS: u64 = 30 * Level::Day.millis();

/// The last number of each process of each replica, and when that was seen.
type Marks = HashMap<(String, String), (u64, u64)>;

/// Whose books a home has after a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// Those that were there, if any: the backup holds none.
    Nothing,
    /// Those that were there: they hold all that the backup's do, and what came later.
    Kept,
    /// The backup's. What was booked later is in them only if its replica still has it.
    Until {
        /// When the last of it was booked, in milliseconds since 1970; 0 = it holds nothing.
        booked: u64,
    },
}

/// What a restore left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// What was booked after this, in milliseconds since 1970, came back only from replicas that still had it.
    pub(crate) after: u64,
    /// Frames that did not come back, as replicas that went on show by their numbers.
    pub(crate) frames: u64,
}

/// One moment of the books. The file has no name any more: it is gone once it is closed.
pub(super) fn copy(place: &Place) -> Result<File, UsageError> {
    let to = place.copy();
    remove(&to)?;
    let db = place.reader()?;
    let disk = statvfs(place.home()).map_err(io::Error::from)?;
    let (needed, free) = (used_bytes(&db)?, disk.f_bavail.saturating_mul(disk.f_frsize));
    if free < needed.saturating_add(SPARE) {
        return Err(UsageError::NoRoom { needed, free });
    }
    let name = to.to_str().ok_or_else(|| UsageError::failed("the data directory's name is no UTF-8"))?;
    // Made by hand, so that it is nobody else's from its first byte on; SQLite takes an empty file.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to)?;
    let copied = db.execute("VACUUM INTO ?1", [name]).map_err(UsageError::from);
    let file = copied.and_then(|_| Ok(File::open(&to)?));
    remove(&to)?;
    file
}

fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Decides whose books that home goes on with, given what was unpacked beside it. The backup's are still there afterwards
/// only if they are to be used.
///
/// # Errors
/// When the backup's cannot be opened by this version.
pub(crate) fn choose(home: &Path, stage: &Path) -> Result<Brought, UsageError> {
    let (here, backup) = (Place::new(home), Place::new(stage));
    if !backup.path().exists() {
        return Ok(Brought::Nothing);
    }
    let db = backup.writer()?;
    // What cannot be read is put aside like everything else.
    let is_newer =
        here.path().exists() && here.writer().and_then(|here| holds_all(&here, &db)).unwrap_or(false);
    if is_newer {
        drop(db);
        fs::remove_file(backup.path())?;
        return Ok(Brought::Kept);
    }
    let booked: u64 = db.query_row("SELECT coalesce(max(seen), 0) FROM marks", [], |row| row.get(0))?;
    let (lost, _) = records::lost(&db)?;
    db.execute("INSERT INTO restores VALUES (?1, ?2)", params![signed(booked), signed(lost)])?;
    Ok(Brought::Until { booked })
}

/// Whether these books have booked every frame that those have.
fn holds_all(these: &Connection, those: &Connection) -> Result<bool, UsageError> {
    let (these, those) = (marks(these)?, marks(those)?);
    let newest = |marks: &Marks| marks.values().map(|(_, seen)| *seen).max().unwrap_or_default();
    // The newest of a backup is always asked for: other books, begun later, hold nothing of it.
    let forgotten =
        newest(&these).saturating_sub(MARK_MILLIS.saturating_sub(IDLE_MILLIS)).min(newest(&those));
    Ok(those.iter().all(|(process, (last, seen))| match these.get(process) {
        Some((here, _)) => here >= last,
        None => *seen < forgotten,
    }))
}

fn marks(db: &Connection) -> Result<Marks, UsageError> {
    let mut rows = db.prepare("SELECT replica, incarnation, last, seen FROM marks")?;
    let marks = rows.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?))))?;
    Ok(marks.collect::<Result<_, _>>()?)
}

/// What the latest restore left out; `None` = there was none.
pub(super) fn left_out(db: &Connection) -> Result<Option<LeftOut>, UsageError> {
    let (lost, _) = records::lost(db)?;
    let mut rows = db.prepare("SELECT after, lost FROM restores ORDER BY rowid DESC LIMIT 1")?;
    let mut latest = rows
        .query_map([], |row| Ok(LeftOut { after: row.get(0)?, frames: lost.saturating_sub(row.get(1)?) }))?;
    Ok(latest.next().transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = Level::Day.millis();
    const NOW: u64 = 20_600 * DAY;

    /// Books that know these processes: name, last number, days since it was seen.
    fn knowing(marks: &[(&str, u64, u64)]) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE marks (replica TEXT, incarnation TEXT, last INTEGER, seen INTEGER)")
            .unwrap();
        for (name, last, days) in marks {
            let row = params![name, signed(*last), signed(NOW - days * DAY)];
            db.execute("INSERT INTO marks VALUES ('r', ?1, ?2, ?3)", row).unwrap();
        }
        db
    }

    #[test]
    fn a_mark_that_was_forgotten_meanwhile_is_no_reason_to_go_back() {
        let here = knowing(&[("a", 9, 0)]);
        let holds = |backup: &[(&str, u64, u64)]| holds_all(&here, &knowing(backup)).unwrap();
        assert!(holds(&[("a", 8, 1), ("old", 5, 367)]), "forgotten since");
        assert!(holds(&[("a", 8, 10), ("old", 5, 350)]), "forgotten while nobody reported");
        assert!(!holds(&[("a", 8, 1), ("b", 5, 300)]), "never known here");
        assert!(!holds(&[("a", 10, 1), ("old", 5, 367)]), "behind");
        assert!(!holds(&[("b", 5, 400), ("old", 5, 500)]), "another's, as old as it is");
    }
}
