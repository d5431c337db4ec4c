//! What goes to stdout and stderr, and how it looks.

mod columns;
mod limits;
mod number;
mod table;
mod yaml;

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use keyway_config::{Problem, looks_like_secret};
use serde_json::Value;

use crate::args::Output;
use crate::failure::Failure;

pub(crate) use columns::{Columns, Rank};
pub(crate) use limits::limits;
pub(crate) use number::{aligned, thousands, usd};
pub(crate) use table::{Table, cell, fields, list, moment, width};
pub(crate) use yaml::yaml;

/// Shown in place of an argument that looks like a secret.
const WITHHELD: &str = "(withheld)";

/// Whether something that was to be printed is nowhere; it may have been a token that is shown once.
static LOST: AtomicBool = AtomicBool::new(false);

/// One or more whole lines to stdout. A reader that went away (`| head`) is no fault of ours.
pub(crate) fn line(text: &str) {
    is_read(text);
}

/// As `line`; false: nobody reads any more, so that more lines are in vain.
pub(crate) fn is_read(text: &str) -> bool {
    let written = writeln!(io::stdout().lock(), "{text}");
    let is_read = written.is_ok();
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        failure(&Failure::write(Path::new("stdout"), error));
    }
    is_read
}

/// Whether stdout took all but what nobody wanted to read.
pub(crate) fn is_whole() -> bool {
    !LOST.load(Ordering::Relaxed)
}

/// A line for people beside the result, to stderr.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What went wrong, to stderr.
pub(crate) fn failure(failure: &Failure) {
    let said = match failure {
        // Each begins with file and line already, as editors expect it.
        Failure::Problems(_) => failure.to_string(),
        other => format!("keyway: {other}"),
    };
    note(&withheld(&said, arguments()).unwrap_or(said));
}

/// What stood behind the program's name. What is no UTF-8 is shown as far as it can be.
pub(crate) fn arguments() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.display().to_string()).collect()
}

/// The text without what was `given` as an argument and looks like a secret; `None` if it has none of that.
pub(crate) fn withheld(text: &str, given: impl IntoIterator<Item = String>) -> Option<String> {
    let given = given.into_iter();
    let mut secrets: Vec<String> =
        given.filter(|word| looks_like_secret(word) && text.contains(word.as_str())).collect();
    // One may be the beginning of another.
    secrets.sort_by_key(|word| std::cmp::Reverse(word.len()));
    if secrets.is_empty() {
        return None;
    }
    Some(secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), WITHHELD)))
}

/// What the API accepted without effect, to stderr; `known` are fields that were warned of already.
pub(crate) fn warnings(answer: &Value, known: &[Problem], locate: impl Fn(Problem) -> Problem) {
    for warning in answer.get("warnings").and_then(Value::as_array).into_iter().flatten() {
        let problem = Problem::new(cell(warning, "field"), cell(warning, "message"));
        if !known.iter().any(|known| known.field == problem.field) {
            note(&format!("warning: {}", locate(problem)));
        }
    }
}

/// JSON as the API gave it, indented.
pub(crate) fn json(value: &Value) {
    // A `Value` has only text keys, so it can always be written.
    line(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// The value as JSON, or what `table` makes of it.
pub(crate) fn result(output: Output, value: &Value, table: impl FnOnce(&Value) -> Table) {
    match output {
        Output::Json => json(value),
        Output::Table => line(&table(value).fitted()),
    }
}
