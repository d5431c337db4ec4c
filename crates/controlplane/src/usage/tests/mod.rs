//! Whatever arrives twice, late, in pieces or not at all: the books hold every frame once.

mod copied;
mod ingest;
mod kept;
mod large;
mod questions;

use super::*;
use keyway_metering::Fold;
use keyway_proto::{
    fleet::v1::{Count, Frame, Outcome, Record, Spender, Sum, UsageSource},
    snapshot::v1::Meter,
};
use prost::Message;
use tempfile::TempDir;

const DAY: u64 = Level::Day.millis();
const HOUR: u64 = Level::Hour.millis();
const MINUTE: u64 = Level::Minute.millis();
/// A Tuesday in 2026.
const NOW: u64 = 20_600 * DAY + 10 * HOUR + 30 * MINUTE;

fn books() -> (TempDir, Books) {
    let home = tempfile::tempdir().unwrap();
    let books = Books::open(home.path(), NOW).unwrap();
    (home, books)
}

/// Without `close`, as if the process had been killed: whatever was not committed is gone with it.
fn reopen(home: &TempDir) -> Books {
    Books::open(home.path(), NOW).unwrap()
}

fn spender(client: &str, model: &str) -> Spender {
    let client_of = |team: &str| team.to_owned();
    Spender {
        client: client.to_owned(),
        team: client_of(if client.starts_with('a') { "red" } else { "blue" }),
        provider: "openai".to_owned(),
        model: model.to_owned(),
        key: "openai/main/1".to_owned(),
        ..Spender::default()
    }
}

/// A request that began then. Its number makes its id and its counts.
fn record(number: u64, started: u64, spender: Spender) -> Record {
    let mut id = retention::first_id(started);
    id[8..].copy_from_slice(&number.to_be_bytes());
    Record {
        id: id.to_vec(),
        started_unix_millis: started,
        spender: Some(spender),
        status: 200,
        outcome: Outcome::Served.into(),
        usage_source: UsageSource::Provider.into(),
        nano_dollars: Some(1_000 + number),
        counts: vec![
            Count { meter: Meter::Input.into(), count: 10 + number },
            Count { meter: Meter::Output.into(), count: 3 },
        ],
        total_micros: 5_000,
        ..Record::default()
    }
}

fn frame(number: u64, records: Vec<Record>) -> Frame {
    Frame { first: number, last: number, records, sums: Vec::new() }
}

fn batch(incarnation: &str, frames: &[Frame]) -> Batch {
    Batch {
        replica: "r1".to_owned(),
        incarnation: incarnation.to_owned(),
        frames: frames.iter().map(Message::encode_to_vec).collect(),
    }
}

/// Everything, as one sum.
async fn total(books: &Books) -> Sum {
    ask(books, Question { since: 0, ..question(&[]) }).await.total
}

async fn ask(books: &Books, question: Question) -> Report {
    books.report(question).await.unwrap().unwrap()
}

fn question(by: &[By]) -> Question {
    Question {
        by: by.to_vec(),
        filter: Filter::default(),
        since: NOW - DAY,
        until: NOW + HOUR,
        sort: Sort::Cost,
        limit: 100,
        after: None,
    }
}

/// What the same frames come to by the arithmetic that replicas use.
fn expected(frames: &[Frame]) -> Sum {
    let mut fold = Fold::new(usize::MAX);
    frames.iter().for_each(|frame| fold.frame(frame));
    let mut all = Sum::default();
    for sum in fold.into_sums() {
        keyway_metering::add(&mut all, &sum);
    }
    sorted(all)
}

fn sorted(mut sum: Sum) -> Sum {
    sum.counts.sort_by_key(|count| count.meter);
    sum
}
