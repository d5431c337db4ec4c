//! A report as comma-separated values (RFC 4180): every field of the rows, none left out.

use serde_json::Value;

use super::Report;
use super::table::dimension;
use crate::print;

/// What every row has, in this order, behind its dimensions. Other fields follow by name.
const FIRST: &[&str] = &[
    "requests",
    "errors",
    "cancelled",
    "input_tokens",
    "output_tokens",
    "cost_nanodollars",
    "cost_usd",
    "unpriced",
    "estimated",
];

pub(super) fn print(report: &Report) {
    for line in lines(report) {
        if !print::is_read(&line) {
            return;
        }
    }
}

pub(super) fn lines(report: &Report) -> Vec<String> {
    let dimensions: Vec<&str> = report.by.iter().map(String::as_str).collect();
    let shown: Vec<&str> = dimensions.iter().copied().map(field).collect();
    let mut fields = FIRST.to_vec();
    // The sums have every count, so that a report without rows has the same headings.
    for name in
        report.rows.iter().chain([&report.total]).filter_map(Value::as_object).flat_map(|row| row.keys())
    {
        if !shown.contains(&name.as_str()) && !fields.contains(&name.as_str()) {
            fields.push(name);
        }
    }
    let heading = dimensions.iter().chain(&fields).map(|name| quoted(name));
    let mut lines = vec![heading.collect::<Vec<_>>().join(",")];
    for row in &report.rows {
        let named = dimensions.iter().map(|name| known(&dimension(row, name)));
        let counted = fields.iter().map(|name| value(row.get(*name)));
        lines.push(named.chain(counted).collect::<Vec<_>>().join(","));
    }
    lines
}

/// Where a row says this dimension.
fn field(dimension: &str) -> &str {
    match dimension {
        "tag" => "tags",
        "key_version" => "key",
        same => same,
    }
}

/// What a table shows as `-` is empty here.
fn known(text: &str) -> String {
    if text == "-" { String::new() } else { quoted(text) }
}

fn value(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => quoted(text),
        Some(other) => quoted(&other.to_string()),
    }
}

pub(super) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
