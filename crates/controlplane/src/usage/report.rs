//! What was used, added up by any mix of dimensions. Reads sums oldest first, so that with time among the dimensions only
//! one bucket of it is held at once.

use super::{
    booking::decode,
    counted::Counted,
    error::UsageError,
    filter::{self, Filter},
    level::Level,
    plan::{NotKept, Segment, plan},
    retention::{horizon, signed},
    spenders,
};
use keyway_metering::add;
use keyway_proto::fleet::v1::{Spender, Sum};
use rusqlite::Connection;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    time::Instant,
};

/// So often the time is looked at.
const ROWS_BETWEEN: usize = 4096;

/// One dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    Client,
    Team,
    Model,
    Provider,
    Key,
    KeyVersion,
    Alias,
    /// The value of that tag.
    Tag(String),
    /// All tags.
    Tags,
    Time(Level),
}

/// By what rows are put in order; within one stretch of time where time is among the dimensions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Cost,
    Requests,
    Tokens,
    Errors,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) by: Vec<By>,
    pub(crate) filter: Filter,
    /// Milliseconds.
    pub(crate) since: u64,
    pub(crate) until: u64,
    pub(crate) sort: Sort,
    pub(crate) limit: usize,
    pub(crate) after: Option<Position>,
}

/// Where a row stands in the order of all.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Position {
    pub(crate) time: u64,
    pub(crate) value: u64,
    pub(crate) names: Vec<String>,
}

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Start of its stretch of time in milliseconds, where time is asked by; else 0.
    pub(crate) time: u64,
    /// What the other dimensions are, in their order. All tags as in [`spenders`]' column.
    pub(crate) names: Vec<String>,
    pub(crate) sum: Sum,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct Report {
    /// The stretch that was really added up, in milliseconds.
    pub(crate) since: u64,
    pub(crate) until: u64,
    pub(crate) rows: Vec<Row>,
    /// Of everything that fits, not of these rows alone.
    pub(crate) total: Sum,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<Position>,
}

// === impl By ===

impl By {
    /// What it is of a spender; time is none of a spender's.
    fn of(&self, spender: &Spender) -> Option<String> {
        Some(match self {
            Self::Client => spender.client.clone(),
            Self::Team => spender.team.clone(),
            Self::Model => filter::model(spender),
            Self::Provider => spender.provider.clone(),
            Self::Key => filter::without_version(&spender.key).to_owned(),
            Self::KeyVersion => spender.key.clone(),
            Self::Alias => spender.alias.clone(),
            Self::Tag(name) => filter::tag(spender, name).unwrap_or_default().to_owned(),
            Self::Tags => spender.tags.join("\n"),
            Self::Time(_) => return None,
        })
    }
}

// === impl Sort ===

impl Sort {
    fn of(self, sum: &Sum) -> u64 {
        match self {
            Self::Cost => sum.nano_dollars,
            Self::Requests => sum.requests,
            Self::Errors => sum.errors,
            Self::Tokens => Counted::of(&sum.counts).tokens(),
        }
    }
}

// === impl Question ===

impl Question {
    /// The finest stretch of time that is asked by.
    fn time(&self) -> Option<Level> {
        let levels = self.by.iter().filter_map(|by| match by {
            By::Time(level) => Some(*level),
            _ => None,
        });
        levels.min()
    }
}

/// Adds up.
pub(super) fn report(
    db: &Connection,
    question: &Question,
    deadline: Instant,
) -> Result<Result<Report, NotKept>, UsageError> {
    let time = question.time();
    let coarsest = time.unwrap_or(Level::Day);
    let plan = match plan(question.since, question.until, coarsest, horizon(db)?) {
        Ok(plan) => plan,
        Err(not_kept) => return Ok(Err(not_kept)),
    };
    let mut adding = Adding::new(question, groups(db, question)?);
    for segment in &plan.segments {
        read(db, segment, deadline, |at, spender, sum| {
            let bucket = time.map_or(0, |level| level.floor(at));
            adding.row(bucket, spender, sum)
        })?;
    }
    adding.close_bucket();
    let Adding { total, mut rows, .. } = adding;
    let more = rows.len() > question.limit;
    rows.truncate(question.limit);
    let next = rows.last().filter(|_| more).map(|row| row.position(question.sort));
    Ok(Ok(Report { since: plan.since, until: plan.until, rows, total, next }))
}

/// Reads the sums of a segment, oldest first.
fn read(
    db: &Connection,
    segment: &Segment,
    deadline: Instant,
    mut each: impl FnMut(u64, i64, &[u8]) -> Result<(), UsageError>,
) -> Result<(), UsageError> {
    let (table, length) = (segment.level.table(), segment.level.millis());
    let sql = format!(
        "SELECT bucket, spender, sum FROM {table} WHERE bucket >= ?1 AND bucket < ?2 ORDER BY bucket, spender"
    );
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([signed(segment.from / length), signed(segment.to / length)])?;
    let mut read = 0_usize;
    while let Some(row) = rows.next()? {
        read += 1;
        if read.is_multiple_of(ROWS_BETWEEN) && Instant::now() > deadline {
            return Err(UsageError::TooLong);
        }
        let bucket: i64 = row.get(0)?;
        let start = u64::try_from(bucket).unwrap_or_default().saturating_mul(length);
        let sum = row.get_ref(2)?.as_blob().map_err(UsageError::failed)?;
        each(start, row.get(1)?, sum)?;
    }
    Ok(())
}

/// Which group each spender that fits belongs to, and what the groups are called.
#[derive(Debug, Default)]
struct Groups {
    of_spender: HashMap<i64, usize>,
    names: Vec<Vec<String>>,
}

fn groups(db: &Connection, question: &Question) -> Result<Groups, UsageError> {
    let mut groups = Groups::default();
    let mut known: HashMap<Vec<String>, usize> = HashMap::new();
    let mut rows = db.prepare(&format!("SELECT {} FROM spenders", spenders::COLUMNS))?;
    for row in rows.query_map([], spenders::read)? {
        let (number, spender) = row?;
        if !question.filter.fits(&spender) {
            continue;
        }
        let names: Vec<String> = question.by.iter().filter_map(|by| by.of(&spender)).collect();
        let group = *known.entry(names).or_insert_with_key(|names| {
            groups.names.push(names.clone());
            groups.names.len() - 1
        });
        groups.of_spender.insert(number, group);
    }
    Ok(groups)
}

/// Sums in the making.
struct Adding<'q> {
    question: &'q Question,
    groups: Groups,
    bucket: u64,
    /// Of the present bucket of time, by group.
    sums: BTreeMap<usize, Sum>,
    /// One more than is asked for, in order.
    rows: Vec<Row>,
    total: Sum,
}

// === impl Adding ===

impl<'q> Adding<'q> {
    fn new(question: &'q Question, groups: Groups) -> Self {
        Self { question, groups, bucket: 0, sums: BTreeMap::new(), rows: Vec::new(), total: Sum::default() }
    }

    fn row(&mut self, bucket: u64, spender: i64, sum: &[u8]) -> Result<(), UsageError> {
        let Some(group) = self.groups.of_spender.get(&spender).copied() else { return Ok(()) };
        if bucket != self.bucket {
            self.close_bucket();
            self.bucket = bucket;
        }
        let sum = decode(sum)?;
        add(&mut self.total, &sum);
        add(self.sums.entry(group).or_default(), &sum);
        Ok(())
    }

    /// Nothing more comes for this stretch of time: its rows take their places.
    fn close_bucket(&mut self) {
        let sums = std::mem::take(&mut self.sums);
        if self.rows.len() > self.question.limit {
            return;
        }
        let (time, sort) = (self.bucket, self.question.sort);
        let named = sums.into_iter().filter_map(|(group, sum)| {
            let names = self.groups.names.get(group)?.clone();
            Some(Row { time, names, sum })
        });
        let after = self.question.after.as_ref();
        let is_after =
            |row: &Row| after.is_none_or(|after| row.position(sort).cmp(after) == Ordering::Greater);
        let mut rows: Vec<Row> = named.filter(is_after).collect();
        rows.sort_by_cached_key(|row| row.position(sort));
        rows.truncate(self.question.limit + 1 - self.rows.len());
        self.rows.append(&mut rows);
    }
}

// === impl Row ===

impl Row {
    fn position(&self, sort: Sort) -> Position {
        Position { time: self.time, value: sort.of(&self.sum), names: self.names.clone() }
    }
}

// === impl Position ===

impl Ord for Position {
    /// Oldest first, then the largest, then by name.
    fn cmp(&self, other: &Self) -> Ordering {
        let time = self.time.cmp(&other.time);
        time.then(other.value.cmp(&self.value)).then_with(|| self.names.cmp(&other.names))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
