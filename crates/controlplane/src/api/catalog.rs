//! What this build knows of providers and models, configured or not.

use super::{
    answer::{Answer, Fault},
    call::Call,
    quirks::ByDialect,
};
use keyway_catalog::{Catalog, Mode, Model, Price, Provider, Rates};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Debug};

/// Rows of one answer, if the caller sets none, and at most.
const ROWS: usize = 100;
const ROWS_LIMIT: usize = 20_000;

/// A provider that is known.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProviderRow {
    id: String,
    /// For people.
    name: String,
    /// `cloud`, `gateway`, `self-hosted`, `subscription` or `built-in`.
    kind: String,
    /// Its main wire format.
    dialect: String,
    /// Where its main wire format is; absent = built in.
    base_url: Option<String>,
    /// Usual environment variables of its key.
    env: Vec<String>,
    /// Its documentation.
    doc: Option<String>,
}

/// A provider that is known, with all that is known.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProviderDetail {
    #[serde(flatten)]
    row: ProviderRow,
    /// All wire formats with their addresses.
    surfaces: BTreeMap<String, Option<String>>,
    /// How a credential is presented: `header authorization: Bearer …`.
    auth: String,
    /// What is known to be served.
    endpoints: Vec<String>,
    /// The names in braces in its addresses, each with what to put there.
    settings: BTreeMap<String, String>,
    /// Sent with every request.
    headers: BTreeMap<String, String>,
    /// What else there is to know, in words.
    notes: Vec<String>,
    /// What it does differently, whatever the model, by dialect.
    quirks: ByDialect,
    /// How well this is known.
    confidence: String,
    /// Models with a row.
    models: usize,
}

/// A model that is known.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ModelRow {
    provider: String,
    id: String,
    /// The kind of call that it serves.
    mode: String,
    /// Tokens.
    context_window: Option<u64>,
    /// Tokens.
    max_output_tokens: Option<u64>,
    /// US dollars per million tokens, by what is counted; absent = unknown, which is not free.
    price: Option<BTreeMap<String, String>>,
}

/// A model that is known, with all that is known.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ModelDetail {
    #[serde(flatten)]
    row: ModelRow,
    /// Prices of longer prompts, by the number of input tokens above which they hold.
    price_tiers: BTreeMap<u64, BTreeMap<String, String>>,
    can: Vec<String>,
    cannot: Vec<String>,
    input_modalities: Vec<String>,
    output_modalities: Vec<String>,
    /// `beta` or `deprecated`; absent = in service.
    status: Option<String>,
    deprecation_date: Option<String>,
    /// Sources disagree on the price.
    disputed: bool,
    /// What it does differently, by dialect, as far as the catalogue knows.
    quirks: ByDialect,
}

pub(super) async fn list_providers(call: Call) -> Result<Answer, Fault> {
    Answer::json(&call.plane().catalog().providers().iter().map(ProviderRow::from).collect::<Vec<_>>())
}

pub(super) async fn show_provider(call: Call) -> Result<Answer, Fault> {
    let catalog = call.plane().catalog();
    let id = call.param("id");
    let row = catalog.provider(id).ok_or_else(|| unknown_provider(catalog, id))?;
    Answer::json(&ProviderDetail::new(row, catalog))
}

pub(super) async fn list_models(call: Call) -> Result<Answer, Fault> {
    let catalog = call.plane().catalog();
    let limit = match call.query.get("limit").map(|limit| limit.parse::<usize>()) {
        None => ROWS,
        Some(Ok(limit)) => limit.min(ROWS_LIMIT),
        Some(Err(_)) => return Err(Fault::malformed("`limit` is a number of rows")),
    };
    let wanted = call.query.get("search").map(|text| text.to_lowercase()).unwrap_or_default();
    let only = call.query.get("provider");
    if let Some(id) = only.filter(|id| catalog.provider(id).is_none()) {
        return Err(unknown_provider(catalog, id));
    }
    let providers = catalog.providers().iter().filter(|row| only.is_none_or(|only| *only == row.id));
    let models =
        providers.flat_map(|row| catalog.models(&row.id).iter().map(move |model| (row.id.as_str(), model)));
    let fits = |provider: &str, model: &Model| {
        model.is_default() && format!("{provider}/{}", model.id).to_lowercase().contains(&wanted)
    };
    let rows = models.filter(|(provider, model)| fits(provider, model)).take(limit);
    Answer::json(&rows.map(|(provider, model)| ModelRow::new(provider, model)).collect::<Vec<_>>())
}

pub(super) async fn show_model(call: Call) -> Result<Answer, Fault> {
    let catalog = call.plane().catalog();
    let (provider, id) = (call.param("provider"), call.param("id"));
    if catalog.provider(provider).is_none() {
        return Err(unknown_provider(catalog, provider));
    }
    let model = catalog.model(provider, id).ok_or_else(|| {
        let ids = catalog.models(provider).iter().map(|model| model.id.as_str());
        let nearest = keyway_config::nearest(id, ids);
        let full = |id: String| format!("{provider}/{id}");
        Fault::not_found(
            "model of the catalogue",
            &full(id.to_owned()),
            nearest.into_iter().map(full).collect(),
        )
    })?;
    Answer::json(&ModelDetail {
        quirks: catalog.provider(provider).map(|row| quirks(row, Some(model))).unwrap_or_default(),
        ..ModelDetail::new(provider, model)
    })
}

fn unknown_provider(catalog: &Catalog, id: &str) -> Fault {
    let nearest = keyway_config::nearest(id, catalog.providers().iter().map(|row| row.id.as_str()));
    Fault::not_found("provider of the catalogue", id, nearest)
}

// === impl ProviderRow ===

impl From<&Provider> for ProviderRow {
    fn from(row: &Provider) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            kind: word(row.kind).replace('_', "-"),
            dialect: row.dialect().map(keyway_catalog::dialect_name).unwrap_or_default().to_owned(),
            base_url: row.surfaces.first().and_then(|surface| surface.base_url.clone()),
            env: row.env.clone(),
            doc: row.doc.clone(),
        }
    }
}

// === impl ProviderDetail ===

impl ProviderDetail {
    fn new(row: &Provider, catalog: &Catalog) -> Self {
        let surfaces = row.surfaces.iter();
        let auth = &row.auth;
        Self {
            surfaces: surfaces
                .map(|one| (keyway_catalog::dialect_name(one.dialect).to_owned(), one.base_url.clone()))
                .collect(),
            auth: match auth.scheme {
                keyway_catalog::AuthScheme::Header => format!("header {}: {}…", auth.name, auth.prefix),
                keyway_catalog::AuthScheme::Query => format!("query ?{}=…", auth.name),
                keyway_catalog::AuthScheme::None
                | keyway_catalog::AuthScheme::Sigv4
                | keyway_catalog::AuthScheme::Oauth => word(auth.scheme),
            },
            endpoints: row.endpoints.iter().map(word).collect(),
            settings: row.base_url_vars.clone(),
            headers: row.headers.clone(),
            notes: row.notes.clone(),
            quirks: quirks(row, None),
            confidence: word(row.confidence),
            models: catalog.models(&row.id).len(),
            row: row.into(),
        }
    }
}

// === impl ModelRow ===

impl ModelRow {
    fn new(provider: &str, model: &Model) -> Self {
        Self {
            provider: provider.to_owned(),
            id: model.id.clone(),
            mode: if model.mode == Mode::Chat { "chat".to_owned() } else { word(model.mode) },
            context_window: model.context_window,
            max_output_tokens: model.max_output_tokens,
            price: model.price.as_ref().map(|price| rates(&price.rates)),
        }
    }
}

// === impl ModelDetail ===

impl ModelDetail {
    fn new(provider: &str, model: &Model) -> Self {
        let tiers = |price: &Price| {
            let tiers = price.tiers.iter();
            tiers.map(|tier| (tier.above_input_tokens, rates(&tier.rates))).collect()
        };
        Self {
            row: ModelRow::new(provider, model),
            price_tiers: model.price.as_ref().map(tiers).unwrap_or_default(),
            can: model.can.iter().map(word).collect(),
            cannot: model.cannot.iter().map(word).collect(),
            input_modalities: model.input_modalities.clone(),
            output_modalities: model.output_modalities.clone(),
            status: model.status.map(word),
            deprecation_date: model.deprecation_date.clone(),
            disputed: model.disputed,
            quirks: ByDialect::new(),
        }
    }
}

fn quirks(row: &Provider, model: Option<&Model>) -> ByDialect {
    let named = row.surfaces.iter().map(|surface| {
        let name = keyway_catalog::dialect_name(surface.dialect).to_owned();
        (name, row.quirks_of(surface, model).held())
    });
    named.filter(|(_, held)| !held.is_empty()).collect()
}

fn rates(rates: &Rates) -> BTreeMap<String, String> {
    rates.iter().map(|(meter, money)| (word(meter), money.to_per_million())).collect()
}

/// A variant's name as files write it: `CacheWrite5m` is `cache_write_5m`.
fn word(variant: impl Debug) -> String {
    let name = format!("{variant:?}");
    let mut word = String::with_capacity(name.len() + 4);
    let mut before = '_';
    for letter in name.chars() {
        let starts = letter.is_ascii_uppercase() || (letter.is_ascii_digit() && !before.is_ascii_digit());
        if starts && !word.is_empty() {
            word.push('_');
        }
        word.push(letter.to_ascii_lowercase());
        before = letter;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_catalog::Meter;

    #[test]
    fn words_are_those_of_the_files() {
        let words = [
            word(Meter::Input),
            word(Meter::CacheWrite5m),
            word(Meter::CacheWrite12h),
            word(Mode::ImageEdit),
        ];
        assert_eq!(words, ["input", "cache_write_5m", "cache_write_12h", "image_edit"]);
        assert_eq!(word(keyway_catalog::Kind::SelfHosted), "self_hosted");
    }
}
