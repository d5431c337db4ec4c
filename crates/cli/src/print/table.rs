//! Tables that fit: the terminal's width, or 80 columns when nobody looks.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, presets};
use keyway_config::Expiry;
use rustix::termios::tcgetwinsize;
use serde_json::Value;

/// Columns when stdout is no terminal.
const PIPED_WIDTH: u16 = 80;

/// Rows under headings.
pub(crate) struct Table {
    headings: &'static [&'static str],
    rows: Vec<Vec<String>>,
    empty: &'static str,
}

// === impl Table ===

impl Table {
    /// `empty` is printed when there is no row.
    pub(crate) fn new(headings: &'static [&'static str], empty: &'static str) -> Self {
        Self { headings, rows: Vec::new(), empty }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// As text for the terminal that there is.
    pub(crate) fn fitted(&self) -> String {
        self.text(if terminal_width().is_some() { None } else { Some(PIPED_WIDTH) })
    }

    /// As text of at most this width; `None` = the terminal's. Only words longer than a column's share are broken.
    pub(crate) fn text(&self, width: Option<u16>) -> String {
        if self.rows.is_empty() {
            return self.empty.to_owned();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        if let Some(width) = width {
            table.set_width(width);
        }
        if !self.headings.is_empty() {
            table.set_header(self.headings);
        }
        table.add_rows(&self.rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let text = table.to_string();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

/// Columns that there are to print on.
pub(crate) fn width() -> usize {
    usize::from(terminal_width().unwrap_or(PIPED_WIDTH))
}

/// `None`: stdout is no terminal, or one that does not know its width and says 0.
fn terminal_width() -> Option<u16> {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| tcgetwinsize(&stdout).ok()).flatten();
    size.map(|size| size.ws_col).filter(|&columns| columns > 0)
}

/// The field at this path (`price.input`) as a table shows it: `-` if there is none, lists joined by commas.
pub(crate) fn cell(value: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(value, |value, name| value.get(name));
    found.map_or_else(|| "-".to_owned(), shown)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".into(),
        Value::Array(items) => {
            let separator = if items.iter().any(Value::is_object) { "; " } else { ", " };
            items.iter().map(shown).collect::<Vec<_>>().join(separator)
        }
        Value::Object(fields) if fields.is_empty() => "-".into(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| match (name.as_str(), value.as_u64()) {
                // The API gives moments as seconds since 1970.
                ("at", Some(unix)) => format!("at {}", Expiry::from_unix(unix)),
                _ => format!("{name} {}", shown(value)),
            };
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
    }
}

/// The items of a list answer: an array, or the one array in an object.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    let inner = || value.as_object().and_then(|fields| fields.values().find_map(Value::as_array));
    value.as_array().or_else(inner).into_iter().flatten()
}

/// One thing's fields, one below the other.
pub(crate) fn fields(value: &Value) -> Table {
    let mut table = Table::new(&[], "nothing");
    for (name, value) in value.as_object().into_iter().flatten() {
        table.row([name.replace('_', " "), shown(value)]);
    }
    table
}

/// A moment in milliseconds since 1970, to the second; `-` for 0, which is never.
pub(crate) fn moment(millis: u64) -> String {
    if millis == 0 { "-".into() } else { Expiry::from_unix(millis / 1000).to_string() }
}
