//! What a caller may ask for: targets, and aliases over them.

use crate::{Bill, Endpoint, Price, Provider, Quirks, Strategy, Surface, Timeouts, Used};
use http::HeaderValue;
use std::sync::{Arc, OnceLock};

/// One way to serve a model: a provider and the name that it knows the model by.
#[derive(Debug)]
pub struct Target {
    /// Who serves it.
    pub provider: Arc<Provider>,
    /// What goes upstream as `model`.
    pub model: Box<str>,
    /// `provider/model`.
    pub label: Box<str>,
    /// The label as a header value, if it can be one.
    pub label_header: Option<HeaderValue>,
    /// `None` = unknown, which is not free.
    pub price: Option<Arc<Price>>,
    /// Tokens of prompt and answer together; `None` = not known. For lists: nothing is refused by it.
    pub context_window: Option<u64>,
    /// The kind of call that it serves; unspecified = not known. For lists.
    pub serves: Endpoint,
    /// Named by the catalogue or the configuration; else a caller gave the name, and of those there is no end.
    pub is_known: bool,
    /// What differs on each surface of the provider, once somebody has asked.
    pub(crate) quirks: OnceLock<Box<[Quirks]>>,
}

/// A name with targets.
#[derive(Debug)]
pub struct Alias {
    /// What callers ask for.
    pub name: Box<str>,
    /// How one target is chosen.
    pub strategy: Strategy,
    /// Each with weight and priority (lower first).
    pub targets: Vec<(Arc<Target>, u32, u32)>,
    /// Names that are tried after the targets.
    pub fallback: Vec<Box<str>>,
    /// Attempts after the first; `None` = the data plane's default.
    pub retries: Option<u32>,
    /// Tighter than the provider's.
    pub timeouts: Timeouts,
}

// === impl Target ===

impl Target {
    pub(crate) fn new(provider: Arc<Provider>, model: &str, price: Option<Arc<Price>>) -> Self {
        let label = format!("{}/{model}", provider.name);
        let label_header = HeaderValue::from_str(&label).ok();
        Self {
            provider,
            model: model.into(),
            label: label.into(),
            label_header,
            price,
            context_window: None,
            serves: Endpoint::Unspecified,
            is_known: true,
            quirks: OnceLock::new(),
        }
    }

    /// What differs from the dialect of this surface of its provider: found out once, since patterns over many models
    /// take their time.
    #[must_use]
    pub fn quirks<'a>(&'a self, surface: &'a Surface) -> &'a Quirks {
        let provider = &self.provider;
        let find = |one: &Surface| provider.quirks(one, &self.model).into_owned();
        let all = self.quirks.get_or_init(|| provider.surfaces.iter().map(find).collect());
        let place = provider.surfaces.iter().position(|one| one.dialect == surface.dialect);
        place.and_then(|place| all.get(place)).unwrap_or(&surface.quirks)
    }

    /// What a request cost that was served with the key named `provider/key/version`; `None` = not known.
    #[must_use]
    pub fn bill(&self, key: &str, used: &Used<'_>) -> Option<Bill> {
        let (price, discount) = self.price_for(key);
        price?.bill(used, discount)
    }

    /// The price that holds for a key, and its discount in ten-thousandths of a percent.
    #[must_use]
    pub fn price_for(&self, key: &str) -> (Option<&Arc<Price>>, u32) {
        self.provider.key_prices.of(key, &self.model, self.price.as_ref())
    }
}
