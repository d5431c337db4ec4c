//! Text to file: parse, replace variables, read, check.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::check::{check, references, warnings};
use crate::problem::Problem;
use crate::yaml::PROBLEM_LIMIT;
use crate::{File, Model, Provider, Team, path, yaml};

/// Sections whose names other parts of a file refer to.
const NAMED: [&str; 3] = ["providers", "models", "teams"];

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

/// A text as far as it can be read.
#[derive(Debug, Default)]
pub struct Faulty {
    /// What is wrong by itself, one line each, in the order of the file; never empty.
    pub problems: Vec<Problem>,
    /// The rest of it.
    file: File,
    /// Names that it gives to what could not be read whole.
    named: File,
    places: Places,
}

/// Reads the text of a `keyway.yaml` named `file`; `lookup` gives the value of an environment variable.
///
/// # Errors
/// Everything found wrong, in the order of the file, one line each; never empty.
pub fn load(text: &str, file: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Problem>> {
    inspect(text, file, lookup).map_err(|faulty| faulty.problems)
}

/// As [`load`], and of a faulty text keeps what can be read, so that what it refers to can be looked at too.
///
/// # Errors
/// What is wrong, and the rest.
pub fn inspect(
    text: &str,
    file: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Loaded, Box<Faulty>> {
    let parsed = yaml::parse(text, file);
    let (mut tree, mut problems) =
        parsed.map_err(|problem| Faulty { problems: vec![problem], ..Faulty::default() })?;
    let mut places = Places { file: file.to_owned(), lines: BTreeMap::new() };
    tree.walk("", &mut |path, line| {
        places.lines.insert(path.to_owned(), line);
    });
    let named = names(&tree);
    yaml::substitute(&mut tree, "", &lookup, &mut |problem, line| problems.push(problem.at(file, line)));
    let (read, unfit) = yaml::read::<File>(&mut tree);
    let is_whole = read.is_some();
    let read = read.unwrap_or_default();
    places.add(&mut problems, unfit);
    if is_whole {
        places.add(&mut problems, check(&read));
    }
    if problems.is_empty() {
        let warnings = warnings(&read).into_iter().map(|warning| places.locate(warning)).collect();
        return Ok(Loaded { file: read, warnings, places });
    }
    Err(Box::new(Faulty { problems: places.listed(problems), file: read, named, places }))
}

/// The names of what documents may refer to, without what they stand for.
fn names(tree: &yaml::Node) -> File {
    let [providers, models, teams] = NAMED.map(|section| tree.names(section).map(str::to_owned));
    File {
        providers: providers.map(|name| (name, Provider::default())).collect(),
        models: models.map(|name| (name, Model::default())).collect(),
        teams: teams.map(|name| (name, Team::default())).collect(),
        ..File::default()
    }
}

/// Reads a JSON value that came over the admin API as a `T` of this crate, with the same words for what is wrong as
/// in a file. Semantic checks are the caller's: see [`check`].
///
/// # Errors
/// Everything that does not fit, each with the path of its field; never empty.
pub fn read_json<T: DeserializeOwned>(value: &Value) -> Result<T, Vec<Problem>> {
    match yaml::read(&mut yaml::from_json(value)) {
        (Some(read), problems) if problems.is_empty() => Ok(read),
        (_, problems) => Err(problems),
    }
}

// === impl Faulty ===

impl Faulty {
    /// With the names of it that mean nothing, given what is `present` beside it.
    #[must_use]
    pub fn referring(mut self, present: File) -> Vec<Problem> {
        // Where a whole section cannot be read, or there are two, nobody knows what it would have named.
        let is_section = |problem: &Problem| NAMED.contains(&problem.field.as_str());
        if self.problems.len() > PROBLEM_LIMIT || self.problems.iter().any(is_section) {
            return self.problems;
        }
        let File { providers, models, teams, .. } = present;
        self.named.providers.extend(providers);
        self.named.models.extend(models);
        self.named.teams.extend(teams);
        let unknown = references(&self.file, &self.named);
        self.places.add(&mut self.problems, unknown);
        self.places.listed(self.problems)
    }
}

// === impl Places ===

impl Places {
    /// Adds what was found later, but for what only follows from what was found before: a field that could not be read or
    /// has no value is missing from all that holds it.
    fn add(&self, problems: &mut Vec<Problem>, later: Vec<Problem>) {
        let before = problems.len();
        if before >= PROBLEM_LIMIT {
            return;
        }
        for problem in later {
            let follows = |first: &Problem| !first.field.is_empty() && bears(&first.field, &problem.field);
            if !problems.iter().take(before).any(follows) {
                problems.push(self.locate(problem));
            }
        }
    }

    /// As they are shown: in the order of the file, and not more than anyone reads.
    fn listed(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        problems.sort_by_key(|problem| problem.place.as_ref().map(|place| place.line));
        problems.dedup_by(|second, first| second.field == first.field && !first.field.is_empty());
        let more = problems.len().saturating_sub(PROBLEM_LIMIT);
        if more > 0 {
            problems.truncate(PROBLEM_LIMIT);
            let reason = format!("{}: {more} more problems; mend these first", self.file);
            problems.push(Problem::new("", reason));
        }
        problems
    }

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

/// Whether a fault of one field may be why another is found wrong: the same, what holds it, and in a section of settings
/// any other, since they are weighed against each other.
fn bears(fault: &str, found: &str) -> bool {
    let section = fault.split('.').next().unwrap_or_default();
    let of_names = section == "clients" || NAMED.contains(&section);
    path::is_within(fault, found) || !of_names && path::is_within(found, section)
}
