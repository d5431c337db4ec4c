//! One provider: the catalogue's row, and what the file adds or replaces.

use super::{
    auth::{REGION, Ways},
    price, quirk, timeouts,
};
use crate::resource::{Kind, Refusal};
use keyway_catalog::{BaseUrlError, Catalog, LimitHeaders, ResolvedSurface, usual_limit_headers};
use keyway_config::{Dialect, Network, Provider};
use keyway_proto::snapshot::v1::{self as wire, AuthScheme};
use std::collections::BTreeMap;

/// Settings that `region` gives, where `vars` does not: clouds do not agree on the word.
const REGIONS: [&str; 2] = [REGION, "location"];

/// What a provider compiles to.
pub(crate) fn provider(
    catalog: &Catalog,
    name: &str,
    spec: &Provider,
    has_keys: bool,
) -> Result<wire::Provider, Refusal> {
    let row = catalog.provider(name);
    let resolved = surfaces(row, name, spec)?;
    let ways = Ways { name, row, spec, has_keys };
    let mut auth: Option<wire::Auth> = None;
    let mut surfaces = Vec::with_capacity(resolved.len());
    for surface in &resolved {
        let way = ways.of(surface)?;
        let mut surface = quirk::surface(row, spec, surface);
        if spec.dialect.is_some() {
            // Who names the one dialect wants every model in it.
            surface.models.clear();
        }
        match &auth {
            None => auth = Some(way),
            Some(main) => surface.auth = (way != *main).then_some(way),
        }
        surfaces.push(surface);
    }
    Ok(wire::Provider {
        name: name.to_owned(),
        surfaces,
        auth,
        private_network: spec.network == Some(Network::Private),
        headers: headers(row, spec),
        timeouts: spec.timeouts.as_ref().and_then(timeouts),
        offers: price::offers(catalog, name, spec),
        built_in: row.is_some_and(keyway_catalog::Provider::is_built_in),
        withheld: String::new(),
        key_prices: Vec::new(),
        price: price::of_all(spec),
        model_quirks: quirk::rules(row, spec),
        limit_headers: limit_headers(row, &resolved),
    })
}

/// Whether any of its requests carries a key.
pub(crate) fn sends_key(provider: &wire::Provider) -> bool {
    let ways =
        provider.auth.iter().chain(provider.surfaces.iter().filter_map(|surface| surface.auth.as_ref()));
    ways.into_iter().any(|auth| auth.scheme() != AuthScheme::None)
}

pub(super) type Row<'a> = Option<&'a keyway_catalog::Provider>;

fn surfaces(row: Row<'_>, name: &str, spec: &Provider) -> Result<Vec<ResolvedSurface>, Refusal> {
    let refused = |error: BaseUrlError| {
        let field = match &error {
            BaseUrlError::NoDialect | BaseUrlError::BuiltInDialect => "dialect",
            BaseUrlError::Unfilled(names) if matches!(names.as_slice(), [one] if one == REGION) => REGION,
            BaseUrlError::Unfilled(_) => "vars",
            BaseUrlError::NoBaseUrl | BaseUrlError::NotAUrl(_) | BaseUrlError::BuiltIn => "base_url",
        };
        Refusal::field(format!("{}.{field}", Kind::Provider.path(name)), error.to_string())
    };
    let resolved = keyway_catalog::resolve_base_url(row, spec.dialect.map(dialect), spec.base_url.as_deref())
        .map_err(refused)?;
    let hosts = row.map(|row| row.hosts.clone()).unwrap_or_default();
    let filled =
        resolved.into_iter().map(|surface| surface.fill(&vars(spec)).map(|one| one.at_hosts(&hosts)));
    filled.collect::<Result<_, _>>().map_err(refused)
}

/// What the file puts in place of names in addresses.
fn vars(spec: &Provider) -> Vec<(String, String)> {
    let own = spec.vars.iter().map(|(name, value)| (name.clone(), value.clone()));
    let by_region =
        spec.region.iter().flat_map(|region| REGIONS.map(|name| (name.to_owned(), region.clone())));
    own.chain(by_region).collect()
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

/// The row's, else the usual ones of the main dialect.
fn limit_headers(row: Row<'_>, surfaces: &[ResolvedSurface]) -> Vec<wire::LimitHeaders> {
    let usual = || surfaces.first().map(|main| usual_limit_headers(main.dialect)).unwrap_or_default();
    let headers = row.and_then(|row| row.limits.clone()).unwrap_or_else(usual);
    headers.iter().map(LimitHeaders::to_proto).collect()
}

/// The row's, then the file's; the file wins over one of the same name.
fn headers(row: Row<'_>, spec: &Provider) -> Vec<wire::Header> {
    let mut all: BTreeMap<String, String> = row.map(|row| row.headers.clone()).unwrap_or_default();
    all.extend(spec.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    all.into_iter().map(|(name, value)| wire::Header { name, value }).collect()
}
