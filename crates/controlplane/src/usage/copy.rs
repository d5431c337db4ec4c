//! The books and copies of everything: one moment of them as a file for a backup, and whose books a home goes on with when a
//! backup is brought back.

use super::{
    error::UsageError,
    file::Place,
    records,
    retention::{signed, used_bytes},
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
    Ok(those.iter().all(|(process, last)| these.get(process).is_some_and(|here| here >= last)))
}

/// The last number of each process of each replica.
fn marks(db: &Connection) -> Result<HashMap<(String, String), u64>, UsageError> {
    let mut rows = db.prepare("SELECT replica, incarnation, last FROM marks")?;
    let marks = rows.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
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
