//! Spenders by number: each is written out once, however many sums and records it has.

use super::error::UsageError;
use keyway_metering::OTHER;
use keyway_proto::fleet::v1::Spender;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;

/// Spenders that are told apart. Beyond it tags are booked as one, `other`, so that a tag that differs with every request
/// does not make sums as many as requests.
pub(super) const SPENDER_LIMIT: i64 = 100_000;
/// Numbers that are remembered between commits.
const REMEMBERED: usize = 20_000;
/// Between tags of one column. Tags are printable, so none holds it.
const BETWEEN: &str = "\n";

pub(super) const COLUMNS: &str = "id, client, team, provider, model, key, alias, tags";

/// What the writer knows of spenders.
#[derive(Debug)]
pub(super) struct Numbers {
    known: HashMap<Spender, i64>,
    count: Option<i64>,
    limit: i64,
}

// === impl Numbers ===

impl Numbers {
    /// Tags are told apart until there are so many spenders.
    pub(super) fn new(limit: i64) -> Self {
        Self { known: HashMap::new(), count: None, limit }
    }

    /// The spender's number, made if it has none. With it, whether its tags were given up.
    pub(super) fn number(&mut self, db: &Connection, spender: &Spender) -> Result<(i64, bool), UsageError> {
        if let Some(number) = self.find(db, spender)? {
            return Ok((number, false));
        }
        let count = match self.count {
            Some(count) => count,
            None => db.query_row("SELECT count(*) FROM spenders", [], |row| row.get(0))?,
        };
        self.count = Some(count);
        if count >= self.limit && !spender.tags.is_empty() {
            let other = Spender { tags: vec![OTHER.to_owned()], ..spender.clone() };
            let number = self.find(db, &other)?.map_or_else(|| self.make(db, &other), Ok)?;
            return Ok((number, true));
        }
        Ok((self.make(db, spender)?, false))
    }

    /// After a commit that failed: what was made in it is not there.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.limit);
    }

    fn find(&mut self, db: &Connection, spender: &Spender) -> Result<Option<i64>, UsageError> {
        if let Some(number) = self.known.get(spender) {
            return Ok(Some(*number));
        }
        let sql = "SELECT id FROM spenders WHERE client = ?1 AND team = ?2 AND provider = ?3 AND model = ?4 \
                   AND key = ?5 AND alias = ?6 AND tags = ?7";
        let Spender { client, team, provider, model, key, alias, tags } = spender;
        let values = params![client, team, provider, model, key, alias, join(tags)];
        let number = db.query_row(sql, values, |row| row.get(0)).optional()?;
        if let Some(number) = number {
            self.remember(spender, number);
        }
        Ok(number)
    }

    fn make(&mut self, db: &Connection, spender: &Spender) -> Result<i64, UsageError> {
        let sql = "INSERT INTO spenders (client, team, provider, model, key, alias, tags) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let Spender { client, team, provider, model, key, alias, tags } = spender;
        db.execute(sql, params![client, team, provider, model, key, alias, join(tags)])?;
        let number = db.last_insert_rowid();
        self.count = self.count.map(|count| count + 1);
        self.remember(spender, number);
        Ok(number)
    }

    fn remember(&mut self, spender: &Spender, number: i64) {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(spender.clone(), number);
    }
}

/// One row of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<(i64, Spender)> {
    let tags: String = row.get(7)?;
    let spender = Spender {
        client: row.get(1)?,
        team: row.get(2)?,
        provider: row.get(3)?,
        model: row.get(4)?,
        key: row.get(5)?,
        alias: row.get(6)?,
        tags: split(&tags),
    };
    Ok((row.get(0)?, spender))
}

/// The tags of a column.
pub(super) fn split(tags: &str) -> Vec<String> {
    tags.split(BETWEEN).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

fn join(tags: &[String]) -> String {
    tags.join(BETWEEN)
}
