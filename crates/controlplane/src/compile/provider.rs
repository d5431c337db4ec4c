//! One provider: the catalogue's row, and what the file adds or replaces.

use super::{price, quirk, timeouts};
use crate::resource::{Kind, Refusal};
use keyway_catalog::{BaseUrlError, Catalog, ResolvedSurface};
use keyway_config::{Auth, Dialect, NamedAuth, Network, Provider};
use keyway_proto::snapshot::v1::{self as wire, AuthScheme};
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
        surfaces: surfaces.iter().filter(own).map(|surface| quirk::surface(row, spec, surface)).collect(),
        auth: Some(auth.clone()),
        private_network: spec.network == Some(Network::Private),
        headers: headers(row, spec),
        timeouts: spec.timeouts.as_ref().and_then(timeouts),
        offers: price::offers(catalog, name, spec),
        built_in: row.is_some_and(keyway_catalog::Provider::is_built_in),
        withheld: String::new(),
        key_prices: Vec::new(),
        model_quirks: quirk::rules(row, spec),
    })
}

pub(super) type Row<'a> = Option<&'a keyway_catalog::Provider>;

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
