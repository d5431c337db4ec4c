//! A request as a line of a table whose later lines are not known yet: widths are given and grow where they must.

use serde_json::Value;

use crate::print::{cell, thousands, usd};

/// Blanks between two columns.
const GAP: usize = 2;

/// A column: its heading, the width that it begins with, and what stands there.
struct Column {
    heading: &'static str,
    width: usize,
    right: bool,
    text: fn(&Value) -> String,
}

/// The columns that fit.
pub(super) struct Lines {
    columns: Vec<Column>,
}

// === impl Lines ===

impl Lines {
    /// For so many columns of the terminal. Time, status, client, model and id are always there: 80 columns.
    pub(super) fn new(width: usize) -> Self {
        let mut columns = vec![
            words("TIME", 8, |record| clock(record).to_owned()),
            words("STATUS", 6, |record| cell(record, "status")),
            words("CLIENT", 10, |record| cell(record, "client")),
            words("MODEL", 22, target),
            words("ID", 26, |record| cell(record, "id")),
        ];
        let if_room = [
            number("MS", 9, |record| millis(record, "total_ms")),
            number("COST USD", 11, cost),
            number("INPUT", 9, |record| tokens(record, "usage.input_tokens")),
            number("OUTPUT", 7, |record| tokens(record, "usage.output_tokens")),
            number("FIRST MS", 8, |record| millis(record, "first_token_ms")),
            words("REASON", 20, |record| cell(record, "reason")),
            words("KEY", 20, |record| cell(record, "key")),
        ];
        for column in if_room {
            let used: usize = columns.iter().map(|column| column.width + GAP).sum();
            if used + column.width > width {
                break;
            }
            columns.insert(columns.len() - 1, column);
        }
        Self { columns }
    }

    pub(super) fn heading(&self) -> String {
        self.joined(self.columns.iter().map(|column| column.heading.to_owned()).collect())
    }

    pub(super) fn record(&mut self, record: &Value) -> String {
        let cells: Vec<String> = self.columns.iter().map(|column| (column.text)(record)).collect();
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            column.width = column.width.max(cell.chars().count());
        }
        self.joined(cells)
    }

    fn joined(&self, cells: Vec<String>) -> String {
        let set = |(column, cell): (&Column, String)| {
            let width = column.width;
            if column.right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        };
        let cells: Vec<String> = self.columns.iter().zip(cells).map(set).collect();
        cells.join(&" ".repeat(GAP)).trim_end().to_owned()
    }
}

fn words(heading: &'static str, width: usize, text: fn(&Value) -> String) -> Column {
    Column { heading, width, right: false, text }
}

fn number(heading: &'static str, width: usize, text: fn(&Value) -> String) -> Column {
    Column { heading, width, right: true, text }
}

/// Hours, minutes and seconds of when it began; the day stands in the record.
fn clock(record: &Value) -> &str {
    let started = record.get("started").and_then(Value::as_str).unwrap_or_default();
    started.split_once('T').and_then(|(_, time)| time.get(..8)).unwrap_or("-")
}

fn millis(record: &Value, field: &str) -> String {
    record.get(field).and_then(Value::as_f64).map_or_else(|| "-".into(), |millis| format!("{millis:.1}"))
}

fn tokens(record: &Value, field: &str) -> String {
    let (object, name) = field.split_once('.').unwrap_or(("", field));
    let count = record.get(object).and_then(|usage| usage.get(name)).and_then(Value::as_u64);
    count.map_or_else(|| "-".into(), thousands)
}

/// `provider/model`; `-` where no provider was asked.
pub(in crate::command) fn target(record: &Value) -> String {
    let (provider, model) = (cell(record, "provider"), cell(record, "model"));
    if provider == "-" { model } else { format!("{provider}/{model}") }
}

/// In dollars; an unknown price is never shown as nothing.
pub(in crate::command) fn cost(record: &Value) -> String {
    record.get("cost_nanodollars").and_then(Value::as_u64).map_or_else(|| "unpriced".into(), usd)
}
