//! The sections `teams` and `clients`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Expiry, Secret, Usd, is_false};

/// A group of clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Team {
    /// What all its clients together may spend. Not enforced yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What all its clients together may do. Not enforced yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// Who calls the gateway.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Client {
    /// Any 24 or more characters. Left out: the one that is there stays, or one is made and shown once.
    #[serde(skip_serializing)]
    pub token: Option<Secret>,
    /// A team of this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Names or patterns (`*` crosses `/`) that it may ask for; left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Not enforced yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Not enforced yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// True: its token is refused.
    #[serde(skip_serializing_if = "is_false")]
    pub disabled: bool,
    /// From then on its token is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expiry>,
    /// A key pair for callers that sign with SigV4, beside its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigv4: Option<SigV4>,
    /// Calls of a provider's own API that it may make: provider → `METHOD /path-glob`. Not enforced yet.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub passthrough: BTreeMap<String, Vec<String>>,
}

/// A key pair for callers that sign with SigV4.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigV4 {
    /// Names the pair; no secret. Unique.
    pub access_key_id: String,
    /// Signs. Left out: the one that is there stays.
    #[serde(default, skip_serializing)]
    pub secret_access_key: Option<Secret>,
}

/// What may be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests begun in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Input and output tokens in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Requests at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u64>,
}

/// What may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// US dollars.
    pub usd: Usd,
    /// In each of these.
    pub per: Period,
}

/// A calendar period in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Period {
    Hour,
    Day,
    Week,
    Month,
}
