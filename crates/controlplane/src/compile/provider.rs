//! One provider: the catalogue's row, and what the file adds or replaces.

use super::timeouts;
use crate::resource::{Kind, Refusal};
use keyway_catalog::{BaseUrlError, Catalog, ResolvedSurface};
use keyway_config::{Auth, Dialect, NamedAuth, Network, Price, Provider, Rates, Usd};
use keyway_proto::snapshot::v1::{self as wire, AuthScheme, Meter};
use std::collections::BTreeMap;

/// The setting that a file can give, of those that stand in addresses.
const REGION: &str = "region";

/// What data planes answer so far. Where surfaces want different credentials, these are the ones that are on.
const ANSWERED: [wire::Dialect; 3] =
    [wire::Dialect::OpenaiChat, wire::Dialect::OpenaiResponses, wire::Dialect::AnthropicMessages];

/// What a provider compiles to.
pub(crate) fn provider(
    catalog: &Catalog,
    name: &str,
    spec: &Provider,
    has_keys: bool,
) -> Result<wire::Provider, Refusal> {
    let row = catalog.provider(name);
    let surfaces = surfaces(row, name, spec)?;
    let auth = auth(row, spec, &surfaces, has_keys);
    // The snapshot has one way to present a credential for all surfaces of a provider: one that wants another is off.
    let own = |surface: &&ResolvedSurface| {
        let wanted = surface.auth.as_ref().or(row.map(|row| &row.auth)).map(keyway_catalog::Auth::to_proto);
        spec.auth.is_some() || auth.scheme() == AuthScheme::None || wanted.is_none_or(|wanted| wanted == auth)
    };
    Ok(wire::Provider {
        name: name.to_owned(),
        surfaces: surfaces.iter().filter(own).map(ResolvedSurface::to_proto).collect(),
        auth: Some(auth.clone()),
        private_network: spec.network == Some(Network::Private),
        headers: headers(row, spec),
        timeouts: spec.timeouts.as_ref().and_then(timeouts),
        offers: offers(catalog, name, spec),
        built_in: row.is_some_and(keyway_catalog::Provider::is_built_in),
        withheld: String::new(),
    })
}

type Row<'a> = Option<&'a keyway_catalog::Provider>;

fn surfaces(row: Row<'_>, name: &str, spec: &Provider) -> Result<Vec<ResolvedSurface>, Refusal> {
    let refused = |error: BaseUrlError| {
        let field = match &error {
            BaseUrlError::NoDialect | BaseUrlError::BuiltInDialect => "dialect",
            BaseUrlError::Unfilled(names) if names.iter().any(|name| name == REGION) => REGION,
            BaseUrlError::NoBaseUrl
            | BaseUrlError::NotAUrl(_)
            | BaseUrlError::BuiltIn
            | BaseUrlError::Unfilled(_) => "base_url",
        };
        Refusal::field(format!("{}.{field}", Kind::Provider.path(name)), error.to_string())
    };
    let resolved = keyway_catalog::resolve_base_url(row, spec.dialect.map(dialect), spec.base_url.as_deref())
        .map_err(refused)?;
    let vars: Vec<(String, String)> =
        spec.region.iter().map(|region| (REGION.to_owned(), region.clone())).collect();
    let filled = resolved.into_iter().map(|surface| surface.fill(&vars));
    filled.collect::<Result<_, _>>().map_err(refused)
}

fn dialect(dialect: Dialect) -> wire::Dialect {
    match dialect {
        Dialect::OpenAiChat => wire::Dialect::OpenaiChat,
        Dialect::OpenAiResponses => wire::Dialect::OpenaiResponses,
        Dialect::AnthropicMessages => wire::Dialect::AnthropicMessages,
        Dialect::Gemini => wire::Dialect::Gemini,
        Dialect::BedrockConverse => wire::Dialect::BedrockConverse,
        Dialect::CohereChat => wire::Dialect::CohereChat,
    }
}

/// The file's way, else the row's, else the dialect's usual one.
fn auth(row: Row<'_>, spec: &Provider, surfaces: &[ResolvedSurface], has_keys: bool) -> wire::Auth {
    let header = |name: &str, prefix: &str| wire::Auth {
        scheme: AuthScheme::Header.into(),
        name: name.to_owned(),
        prefix: prefix.to_owned(),
    };
    let plain = |scheme: AuthScheme| wire::Auth { scheme: scheme.into(), ..wire::Auth::default() };
    match &spec.auth {
        Some(Auth::Named(NamedAuth::None)) => return plain(AuthScheme::None),
        Some(Auth::Named(NamedAuth::Bearer)) => return header("authorization", "Bearer "),
        Some(Auth::Header { header: name, prefix }) => return header(name, prefix),
        Some(Auth::Query { query }) => {
            return wire::Auth { name: query.clone(), ..plain(AuthScheme::Query) };
        }
        None => {}
    }
    let answered = |surface: &&ResolvedSurface| ANSWERED.contains(&surface.dialect);
    let main = surfaces.iter().find(answered).or_else(|| surfaces.first());
    let of_row = main.and_then(|surface| surface.auth.as_ref()).or(row.map(|row| &row.auth));
    match of_row {
        Some(auth) if auth.optional && !has_keys => plain(AuthScheme::None),
        Some(auth) => auth.to_proto(),
        None => match main.map(|surface| surface.dialect) {
            Some(wire::Dialect::AnthropicMessages) => header("x-api-key", ""),
            Some(wire::Dialect::Gemini) => header("x-goog-api-key", ""),
            Some(wire::Dialect::BedrockConverse) => plain(AuthScheme::Sigv4),
            _ => header("authorization", "Bearer "),
        },
    }
}

/// The row's, then the file's; the file wins over one of the same name.
fn headers(row: Row<'_>, spec: &Provider) -> Vec<wire::Header> {
    let mut all: BTreeMap<String, String> = row.map(|row| row.headers.clone()).unwrap_or_default();
    all.extend(spec.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    all.into_iter().map(|(name, value)| wire::Header { name, value }).collect()
}

/// Models with a price, known or not: the catalogue's, those that the file names, those that it prices.
fn offers(catalog: &Catalog, name: &str, spec: &Provider) -> Vec<wire::Offer> {
    let mut prices: BTreeMap<&str, Option<wire::Price>> = BTreeMap::new();
    for model in
        catalog.models(name).iter().filter(|model| model.is_default() && model.wire_base_url.is_none())
    {
        if !prices.contains_key(model.id.as_str()) {
            let list = catalog.model(name, &model.id).and_then(|row| row.price.as_ref());
            prices.insert(&model.id, list.map(keyway_catalog::Price::to_proto));
        }
    }
    for id in &spec.models {
        prices.entry(id).or_default();
    }
    if let Some(price) = &spec.price {
        prices.values_mut().for_each(|known| *known = Some(file_price(price)));
    }
    for (id, price) in &spec.prices {
        prices.insert(id, Some(file_price(price)));
    }
    prices.into_iter().map(|(id, price)| wire::Offer { id: id.to_owned(), price }).collect()
}

/// USD per million tokens are femto-dollars per token in nano-dollars' digits: no arithmetic is needed.
fn file_price(price: &Price) -> wire::Price {
    let zero = || Some(Usd::from_nanos(0));
    let rates = match price {
        // Every other meter costs what input or output costs.
        Price::Free => Rates { input: zero(), output: zero(), ..Rates::default() },
        Price::Rates(rates) => *rates,
    };
    let all = [
        (Meter::Input, rates.input),
        (Meter::Output, rates.output),
        (Meter::CacheRead, rates.cache_read),
        (Meter::CacheWrite5m, rates.cache_write),
        (Meter::CacheWrite1h, rates.cache_write_1h),
        (Meter::Reasoning, rates.reasoning),
        (Meter::AudioInput, rates.audio_input),
        (Meter::AudioOutput, rates.audio_output),
        (Meter::CacheReadAudio, rates.cache_read_audio),
        (Meter::ImageInput, rates.image_input),
        (Meter::ImageOutput, rates.image_output),
    ];
    let rate = |(meter, usd): (Meter, Option<Usd>)| {
        usd.map(|usd| wire::Rate { meter: meter.into(), femto_dollars: usd.nanos() })
    };
    wire::Price { rates: all.into_iter().filter_map(rate).collect(), ..wire::Price::default() }
}
