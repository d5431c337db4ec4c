//! What is known of providers' limits.

use super::{family, label};
use crate::ops::Ops;
use keyway_proto::{fleet::v1::Quota, snapshot::v1::LimitUnit};
use std::fmt::Write;

pub(super) fn text(out: &mut String, ops: &Ops) {
    let state = ops.held.pin();
    let now = u64::try_from(ops.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
    let domains = state.iter().flat_map(|state| state.keyring.domains());
    let mut quotas: Vec<Quota> = domains.flat_map(|domain| domain.all(now)).collect();
    quotas.sort_by(|a, b| (&a.domain, &a.model).cmp(&(&b.domain, &b.model)));
    let help = "The whole of a provider's limit, as it was told last.";
    levels(out, &quotas, "keyway_quota_limit", help, |limit, _| limit);
    let help = "What was left of a provider's limit, as it was told last.";
    levels(out, &quotas, "keyway_quota_remaining", help, |_, remaining| remaining);
    let help = "1 while a 429 keeps requests of a quota domain back from a model.";
    family(out, "keyway_quota_cooling", "gauge", help);
    for quota in &quotas {
        let cooling = u8::from(quota.cooling_millis > 0);
        let (domain, model) = (label(&quota.domain), label(&quota.model));
        let _ = writeln!(out, "keyway_quota_cooling{{domain=\"{domain}\",model=\"{model}\"}} {cooling}");
    }
}

fn levels(out: &mut String, quotas: &[Quota], name: &str, help: &str, of: impl Fn(u64, u64) -> u64) {
    family(out, name, "gauge", help);
    for quota in quotas {
        let (domain, model) = (label(&quota.domain), label(&quota.model));
        for level in &quota.levels {
            let (unit, value) = (word(level.unit()), of(level.limit, level.remaining));
            let _ = writeln!(out, "{name}{{domain=\"{domain}\",model=\"{model}\",unit=\"{unit}\"}} {value}");
        }
    }
}

fn word(unit: LimitUnit) -> &'static str {
    match unit {
        LimitUnit::Requests => "requests",
        LimitUnit::Tokens => "tokens",
        LimitUnit::InputTokens => "input_tokens",
        LimitUnit::OutputTokens => "output_tokens",
        LimitUnit::Unspecified => "unknown",
    }
}
