//! The whole catalogue: provider rows parsed once, each provider's models when first asked for.

use crate::{embedded, model::Model, provider::Provider};
use keyway_proto::snapshot::v1 as wire;
use serde::Deserialize;
use std::sync::OnceLock;
use thiserror::Error;

/// All providers and models that this build knows.
#[derive(Debug)]
pub struct Catalog {
    providers: Vec<Provider>,
    /// In the order of `providers`.
    models: Vec<Lazy>,
}

#[derive(Debug)]
struct Lazy {
    source: &'static str,
    rows: OnceLock<Vec<Model>>,
}

/// A file of the catalogue does not parse.
#[derive(Debug, Error)]
#[error("catalog/{folder}/{id}.toml: {source}")]
pub struct CatalogError {
    folder: &'static str,
    id: &'static str,
    #[source]
    source: toml::de::Error,
}

/// One provider's two files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files {
    pub(crate) id: &'static str,
    pub(crate) provider: &'static str,
    /// Empty where no model has a row.
    pub(crate) models: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile {
    models: Vec<Model>,
}

// === impl Catalog ===

impl Catalog {
    /// The rows of this build. They are part of it and a test reads every one, so a row cannot fail to parse here.
    pub fn embedded() -> &'static Self {
        static CATALOG: OnceLock<Catalog> = OnceLock::new();
        CATALOG.get_or_init(|| {
            let parsed = embedded::FILES.iter().filter_map(|files| Some((files.provider().ok()?, files)));
            let lazy = |files: &Files| Lazy { source: files.models, rows: OnceLock::new() };
            let (providers, models) = parsed.map(|(row, files)| (row, lazy(files))).unzip();
            Self { providers, models }
        })
    }

    /// Parses every file.
    ///
    /// # Errors
    /// The first file that does not parse, with line and reason.
    pub fn check() -> Result<(), CatalogError> {
        embedded::FILES.iter().try_for_each(|files| files.provider().and(files.models()).map(drop))
    }

    /// All rows, sorted by id.
    #[must_use]
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// The row of this id.
    #[must_use]
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.get(self.place(id)?)
    }

    /// All rows of a provider's models, sorted by id, region and variant rows too; empty for an unknown provider.
    #[must_use]
    pub fn models(&self, provider: &str) -> &[Model] {
        let lazy = self.place(provider).and_then(|place| self.models.get(place));
        lazy.map_or(&[], |lazy| lazy.rows.get_or_init(|| read_models(lazy.source).unwrap_or_default()))
    }

    /// A model's list-price row. Where one id has rows of several modes, the first mode of `Mode` answers.
    #[must_use]
    pub fn model(&self, provider: &str, id: &str) -> Option<&Model> {
        let rows = self.models(provider);
        let from = rows.partition_point(|model| model.id.as_str() < id);
        let same = rows.iter().skip(from).take_while(|model| model.id == id);
        same.filter(|model| model.is_default()).min_by_key(|model| model.mode)
    }

    /// What requests to a model are billed by; `None` = not known.
    #[must_use]
    pub fn price(&self, provider: &str, id: &str) -> Option<wire::Price> {
        let varies = |row: &Model| row.id == id && row.variant.is_some();
        self.model(provider, id)?.to_proto(self.models(provider).iter().any(varies))
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.providers.binary_search_by(|row| row.id.as_str().cmp(id)).ok()
    }
}

// === impl Files ===

impl Files {
    pub(crate) fn provider(&self) -> Result<Provider, CatalogError> {
        let wrong = |source| CatalogError { folder: "providers", id: self.id, source };
        let mut row: Provider = toml::from_str(self.provider).map_err(wrong)?;
        self.id.clone_into(&mut row.id);
        Ok(row)
    }

    pub(crate) fn models(&self) -> Result<Vec<Model>, CatalogError> {
        read_models(self.models).map_err(|source| CatalogError { folder: "models", id: self.id, source })
    }
}

fn read_models(source: &str) -> Result<Vec<Model>, toml::de::Error> {
    if source.is_empty() {
        return Ok(Vec::new());
    }
    let ModelFile { mut models } = toml::from_str(source)?;
    models.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(models)
}
