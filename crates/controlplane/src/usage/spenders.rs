//! Spenders by number: each is written out once, however many sums and records it has.

use super::error::UsageError;
use keyway_metering::OTHER;
use keyway_proto::fleet::v1::Spender;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;

/// Spenders that are told apart. Beyond it tags are booked as one, `other`, so that a tag that differs with every request
/// does not make sums as many as requests.
pub(super) const SPENDER_LIMIT: i64 = 100_000;
/// So many times the limit, models of new spenders are booked as one too: callers may make names up without end.
const MODELS: i64 = 2;
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
    /// Tags are told apart until there are so many spenders, models until there are twice as many.
    pub(super) fn new(limit: i64) -> Self {
        Self { known: HashMap::new(), count: None, limit }
    }

    /// The spender's number, made if it has none. With it, whether its tags were given up.
    pub(super) fn number(&mut self, db: &Connection, spender: &Spender) -> Result<(i64, bool), UsageError> {
        if let Some(number) = self.find(db, spender)? {
            return Ok((number, false));
        }
        let count = self.count(db)?;
        let mut meant = spender.clone();
        let tags_lost = count >= self.limit && !spender.tags.is_empty();
        if tags_lost {
            meant.tags = vec![OTHER.to_owned()];
        }
        if count >= self.limit.saturating_mul(MODELS) && !spender.model.is_empty() {
            // Who is known but for the tags keeps the model.
            if let Some(number) = self.find(db, &meant)? {
                return Ok((number, tags_lost));
            }
            OTHER.clone_into(&mut meant.model);
        }
        let number = self.find(db, &meant)?.map_or_else(|| self.make(db, &meant), Ok)?;
        Ok((number, tags_lost))
    }

    fn count(&mut self, db: &Connection) -> Result<i64, UsageError> {
        let count = match self.count {
            Some(count) => count,
            None => db.query_row("SELECT count(*) FROM spenders", [], |row| row.get(0))?,
        };
        self.count = Some(count);
        Ok(count)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::file::Place;

    #[test]
    fn models_that_callers_make_up_become_one_beyond_a_bound() {
        let home = tempfile::tempdir().unwrap();
        let db = Place::new(home.path()).open(0).unwrap();
        let mut numbers = Numbers::new(10);
        let one = |model: &str, tags: &[&str]| Spender {
            client: "c".to_owned(),
            model: model.to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Spender::default()
        };
        for number in 0..50 {
            let (_, tags_lost) = numbers.number(&db, &one(&format!("r{number}"), &[])).unwrap();
            assert!(!tags_lost);
            // As after a restart.
            numbers.forget();
        }
        let of = |id: i64| {
            let sql = format!("SELECT {COLUMNS} FROM spenders WHERE id = ?1");
            db.query_row(&sql, [id], read).unwrap().1
        };
        let mut number = |spender: &Spender| numbers.number(&db, spender).unwrap();
        assert_eq!(of(number(&one("r7", &[])).0), one("r7", &[]));
        assert_eq!(of(number(&one("new", &[])).0), one(OTHER, &[]));
        let (id, tags_lost) = number(&one("new", &["k=v"]));
        assert_eq!((of(id), tags_lost), (one(OTHER, &[OTHER]), true));
        let count: i64 = db.query_row("SELECT count(*) FROM spenders", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 20 + 2);
    }
}
