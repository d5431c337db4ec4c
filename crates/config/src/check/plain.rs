//! Secrets where they would be shown: in any text of a provider, an alias or an open section. Those of clients and teams
//! are few and are looked at one by one.

use super::Findings;
use crate::File;
use crate::problem::Problem;
use crate::secrets::plain_secret;
use serde::Serialize;
use serde_json::{Value, json};

pub(super) fn check(findings: &mut Findings, file: &File) {
    for (name, provider) in &file.providers {
        look(findings, json!({ "providers": { name: shown(provider) } }));
    }
    for (name, model) in &file.models {
        look(findings, json!({ "models": { name: shown(model) } }));
    }
    let open = [("limits", &file.limits), ("policies", &file.policies), ("telemetry", &file.telemetry)];
    for (name, section) in open {
        look(findings, json!({ name: section }));
    }
}

/// What serialises is what is shown: no secret that stands where it belongs.
fn shown(part: &impl Serialize) -> Value {
    serde_json::to_value(part).unwrap_or_default()
}

fn look(findings: &mut Findings, part: Value) {
    let Some((field, pattern)) = plain_secret(&part) else { return };
    // A check of that very field says it in its own words.
    if !findings.problems.iter().any(|problem| problem.field == field) {
        let reason =
            format!("looks like a secret ({pattern}); secrets belong into `api_key`, `secret` or `token`");
        findings.problems.push(Problem::new(field, reason));
    }
}
