//! What types cannot say. `check` looks at a file alone; `references` at the names it uses, given what is there.

mod client;
mod model;
mod names;
mod plain;
mod price;
mod provider;
mod references;
mod server;
mod source;
mod unenforced;
mod usage;

pub use names::name as check_name;
pub use provider::credential as check_secret;
pub use references::references;
pub use server::address as check_address;
pub use unenforced::warnings;

use crate::problem::Problem;
use crate::{File, path};

/// Everything wrong with a file by itself: names, numbers, URLs, secrets. Names that it refers to are looked at by
/// [`references`], since they may stand in the control plane already.
#[must_use]
pub fn check(file: &File) -> Vec<Problem> {
    let crowded = crowded([file.providers.len(), file.models.len(), file.teams.len()]);
    if !crowded.is_empty() {
        // Of a million entries nobody reads what else is wrong with each.
        return crowded;
    }
    let mut findings = Findings::default();
    for (name, provider) in &file.providers {
        provider::check(&mut findings.below("providers", name), name, provider);
    }
    for (name, model) in &file.models {
        model::check(&mut findings.below("models", name), name, model);
    }
    for (name, team) in &file.teams {
        client::check_team(&mut findings.below("teams", name), name, team);
    }
    for (name, client) in &file.clients {
        client::check(&mut findings.below("clients", name), name, client);
    }
    client::check_same_tokens(&mut findings.at("clients"), &file.clients);
    if let Some(server) = &file.server {
        server::check(&mut findings.at("server"), server);
    }
    if let Some(usage) = &file.usage {
        usage::check(&mut findings.at("usage"), usage);
    }
    plain::check(&mut findings, file);
    findings.problems
}

/// Sections with more entries than a control plane takes, of so many providers, models and teams. Clients are bounded by
/// the bytes of a whole state.
#[must_use]
pub fn crowded(counts: [usize; 3]) -> Vec<Problem> {
    let sections = [("providers", 1_000), ("models", 10_000), ("teams", 10_000)];
    let full = sections.into_iter().zip(counts).filter(|((_, limit), count)| count > limit);
    full.map(|((section, limit), count)| {
        Problem::new(section, format!("has {count} entries; there may be {limit}"))
    })
    .collect()
}

/// Problems found so far.
#[derive(Default)]
struct Findings {
    problems: Vec<Problem>,
}

/// A place in the file at which problems are reported.
struct At<'f> {
    problems: &'f mut Vec<Problem>,
    path: String,
}

// === impl Findings ===

impl Findings {
    fn at(&mut self, section: &str) -> At<'_> {
        At { problems: &mut self.problems, path: section.to_owned() }
    }

    fn below(&mut self, section: &str, name: &str) -> At<'_> {
        At { problems: &mut self.problems, path: path::field(section, name) }
    }
}

// === impl At ===

impl At<'_> {
    fn field(&mut self, name: &str) -> At<'_> {
        At { path: path::field(&self.path, name), problems: self.problems }
    }

    fn item(&mut self, index: usize) -> At<'_> {
        At { path: path::item(&self.path, index), problems: self.problems }
    }

    fn report(&mut self, reason: impl Into<String>) {
        self.problems.push(Problem::new(self.path.clone(), reason));
    }

    /// Reports at the field `name` what `found` says.
    fn report_field(&mut self, name: &str, found: Result<(), String>) {
        if let Err(reason) = found {
            self.field(name).report(reason);
        }
    }
}
