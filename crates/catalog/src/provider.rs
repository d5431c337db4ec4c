//! A provider row: where it is, which dialects it speaks, how a credential is presented.

use crate::limit::LimitHeaders;
use crate::names::{read_dialect, read_end};
use crate::quirk::{Quirks, Rule};
use keyway_proto::snapshot::v1::{self as wire, Dialect, StreamEnd};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// The flow of tokens that data planes know.
const SERVICE_ACCOUNT: &str = "service-account";

/// A place that serves models.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name in files and model names; the file's own name.
    #[serde(skip)]
    pub id: String,
    /// For people.
    pub name: String,
    /// Who runs it.
    pub kind: Kind,
    /// How a credential is presented.
    pub auth: Auth,
    /// Also accepted.
    #[serde(default)]
    pub auth_alternatives: Vec<Auth>,
    /// Usual environment variables of its key, best known first. No other row has any of them.
    #[serde(default)]
    pub env: Vec<String>,
    /// Usual too, but more often another row's or for something else: never taken unasked.
    #[serde(default)]
    pub env_shared: Vec<String>,
    /// Usual environment variables that hold no key of their own: region, host, account, one half of a pair.
    #[serde(default)]
    pub env_settings: Vec<String>,
    /// Environment variable that moves the base URL.
    pub base_url_env: Option<String>,
    /// Must be sent: lower-case name, value.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// May be sent.
    #[serde(default)]
    pub optional_headers: Vec<String>,
    /// The `{names}` that stand in base URLs and paths, each with what to put there.
    #[serde(default)]
    pub base_url_vars: BTreeMap<String, String>,
    /// Hosts that do not follow the pattern of the base URLs: what the pattern gives, and what it is instead.
    #[serde(default)]
    pub hosts: BTreeMap<String, String>,
    /// Self-hosted only.
    pub default_port: Option<u16>,
    /// What is known to be served. Absence is no proof.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// What else there is to know, in words.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How a key is tried.
    #[serde(default)]
    pub probe: Probe,
    /// Its documentation.
    pub doc: Option<String>,
    /// How well base URL and auth are known.
    #[serde(default)]
    pub confidence: Confidence,
    /// The first is the main dialect's; no dialect twice.
    pub surfaces: Vec<Surface>,
    /// What its surfaces or some of its models do differently from their dialect: rules for all models first, then what
    /// rows of models tell, then rules for some; of each kind in their order.
    #[serde(default)]
    pub quirks: Vec<Rule>,
    /// By which headers it tells what is left of its limits, where they are not the usual ones of its main dialect.
    pub limits: Option<Vec<LimitHeaders>>,
}

/// One wire format at a provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surface {
    /// Which.
    #[serde(deserialize_with = "read_dialect")]
    pub dialect: Dialect,
    /// Up to and with the version segment, no slash at the end; absent = built in.
    pub base_url: Option<String>,
    /// Endpoints that are not at the dialect's own path. A value with a scheme replaces base and path; `{model}` is
    /// filled in per request.
    #[serde(default)]
    pub paths: BTreeMap<Endpoint, String>,
    /// How a complete stream ends; unspecified = the dialect's own way.
    #[serde(default, deserialize_with = "read_end")]
    pub end: StreamEnd,
    /// `stream_options` is refused or unknown there.
    #[serde(default)]
    pub no_stream_options: bool,
    /// What it does differently from its dialect, as far as the facts tell.
    #[serde(default)]
    pub quirks: Quirks,
    /// Instead of the provider's.
    pub auth: Option<Auth>,
    /// Which models it serves, `*` for any run of characters; none = all of the provider's.
    #[serde(default)]
    pub models: Vec<String>,
    /// `anthropic-messages`, where the model stands in the path: what the body has as `anthropic_version` in place of it.
    #[serde(default)]
    pub body_version: String,
}

/// How a credential is presented.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// In which way.
    pub scheme: AuthScheme,
    /// Lower-case header name; for `query` the parameter's name; empty otherwise.
    #[serde(default)]
    pub name: String,
    /// What stands before the secret in the header.
    #[serde(default)]
    pub prefix: String,
    /// Works without a credential too.
    #[serde(default)]
    pub optional: bool,
    /// `sigv4`: the service that is signed for.
    pub service: Option<String>,
    /// `oauth`: `service-account`, `client-credentials`, `device`, `iam`, `entra`, `login`.
    pub flow: Option<String>,
    /// `oauth`: where tokens are had.
    pub token_url: Option<String>,
    /// `oauth`: what they are for.
    pub scope: Option<String>,
    /// Environment variable of this way, if not the provider's.
    pub env: Option<String>,
    /// What else there is to know.
    pub note: Option<String>,
}

/// In which way a credential is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthScheme {
    /// Not at all.
    None,
    /// `name: prefix + secret`.
    Header,
    /// `?name=secret`.
    Query,
    /// AWS Signature Version 4.
    Sigv4,
    /// A token that is fetched first.
    Oauth,
}

/// Who runs a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Its maker.
    Cloud,
    /// Someone who resells others.
    Gateway,
    /// Whoever runs Keyway.
    SelfHosted,
    /// A login product, not an API offer.
    Subscription,
    /// The data plane itself.
    BuiltIn,
}

/// How well base URL and auth are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// No listed source gives the URL, or the product looks retired.
    Low,
    /// One source.
    Medium,
    /// Two or more sources agree.
    #[default]
    High,
}

/// What is asked of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Endpoint {
    /// The dialect's own call where the name is not a finer one.
    Chat,
    /// Where a streamed call has a path of its own.
    ChatStream,
    Completions,
    Responses,
    Messages,
    MessagesStream,
    CountTokens,
    Embeddings,
    Images,
    ImageEdits,
    ImageVariations,
    Speech,
    Transcription,
    Translation,
    Moderations,
    Models,
    Rerank,
    Files,
    Batches,
    Realtime,
    Video,
    Ocr,
    Fim,
}

/// How a key is tried without cost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Probe {
    /// `GET` of the list of models.
    #[default]
    ListModels,
    /// There is no call for it.
    None,
    /// `GET` of this path under the base URL, or of this URL.
    Get(String),
}

// === impl Provider ===

impl Provider {
    /// The main dialect.
    #[must_use]
    pub fn dialect(&self) -> Option<Dialect> {
        self.surfaces.first().map(|surface| surface.dialect)
    }

    /// Where this dialect is spoken here.
    #[must_use]
    pub fn surface(&self, dialect: Dialect) -> Option<&Surface> {
        self.surfaces.iter().find(|surface| surface.dialect == dialect)
    }

    /// True where the data plane answers by itself.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.kind == Kind::BuiltIn
    }
}

// === impl Auth ===

impl Auth {
    /// As the snapshot carries it, without a region, which the row does not know, and without a plain form.
    #[must_use]
    pub fn to_proto(&self) -> wire::Auth {
        let account = self.flow.as_deref() == Some(SERVICE_ACCOUNT);
        let scheme = match self.scheme {
            AuthScheme::None => wire::AuthScheme::None,
            AuthScheme::Header => wire::AuthScheme::Header,
            AuthScheme::Query => wire::AuthScheme::Query,
            AuthScheme::Sigv4 => wire::AuthScheme::Sigv4,
            AuthScheme::Oauth => wire::AuthScheme::Oauth,
        };
        wire::Auth {
            scheme: scheme.into(),
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            service: self.service.clone().unwrap_or_default(),
            token_url: self.token_url.clone().filter(|_| account).unwrap_or_default(),
            scope: self.scope.clone().filter(|_| account).unwrap_or_default(),
            ..wire::Auth::default()
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// The snapshot's endpoint, where a surface of this dialect has it, and whether it is that of streams alone; none
    /// where the snapshot does not know it yet.
    #[must_use]
    pub fn to_proto(self, dialect: Dialect) -> Option<(wire::Endpoint, bool)> {
        let talks = !matches!(dialect, Dialect::OpenaiResponses | Dialect::AnthropicMessages);
        let stream = matches!(self, Self::ChatStream | Self::MessagesStream);
        let endpoint = match self {
            Self::Chat | Self::ChatStream if talks => wire::Endpoint::ChatCompletions,
            Self::Completions => wire::Endpoint::Completions,
            Self::Responses => wire::Endpoint::Responses,
            Self::Messages | Self::MessagesStream => wire::Endpoint::Messages,
            Self::CountTokens => wire::Endpoint::CountTokens,
            Self::Embeddings => wire::Endpoint::Embeddings,
            Self::Images => wire::Endpoint::ImagesGenerations,
            Self::ImageEdits => wire::Endpoint::ImagesEdits,
            Self::ImageVariations => wire::Endpoint::ImagesVariations,
            Self::Speech => wire::Endpoint::AudioSpeech,
            Self::Transcription => wire::Endpoint::AudioTranscriptions,
            Self::Translation => wire::Endpoint::AudioTranslations,
            Self::Moderations => wire::Endpoint::Moderations,
            Self::Models => wire::Endpoint::Models,
            // Others answer in forms of their own.
            Self::Rerank if dialect == Dialect::CohereChat => wire::Endpoint::Rerank,
            Self::Chat
            | Self::ChatStream
            | Self::Rerank
            | Self::Files
            | Self::Batches
            | Self::Realtime
            | Self::Video
            | Self::Ocr
            | Self::Fim => return None,
        };
        Some((endpoint, stream))
    }
}

// === impl Probe ===

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Ok(match text.as_str() {
            "models" => Self::ListModels,
            "none" => Self::None,
            _ => Self::Get(text),
        })
    }
}
