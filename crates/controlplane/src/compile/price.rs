//! What requests cost: the catalogue's prices, then the file's for a provider, then the file's for single keys. USD per
//! million tokens are femto-dollars per token in nano-dollars' digits, so a file's prices need no arithmetic.

use crate::resource::KeyDocument;
use keyway_catalog::Catalog;
use keyway_config::{Price, Provider, Rates, Tokens, Usd};
use keyway_proto::snapshot::v1::{self as wire, Meter, PriceOrigin};
use std::collections::BTreeMap;

/// A nano-dollar is so many femto-dollars.
const FEMTO_PER_NANO: u64 = 1_000_000;

/// Models with a price, known or not: the catalogue's, those that the file names, those that it prices.
pub(super) fn offers(catalog: &Catalog, name: &str, spec: &Provider) -> Vec<wire::Offer> {
    let mut prices: BTreeMap<&str, Option<wire::Price>> = BTreeMap::new();
    for model in
        catalog.models(name).iter().filter(|model| model.is_default() && model.wire_base_url.is_none())
    {
        if !prices.contains_key(model.id.as_str()) {
            prices.insert(&model.id, catalog.price(name, &model.id));
        }
    }
    for id in &spec.models {
        prices.entry(id).or_default();
    }
    if let Some(price) = &spec.price {
        prices.values_mut().for_each(|known| *known = Some(of_file(price, PriceOrigin::File)));
    }
    for (id, price) in &spec.prices {
        prices.insert(id, Some(of_file(price, PriceOrigin::File)));
    }
    let offer = |(id, price): (&str, _)| {
        let row = catalog.model(name, id);
        wire::Offer {
            id: id.to_owned(),
            price,
            quirks: row.and_then(|row| Some(row.quirks()?.to_proto())),
            context_window: row.and_then(|row| row.context_window).unwrap_or_default(),
            serves: row.map_or(wire::Endpoint::Unspecified, |row| row.mode.to_proto()).into(),
        }
    };
    prices.into_iter().map(offer).collect()
}

/// What the file says of all that it serves, which holds for models that nobody named too.
pub(super) fn of_all(spec: &Provider) -> Option<wire::Price> {
    spec.price.as_ref().map(|price| of_file(price, PriceOrigin::File))
}

/// What a replica has to know for these prices beyond the first schema.
pub(super) fn needs(provider: &wire::Provider) -> Option<&'static str> {
    let of_keys = provider.key_prices.iter().flat_map(|key| &key.offers);
    let offered = provider.offers.iter().chain(of_keys).filter_map(|offer| offer.price.as_ref());
    let prices = offered.chain(&provider.price);
    let is_new = |rate: &wire::Rate| rate.meter() == Meter::SearchUnits;
    let services = |price: &wire::Price| price.services.iter().any(|one| one.rates.iter().any(is_new));
    let mut new = prices.filter(|price| price.rates.iter().any(is_new) || services(price));
    new.next().map(|_| keyway_proto::feature::SEARCH_UNITS)
}

/// Keys that are charged otherwise than their provider's price says.
pub(super) fn of_keys(keys: &[KeyDocument]) -> Vec<wire::KeyPrice> {
    let differs = |key: &&KeyDocument| !key.prices.is_empty() || key.discount.is_some();
    let own = |key: &KeyDocument| wire::KeyPrice {
        key: key.name.clone(),
        offers: key
            .prices
            .iter()
            .map(|(id, price)| wire::Offer {
                id: id.clone(),
                price: Some(of_file(price, PriceOrigin::Key)),
                ..wire::Offer::default()
            })
            .collect(),
        discount: key.discount.map_or(0, keyway_config::Percent::ten_thousandths),
    };
    keys.iter().filter(differs).map(own).collect()
}

fn of_file(price: &Price, origin: PriceOrigin) -> wire::Price {
    let rates = match price {
        Price::Free => {
            return wire::Price { free: true, origin: origin.into(), ..wire::Price::default() };
        }
        Price::Rates(rates) => rates,
    };
    let units: Vec<wire::Rate> = units(rates).collect();
    // What a tier says nothing of by the unit costs there what it costs everywhere.
    let service = |(name, own): (&String, &Rates)| {
        let said: Vec<wire::Rate> = tokens(own).chain(self::units(own)).collect();
        let unsaid = units.iter().filter(|unit| !said.iter().any(|rate| rate.meter == unit.meter)).copied();
        wire::ServicePrice {
            tier: keyway_snapshot::service_tier_by_name(name).into(),
            rates: unsaid.chain(said.iter().copied()).collect(),
            tiers: tiers(own),
        }
    };
    wire::Price {
        rates: tokens(rates).chain(units.iter().copied()).collect(),
        tiers: tiers(rates),
        services: rates.service_tiers.iter().map(service).collect(),
        origin: origin.into(),
        ..wire::Price::default()
    }
}

fn tiers(rates: &Rates) -> Vec<wire::PriceTier> {
    let tier = |(above, rates): (&Tokens, &Rates)| wire::PriceTier {
        above_input_tokens: above.0,
        rates: tokens(rates).collect(),
    };
    rates.above.iter().map(tier).collect()
}

fn tokens(rates: &Rates) -> impl Iterator<Item = wire::Rate> {
    let all = [
        (Meter::Input, rates.input),
        (Meter::Output, rates.output),
        (Meter::CacheRead, rates.cache_read),
        (Meter::CacheWrite5m, rates.cache_write),
        (Meter::CacheWrite1h, rates.cache_write_1h),
        (Meter::CacheWrite12h, rates.cache_write_12h),
        (Meter::Reasoning, rates.reasoning),
        (Meter::AudioInput, rates.audio_input),
        (Meter::AudioOutput, rates.audio_output),
        (Meter::CacheReadAudio, rates.cache_read_audio),
        (Meter::ImageInput, rates.image_input),
        (Meter::ImageOutput, rates.image_output),
        (Meter::CacheReadImage, rates.cache_read_image),
        (Meter::Citation, rates.citation),
        (Meter::Characters, rates.per_million_characters),
    ];
    all.into_iter().filter_map(|(meter, usd)| rate(meter, usd, 1))
}

fn units(rates: &Rates) -> impl Iterator<Item = wire::Rate> {
    let all = [
        (Meter::Images, rates.per_image),
        (Meter::AudioMilliseconds, rates.per_second),
        (Meter::WebSearches, rates.per_web_search),
        (Meter::SearchUnits, rates.per_search_unit),
        (Meter::Requests, rates.per_request),
    ];
    all.into_iter().filter_map(|(meter, usd)| rate(meter, usd, FEMTO_PER_NANO))
}

/// An amount that femto-dollars do not hold is refused where the file is read.
fn rate(meter: Meter, usd: Option<Usd>, scale: u64) -> Option<wire::Rate> {
    usd.map(|usd| wire::Rate { meter: meter.into(), femto_dollars: usd.nanos().saturating_mul(scale) })
}
