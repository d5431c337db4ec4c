//! Why a request went where it went and cost what it cost, line by line. Pure.

use super::{
    shown::{RecordView, outcome},
    usd,
};
use crate::usage::{Entry, meter, model};
use keyway_config::Usd;
use keyway_proto::{
    fleet::v1::{Attempt, Count, Outcome, Record, UsageSource},
    snapshot::v1::{Meter, Price},
};
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
    /// `price`: what is in force now for the model that served it.
    pub(super) fn new(entry: &Entry, price: Option<&Price>) -> Self {
        let record = &entry.record;
        let mut rules = vec![name(record)];
        rules.extend(record.attempts.iter().enumerate().map(|(place, one)| attempt(place + 1, one)));
        rules.push(ending(record));
        rules.push(usage(record));
        rules.extend(cost(record, price));
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

/// What was billed, count by count, and what it came to by which rules. The record holds no rates: those in force are shown
/// if they come to the same.
fn cost(record: &Record, price: Option<&Price>) -> Vec<String> {
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
    let plain = || record.counts.iter().map(|count| format!("{}: {}", words(count), count.count)).collect();
    let mut lines = price.and_then(|price| arithmetic(record, nano, price)).unwrap_or_else(plain);
    lines.push(format!("cost: {} USD{rules}", usd(nano)));
    lines
}

/// Count times rate, if that is what it cost; by a tier, a discount or an earlier price it is not.
fn arithmetic(record: &Record, nano: u64, price: &Price) -> Option<Vec<String>> {
    let (mut lines, mut whole) = (Vec::new(), 0_u128);
    for count in &record.counts {
        let (what, number) = (words(count), count.count);
        if count.meter() == Meter::Reasoning {
            lines.push(format!("{what}: {number}, part of output"));
            continue;
        }
        let rate = price.rates.iter().find(|rate| rate.meter == count.meter)?.femto_dollars;
        let femto = u128::from(number) * u128::from(rate);
        whole = whole.checked_add(femto)?;
        // Femto-dollars a token are as many nano-dollars a million.
        let per_million = Usd::from_nanos(rate);
        lines.push(format!("{what}: {number} x {per_million} USD per million = {} USD", exact(femto)));
    }
    let away = whole.abs_diff(u128::from(nano) * FEMTO_PER_NANO);
    (away <= FEMTO_PER_NANO / 2).then_some(lines)
}

const FEMTO_PER_NANO: u128 = 1_000_000;
const FEMTO_PER_USD: u128 = 1_000_000_000_000_000;

/// US dollars to the last femto-dollar.
fn exact(femto: u128) -> String {
    let fraction = format!("{:015}", femto % FEMTO_PER_USD);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{}{dot}{fraction}", femto / FEMTO_PER_USD)
}

fn words(count: &Count) -> String {
    meter(count.meter).replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_proto::snapshot::v1::Rate;

    fn record(nano: Option<u64>) -> Record {
        let count = |meter: Meter, count: u64| Count { meter: meter.into(), count };
        Record {
            counts: vec![count(Meter::Input, 7), count(Meter::CacheRead, 10), count(Meter::Reasoning, 2)],
            nano_dollars: nano,
            price_rules: vec!["list".to_owned()],
            ..Record::default()
        }
    }

    #[test]
    fn rates_are_shown_only_where_they_come_to_what_it_cost() {
        let rate = |meter: Meter, usd: &str| Rate {
            meter: meter.into(),
            femto_dollars: Usd::parse(usd).unwrap().nanos(),
        };
        let rates = vec![rate(Meter::Input, "2.5"), rate(Meter::CacheRead, "0.075")];
        let price = Price { rates, ..Price::default() };
        // 7 x 2500 + 10 x 75 = 18,250 nano-dollars.
        assert_eq!(
            cost(&record(Some(18_250)), Some(&price)),
            [
                "input: 7 x 2.5 USD per million = 0.0000175 USD",
                "cache read: 10 x 0.075 USD per million = 0.00000075 USD",
                "reasoning: 2, part of output",
                "cost: 0.000018250 USD, by list",
            ]
        );
        let plain = ["input: 7", "cache read: 10", "reasoning: 2", "cost: 0.000018251 USD, by list"];
        assert_eq!(cost(&record(Some(18_251)), Some(&price)), plain);
        assert_eq!(cost(&record(Some(18_251)), None), plain);
        assert!(cost(&record(None), Some(&price))[0].starts_with("unpriced: "));
    }
}
