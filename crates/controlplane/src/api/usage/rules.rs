//! Why a request went where it went and cost what it cost, line by line. Pure.

use super::{
    shown::{RecordView, outcome},
    usd,
};
use crate::usage::{Entry, meter, model};
use keyway_proto::fleet::v1::{Attempt, Outcome, Record, UsageSource};
use keyway_snapshot::Snapshot;
use schemars::JsonSchema;
use serde::Serialize;

/// One request, and what decided it.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Why {
    #[serde(flatten)]
    record: RecordView,
    /// Line by line: how the name was resolved, what each attempt came to, where the counts are from, what it cost.
    rules: Vec<String>,
}

// === impl Why ===

impl Why {
    pub(super) fn new(entry: &Entry, now: Option<&Snapshot>) -> Self {
        let record = &entry.record;
        let mut rules = vec![name(record)];
        rules.extend(record.attempts.iter().enumerate().map(|(place, one)| attempt(place + 1, one)));
        rules.push(ending(record));
        rules.push(usage(record));
        rules.extend(cost(record, now));
        Self { record: RecordView::from(entry), rules }
    }
}

fn name(record: &Record) -> String {
    let spender = record.spender.clone().unwrap_or_default();
    let asked = &record.asked;
    let targets = record.route.join(", then ");
    match (spender.alias.is_empty(), targets.is_empty()) {
        (_, true) => format!("`{asked}` was asked for; no target was chosen"),
        (true, false) => format!("`{asked}` names a provider's model: {targets}"),
        (false, false) => format!("`{asked}` is the alias `{}`; in order: {targets}", spender.alias),
    }
}

fn attempt(number: usize, attempt: &Attempt) -> String {
    let Attempt { provider, model, key, status, reason, micros } = attempt;
    let took = format!("{}.{:03} ms", micros / 1_000, micros % 1_000);
    let came = match (status, reason.as_str()) {
        (0, "") => "no answer".to_owned(),
        (0, why) => format!("no answer ({why})"),
        (status, "") => format!("answered with {status}"),
        (status, why) => format!("failed with {status} ({why})"),
    };
    format!("attempt {number}: {provider}/{model} with the key {key} {came} after {took}")
}

fn ending(record: &Record) -> String {
    let why = if record.reason.is_empty() { String::new() } else { format!(" ({})", record.reason) };
    match record.outcome() {
        Outcome::Cancelled => format!("the caller left{why}; what it cost until then is counted"),
        Outcome::Broken => format!("its answer broke after it began{why}"),
        known => format!("{} with {}{why}", outcome(known), record.status),
    }
}

fn usage(record: &Record) -> String {
    match record.usage_source() {
        UsageSource::Unspecified => "nothing was used: no provider answered".to_owned(),
        UsageSource::Provider => "counts are the provider's".to_owned(),
        UsageSource::Estimate => {
            "counts are an estimate, bytes / 4: the provider told none that make sense".to_owned()
        }
        UsageSource::Partial => {
            "input is the provider's count, output an estimate (bytes / 4): the stream ended before its count"
                .to_owned()
        }
    }
}

/// What it cost. The record says how much and by which rules; count by count can be said as long as the prices in force
/// come to the same.
fn cost(record: &Record, now: Option<&Snapshot>) -> Vec<String> {
    let spender = record.spender.clone().unwrap_or_default();
    let Some(nano) = record.nano_dollars else {
        let model = model(&spender);
        return vec![format!(
            "unpriced: no price is known for something that {model} used; `prices` in keyway.yaml gives one"
        )];
    };
    let rules = match record.price_rules.as_slice() {
        [] => String::new(),
        rules => format!(", by {}", rules.join(", ")),
    };
    let mut lines: Vec<String> = Vec::new();
    for count in &record.counts {
        lines.push(format!("{}: {}", meter(count.meter).replace('_', " "), count.count));
    }
    let _ = now;
    lines.push(format!("cost: {} USD{rules}", usd(nano)));
    lines
}
