//! A whole file against what is there. Nothing is deleted unless pruning is asked for, and then only what an earlier
//! file made.

use super::{Body, Kind, Proposal, Refusal, State, Way, uses::Leaving};
use keyway_config::{File, Problem};
use serde::Serialize;
use std::collections::BTreeSet;

/// How a file is applied.
#[derive(Debug)]
pub struct Apply {
    /// What is wanted.
    pub file: File,
    /// Deletes what an earlier file made and this one does not name.
    pub prune: bool,
    /// Its name, for people.
    pub origin: String,
}

/// Adds to the proposal everything that the file changes.
///
/// # Errors
/// The first document that cannot be.
pub fn file_proposal(proposal: &mut Proposal<'_>, file: File, prune: bool) -> Result<(), Refusal> {
    let doomed = if prune { doomed(proposal.state, &file) } else { Doomed::default() };
    pruned(proposal.state, &file, &doomed)?;
    for (name, value) in sections(&file) {
        proposal.section(name, value.ok_or(Refusal::Internal("a section that is no JSON"))?)?;
    }
    for (name, spec) in file.providers {
        proposal.provider(&name, spec)?;
    }
    for (name, spec) in file.models {
        proposal.model(&name, spec)?;
    }
    for (name, spec) in file.teams {
        proposal.team(&name, spec)?;
    }
    for (name, spec) in file.clients {
        proposal.client(&name, spec)?;
    }
    for (kind, name) in doomed.documents {
        proposal.delete(kind, &name)?;
    }
    for (provider, key) in doomed.keys {
        proposal.delete_key(&provider, &key)?;
    }
    Ok(())
}

type Section = (&'static str, Option<serde_json::Value>);

fn sections(file: &File) -> Vec<Section> {
    fn one<T: Serialize>(name: &'static str, value: Option<&T>) -> Option<Section> {
        value.map(|value| (name, serde_json::to_value(value).ok()))
    }
    let all = [
        one("cache", file.cache.as_ref()),
        one("limits", file.limits.as_ref()),
        one("policies", file.policies.as_ref()),
        one("rotation", file.rotation.as_ref()),
        one("telemetry", file.telemetry.as_ref()),
        one("usage", file.usage.as_ref()),
    ];
    all.into_iter().flatten().collect()
}

#[derive(Default)]
struct Doomed {
    documents: Vec<(Kind, String)>,
    keys: Vec<(String, String)>,
}

/// Refuses to delete what something that stays and is not in the file uses. What is in the file is looked at when all of
/// it is read, and has a line of its own to be named by.
fn pruned(state: &State, file: &File, doomed: &Doomed) -> Result<(), Refusal> {
    let gone: BTreeSet<(Kind, &str)> = doomed.documents.iter().map(|(kind, name)| (*kind, &**name)).collect();
    // No file names an operator, so it always stays.
    let passed_over = |kind: Kind, name: &str| {
        kind != Kind::Operator && (gone.contains(&(kind, name)) || is_named(file, kind, name))
    };
    let words = ["is not in the file and would be deleted, but ", "keep it in the file, "];
    let leaving = Leaving { state, passed_over: &passed_over, words };
    let mut problems: Vec<Problem> =
        gone.iter().filter_map(|(kind, name)| leaving.problem(*kind, name)).collect();
    if problems.is_empty() {
        return Ok(());
    }
    let mut left = state.nameable();
    left.providers.retain(|name, _| !gone.contains(&(Kind::Provider, name)));
    left.models.retain(|name, _| !gone.contains(&(Kind::Model, name)));
    left.teams.retain(|name, _| !gone.contains(&(Kind::Team, name)));
    problems.extend(keyway_config::references(file, &left));
    Err(Refusal::Invalid(problems))
}

fn is_named(file: &File, kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Provider => file.providers.contains_key(name),
        Kind::Model => file.models.contains_key(name),
        Kind::Team => file.teams.contains_key(name),
        Kind::Client => file.clients.contains_key(name),
        Kind::Section => sections(file).iter().any(|(section, _)| *section == name),
        // No file names these, and none takes them away.
        Kind::Operator
        | Kind::Replica
        | Kind::Host
        | Kind::Node
        | Kind::Join
        | Kind::Authority
        | Kind::Kek
        | Kind::Answer => true,
    }
}

fn doomed(state: &State, file: &File) -> Doomed {
    let mut doomed = Doomed::default();
    for (key, held) in state.all() {
        let Some(kind) = Kind::of(key) else { continue };
        if !is_named(file, kind, key.name()) {
            if held.document.made.by == Way::File {
                doomed.documents.push((kind, key.name().to_owned()));
            }
        } else if let (Body::Provider { keys, .. }, Some(wanted)) =
            (&held.document.body, file.providers.get(key.name()))
        {
            let wanted: BTreeSet<String> = wanted.credentials().map(|key| key.name).collect();
            let gone = keys.iter().filter(|key| key.made.by == Way::File && !wanted.contains(&key.name));
            doomed.keys.extend(gone.map(|one| (key.name().to_owned(), one.name.clone())));
        }
    }
    doomed
}
