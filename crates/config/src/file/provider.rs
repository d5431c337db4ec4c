//! The section `providers`.

use std::collections::BTreeMap;
use std::fmt;

use keyway_catalog::Quirks;
use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{KeyRotation, Percent, Price, Secret, Span};

/// The name of the key that `api_key` sets.
const DEFAULT_KEY: &str = "default";

/// A place that serves models. What is left out comes from the catalogue's row of the same name.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// Wire format; the only one if given. Required when the name is not in the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// With or without its version segment. Required when the name is not in the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Short for one key named `default`.
    #[serde(skip_serializing)]
    pub api_key: Option<Secret>,
    /// Several keys, over which requests are spread by weight.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// How the credential is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Region, where the catalogue's URL has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What stands for the names in the catalogue's URLs: `{ project: P, location: L }` of `google-vertex`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// `private`: addresses of private networks may be connected to, whatever the host is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// `0` or `free`: nothing that this provider serves costs anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Prices by upstream model; they win over the catalogue.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<String, Price>,
    /// Further upstream models that it offers, beside the catalogue's and those with a price.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Bounds in time for one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// What it does differently from its dialect, whatever the model; wins over the catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quirks: Option<Quirks>,
    /// What single models do differently, by upstream name, in which `*` stands for any characters; wins over `quirks`, and
    /// of two names that fit the longer one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub model_quirks: BTreeMap<String, Quirks>,
    /// Sent with every request to this provider. Not for secrets: they are shown by `export`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// One credential of a provider.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Unique in its provider.
    pub name: String,
    /// Left out: the one that is there stays.
    #[serde(default, skip_serializing)]
    pub secret: Option<Secret>,
    /// Share of the requests; 1 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// What this key is charged, by upstream model; wins over the provider's prices.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<String, Price>,
    /// Off every cost of this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Percent>,
    /// Keys of one provider that name the same share one of its limits (an organisation, a workspace); the key's own name
    /// if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
    /// How it is replaced by itself; left out: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<KeyRotation>,
}

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the dialects' own")]
pub enum Dialect {
    #[serde(rename = "openai-chat")]
    OpenAiChat,
    #[serde(rename = "openai-responses")]
    OpenAiResponses,
    AnthropicMessages,
    Gemini,
    BedrockConverse,
    CohereChat,
}

/// Where a provider may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Private and loopback addresses are allowed.
    Private,
    /// Only public addresses, but for names that are local by their form. The default.
    Public,
}

/// How the credential is sent: `none`, `bearer`, `{ header: NAME, prefix: P }` or `{ query: NAME }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase", untagged)]
pub enum Auth {
    /// `none` or `bearer`.
    Named(NamedAuth),
    /// In a header: `NAME: prefix + secret`.
    Header {
        /// The header's name.
        header: String,
        /// Stands before the secret, its space included.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
    },
    /// In the query: `?NAME=secret`.
    Query {
        /// The parameter's name.
        query: String,
    },
}

/// A scheme that needs no detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NamedAuth {
    /// No credential is sent.
    None,
    /// `authorization: Bearer SECRET`.
    Bearer,
}

/// Bounds in time for one attempt; they only tighten the data plane's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Of a reply that is not a stream, as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Span>,
    /// Until a stream's first event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token: Option<Span>,
    /// Between two events of a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
    /// Until the connection stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Span>,
}

// === impl Provider ===

impl Provider {
    /// Its keys with `api_key` as the one named `default`, in the file's order.
    pub fn credentials(&self) -> impl Iterator<Item = Key> + '_ {
        let short = self.api_key.iter().map(|secret| Key {
            name: DEFAULT_KEY.into(),
            secret: Some(secret.clone()),
            weight: None,
            prices: BTreeMap::new(),
            discount: None,
            quota: None,
            rotation: None,
        });
        short.chain(self.keys.iter().cloned())
    }
}

// === impl Auth ===

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AuthVisitor)
    }
}

struct AuthVisitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthFields {
    header: Option<String>,
    prefix: Option<String>,
    query: Option<String>,
}

impl<'de> Visitor<'de> for AuthVisitor {
    type Value = Auth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none, bearer, { header: NAME, prefix: TEXT } or { query: NAME }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Auth, E> {
        match text {
            "none" => Ok(Auth::Named(NamedAuth::None)),
            "bearer" => Ok(Auth::Named(NamedAuth::Bearer)),
            other => Err(E::unknown_variant(other, &["none", "bearer"])),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Auth, A::Error> {
        let fields = AuthFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
        match (fields.header, fields.query) {
            (Some(header), None) => Ok(Auth::Header { header, prefix: fields.prefix.unwrap_or_default() }),
            (None, Some(query)) if fields.prefix.is_none() => Ok(Auth::Query { query }),
            _ => Err(de::Error::custom("give either `header` (with or without `prefix`) or `query`")),
        }
    }
}
