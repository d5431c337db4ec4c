//! A report for people: rows, a line of sums, and never a cost without the requests that it does not hold.

use serde_json::Value;

use super::Report;
use crate::print::{self, Columns, Rank, aligned, cell, thousands, usd};

/// Counts beside the cost, with how soon each is left out where room is short.
const COUNTS: &[(&str, &str, Rank)] = &[
    ("REQUESTS", "requests", Rank::IfRoom(0)),
    ("ERRORS", "errors", Rank::IfRoom(3)),
    ("INPUT", "input_tokens", Rank::IfRoom(2)),
    ("CACHED", "cache_read_tokens", Rank::IfRoom(5)),
    ("OUTPUT", "output_tokens", Rank::IfRoom(1)),
];
/// Behind the cost: what is not in it, and what in it is reckoned.
const DOUBTS: &[(&str, &str)] = &[("UNPRICED", "unpriced"), ("ESTIMATED", "estimated")];

pub(super) fn print(report: &Report) {
    if report.rows.is_empty() {
        print::line("nothing was used there; ask further back with --since 7d");
    } else {
        print::line(&text(report, print::width()));
    }
}

pub(super) fn text(report: &Report, width: usize) -> String {
    let mut columns = Columns::default();
    for (place, name) in report.by.iter().enumerate() {
        let mut cells: Vec<String> = report.rows.iter().map(|row| dimension(row, name)).collect();
        cells.push(if place == 0 { "total".to_owned() } else { String::new() });
        columns.words(&name.replace('_', " ").to_uppercase(), Rank::Always, cells);
    }
    let lines = || report.rows.iter().chain([&report.total]);
    for &(heading, field, rank) in COUNTS {
        columns.numbers(heading, rank, lines().map(|row| thousands(count(row, field))).collect());
    }
    let mut cost: Vec<String> = lines().map(cost).collect();
    aligned(&mut cost);
    columns.numbers("COST USD", Rank::Always, cost);
    for &(heading, field) in DOUBTS {
        columns.numbers(heading, Rank::Always, lines().map(|row| thousands(count(row, field))).collect());
    }
    columns.numbers("AVG MS", Rank::IfRoom(4), lines().map(average).collect());
    columns.text(width)
}

/// What a row stands for; tags as callers sent them.
pub(super) fn dimension(row: &Value, name: &str) -> String {
    match row.get(name) {
        Some(Value::Object(tags)) => {
            let tag =
                |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
            tags.iter().map(tag).collect::<Vec<_>>().join(",")
        }
        // A name like `tag:run` holds no path.
        Some(value) => cell(&Value::from_iter([("it", value.clone())]), "it"),
        // The API names these fields otherwise.
        None if name == "tag" => dimension(row, "tags"),
        None if name == "key_version" => dimension(row, "key"),
        None => "-".into(),
    }
}

pub(super) fn count(row: &Value, field: &str) -> u64 {
    row.get(field).and_then(Value::as_u64).unwrap_or_default()
}

/// Dollars; `-` where nothing but unpriced requests stand behind a zero.
fn cost(row: &Value) -> String {
    match count(row, "cost_nanodollars") {
        0 if count(row, "unpriced") > 0 => "-".into(),
        nano => usd(nano),
    }
}

fn average(row: &Value) -> String {
    row.get("avg_ms").and_then(Value::as_f64).map_or_else(|| "-".into(), |millis| format!("{millis:.1}"))
}
