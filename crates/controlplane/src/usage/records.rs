//! Single requests, newest first. An index answers each search, and how far it looks is bounded: a page that looked far and
//! found little says where to go on.

use super::{
    booking::ID_BYTES, error::UsageError, filter::Filter, retention::first_id, spenders, tail::Entry,
};
use keyway_proto::fleet::v1::{Outcome, Record, Spender};
use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    sync::Arc,
};

/// Rows of an index that one page looks at.
const SCAN_LIMIT: usize = 200_000;
/// Spenders whose records are looked up one spender at a time; if more fit, the index by time is walked.
const MERGED: usize = 512;

pub(crate) type Id = [u8; ID_BYTES];

/// Which HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statuses {
    pub(crate) from: u16,
    pub(crate) to: u16,
}

/// How they ended, and whether they have a price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub(crate) status: Option<Statuses>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) unpriced: bool,
}

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    pub(crate) filter: Filter,
    pub(crate) outcomes: Outcomes,
    /// Begun in `since..until`, in milliseconds.
    pub(crate) since: u64,
    pub(crate) until: u64,
    /// Older than this one.
    pub(crate) before: Option<Id>,
    pub(crate) limit: usize,
}

/// One page.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) entries: Vec<Entry>,
    /// Where the next page begins, if there may be more.
    pub(crate) next: Option<Id>,
}

/// A row of any of the indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    id: Id,
    number: i64,
    spender: i64,
    status: u16,
    outcome: i32,
    unpriced: bool,
}

// === impl Outcomes ===

impl Outcomes {
    /// Whether only requests that something is to be said of fit: those of the small index.
    fn is_notable(&self) -> bool {
        self.unpriced
            || self.status.is_some_and(|status| status.from >= 400)
            || self.outcome.is_some_and(|outcome| outcome != Outcome::Served)
    }

    fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a record ended so.
    pub(crate) fn fit(&self, record: &Record) -> bool {
        let status = u16::try_from(record.status).unwrap_or_default();
        self.are(status, record.outcome, record.nano_dollars.is_none())
    }

    fn are(&self, status: u16, outcome: i32, unpriced: bool) -> bool {
        self.status.is_none_or(|wanted| (wanted.from..=wanted.to).contains(&status))
            && self.outcome.is_none_or(|wanted| wanted as i32 == outcome)
            && (unpriced || !self.unpriced)
    }
}

impl Search {
    /// Ids at which it begins and ends: `from..before`.
    fn ids(&self) -> (Id, Id) {
        let until = first_id(self.until);
        (first_id(self.since), self.before.map_or(until, |before| before.min(until)))
    }
}

/// One page of what is looked for.
pub(super) fn search(db: &Connection, search: &Search) -> Result<Found, UsageError> {
    let spenders = fitting(db, &search.filter)?;
    let (seen, next) = match &spenders {
        Some(few) if few.len() <= MERGED && search.outcomes.is_open() => by_spender(db, search, few)?,
        _ => by_time(db, search, spenders.as_ref())?,
    };
    let mut entries = Vec::with_capacity(seen.len());
    for row in seen {
        // Between the index and the record nothing is deleted: both are read in one transaction.
        entries.extend(read(db, row.number)?);
    }
    Ok(Found { entries, next })
}

/// One record by its id.
pub(super) fn one(db: &Connection, id: Id) -> Result<Option<Entry>, UsageError> {
    let number =
        db.query_row("SELECT number FROM records WHERE id = ?1", [id], |row| row.get(0)).optional()?;
    number.map_or(Ok(None), |number| read(db, number))
}

/// Numbers of frames that never came, and frames that overlapped.
pub(super) fn lost(db: &Connection) -> Result<(u64, u64), UsageError> {
    let sql = "SELECT coalesce(sum(lost), 0), coalesce(sum(overlapped), 0) FROM marks";
    Ok(db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Numbers of the spenders that fit; `None` = all do.
fn fitting(db: &Connection, filter: &Filter) -> Result<Option<HashSet<i64>>, UsageError> {
    if filter.is_open() {
        return Ok(None);
    }
    let mut rows = db.prepare(&format!("SELECT {} FROM spenders", spenders::COLUMNS))?;
    let mut fit = HashSet::new();
    for row in rows.query_map([], spenders::read)? {
        let (number, spender) = row?;
        if filter.fits(&spender) {
            fit.insert(number);
        }
    }
    Ok(Some(fit))
}

/// Walks the index of each spender from the newest on, and keeps the newest of all.
fn by_spender(
    db: &Connection,
    search: &Search,
    spenders: &HashSet<i64>,
) -> Result<(Vec<Seen>, Option<Id>), UsageError> {
    let (from, before) = search.ids();
    let sql = "SELECT number, id, spender, status, outcome, unpriced FROM records INDEXED BY records_by_spender \
               WHERE spender = ?1 AND id >= ?2 AND id < ?3 ORDER BY id DESC";
    let mut walk = db.prepare(sql)?;
    // The oldest of those kept is on top.
    let mut newest: BinaryHeap<Reverse<Seen>> = BinaryHeap::new();
    for spender in spenders {
        for row in walk.query_map(params![spender, from, before], seen)? {
            let row = row?;
            if newest.len() > search.limit {
                if newest.peek().is_some_and(|oldest| row <= oldest.0) {
                    break;
                }
                newest.pop();
            }
            newest.push(Reverse(row));
        }
    }
    let mut rows: Vec<Seen> = newest.into_iter().map(|row| row.0).collect();
    rows.sort_unstable_by_key(|row| Reverse(*row));
    Ok(cut(rows, search.limit))
}

/// Walks the index by time from the newest on.
fn by_time(
    db: &Connection,
    search: &Search,
    spenders: Option<&HashSet<i64>>,
) -> Result<(Vec<Seen>, Option<Id>), UsageError> {
    let (from, before) = search.ids();
    let (index, only) = match search.outcomes.is_notable() {
        true => ("records_notable", "AND (status >= 400 OR outcome <> 1 OR unpriced = 1)"),
        false => ("records_by_id", ""),
    };
    let sql = format!(
        "SELECT number, id, spender, status, outcome, unpriced FROM records INDEXED BY {index} \
         WHERE id >= ?1 AND id < ?2 {only} ORDER BY id DESC LIMIT {}",
        SCAN_LIMIT + 1
    );
    let mut walk = db.prepare(&sql)?;
    let (mut rows, mut looked, mut last) = (Vec::new(), 0, None);
    for row in walk.query_map(params![from, before], seen)? {
        let row = row?;
        if looked == SCAN_LIMIT {
            return Ok((rows, last));
        }
        (looked, last) = (looked + 1, Some(row.id));
        let fits = spenders.is_none_or(|fit| fit.contains(&row.spender))
            && search.outcomes.are(row.status, row.outcome, row.unpriced);
        if fits {
            rows.push(row);
        }
        if rows.len() > search.limit {
            break;
        }
    }
    Ok(cut(rows, search.limit))
}

/// So many, and where the rest begins.
fn cut(mut rows: Vec<Seen>, limit: usize) -> (Vec<Seen>, Option<Id>) {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.id);
    (rows, next)
}

fn seen(row: &Row<'_>) -> rusqlite::Result<Seen> {
    Ok(Seen {
        number: row.get(0)?,
        id: row.get(1)?,
        spender: row.get(2)?,
        status: row.get(3)?,
        outcome: row.get(4)?,
        unpriced: row.get(5)?,
    })
}

/// The record as it came.
fn read(db: &Connection, number: i64) -> Result<Option<Entry>, UsageError> {
    let sql = "SELECT records.id, client, team, provider, model, key, alias, tags, records.id, replicas.name, body \
               FROM records LEFT JOIN spenders ON spenders.id = spender LEFT JOIN replicas ON replicas.id = replica \
               WHERE number = ?1";
    let mut statement = db.prepare(sql)?;
    let found = statement.query_row([number], |row| {
        let spender = spender_of(row)?;
        let parts: (Id, Option<String>, Vec<u8>) = (row.get(8)?, row.get(9)?, row.get(10)?);
        Ok((spender, parts))
    });
    let Some((spender, (id, replica, body))) = found.optional()? else { return Ok(None) };
    let body =
        Record::decode(body.as_slice()).map_err(|_| UsageError::Damaged("a record that is none".into()))?;
    // Where its tags were given up for the sums, the record still has them.
    let own_tags = body.spender.as_ref().map(|own| own.tags.clone());
    let spender = Spender { tags: own_tags.unwrap_or(spender.tags), ..spender };
    let record = Record { id: id.to_vec(), spender: Some(spender), ..body };
    Ok(Some(Entry { record, replica: Arc::from(replica.unwrap_or_default()) }))
}

fn spender_of(row: &Row<'_>) -> rusqlite::Result<Spender> {
    let text = |place: usize| row.get::<_, Option<String>>(place).map(Option::unwrap_or_default);
    Ok(Spender {
        client: text(1)?,
        team: text(2)?,
        provider: text(3)?,
        model: text(4)?,
        key: text(5)?,
        alias: text(6)?,
        tags: spenders::split(&text(7)?),
    })
}
