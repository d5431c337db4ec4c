//! Names that one part of the configuration uses of another.

use std::collections::{BTreeMap, BTreeSet};

use super::provider::SANDBOX;
use super::{At, Findings};
use crate::File;
use crate::nearest::hint;
use crate::problem::Problem;

/// Names in `file` that mean nothing, given `present`: the configuration that is there and stays. For a file that
/// stands alone, `present` is `File::default()`.
#[must_use]
pub fn references(file: &File, present: &File) -> Vec<Problem> {
    let known = Known::new(file, present);
    let mut findings = Findings::default();
    for (name, model) in &file.models {
        let mut at = findings.below("models", name);
        for (index, target) in model.targets.iter().enumerate() {
            let mut targets = at.field("targets");
            known.provider(&mut targets.item(index).field("provider"), &target.provider);
        }
        for (index, fallback) in model.fallback.iter().enumerate() {
            let mut list = at.field("fallback");
            known.fallback(&mut list.item(index), fallback);
        }
        if known.comes_back(name) {
            at.field("fallback").report("leads back to this alias; break the circle");
        }
    }
    for (name, client) in &file.clients {
        let mut at = findings.below("clients", name);
        if let Some(team) = client.team.as_ref().filter(|team| !known.teams.contains(team.as_str())) {
            at.field("team").report(format!("names no team{}", or_add(hint(team, &known.teams), "teams")));
        }
        for provider in client.passthrough.keys() {
            known.provider(&mut at.field("passthrough").field(provider), provider);
        }
    }
    findings.problems
}

/// What may be named.
struct Known<'f> {
    providers: BTreeSet<&'f str>,
    /// By alias: its fallbacks.
    models: BTreeMap<&'f str, &'f [String]>,
    teams: BTreeSet<&'f str>,
}

// === impl Known ===

impl<'f> Known<'f> {
    fn new(file: &'f File, present: &'f File) -> Self {
        let both = [present, file];
        Self {
            providers: both
                .iter()
                .flat_map(|f| f.providers.keys().map(String::as_str))
                .chain([SANDBOX])
                .collect(),
            models: both
                .iter()
                .flat_map(|f| f.models.iter().map(|(n, m)| (n.as_str(), &*m.fallback)))
                .collect(),
            teams: both.iter().flat_map(|f| f.teams.keys().map(String::as_str)).collect(),
        }
    }

    fn provider(&self, at: &mut At<'_>, name: &str) {
        if !self.providers.contains(name) {
            at.report(format!(
                "names no configured provider{}",
                or_add(hint(name, &self.providers), "providers")
            ));
        }
    }

    fn fallback(&self, at: &mut At<'_>, name: &str) {
        if self.models.contains_key(name) {
            return;
        }
        let provider = name.split_once('/').map(|(provider, _)| provider);
        if provider.is_some_and(|provider| self.providers.contains(provider)) {
            return;
        }
        let near = hint(name, self.models.keys());
        at.report(format!("is neither an alias nor provider/model with a configured provider{near}"));
    }

    /// True: following fallbacks from `alias` leads to it again.
    fn comes_back(&self, alias: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = vec![alias];
        while let Some(name) = open.pop() {
            for next in self.models.get(name).copied().unwrap_or_default() {
                if next == alias {
                    return true;
                }
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        false
    }
}

/// The suggestion, or where to add what is missing.
fn or_add(near: String, section: &str) -> String {
    if near.is_empty() { format!("; add it under {section}") } else { near }
}
