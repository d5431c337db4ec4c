//! One model's row: limits, what it can do, and every price rule that the facts hold.

use super::{
    counts::Counts,
    facts::{Hours, Model, Prices, Tier, UnitPrice},
    text::{Table, array, inline, quoted},
};
use std::{collections::BTreeMap, error::Error};

/// Unit prices of services beside a call: the token price covers the call without them.
const BESIDE: [&str; 2] = ["web_search_per_query", "storage_search_per_query"];
/// Which token rate stands for the same thing as a unit price that begins so.
const SAME: &[(&str, &str)] = &[
    ("input_per_image", "image_input"),
    ("input_per_pixel", "image_input"),
    ("output_per_image", "image_output"),
    ("output_per_pixel", "image_output"),
    ("input_per_audio", "audio_input"),
    ("input_per_second", "audio_input"),
    ("output_per_second", "audio_output"),
    ("input_per_video", "video_input"),
    ("output_per_video", "video_output"),
];
/// Counts a tier from its number inclusive; ours begin above it.
const INCLUSIVE_TIERS: &str = "xai";

pub(crate) fn row(fact: &Model, counts: &mut Counts) -> Result<String, Box<dyn Error>> {
    let mut table = Table::default();
    table.heading("models");
    table.text("id", &fact.id);
    if fact.mode != "chat" {
        table.text("mode", &fact.mode);
    }
    table.optional("region", fact.region.as_ref());
    table.optional("variant", fact.variant.as_ref());
    table.number("context_window", fact.context_window);
    table.number("max_output_tokens", fact.max_output_tokens);
    prices(fact, &mut table, counts);
    table.flag("listed_free", fact.listed_free);
    let disputed = fact.price_confidence.starts_with("disputed");
    table.flag("disputed", disputed);
    table.flag("suspect", fact.suspect);
    abilities(fact, &mut table)?;
    table.optional("deprecation_date", fact.deprecation_date.as_ref());
    table.optional("status", fact.status.as_ref());
    if let Some(wire) = &fact.wire_override {
        table.text("wire_base_url", &wire.api.replace("${AWS_REGION}", "{region}"));
        table.text("wire_dialect", if wire.shape == "responses" { "openai-responses" } else { &wire.shape });
    }
    counts.models += 1;
    counts.disputed += usize::from(disputed);
    Ok(table.finish())
}

fn prices(fact: &Model, table: &mut Table, counts: &mut Counts) {
    if fact.listed_free {
        counts.listed_free += 1;
        return;
    }
    counts.rounded += fact.prices.values().filter(|figure| figure.is_rounded()).count();
    let base = price(fact, &fact.prices, "standard");
    let priced = !fact.prices.is_empty();
    let partial = priced && is_partial(fact);
    if priced {
        table.raw(if partial { "partial_price" } else { "price" }, base);
    }
    let tiers = service_tiers(fact);
    if !tiers.is_empty() {
        table.raw("service_tiers", inline(tiers.iter().map(|(name, price)| (name.as_str(), price.clone()))));
    }
    let timed = by_time(fact, counts);
    if !timed.is_empty() {
        table.raw("by_time", array(timed));
    }
    let scheduled = fact
        .scheduled_prices
        .iter()
        .map(|from| inline([("from", quoted(&from.from_date)), ("price", rates(&from.prices))]));
    let scheduled: Vec<String> = scheduled.collect();
    if !scheduled.is_empty() {
        table.raw("scheduled", array(scheduled));
    }
    if !fact.unit_prices.is_empty() {
        table.raw("units", inline(fact.unit_prices.iter().map(|(name, price)| (name.as_str(), unit(price)))));
    }
    let notes = fact.price_notes.iter().map(|(name, note)| (name.clone(), note.to_string())).collect();
    table.map("price_notes", &notes);
    counts.token_price += usize::from(priced && !partial);
    counts.partial_price += usize::from(partial);
    counts.unit_price += usize::from(!fact.unit_prices.is_empty());
    counts.priced += usize::from(priced || !fact.unit_prices.is_empty() || !tiers.is_empty());
}

/// True where a call costs units that no token rate stands for.
fn is_partial(fact: &Model) -> bool {
    let covered = |unit: &str| {
        let same = SAME.iter().find(|(start, _)| unit.starts_with(start));
        BESIDE.contains(&unit) || same.is_some_and(|(_, meter)| fact.prices.contains_key(*meter))
    };
    fact.unit_prices.keys().any(|unit| !covered(unit))
}

/// A price table with the tiers of one service tier.
fn price(fact: &Model, prices: &Prices, service_tier: &str) -> String {
    let of_this = |tier: &&Tier| tier.service_tier.as_deref().unwrap_or("standard") == service_tier;
    let mut tiers: Vec<&Tier> = fact.tiers.iter().filter(of_this).collect();
    tiers.sort_by_key(|tier| tier.above_input_tokens);
    let inclusive = u64::from(fact.provider == INCLUSIVE_TIERS);
    let tier = |tier: &Tier| {
        let above = ("above", (tier.above_input_tokens - inclusive).to_string());
        inline([above].into_iter().chain(pairs(&tier.prices)))
    };
    let tiers: Vec<String> = tiers.into_iter().map(tier).collect();
    let tiers = (!tiers.is_empty()).then(|| ("tiers", array(tiers)));
    inline(pairs(prices).chain(tiers))
}

fn service_tiers(fact: &Model) -> BTreeMap<String, String> {
    let none = Prices::new();
    let mut tiers: BTreeMap<&str, &Prices> = BTreeMap::new();
    for tier in fact.tiers.iter().filter_map(|tier| tier.service_tier.as_deref()) {
        tiers.insert(tier, &none);
    }
    tiers.extend(fact.service_tier_prices.iter().map(|(name, prices)| (name.as_str(), prices)));
    if !fact.batch_prices.is_empty() {
        tiers.insert("batch", &fact.batch_prices);
    }
    tiers.remove("standard");
    tiers.into_iter().map(|(name, prices)| (name.to_owned(), price(fact, prices, name))).collect()
}

/// Prices by the clock. Of two sources the one that knows weekdays; the other only where one of its prices is the row's,
/// since it is older news otherwise.
fn by_time(fact: &Model, counts: &mut Counts) -> Vec<String> {
    if let Some(off_peak) = &fact.off_peak_prices {
        let window = |window: &super::facts::Window| {
            let hours = match &window.hours_utc {
                Hours::One(all) if all == "00:00-00:00" => Vec::new(),
                Hours::One(one) => vec![quoted(one)],
                Hours::Many(many) => many.iter().map(|hours| quoted(hours)).collect(),
            };
            timed(&window.weekdays, hours, &off_peak.prices)
        };
        return off_peak.utc_windows.iter().map(window).collect();
    }
    let Some(day) = &fact.time_of_day_prices else { return Vec::new() };
    let mut all = day.windows.iter().map(|window| &window.prices).chain(&day.otherwise);
    if !all.any(|prices| prices.get("input") == fact.prices.get("input")) {
        counts.clocks_left_out += 1;
        return Vec::new();
    }
    let window = |window: &super::facts::DayWindow| {
        timed(&[], vec![quoted(&window.utc_window.join("-"))], &window.prices)
    };
    let rest = day.otherwise.iter().take(1).filter(|prices| **prices != fact.prices);
    day.windows.iter().map(window).chain(rest.map(|prices| timed(&[], Vec::new(), prices))).collect()
}

fn timed(weekdays: &[u8], hours: Vec<String>, prices: &Prices) -> String {
    let weekdays =
        (!weekdays.is_empty()).then(|| ("weekdays", array(weekdays.iter().map(ToString::to_string))));
    let hours = (!hours.is_empty()).then(|| ("hours", array(hours)));
    inline(weekdays.into_iter().chain(hours).chain([("price", rates(prices))]))
}

fn rates(prices: &Prices) -> String {
    inline(pairs(prices))
}

fn pairs(prices: &Prices) -> impl Iterator<Item = (&str, String)> {
    prices.iter().map(|(meter, figure)| (meter.as_str(), quoted(&figure.per_million())))
}

fn unit(price: &UnitPrice) -> String {
    match price {
        UnitPrice::One(figure) => quoted(&figure.to_string()),
        UnitPrice::Each(by) => {
            inline(by.iter().map(|(name, figure)| (name.as_str(), quoted(&figure.to_string()))))
        }
    }
}

fn abilities(fact: &Model, table: &mut Table) -> Result<(), Box<dyn Error>> {
    for (key, wanted) in [("can", true), ("cannot", false)] {
        let said = fact.capabilities.iter().filter(|(_, can)| **can == wanted);
        table.list(key, &said.map(|(name, _)| name).collect::<Vec<_>>());
    }
    table.list("reasoning_efforts", &fact.reasoning_effort_levels);
    table.optional("reasoning_field", fact.reasoning_field.as_ref());
    table.number("prompt_cache_min_tokens", whole(fact.prompt_cache_min_tokens)?);
    table.number("embedding_dimensions", whole(fact.embedding_dimensions)?);
    table.list("input_modalities", &fact.input_modalities);
    table.list("output_modalities", &fact.output_modalities);
    Ok(())
}

/// Counts that the facts write as `2048.0`.
fn whole(count: Option<f64>) -> Result<Option<u64>, Box<dyn Error>> {
    count.map(|count| Ok(format!("{count}").parse()?)).transpose()
}
