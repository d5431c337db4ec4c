//! What may stand in a file, section by section.
//!
//! Serialising a value of these types gives what may be shown: no secret is ever among it. `wire` adds them.

mod client;
mod model;
mod price;
mod provider;
mod scalar;
mod secret;
mod source;
mod usage;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use client::{Budget, Client, Limits, Period, SigV4, Team};
pub use model::{Model, Strategy, Target};
pub use price::{Price, Rates, Tokens};
pub use provider::{Auth, Dialect, Key, NamedAuth, Network, Provider, Timeouts};
pub use scalar::{Expiry, Percent, Size, Span, Usd};
pub use secret::Secret;
pub use source::{
    AwsIam, KeyRotation, Source, SourcePlace, VaultAppRole, VaultAuth, VaultKubernetes, VaultSource,
};
pub use usage::{Usage, WhenSpoolFull};

pub(crate) use scalar::TEXT_OF_NUMBER;

/// A section whose fields come with a later issue: any mapping.
pub type Open = serde_json::Map<String, serde_json::Value>;

/// The whole of `keyway.yaml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Settings of the process that is started with this file; never applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Places that serve models, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, Provider>,
    /// Aliases: names that callers ask for, each with targets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, Model>,
    /// Groups of clients.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub teams: BTreeMap<String, Team>,
    /// Who may call.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub clients: BTreeMap<String, Client>,
    /// Reuse of answers. Not enforced yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Limits for everybody. Not enforced yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Open>,
    /// Checks of prompts and answers. Not enforced yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Open>,
    /// How key changes roll out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Traces and metrics. Not enforced yet: set OTEL_EXPORTER_OTLP_ENDPOINT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Open>,
    /// How long is kept what was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Settings of the process that `keyway up --config` or `keyway-controlplane --config` starts. A flag or an environment
/// variable wins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address of the API for callers, `HOST:PORT` or `PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Address of `/healthz`, `/readyz`, `/metrics`, `/snapshot`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops_listen: Option<String>,
    /// Address of the admin API and the dashboard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_listen: Option<String>,
    /// Address of the fleet stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fleet_listen: Option<String>,
    /// Where data planes elsewhere reach it, `HOST` or `HOST:PORT` each: what join tokens say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fleet_name: Vec<String>,
    /// Data planes, each a process of its own; left out: one, inside this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Serving threads of each data plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Path of further certificates (PEM) to trust towards providers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_ca: Option<String>,
    /// Path of the certificate chain (PEM) with which callers and operators are answered over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<String>,
    /// Path of its private key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<String>,
    /// How long requests in flight get when it stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Span>,
    /// What is logged: `off`, `error`, `warn`, `info`, `debug`, or by module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Path of a file that is written as JSON once requests are answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_file: Option<String>,
    /// Path of the root key, which opens every secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_key_file: Option<String>,
    /// Path of the admin token's file. Of `keyway-controlplane` alone, as what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token_file: Option<String>,
    /// How long a node's certificate lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_certificate_life: Option<Span>,
    /// Where documents, audit log and sealed secrets lie, `etcd://…`; left out: the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The control plane's name among those that share the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where replicas and other control planes reach its fleet port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise_fleet: Option<String>,
    /// Where its admin API is for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise_admin: Option<String>,
    /// It keeps the books of usage from now on, whichever did before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take_books: Option<bool>,
}

impl Server {
    /// The first field that is set here and that only a control plane of its own has.
    #[must_use]
    pub fn of_controlplane(&self) -> Option<&'static str> {
        let set = [
            ("admin_token_file", self.admin_token_file.is_some()),
            ("node_certificate_life", self.node_certificate_life.is_some()),
            ("store", self.store.is_some()),
            ("name", self.name.is_some()),
            ("advertise_fleet", self.advertise_fleet.is_some()),
            ("advertise_admin", self.advertise_admin.is_some()),
            ("take_books", self.take_books.is_some()),
        ];
        set.into_iter().find(|(_, is_set)| *is_set).map(|(field, _)| field)
    }
}

/// Reuse of answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// On or off.
    pub enabled: bool,
    /// How long an answer may be reused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
}

/// How key changes roll out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// How new versions come into use; `instant` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RotationStrategy>,
    /// How long each stage of `staged` is watched; 60s if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_time: Option<Span>,
    /// Requests on the new version without which a stage proves nothing; 50 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_requests: Option<u64>,
    /// How long old versions stay as standby; 10m if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Span>,
    /// After this a replica that has not acknowledged is named silent; 2s if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_timeout: Option<Span>,
    /// How long replicas use secrets without word from the control plane; 7d if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Span>,
    /// How long the secret of a key that has a source is used, where the key does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Has no effect here: each key has a source of its own, `providers.X.keys[].rotation.source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<serde_json::Value>,
}

/// How a new version of a key comes into use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RotationStrategy {
    /// On all replicas at once.
    #[default]
    Instant,
    /// On one replica, then on 10 %, on 50 %, on all, as long as it does not fail more often than the old one.
    Staged,
}

/// A field that is left out of what is shown because it holds its default.
fn is_false(value: &bool) -> bool {
    !*value
}
