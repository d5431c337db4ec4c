//! Where models are served: origins, the URL of every endpoint, how a credential is presented.
//! All URLs are put together once, when a state is built, so that a request only clones them.

use crate::price::KeyPrices;
use crate::{Dialect, Endpoint, Invalid, StreamEnd, Timeouts};
use http::{HeaderName, HeaderValue, Uri, uri::PathAndQuery};
use keyway_proto::snapshot::v1::{self as wire, AuthScheme, Kind};
use std::sync::Arc;

const ENDPOINTS: usize = 18;

/// A place that serves models.
#[derive(Debug)]
pub struct Provider {
    /// Unique name.
    pub name: Box<str>,
    /// The first is the main dialect's.
    pub surfaces: Vec<Surface>,
    /// How a credential is presented.
    pub auth: Auth,
    /// Sent with every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Tighter than the data plane's.
    pub timeouts: Timeouts,
    /// Answered by the data plane itself, with no network.
    pub built_in: bool,
    /// Why none of its keys may be used, as `error.reason`; `None` = they may.
    pub withheld: Option<&'static str>,
    /// Of keys that are charged otherwise.
    pub(crate) key_prices: KeyPrices,
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
    urls: [Option<EndpointUrl>; ENDPOINTS],
}

/// Where one endpoint is.
#[derive(Debug, Clone)]
pub struct EndpointUrl {
    /// What is connected to.
    pub origin: Arc<Origin>,
    /// What stands in the request line; may hold `{model}`.
    pub path: PathAndQuery,
}

/// What a connection leads to. Connections are shared by `id` alone.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Hash over all other fields.
    pub id: u128,
    /// `https`.
    pub tls: bool,
    /// Name or IP literal, without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// Addresses of private networks may be connected to.
    pub private_network: bool,
    /// The `host` header.
    pub authority: HeaderValue,
}

/// How a credential is presented.
#[derive(Debug)]
pub enum Auth {
    /// Not at all.
    None,
    /// `name: prefix + secret`.
    Header(HeaderName, Box<str>),
    /// `?name=secret`.
    Query(Box<str>),
    /// A scheme that this build cannot sign.
    Unsupported(AuthScheme),
}

/// The path that an endpoint of this dialect has under a base URL that ends in the version segment.
#[must_use]
pub fn standard_path(dialect: Dialect, endpoint: Endpoint) -> Option<&'static str> {
    Some(match (dialect, endpoint) {
        (Dialect::OpenaiChat, Endpoint::ChatCompletions) => "/chat/completions",
        (Dialect::OpenaiChat, Endpoint::Completions) => "/completions",
        (Dialect::OpenaiChat, Endpoint::Embeddings) => "/embeddings",
        (Dialect::OpenaiChat, Endpoint::ImagesGenerations) => "/images/generations",
        (Dialect::OpenaiChat, Endpoint::ImagesEdits) => "/images/edits",
        (Dialect::OpenaiChat, Endpoint::ImagesVariations) => "/images/variations",
        (Dialect::OpenaiChat, Endpoint::AudioSpeech) => "/audio/speech",
        (Dialect::OpenaiChat, Endpoint::AudioTranscriptions) => "/audio/transcriptions",
        (Dialect::OpenaiChat, Endpoint::AudioTranslations) => "/audio/translations",
        (Dialect::OpenaiChat, Endpoint::Moderations) => "/moderations",
        (Dialect::OpenaiResponses, Endpoint::Responses) => "/responses",
        (Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::AnthropicMessages, Endpoint::Models) => {
            "/models"
        }
        (Dialect::Gemini | Dialect::CohereChat, Endpoint::Models) => "/models",
        (Dialect::AnthropicMessages, Endpoint::Messages) => "/messages",
        (Dialect::AnthropicMessages, Endpoint::CountTokens) => "/messages/count_tokens",
        _ => return None,
    })
}

// === impl Provider ===

impl Provider {
    pub(crate) fn build(from: &wire::Provider) -> Result<Self, Invalid> {
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
        Ok(Self {
            name: from.name.as_str().into(),
            surfaces: surfaces.collect::<Result<_, _>>()?,
            auth: Auth::build(from)?,
            headers,
            timeouts: from.timeouts.map(Timeouts::from).unwrap_or_default(),
            built_in: from.built_in,
            withheld: withheld(&from.withheld),
            key_prices: KeyPrices::build(from)?,
        })
    }

    /// Whether requests to it carry no key.
    #[must_use]
    pub fn is_keyless(&self) -> bool {
        self.built_in || matches!(self.auth, Auth::None)
    }

    /// Where this dialect is spoken here.
    #[must_use]
    pub fn surface(&self, dialect: Dialect) -> Option<&Surface> {
        self.surfaces.iter().find(|surface| surface.dialect == dialect)
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
        let mut urls = [const { None }; ENDPOINTS];
        if !provider.built_in {
            for (number, url) in urls.iter_mut().enumerate() {
                let endpoint = Endpoint::try_from(i32::try_from(number).unwrap_or(0)).unwrap_or_default();
                *url = endpoint_url(from, provider.private_network, dialect, endpoint)
                    .map_err(|reason| bad("base_url", reason))?;
            }
        }
        Ok(Self { dialect, stream_end: from.stream_end(), no_stream_options: from.no_stream_options, urls })
    }

    /// Where an endpoint is; `None` if this provider has no such endpoint.
    #[must_use]
    pub fn url(&self, endpoint: Endpoint) -> Option<&EndpointUrl> {
        self.urls.get(endpoint as usize)?.as_ref()
    }
}

fn endpoint_url(
    surface: &wire::Surface,
    private_network: bool,
    dialect: Dialect,
    endpoint: Endpoint,
) -> Result<Option<EndpointUrl>, &'static str> {
    let own = surface.paths.iter().find(|path| path.endpoint() == endpoint).map(|path| path.path.as_str());
    let base = surface.base_url.trim_end_matches('/');
    let full = match own.or_else(|| standard_path(dialect, endpoint)) {
        None => return Ok(None),
        Some(path) if path.contains("://") => path.to_owned(),
        Some(path) => format!("{base}/{}", path.trim_start_matches('/')),
    };
    let uri: Uri = full.replace('{', "%7B").replace('}', "%7D").parse().map_err(|_| "not a URL")?;
    Ok(Some(EndpointUrl {
        origin: Arc::new(Origin::build(&uri, private_network)?),
        path: uri.path_and_query().cloned().ok_or("a URL without a path")?,
    }))
}

// === impl Origin ===

impl Origin {
    fn build(uri: &Uri, private_network: bool) -> Result<Self, &'static str> {
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the URL must begin with https:// or http://"),
        };
        let authority = uri.authority().ok_or("a URL without a host")?;
        if authority.as_str().contains('@') {
            return Err("a URL must not hold a user name or password");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let whole = format!("{tls} {host} {port} {private_network}");
        let id = blake3::hash(whole.as_bytes())
            .as_bytes()
            .first_chunk::<16>()
            .map_or(0, |id| u128::from_le_bytes(*id));
        let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| "not a host")?;
        Ok(Self { id, tls, host: host.into(), port, private_network, authority })
    }
}

// === impl Auth ===

impl Auth {
    fn build(from: &wire::Provider) -> Result<Self, Invalid> {
        let bad = |field: &str, reason: &str| Invalid::new(Kind::Provider, &from.name, field, reason);
        let auth = from.auth.as_ref().ok_or_else(|| bad("auth", "missing"))?;
        Ok(match auth.scheme() {
            AuthScheme::Unspecified => return Err(bad("auth.scheme", "unknown scheme")),
            AuthScheme::None => Auth::None,
            AuthScheme::Header => {
                let name = auth.name.parse().map_err(|_| bad("auth.name", "not a header name"))?;
                Auth::Header(name, auth.prefix.as_str().into())
            }
            AuthScheme::Query => Auth::Query(auth.name.as_str().into()),
            scheme @ (AuthScheme::Sigv4 | AuthScheme::Oauth) => Auth::Unsupported(scheme),
        })
    }
}
