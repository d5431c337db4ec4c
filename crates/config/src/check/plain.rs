//! Secrets where they would be shown: in any text of a provider, an alias or an open section. Those of clients and teams
//! are few and are looked at one by one.

use super::Findings;
use crate::problem::Problem;
use crate::secrets::plain_secret;
use crate::{File, path};
use serde::Serialize;

pub(super) fn check(findings: &mut Findings, file: &File) {
    for (name, provider) in &file.providers {
        look(findings, &path::field("providers", name), provider);
    }
    for (name, model) in &file.models {
        look(findings, &path::field("models", name), model);
    }
    let open = [
        ("limits", &file.limits),
        ("policies", &file.policies),
        ("rotation", &file.rotation),
        ("telemetry", &file.telemetry),
    ];
    for (name, section) in open {
        look(findings, name, section);
    }
}

/// What serialises is what is shown: it holds no field that is there for a secret.
fn look(findings: &mut Findings, at: &str, part: &impl Serialize) {
    let Some((field, pattern)) = serde_json::to_value(part).ok().and_then(|shown| plain_secret(&shown))
    else {
        return;
    };
    let dot = if field.is_empty() || field.starts_with('[') { "" } else { "." };
    let field = format!("{at}{dot}{field}");
    // A check of that very field says it in its own words.
    if !findings.problems.iter().any(|problem| problem.field == field) {
        let reason =
            format!("looks like a secret ({pattern}); secrets belong into `api_key`, `secret` or `token`");
        findings.problems.push(Problem::new(field, reason));
    }
}
