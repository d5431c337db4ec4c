//! What goes when: each kind of detail has its time, and the whole file its size. Deleted in small pieces, so that replicas
//! that report meanwhile wait for none of it for long.

use super::{error::UsageError, level::Level, plan::Horizon};
use rusqlite::{Connection, OptionalExtension, params};

const DAY_MILLIS: u64 = Level::Day.millis();
/// Rows that go in one piece.
const PIECE: u32 = 500;
/// Free pages that are kept for what comes next, and pages given back to the disk in one piece.
const SPARE_PAGES: u64 = 2_048;
const GIVEN_BACK: u64 = 512;
/// A process that reported nothing for so long will not report again; its numbers are forgotten.
pub(super) const MARK_MILLIS: u64 = 366 * DAY_MILLIS;

/// How long what is kept, in milliseconds, and how much in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Single requests.
    pub records: u64,
    /// Sums by minute.
    pub minutes: u64,
    /// Sums by hour.
    pub hours: u64,
    /// Sums by day.
    pub days: u64,
    /// Bytes of the file. Records go first, then the finest sums.
    pub max_size: u64,
}

/// What is to go next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doomed {
    /// Records whose id is older.
    Records {
        before: u64,
    },
    Sums {
        level: Level,
        before: u64,
    },
}

// === impl Retention ===

impl Default for Retention {
    fn default() -> Self {
        Self {
            records: 30 * DAY_MILLIS,
            minutes: 7 * DAY_MILLIS,
            hours: 90 * DAY_MILLIS,
            days: 1_095 * DAY_MILLIS,
            max_size: 4 << 30,
        }
    }
}

impl Retention {
    /// What has had its time, by kind.
    pub(super) fn doomed(&self, now: u64) -> [Doomed; 4] {
        let before = |kept: u64| now.saturating_sub(kept);
        let sums = |level: Level, kept| Doomed::Sums { level, before: level.floor(before(kept)) };
        [
            Doomed::Records { before: before(self.records) },
            sums(Level::Minute, self.minutes),
            sums(Level::Hour, self.hours.max(self.minutes)),
            sums(Level::Day, self.days.max(self.hours).max(self.minutes)),
        ]
    }
}

/// Deletes one piece, if anything is due. `false` = nothing was.
pub(super) fn tidy(db: &Connection, retention: &Retention, now: u64) -> Result<bool, UsageError> {
    for doomed in retention.doomed(now) {
        if delete(db, doomed)? > 0 {
            return Ok(true);
        }
    }
    if used_bytes(db)? > retention.max_size {
        let all = Level::ALL.map(|level| Doomed::Sums { level, before: u64::MAX });
        for doomed in std::iter::once(Doomed::Records { before: u64::MAX }).chain(all) {
            if delete(db, doomed)? > 0 {
                return Ok(true);
            }
        }
    }
    db.execute("DELETE FROM marks WHERE seen < ?1", [signed(now.saturating_sub(MARK_MILLIS))])?;
    Ok(false)
}

/// Gives pages back to the disk. `false` = none is left to give.
pub(super) fn give_back(db: &Connection) -> Result<bool, UsageError> {
    let free = pragma(db, "freelist_count")?;
    if free <= SPARE_PAGES {
        return Ok(false);
    }
    let pages = (free - SPARE_PAGES).min(GIVEN_BACK);
    // A page a step: to be asked until it has no more.
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut steps = vacuum.query([])?;
    while steps.next()?.is_some() {}
    Ok(true)
}

/// Spenders that nothing names any more. Looks at everything: for once a day.
pub(super) fn forget_spenders(db: &Connection) -> Result<usize, UsageError> {
    let named = Level::ALL.map(|level| format!("SELECT spender FROM {}", level.table())).join(" UNION ");
    let sql = format!("DELETE FROM spenders WHERE id NOT IN ({named} UNION SELECT spender FROM records)");
    Ok(db.execute(&sql, [])?)
}

/// Bytes of the file that hold something.
pub(super) fn used_bytes(db: &Connection) -> Result<u64, UsageError> {
    let pages = pragma(db, "page_count")?.saturating_sub(pragma(db, "freelist_count")?);
    Ok(pages.saturating_mul(pragma(db, "page_size")?))
}

/// From when on each level is whole.
pub(super) fn horizon(db: &Connection) -> Result<Horizon, UsageError> {
    let mut rows = db.prepare("SELECT level, whole_from FROM horizons")?;
    let mut horizon = Horizon::default();
    for row in rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
        let (level, from) = row?;
        let from = u64::try_from(from).unwrap_or_default();
        match level.as_str() {
            "minutes" => horizon.minutes = from,
            "hours" => horizon.hours = from,
            "days" => horizon.days = from,
            _ => {}
        }
    }
    Ok(horizon)
}

fn delete(db: &Connection, doomed: Doomed) -> Result<usize, UsageError> {
    match doomed {
        Doomed::Records { before } => {
            let sql = "DELETE FROM records WHERE number IN \
                       (SELECT number FROM records INDEXED BY records_by_id WHERE id < ?1 ORDER BY id LIMIT ?2)";
            Ok(db.execute(sql, params![first_id(before), PIECE])?)
        }
        Doomed::Sums { level, before } => {
            let (table, bucket) = (level.table(), signed(before / level.millis()));
            let range = format!("SELECT bucket FROM {table} WHERE bucket < ?1 ORDER BY bucket LIMIT ?2");
            let newest = db
                .query_row(&format!("SELECT max(bucket) FROM ({range})"), params![bucket, PIECE], |row| {
                    row.get::<_, Option<i64>>(0)
                })
                .optional()?
                .flatten();
            let Some(newest) = newest else { return Ok(0) };
            // Said first: what is about to go is no longer whole.
            let whole_from = (newest + 1).saturating_mul(signed(level.millis()));
            let sql = "INSERT INTO horizons VALUES (?1, ?2) ON CONFLICT DO UPDATE SET whole_from = max(whole_from, ?2)";
            db.execute(sql, params![table, whole_from])?;
            let sql = format!(
                "DELETE FROM {table} WHERE (bucket, spender) IN \
                (SELECT bucket, spender FROM {table} WHERE bucket < ?1 ORDER BY bucket, spender LIMIT ?2)"
            );
            Ok(db.execute(&sql, params![bucket, PIECE])?)
        }
    }
}

/// The smallest id of that millisecond.
pub(super) fn first_id(millis: u64) -> [u8; 16] {
    let time = u128::from(millis.min(MILLIS_OF_ID)) << 80;
    if millis > MILLIS_OF_ID { [u8::MAX; 16] } else { time.to_be_bytes() }
}

/// A ULID has 48 bits of time.
const MILLIS_OF_ID: u64 = (1 << 48) - 1;

/// SQLite's numbers have a sign; no time reaches it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn pragma(db: &Connection, name: &str) -> Result<u64, UsageError> {
    let value: i64 = db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?;
    Ok(u64::try_from(value).unwrap_or_default())
}
