//! Why a request went where it went and cost what it cost, line by line. Pure.

use super::{
    shown::{RecordView, outcome},
    usd,
};
use crate::{
    api::price::line,
    usage::{Entry, meter, model},
};
use keyway_proto::{
    fleet::v1::{Attempt, Count, Outcome, Record, UsageSource},
    snapshot::v1::{Meter, ServiceTier},
};
use keyway_snapshot::{METERS, Price, Target, Used, service_tier_by_name};
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
    /// `target`: the model that served it, as it is now.
    pub(super) fn new(entry: &Entry, target: Option<&Target>) -> Self {
        let record = &entry.record;
        let mut rules = vec![name(record)];
        rules.extend(record.attempts.iter().enumerate().map(|(place, one)| attempt(place + 1, one)));
        rules.push(ending(record));
        rules.push(usage(record));
        let key = record.spender.as_ref().map_or("", |spender| &spender.key);
        let (price, discount) = target.map_or((None, 0), |target| target.price_for(key));
        rules.extend(cost(record, price.map(AsRef::as_ref), discount));
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
fn cost(record: &Record, price: Option<&Price>, discount: u32) -> Vec<String> {
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
    let mut lines = price.and_then(|price| arithmetic(record, nano, price, discount)).unwrap_or_else(plain);
    lines.push(format!("cost: {} USD{rules}", usd(nano)));
    lines
}

/// Count times rate, if the price in force comes to the same by the same rules.
fn arithmetic(record: &Record, nano: u64, price: &Price, discount: u32) -> Option<Vec<String>> {
    let (mut counts, mut reasoning) = ([0; METERS], 0);
    for count in &record.counts {
        match count.meter() {
            Meter::Reasoning => reasoning = count.count,
            meter => *counts.get_mut(meter as usize)? = count.count,
        }
    }
    let tiers = record.price_rules.iter().map(|rule| service_tier_by_name(rule));
    let known = |tier: &ServiceTier| !matches!(tier, ServiceTier::Unspecified | ServiceTier::Other);
    let service_tier = tiers.into_iter().find(known).unwrap_or_default();
    let at_unix_seconds = record.started_unix_millis / 1000;
    let used = Used { counts: &counts, reasoning, service_tier, at_unix_seconds };
    let bill = price.bill(&used, discount)?;
    if bill.cost.0 != nano || bill.rules.texts() != record.price_rules {
        return None;
    }
    let mut lines: Vec<String> = price.charges(&used)?.iter().map(line).collect();
    if reasoning > 0 {
        lines.push(format!("{reasoning} reasoning, part of output"));
    }
    Some(lines)
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
        let rate = |meter: Meter, femto_dollars: u64| Rate { meter: meter.into(), femto_dollars };
        let rates = vec![rate(Meter::Input, 2_500_000_000), rate(Meter::CacheRead, 75_000_000)];
        let price = keyway_proto::snapshot::v1::Price { rates, ..Default::default() };
        let price = Price::build(&price, "p", "m").unwrap();
        // 7 x 2500 + 10 x 75 = 18,250 nano-dollars, and a tenth less.
        let lines = |nano: Option<u64>, rules: &[&str], discount: u32| {
            let price_rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
            cost(&Record { price_rules, ..record(nano) }, Some(&price), discount)
        };
        let counted = [
            "7 input × 2.5 USD per 1M tokens",
            "10 cache_read × 0.075 USD per 1M tokens",
            "2 reasoning, part of output",
        ];
        let list = lines(Some(18_250), &["list"], 0);
        assert_eq!(list[..3], counted);
        assert_eq!(list[3], "cost: 0.000018250 USD, by list");
        let less = lines(Some(16_425), &["list", "discount 10%"], 100_000);
        assert_eq!(less[..3], counted);
        assert_eq!(less[3], "cost: 0.000016425 USD, by list, discount 10%");
        let plain = ["input: 7", "cache read: 10", "reasoning: 2", "cost: 0.000018251 USD, by list"];
        assert_eq!(lines(Some(18_251), &["list"], 0), plain);
        assert_eq!(cost(&record(Some(18_251)), None, 0), plain);
        assert!(lines(None, &[], 0)[0].starts_with("unpriced: "));
    }
}
