//! What a model costs, by every rule, and what a request of a given size would. It is reckoned by the code that prices
//! requests, over the state in force; a model of a provider that is not configured is priced by the catalogue.

use super::{
    answer::{Answer, Fault},
    call::Call,
};
use crate::{Plane, plane::unix_millis};
use keyway_catalog::{Catalog, Money};
use keyway_config::Expiry;
use keyway_snapshot::{
    Charge, METERS, Meter, Price, PriceOrigin, Rate, Refused, Resolved, ServiceTier, Target, Used, When,
    percent, service_tier_by_name,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Counts above this are no request's.
const COUNT_LIMIT: u64 = 1 << 40;

/// A question.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// An alias, `provider/model`, or a model that one configured provider offers.
    model: String,
    /// The key that it would be served with; absent = any that has no prices of its own.
    key: Option<String>,
    /// When it would begin; absent = now.
    at: Option<Expiry>,
    /// What the reply would say; absent = the list price's.
    service_tier: Option<String>,
    /// Absent = only the rates are told.
    usage: Option<Counts>,
}

/// What a request uses. Parts of the prompt and of the answer are in the totals.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Counts {
    /// The whole prompt, cached and written parts, sound and images included.
    input_tokens: u64,
    /// The whole answer, reasoning, sound and images included.
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    cache_write_1h_tokens: u64,
    cache_write_12h_tokens: u64,
    reasoning_tokens: u64,
    audio_input_tokens: u64,
    audio_output_tokens: u64,
    cache_read_audio_tokens: u64,
    image_input_tokens: u64,
    image_output_tokens: u64,
    cache_read_image_tokens: u64,
    /// Beside the answer.
    citation_tokens: u64,
    images: u64,
    characters: u64,
    milliseconds: u64,
    web_searches: u64,
    search_units: u64,
}

/// What one model costs.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Priced {
    /// `provider/model`.
    name: String,
    /// US dollars by what is counted, at list price: per million tokens or characters, per image, second, search or
    /// request; `free` where nothing costs anything; absent = unknown, which is not free.
    price: Option<Simple>,
    /// `configuration` or `catalogue`; absent = nobody.
    price_from: Option<&'static str>,
    /// Percent off every cost of this key.
    discount: Option<String>,
    /// Every rate with when it holds.
    rates: Vec<RateView>,
    /// What a request of the given size would cost.
    estimate: Option<Estimate>,
}

/// Rates, or `free`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Simple {
    Free(&'static str),
    Rates(BTreeMap<String, String>),
}

/// One rate.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RateView {
    /// `always`, `flex`, `Sat-Sun UTC`, `from 2027-01-01`; with `, tier>200000` where only longer prompts cost that.
    rule: String,
    /// What is counted.
    meter: String,
    usd: String,
    /// `1M tokens`, `1M characters`, `image`, `second`, `search` or `request`.
    per: &'static str,
}

/// What a request would cost.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Estimate {
    /// What it was reckoned for.
    usage: Counts,
    /// Absent = unpriced: something that is used has no known price.
    cost_nanodollars: Option<u64>,
    cost_usd: Option<String>,
    price_rules: Vec<String>,
    /// Count times price, before discount and rounding.
    lines: Vec<String>,
}

pub(super) async fn price(call: Call) -> Result<Answer, Fault> {
    let question: Question = call.spec("")?;
    let all = models(call.plane(), &question.model)?;
    let views = all.iter().map(|model| model.view(&question));
    Answer::json(&views.collect::<Result<Vec<_>, Fault>>()?)
}

/// A model and its price.
struct Model {
    name: String,
    target: Option<Arc<Target>>,
    list: Option<Arc<Price>>,
}

/// The model of this name, or the targets of the alias.
fn models(plane: &Plane, name: &str) -> Result<Vec<Model>, Fault> {
    let catalog = plane.catalog();
    match plane.snapshot().lookup(name) {
        Ok(Resolved::Alias(alias)) => {
            Ok(alias.targets.iter().map(|(target, _, _)| Model::of(Arc::clone(target))).collect())
        }
        Ok(Resolved::Target(target)) => Ok(vec![Model::of(target)]),
        Err(Refused::Ambiguous { name, providers }) => Err(Fault::malformed(format!(
            "`{name}` is offered by several providers; say {}",
            providers.join(" or ")
        ))),
        Err(Refused::Unknown { .. } | Refused::NotAllowed { .. }) => {
            let listed = name.split_once('/').filter(|(provider, id)| catalog.model(provider, id).is_some());
            let Some((provider, id)) = listed else {
                return Err(Fault::not_found("alias or known model", name, nearest(catalog, name)));
            };
            let price = catalog.price(provider, id).map(|price| Price::build(&price, provider, id));
            let price = price.transpose().map_err(|_| Fault::internal("a price of the catalogue"))?;
            Ok(vec![Model { name: name.to_owned(), target: None, list: price.map(Arc::new) }])
        }
    }
}

/// Names like it that the catalogue knows of its provider.
fn nearest(catalog: &Catalog, name: &str) -> Vec<String> {
    let Some((provider, id)) = name.split_once('/') else { return Vec::new() };
    let ids = catalog.models(provider).iter().map(|model| model.id.as_str());
    keyway_config::nearest(id, ids).into_iter().map(|id| format!("{provider}/{id}")).collect()
}

// === impl Model ===

impl Model {
    fn of(target: Arc<Target>) -> Self {
        Self { name: target.label.as_ref().to_owned(), list: None, target: Some(target) }
    }

    fn view(&self, question: &Question) -> Result<Priced, Fault> {
        // Prices are a key's, not a version's.
        let key = question.key.as_deref().map(|key| format!("-/{key}/0")).unwrap_or_default();
        let (price, discount) = match &self.target {
            Some(target) => target.price_for(&key),
            None => (self.list.as_ref(), 0),
        };
        let tier = service_tier_by_name(question.service_tier.as_deref().unwrap_or_default());
        let at = question.at.map_or(unix_millis() / 1000, Expiry::unix);
        let priced = (price.map(AsRef::as_ref), discount);
        let estimate = question.usage.map(|usage| estimate(priced, usage, tier, at));
        Ok(Priced {
            name: self.name.clone(),
            price: price.map(|price| Simple::of(price)),
            price_from: price.map(|price| match price.origin() {
                PriceOrigin::Unspecified => "catalogue",
                PriceOrigin::File | PriceOrigin::Key => "configuration",
            }),
            discount: (discount > 0).then(|| percent(discount)),
            rates: price.map(|price| price.rates().iter().map(RateView::from).collect()).unwrap_or_default(),
            estimate: estimate.transpose()?,
        })
    }
}

/// What a request would cost by this price and discount.
pub(super) fn estimate(
    (price, discount): (Option<&Price>, u32),
    usage: Counts,
    service_tier: ServiceTier,
    at_unix_seconds: u64,
) -> Result<Estimate, Fault> {
    let counts = usage.counts().map_err(Fault::malformed)?;
    let used = Used { counts: &counts, reasoning: usage.reasoning_tokens, service_tier, at_unix_seconds };
    let bill = price.and_then(|price| price.bill(&used, discount));
    let charges = price.filter(|_| bill.is_some()).and_then(|price| price.charges(&used)).unwrap_or_default();
    Ok(Estimate {
        usage,
        cost_nanodollars: bill.map(|bill| bill.cost.0),
        cost_usd: bill.map(|bill| bill.cost.to_string()),
        price_rules: bill.map(|bill| bill.rules.texts()).unwrap_or_default(),
        lines: charges.iter().map(line).collect(),
    })
}

/// `1000 input × 0.15 USD per 1M tokens`.
pub(super) fn line(charge: &Charge) -> String {
    let (usd, per) = shown(charge.meter, charge.femto_dollars);
    format!("{} {} × {usd} USD per {per}", charge.count, name(charge.meter))
}

/// A rate in US dollars, and of what.
fn shown(meter: Meter, femto_dollars: u64) -> (String, &'static str) {
    let money = Money(femto_dollars);
    match meter {
        Meter::Images => (money.to_per_unit(), "image"),
        Meter::AudioMilliseconds => (money.to_per_unit(), "second"),
        Meter::WebSearches => (money.to_per_unit(), "search"),
        Meter::SearchUnits => (money.to_per_unit(), "search unit"),
        Meter::Requests => (money.to_per_unit(), "request"),
        Meter::Characters => (money.to_per_million(), "1M characters"),
        _ => (money.to_per_million(), "1M tokens"),
    }
}

fn name(meter: Meter) -> String {
    let word = meter.as_str_name();
    word.strip_prefix("METER_").unwrap_or(word).to_lowercase()
}

// === impl Simple ===

impl Simple {
    /// The rates at list price for a short prompt.
    pub(super) fn of(price: &Price) -> Self {
        if price.is_free() {
            return Self::Free("free");
        }
        let always = price.rates().into_iter().filter(|rate| rate.when == When::Always && rate.above == 0);
        let rate = |rate: Rate| (name(rate.meter), shown(rate.meter, rate.femto_dollars).0);
        Self::Rates(always.map(rate).collect())
    }
}

// === impl RateView ===

impl From<&Rate> for RateView {
    fn from(rate: &Rate) -> Self {
        let when = match &rate.when {
            When::Always => "always".to_owned(),
            When::Tier(name) => (*name).to_owned(),
            When::Hours(text) => text.clone(),
            When::From(second) => {
                let moment = Expiry::from_unix(*second).to_string();
                format!("from {}", moment.split('T').next().unwrap_or_default())
            }
        };
        let rule = if rate.above > 0 { format!("{when}, tier>{}", rate.above) } else { when };
        let (usd, per) = shown(rate.meter, rate.femto_dollars);
        Self { rule, meter: name(rate.meter), usd, per }
    }
}

// === impl Counts ===

impl Counts {
    /// A request of so many tokens.
    pub(super) fn tokens(input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens, output_tokens, ..Self::default() }
    }

    /// By meter, none in two.
    fn counts(&self) -> Result<[u64; METERS], String> {
        let prompt = [
            (Meter::CacheRead, self.cache_read_tokens),
            (Meter::CacheWrite5m, self.cache_write_tokens),
            (Meter::CacheWrite1h, self.cache_write_1h_tokens),
            (Meter::CacheWrite12h, self.cache_write_12h_tokens),
            (Meter::AudioInput, self.audio_input_tokens),
            (Meter::CacheReadAudio, self.cache_read_audio_tokens),
            (Meter::ImageInput, self.image_input_tokens),
            (Meter::CacheReadImage, self.cache_read_image_tokens),
        ];
        let answer =
            [(Meter::AudioOutput, self.audio_output_tokens), (Meter::ImageOutput, self.image_output_tokens)];
        let units = [
            (Meter::Citation, self.citation_tokens),
            (Meter::Images, self.images),
            (Meter::Characters, self.characters),
            (Meter::AudioMilliseconds, self.milliseconds),
            (Meter::WebSearches, self.web_searches),
            (Meter::SearchUnits, self.search_units),
        ];
        let input = rest("input_tokens", self.input_tokens, &prompt)?;
        let output = rest("output_tokens", self.output_tokens, &answer)?;
        if self.reasoning_tokens > output {
            return Err("`reasoning_tokens` are part of `output_tokens`, and are more".to_owned());
        }
        let totals = [(Meter::Input, input), (Meter::Output, output)];
        let mut counts = [0; METERS];
        for (meter, count) in totals.iter().chain(&prompt).chain(&answer).chain(&units) {
            if *count > COUNT_LIMIT {
                return Err(format!("{count} is more than any request uses"));
            }
            if let Some(place) = counts.get_mut(*meter as usize) {
                *place = *count;
            }
        }
        Ok(counts)
    }
}

/// A total without the parts that are counted apart.
fn rest(name: &str, total: u64, parts: &[(Meter, u64)]) -> Result<u64, String> {
    let sum = parts.iter().try_fold(0u64, |sum, (_, count)| sum.checked_add(*count));
    sum.and_then(|sum| total.checked_sub(sum))
        .ok_or_else(|| format!("the parts of `{name}` are more than it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_taken_out_of_their_totals() {
        let counts = Counts { cache_read_tokens: 3, audio_input_tokens: 2, ..Counts::tokens(10, 5) };
        let counts = counts.counts().unwrap();
        let of = |meter: Meter| counts[meter as usize];
        assert_eq!(
            (of(Meter::Input), of(Meter::CacheRead), of(Meter::AudioInput), of(Meter::Output)),
            (5, 3, 2, 5)
        );
        assert!(Counts { cache_read_tokens: 11, ..Counts::tokens(10, 5) }.counts().is_err());
        assert!(
            Counts { cache_read_tokens: u64::MAX, cache_write_tokens: 9, ..Counts::tokens(10, 5) }
                .counts()
                .is_err()
        );
        assert!(Counts { reasoning_tokens: 6, ..Counts::tokens(10, 5) }.counts().is_err());
        assert!(Counts::tokens(u64::MAX, 0).counts().is_err());
    }

    #[test]
    fn rates_are_told_in_the_usual_units() {
        assert_eq!(shown(Meter::Input, 150_000_000), ("0.15".to_owned(), "1M tokens"));
        assert_eq!(shown(Meter::WebSearches, 10_000_000_000_000), ("0.01".to_owned(), "search"));
        assert_eq!(shown(Meter::AudioMilliseconds, 100_000_000_000), ("0.0001".to_owned(), "second"));
        assert_eq!(name(Meter::CacheWrite5m), "cache_write_5m");
    }
}
