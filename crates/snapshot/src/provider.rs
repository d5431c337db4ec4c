//! Where models are served: the wire formats of a provider, where each has its endpoints, what is sent with a request.

use crate::price::{KeyPrices, Price};
use crate::quirk::ByModel;
use crate::url::Urls;
use crate::{
    Auth, Dialect, Endpoint, EndpointUrl, Invalid, LimitHeaders, Pattern, Quirks, StreamEnd, Timeouts,
};
use http::{HeaderName, HeaderValue};
use keyway_proto::snapshot::v1::{self as wire, Kind};
use std::{borrow::Cow, sync::Arc};

/// A place that serves models.
#[derive(Debug)]
pub struct Provider {
    /// Unique name.
    pub name: Box<str>,
    /// The first is the main dialect's.
    pub surfaces: Vec<Surface>,
    /// How a credential is presented where a surface does not say otherwise.
    pub auth: Auth,
    /// Sent with every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Tighter than the data plane's.
    pub timeouts: Timeouts,
    /// Answered by the data plane itself, with no network.
    pub built_in: bool,
    /// Why none of its keys may be used, as `error.reason`; `None` = they may.
    pub withheld: Option<&'static str>,
    /// By which it tells what is left of its limits.
    pub limit_headers: Box<[LimitHeaders]>,
    /// Of keys that are charged otherwise.
    pub(crate) key_prices: KeyPrices,
    /// Of models that it does not offer by name.
    pub(crate) price: Option<Arc<Price>>,
    by_model: ByModel,
}

/// One wire format at a provider.
#[derive(Debug)]
pub struct Surface {
    /// Which.
    pub dialect: Dialect,
    /// How a complete stream ends.
    pub stream_end: StreamEnd,
    /// `stream_options` is never merged in.
    pub no_stream_options: bool,
    /// Instead of the provider's way.
    pub auth: Option<Auth>,
    /// What the body has as `anthropic_version` in place of the model, where that stands in the path.
    pub body_version: Option<Box<str>>,
    models: Box<[Pattern]>,
    /// What differs from the dialect, whatever the model.
    pub(crate) quirks: Quirks,
    urls: Urls,
}

// === impl Provider ===

impl Provider {
    /// The typed form of one provider by itself.
    ///
    /// # Errors
    /// The first field that does not hold.
    pub fn build(from: &wire::Provider) -> Result<Self, Invalid> {
        let bad = |field: String, reason: &str| Invalid::new(Kind::Provider, &from.name, field, reason);
        if from.surfaces.is_empty() {
            return Err(bad("surfaces".into(), "a provider needs at least one dialect"));
        }
        let surfaces =
            from.surfaces.iter().enumerate().map(|(at, surface)| Surface::build(surface, from, at));
        let mut headers = Vec::with_capacity(from.headers.len());
        for (at, header) in from.headers.iter().enumerate() {
            let name =
                header.name.parse().map_err(|_| bad(format!("headers[{at}].name"), "not a header name"))?;
            let value = header
                .value
                .parse()
                .map_err(|_| bad(format!("headers[{at}].value"), "not a header value"))?;
            headers.push((name, value));
        }
        let price = from.price.as_ref().map(|price| Price::build(price, &from.name, "price")).transpose()?;
        Ok(Self {
            name: from.name.as_str().into(),
            price: price.map(Arc::new),
            surfaces: surfaces.collect::<Result<_, _>>()?,
            auth: Auth::build(from.auth.as_ref(), |field, reason| bad(format!("auth{field}"), reason))?,
            headers,
            timeouts: from.timeouts.map(Timeouts::from).unwrap_or_default(),
            built_in: from.built_in,
            withheld: withheld(&from.withheld),
            limit_headers: LimitHeaders::build(from)?,
            key_prices: KeyPrices::build(from)?,
            by_model: ByModel::build(from)?,
        })
    }

    /// Whether requests to it carry no key.
    #[must_use]
    pub fn is_keyless(&self) -> bool {
        self.built_in || self.surfaces.iter().all(|surface| matches!(self.auth_of(surface), Auth::None))
    }

    /// How a credential is presented at this surface of it.
    #[must_use]
    pub fn auth_of<'a>(&'a self, surface: &'a Surface) -> &'a Auth {
        surface.auth.as_ref().unwrap_or(&self.auth)
    }

    /// Where this dialect is spoken here.
    #[must_use]
    pub fn surface(&self, dialect: Dialect) -> Option<&Surface> {
        self.surfaces.iter().find(|surface| surface.dialect == dialect)
    }

    /// What differs from the dialect of one of its surfaces for this model, by the provider's own name; for no name, what
    /// differs for each. Of a target `Target::quirks` remembers it.
    #[must_use]
    pub fn quirks<'a>(&'a self, surface: &'a Surface, model: &str) -> Cow<'a, Quirks> {
        let mut quirks = Cow::Borrowed(&surface.quirks);
        for said in self.by_model.of(model, surface.dialect) {
            quirks.to_mut().lay(said);
        }
        quirks
    }
}

/// Reasons that callers see are fixed texts: one of a newer control plane becomes the general one.
fn withheld(reason: &str) -> Option<&'static str> {
    match reason {
        "" => None,
        "secret_integrity" => Some("secret_integrity"),
        _ => Some("secrets_unavailable"),
    }
}

// === impl Surface ===

impl Surface {
    fn build(from: &wire::Surface, provider: &wire::Provider, at: usize) -> Result<Self, Invalid> {
        let bad = |field: &str, reason: &str| {
            Invalid::new(Kind::Provider, &provider.name, format!("surfaces[{at}].{field}"), reason)
        };
        let dialect = match from.dialect() {
            Dialect::Unspecified => return Err(bad("dialect", "unknown dialect")),
            known => known,
        };
        let auth = from
            .auth
            .as_ref()
            .map(|auth| Auth::build(Some(auth), |field, reason| bad(&format!("auth{field}"), reason)));
        let urls = match provider.built_in {
            true => Urls::default(),
            false => Urls::build(from, provider.private_network).map_err(|reason| bad("base_url", reason))?,
        };
        let (stream_end, no_stream_options) = (from.stream_end(), from.no_stream_options);
        let mut quirks = Quirks { no_stream_options, ..Quirks::default() };
        if let Some(said) = &from.quirks {
            Quirks::check(said).map_err(|why| bad("quirks", &why.to_string()))?;
            quirks.lay(said);
        }
        Ok(Self {
            dialect,
            stream_end,
            no_stream_options,
            auth: auth.transpose()?,
            body_version: Some(from.body_version.as_str()).filter(|said| !said.is_empty()).map(Box::from),
            models: from.models.iter().map(|pattern| Pattern::new(pattern)).collect(),
            quirks,
            urls,
        })
    }

    /// Whether a model of the provider is served here.
    #[must_use]
    pub fn serves(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|pattern| pattern.matches(model))
    }

    /// Where an endpoint is, for a whole reply or for a stream; `None` if this provider has no such endpoint.
    #[must_use]
    pub fn url(&self, endpoint: Endpoint, stream: bool) -> Option<&EndpointUrl> {
        self.urls.get(endpoint, stream)
    }
}
