//! Checks of prices by model.

use std::collections::BTreeMap;

use super::{At, names};
use crate::file::{Price, Rates, Usd};

/// The service tiers that replies name, beside the one at list price.
const SERVICE_TIERS: &[&str] = &["balanced", "batch", "fast", "flex", "priority", "scale", "ultrafast"];

/// US dollars that one unit may cost: femto-dollars of it fit into an integer.
const UNIT_LIMIT: u64 = 10_000;
const NANOS_PER_USD: u64 = 1_000_000_000;

pub(super) fn prices(at: &mut At<'_>, prices: &BTreeMap<String, Price>) {
    for (model, price) in prices {
        at.report_field(model, names::model(model));
        if let Price::Rates(rates) = price {
            check(&mut at.field(model), rates);
        }
    }
}

fn check(at: &mut At<'_>, rates: &Rates) {
    units(at, rates);
    longer(at, rates);
    for (name, rates) in &rates.service_tiers {
        let mut at = at.field("service_tiers");
        let mut at = at.field(name);
        if !SERVICE_TIERS.contains(&name.as_str()) {
            at.report(format!(
                "is no service tier that replies name; there are {}",
                SERVICE_TIERS.join(", ")
            ));
        }
        if !rates.service_tiers.is_empty() {
            at.field("service_tiers").report("cannot stand inside a service tier");
        }
        units(&mut at, rates);
        longer(&mut at, rates);
    }
}

fn units(at: &mut At<'_>, rates: &Rates) {
    let dear = |price: Option<Usd>| price.is_some_and(|price| price.nanos() > UNIT_LIMIT * NANOS_PER_USD);
    for (name, _) in rates.units().filter(|(_, price)| dear(*price)) {
        at.field(name).report(format!("is more than {UNIT_LIMIT} US dollars"));
    }
}

/// Prices of longer prompts.
fn longer(at: &mut At<'_>, rates: &Rates) {
    for (above, rates) in &rates.above {
        let mut at = at.field("above");
        let mut at = at.field(&above.to_string());
        if !rates.above.is_empty() || !rates.service_tiers.is_empty() {
            at.report("holds rates only");
        }
        if rates.units().any(|(_, price)| price.is_some()) {
            at.report("holds rates of tokens only: units cost the same however long the prompt is");
        }
    }
}
