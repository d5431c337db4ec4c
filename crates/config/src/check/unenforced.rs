//! What is accepted without effect yet. One line for each, however often it stands in the file.

use crate::File;
use crate::problem::Problem;

/// One warning for each section or field of `file` that is not enforced yet, naming it.
#[must_use]
pub fn warnings(file: &File) -> Vec<Problem> {
    let sections = [
        ("cache", file.cache.is_some()),
        ("limits", file.limits.is_some()),
        ("policies", file.policies.is_some()),
        ("telemetry", file.telemetry.is_some()),
    ];
    let sections = sections
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| Problem::new(name, "accepted, but not enforced yet"));
    let source = file.rotation.as_ref().is_some_and(|rotation| rotation.source.is_some());
    let source = source.then(|| {
        Problem::new(
            "rotation.source",
            "has no effect: each key has a source of its own, providers.NAME.keys[].rotation.source",
        )
    });
    sections.chain(source).chain(of_models(file)).chain(of_teams(file)).chain(of_clients(file)).collect()
}

fn of_models(file: &File) -> Option<Problem> {
    let names = file.models.iter().filter(|(_, model)| !model.strategy.unwrap_or_default().is_enforced());
    one_line("models", "strategy", names.map(|(name, _)| name.as_str()))
        .map(|warning| Problem { reason: format!("{}; acts as weighted", warning.reason), ..warning })
}

fn of_teams(file: &File) -> impl Iterator<Item = Problem> {
    let given = |pick: fn(&crate::Team) -> bool, field| {
        one_line(
            "teams",
            field,
            file.teams.iter().filter(|(_, team)| pick(team)).map(|(name, _)| name.as_str()),
        )
    };
    [given(|team| team.budget.is_some(), "budget"), given(|team| team.limits.is_some(), "limits")]
        .into_iter()
        .flatten()
}

fn of_clients(file: &File) -> impl Iterator<Item = Problem> {
    let given = |pick: fn(&crate::Client) -> bool, field| {
        one_line(
            "clients",
            field,
            file.clients.iter().filter(|(_, c)| pick(c)).map(|(name, _)| name.as_str()),
        )
    };
    [
        given(|client| client.limits.is_some(), "limits"),
        given(|client| client.budget.is_some(), "budget"),
        given(|client| !client.passthrough.is_empty(), "passthrough"),
    ]
    .into_iter()
    .flatten()
}

/// At the first place; the others are counted.
fn one_line<'f>(section: &str, field: &str, names: impl Iterator<Item = &'f str>) -> Option<Problem> {
    let mut names = names;
    let first = names.next()?;
    let more = match names.count() {
        0 => String::new(),
        more => format!(" (here and in {more} more)"),
    };
    let path = crate::path::field(&crate::path::field(section, first), field);
    Some(Problem::new(path, format!("accepted, but not enforced yet{more}")))
}
