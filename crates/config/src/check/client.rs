//! Checks of clients and teams.

use std::collections::BTreeMap;

use super::{At, names};
use crate::file::{Budget, Client, Limits, Secret, SigV4, Team};

/// A shorter token could be guessed.
const TOKEN_MIN: usize = 24;
const TOKEN_LIMIT: usize = 512;
/// Of an access key's id. AWS's own have 20.
const ACCESS_KEY: std::ops::RangeInclusive<usize> = 8..=128;
const MODELS_LIMIT: usize = 1_000;

pub(super) fn check_team(at: &mut At<'_>, name: &str, team: &Team) {
    if let Err(reason) = names::name(name) {
        return at.report(reason);
    }
    allowance(at, team.budget.as_ref(), team.limits.as_ref());
}

pub(super) fn check(at: &mut At<'_>, name: &str, client: &Client) {
    if let Err(reason) = names::name(name) {
        return at.report(reason);
    }
    if let Some(secret) = &client.token {
        at.report_field("token", token(secret));
    }
    if let Some(pair) = &client.sigv4 {
        pair_of_keys(&mut at.field("sigv4"), pair);
    }
    let patterns = client.models.as_deref().unwrap_or_default();
    if patterns.len() > MODELS_LIMIT {
        return at.field("models").report(format!("has more than {MODELS_LIMIT} patterns"));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        if let Err(reason) = names::model(pattern) {
            at.field("models").item(index).report(reason);
        }
    }
    allowance(at, client.budget.as_ref(), client.limits.as_ref());
    for (provider, calls) in &client.passthrough {
        for (index, call) in calls.iter().enumerate() {
            if !is_call(call) {
                let mut field = at.field("passthrough");
                field
                    .field(provider)
                    .item(index)
                    .report("must be like 'GET /v1/files/*': a method, a space, a path");
            }
        }
    }
}

fn pair_of_keys(at: &mut At<'_>, pair: &SigV4) {
    let id = &pair.access_key_id;
    if !ACCESS_KEY.contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let (from, to) = (ACCESS_KEY.start(), ACCESS_KEY.end());
        at.field("access_key_id").report(format!("has {from} to {to} letters and digits"));
    }
    if let Some(secret) = &pair.secret_access_key {
        at.report_field("secret_access_key", token(secret));
    }
}

/// One token stands for one client: whoever sent it must be known.
pub(super) fn check_same_tokens(at: &mut At<'_>, clients: &BTreeMap<String, Client>) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, client) in clients {
        let Some(token) = client.token.as_ref().map(Secret::expose).filter(|token| !token.is_empty()) else {
            continue;
        };
        if let Some(first) = seen.insert(token, name) {
            at.field(name)
                .field("token")
                .report(format!("is the token of the client {first} too; give each its own"));
        }
    }
}

fn token(secret: &Secret) -> Result<(), String> {
    let text = secret.expose();
    if text.len() < TOKEN_MIN {
        return Err(format!(
            "has {} characters, {TOKEN_MIN} are wanted; leave it out to have one made",
            text.len()
        ));
    }
    if text.len() > TOKEN_LIMIT || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("must have at most {TOKEN_LIMIT} visible ASCII characters and no space"));
    }
    Ok(())
}

fn allowance(at: &mut At<'_>, budget: Option<&Budget>, limits: Option<&Limits>) {
    if budget.is_some_and(|budget| budget.usd.nanos() == 0) {
        at.field("budget").field("usd").report("must be more than 0; to stop a client set disabled: true");
    }
    let Some(limits) = limits else { return };
    let fields = [
        ("requests_per_minute", limits.requests_per_minute),
        ("tokens_per_minute", limits.tokens_per_minute),
        ("concurrent", limits.concurrent),
    ];
    for (field, _) in fields.into_iter().filter(|(_, limit)| *limit == Some(0)) {
        at.field("limits").field(field).report("must be more than 0; to stop a client set disabled: true");
    }
}

fn is_call(call: &str) -> bool {
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "*"];
    call.split_once(' ').is_some_and(|(method, path)| {
        methods.contains(&method) && path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic())
    })
}
