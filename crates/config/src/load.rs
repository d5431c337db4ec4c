//! Text to file: parse, replace variables, read, check.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::check::{check, warnings};
use crate::problem::Problem;
use crate::yaml::PROBLEM_LIMIT;
use crate::{File, path, yaml};

/// A file that was read and found sound.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub file: File,
    /// What it says without effect yet, with file and line.
    pub warnings: Vec<Problem>,
    /// Where each of its fields stands.
    pub places: Places,
}

/// Lines by path of field. Turns a problem that knows only its field, as the admin API reports it, into one with a line.
#[derive(Debug, Default)]
pub struct Places {
    file: String,
    lines: BTreeMap<String, usize>,
}

/// Reads the text of a `keyway.yaml` named `file`; `lookup` gives the value of an environment variable.
///
/// # Errors
/// Everything found wrong, in the order of the file, one line each; never empty.
pub fn load(text: &str, file: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Problem>> {
    let (mut tree, mut problems) = yaml::parse(text, file).map_err(|problem| vec![problem])?;
    let mut places = Places { file: file.to_owned(), lines: BTreeMap::new() };
    tree.walk("", &mut |path, line| {
        places.lines.insert(path.to_owned(), line);
    });
    yaml::substitute(&mut tree, "", &lookup, &mut |problem, line| problems.push(problem.at(file, line)));
    let read = yaml::read::<File>(&mut tree);
    let found = match &read {
        Ok(read) if problems.is_empty() => check(read),
        Ok(_) => Vec::new(),
        Err(faults) => faults.clone(),
    };
    problems.extend(found.into_iter().map(|problem| places.locate(problem)));
    match read {
        Ok(file) if problems.is_empty() => {
            let warnings = warnings(&file).into_iter().map(|warning| places.locate(warning)).collect();
            Ok(Loaded { file, warnings, places })
        }
        _ => {
            problems.sort_by_key(|problem| problem.place.as_ref().map(|place| place.line));
            // A variable that is missing leaves an empty value, whose second fault would only repeat it.
            problems.dedup_by(|second, first| second.field == first.field && !first.field.is_empty());
            let more = problems.len().saturating_sub(PROBLEM_LIMIT);
            if more > 0 {
                problems.truncate(PROBLEM_LIMIT);
                problems.push(Problem::new("", format!("{file}: {more} more problems; mend these first")));
            }
            Err(problems)
        }
    }
}

/// Reads a JSON value that came over the admin API as a `T` of this crate, with the same words for what is wrong as
/// in a file. Semantic checks are the caller's: see [`check`].
///
/// # Errors
/// Everything that does not fit, each with the path of its field; never empty.
pub fn read_json<T: DeserializeOwned>(value: &Value) -> Result<T, Vec<Problem>> {
    yaml::read(&mut yaml::from_json(value))
}

// === impl Places ===

impl Places {
    /// Adds file and line to a problem that has none: the field's own line or that of what holds it.
    #[must_use]
    pub fn locate(&self, problem: Problem) -> Problem {
        if problem.place.is_some() {
            return problem;
        }
        let mut at = Some(problem.field.as_str());
        while let Some(path) = at {
            if let Some(line) = self.lines.get(path) {
                let line = *line;
                return problem.at(&self.file, line);
            }
            at = path::parent(path);
        }
        problem
    }
}
