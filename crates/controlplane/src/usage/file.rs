//! The file `usage.db`: how it is opened, made, brought to this format, and put aside when it is damaged.

use super::error::UsageError;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) const NAME: &str = "usage.db";
/// A copy on its way into a backup.
const COPY: &str = "usage.db.copy";
/// What was put aside is called so, with the time.
const ASIDE: &str = "usage.db.damaged-";
/// The format that this program writes, as `user_version`.
const FORMAT: i64 = 1;
/// Pages that a connection keeps in memory, in KiB: what a commit of many batches changes fits, and it is all that the books
/// take for good. More answers no question faster, since the system keeps pages of the file too.
const CACHE_KIB: i64 = 8 << 10;
/// Readers and the writer wait so long for each other's short locks.
const BUSY: Duration = Duration::from_secs(5);
/// Bytes that the write-ahead log keeps of its file once it was written back.
const LOG_BYTES: i64 = 16 << 20;

/// Format 1. Buckets are numbers of minutes, hours and days since 1970. A `sum` is a protobuf `Sum` and a `body` a protobuf
/// `Record`, each without what stands in columns.
const FORMAT_1: &str = "
CREATE TABLE marks (replica TEXT NOT NULL, incarnation TEXT NOT NULL, last INTEGER NOT NULL, lost INTEGER NOT NULL,
    overlapped INTEGER NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (replica, incarnation)) WITHOUT ROWID;
CREATE TABLE horizons (level TEXT PRIMARY KEY, whole_from INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE replicas (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE spenders (id INTEGER PRIMARY KEY, client TEXT NOT NULL, team TEXT NOT NULL, provider TEXT NOT NULL,
    model TEXT NOT NULL, key TEXT NOT NULL, alias TEXT NOT NULL, tags TEXT NOT NULL);
CREATE UNIQUE INDEX spenders_whole ON spenders (client, team, provider, model, key, alias, tags);
CREATE TABLE minutes (bucket INTEGER NOT NULL, spender INTEGER NOT NULL, sum BLOB NOT NULL,
    PRIMARY KEY (bucket, spender)) WITHOUT ROWID;
CREATE TABLE hours (bucket INTEGER NOT NULL, spender INTEGER NOT NULL, sum BLOB NOT NULL,
    PRIMARY KEY (bucket, spender)) WITHOUT ROWID;
CREATE TABLE days (bucket INTEGER NOT NULL, spender INTEGER NOT NULL, sum BLOB NOT NULL,
    PRIMARY KEY (bucket, spender)) WITHOUT ROWID;
CREATE TABLE records (number INTEGER PRIMARY KEY, id BLOB NOT NULL, spender INTEGER NOT NULL, status INTEGER NOT NULL,
    outcome INTEGER NOT NULL, unpriced INTEGER NOT NULL, replica INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX records_by_id ON records (id, spender, status, outcome, unpriced);
CREATE INDEX records_by_spender ON records (spender, id, status, outcome, unpriced);
CREATE INDEX records_notable ON records (id, spender, status, outcome, unpriced)
    WHERE status >= 400 OR outcome <> 1 OR unpriced = 1;
";

/// Came after the first files of format 1, which are read as before: from when on a restore has left out what was not handed in
/// again, and how many frames were lost before it.
const RESTORES: &str = "CREATE TABLE IF NOT EXISTS restores (after INTEGER NOT NULL, lost INTEGER NOT NULL)";

/// Where the books are and what lies beside them.
#[derive(Debug, Clone)]
pub(super) struct Place {
    home: PathBuf,
}

// === impl Place ===

impl Place {
    pub(super) fn new(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.home.join(NAME)
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Where a copy is made.
    pub(super) fn copy(&self) -> PathBuf {
        self.home.join(COPY)
    }

    /// The connection that writes. A damaged file is put aside and a new one begun.
    ///
    /// # Errors
    /// When it is of a newer format, or the disk does not allow it.
    pub(super) fn open(&self, now: u64) -> Result<Connection, UsageError> {
        match self.writer() {
            Err(error) if error.is_damage() => {
                self.put_aside(&error, now)?;
                self.writer()
            }
            opened => opened,
        }
    }

    /// Renames the file; the one before that was put aside is deleted, or two of them could fill the disk.
    pub(super) fn put_aside(&self, why: &UsageError, now: u64) -> Result<(), UsageError> {
        let to = self.home.join(format!("{ASIDE}{now}"));
        tracing::error!(%why, to = %to.display(), "usage.db cannot be used; it was put aside and new books begin");
        for older in self.aside()? {
            fs::remove_file(older)?;
        }
        fs::rename(self.path(), &to)?;
        for part in ["-wal", "-shm"] {
            let part = self.home.join(format!("{NAME}{part}"));
            fs::remove_file(part).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        }
        Ok(())
    }

    /// Files that were put aside.
    pub(super) fn aside(&self) -> io::Result<Vec<PathBuf>> {
        let names = fs::read_dir(&self.home)?.flatten().map(|entry| entry.path());
        let is_aside = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(ASIDE))
        };
        Ok(names.filter(is_aside).collect())
    }

    /// A connection that only reads.
    pub(super) fn reader(&self) -> Result<Connection, UsageError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(self.path(), flags)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "cache_size", -CACHE_KIB)?;
        Ok(db)
    }

    /// The connection that writes, to the file as it is.
    ///
    /// # Errors
    /// When it is damaged or of a newer format, or the disk does not allow it.
    pub(super) fn writer(&self) -> Result<Connection, UsageError> {
        // Made by hand, so that it is nobody else's from its first byte on; its journal takes the same mode.
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.path())?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(self.path(), flags)?;
        db.busy_timeout(BUSY)?;
        // Before the first table; later it would take effect only with a full VACUUM.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // In WAL, NORMAL does not sync at a commit: what was accepted would be gone with the power.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "cache_size", -CACHE_KIB)?;
        db.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        bring_up(&db)?;
        Ok(db)
    }
}

/// Brings a file to this format, or refuses a newer one.
fn bring_up(db: &Connection) -> Result<(), UsageError> {
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match found {
        0 => {
            let made =
                format!("BEGIN IMMEDIATE; {FORMAT_1} {RESTORES}; PRAGMA user_version = {FORMAT}; COMMIT");
            Ok(db.execute_batch(&made)?)
        }
        FORMAT => {
            // A file whose schema cannot be read is found now, not at the first question.
            db.query_row("SELECT count(*) FROM horizons", [], |_| Ok(()))?;
            db.query_row("SELECT max(number) FROM records", [], |_| Ok(()))?;
            Ok(db.execute_batch(RESTORES)?)
        }
        _ => Err(UsageError::Newer { found, known: FORMAT }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_file_is_private_durable_and_survives_reopening() {
        let home = tempfile::tempdir().unwrap();
        let place = Place::new(home.path());
        for _ in 0..2 {
            let db = place.open(1).unwrap();
            let text =
                |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, String>(0));
            let number = |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            assert_eq!(text("journal_mode").unwrap(), "wal");
            assert_eq!((number("synchronous").unwrap(), number("auto_vacuum").unwrap()), (2, 2));
            assert_eq!(number("user_version").unwrap(), FORMAT);
            db.execute("INSERT OR IGNORE INTO replicas (name) VALUES ('r')", []).unwrap();
        }
        for file in fs::read_dir(home.path()).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(place.aside().unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let place = Place::new(home.path());
        place.open(1).unwrap().pragma_update(None, "user_version", 7).unwrap();
        let refused = place.open(2).unwrap_err();
        assert!(matches!(refused, UsageError::Newer { found: 7, known: FORMAT }), "{refused}");
        assert!(place.path().exists() && place.aside().unwrap().is_empty());
    }

    #[test]
    fn a_damaged_file_is_put_aside_once() {
        let home = tempfile::tempdir().unwrap();
        let place = Place::new(home.path());
        for now in 1..4 {
            drop(place.open(now).unwrap());
            fs::write(place.path(), [b'x'; 8192]).unwrap();
            let db = place.open(now).unwrap();
            let tables: i64 =
                db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
            assert!(tables > 8);
            assert_eq!(place.aside().unwrap(), [home.path().join(format!("{ASIDE}{now}"))]);
        }
    }
}
