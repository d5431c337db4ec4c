//! What the API shows. Secrets are never among it: of a key there are its last four characters and a fingerprint.

use super::{answer::Note, quirks};
use crate::{
    Outcome, Plane,
    plane::unix_millis,
    quota::QuotaView,
    resource::{
        Body, Change, Held, KeyDocument, KeyState, KeyVersion, Made, MadePair, Proof, Shown, TokenText,
    },
    vault::short,
};
use keyway_config::{Client, Model, Percent, Price, Provider, Team};
use keyway_proto::snapshot::v1 as wire;
use prost::Message;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use zeroize::Zeroize;

/// What is known of a resource beside what it says.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Head {
    /// Unique in its kind.
    name: String,
    /// For `if-match`: rises with each change of this resource.
    version: u64,
    /// Where it came from.
    made: Made,
}

/// A configured provider.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProviderView {
    name: String,
    /// For `if-match`; absent for what is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// Where it came from; absent for what is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<Made>,
    /// True: always there, answered by the data plane itself.
    built_in: bool,
    /// Its main wire format.
    dialect: String,
    /// Where its main wire format is.
    base_url: String,
    /// All wire formats with their addresses.
    surfaces: Vec<SurfaceView>,
    keys: Vec<KeyView>,
    /// What is known of its limits, by quota domain and model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<QuotaView>,
    /// Models with a name of their own; any other name is passed on as it stands.
    offers: usize,
    /// What the configuration says beyond that.
    #[serde(flatten)]
    spec: Provider,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SurfaceView {
    dialect: String,
    base_url: String,
    /// What it does differently from its dialect, whatever the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quirks: Vec<String>,
}

/// A provider's key.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct KeyView {
    name: String,
    /// The quota domain that it is in, `provider/domain`: keys of one domain share the provider's limits.
    quota: String,
    /// Share of the requests.
    weight: u32,
    /// Percent off every cost; absent = none.
    #[serde(skip_serializing_if = "Option::is_none")]
    discount: Option<Percent>,
    /// What it is charged, by upstream model, where that is not the provider's price.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    prices: BTreeMap<String, Price>,
    made: Made,
    pub(super) versions: Vec<KeyVersionView>,
}

/// One version of a key.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct KeyVersionView {
    version: u32,
    state: KeyState,
    /// `sk-…` and the last four characters.
    secret: String,
    /// The first eight hex digits of a keyed hash: tells keys apart.
    fingerprint: String,
    /// When it was taken in, seconds since 1970.
    at: u64,
    /// When its state began, milliseconds since 1970.
    since: u64,
    /// What the provider said before it was used.
    proof: Proof,
    /// Where it may be sent.
    origins: BTreeSet<String>,
}

/// An alias.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ModelView {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    spec: Model,
}

/// A team.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TeamView {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    spec: Team,
}

/// A client.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ClientView {
    #[serde(flatten)]
    head: Head,
    /// `enabled`, `disabled` or `expired`.
    state: &'static str,
    /// How many valid tokens it has.
    tokens: usize,
    #[serde(flatten)]
    spec: Client,
}

/// What a change did.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Done {
    /// The state in force, `epoch.counter`.
    version: String,
    /// Empty = everything was so already.
    changes: Vec<Change>,
    /// What is accepted without effect.
    warnings: Vec<Note>,
    /// Made tokens by client: shown here only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tokens: BTreeMap<String, OneTime>,
}

/// A made token, in the one answer that shows it.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct OneTime(String);

/// A resource after a change to it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Written<T> {
    #[serde(flatten)]
    pub(super) resource: T,
    /// The state in force, `epoch.counter`.
    pub(super) snapshot: String,
    /// What is accepted without effect.
    pub(super) warnings: Vec<Note>,
}

// === impl OneTime ===

impl From<&Shown> for OneTime {
    fn from(shown: &Shown) -> Self {
        Self(shown.token.expose().to_owned())
    }
}

impl From<&TokenText> for OneTime {
    fn from(token: &TokenText) -> Self {
        Self(token.expose().to_owned())
    }
}

impl From<&MadePair> for OneTime {
    fn from(made: &MadePair) -> Self {
        Self(made.secret.expose().to_owned())
    }
}

impl fmt::Debug for OneTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTime(..)")
    }
}

impl Drop for OneTime {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

// === impl Done ===

impl From<&Outcome> for Done {
    fn from(outcome: &Outcome) -> Self {
        let token = |shown: &Shown| (shown.client.clone(), OneTime::from(shown));
        Self {
            version: outcome.version.to_string(),
            changes: outcome.changes.clone(),
            warnings: outcome.warnings.iter().map(Note::from).collect(),
            tokens: outcome.tokens.iter().map(token).collect(),
        }
    }
}

// === impl Written ===

impl<T> Written<T> {
    pub(super) fn new(resource: T, outcome: &Outcome) -> Self {
        let warnings = outcome.warnings.iter().map(Note::from).collect();
        Self { resource, snapshot: outcome.version.to_string(), warnings }
    }
}

// === impl Head ===

impl Head {
    pub(super) fn new(name: &str, held: &Held) -> Self {
        Self { name: name.to_owned(), version: held.version, made: held.document.made.clone() }
    }
}

// === impl ProviderView ===

impl ProviderView {
    pub(super) fn new(name: &str, held: &Held) -> Option<Self> {
        let Body::Provider { spec, keys } = &held.document.body else { return None };
        let compiled = held.resources.first()?;
        let provider = wire::Provider::decode(compiled.body.clone()).ok()?;
        // What it comes to stands beside: the same names are not shown twice.
        let spec = Provider { dialect: None, base_url: None, ..Provider::clone(spec) };
        let shown = Self::of(&provider, keys, spec);
        Some(
            Self { version: Some(held.version), made: Some(held.document.made.clone()), ..shown }.named(name),
        )
    }

    /// What is always there.
    pub(super) fn built_in(plane: &Plane) -> Option<Self> {
        let provider = wire::Provider::decode(plane.sandbox()?.body).ok()?;
        Some(Self::of(&provider, &[], Provider::default()).named(&provider.name))
    }

    /// With what is known of its limits.
    pub(super) fn limited(self, limits: Vec<QuotaView>) -> Self {
        Self { limits, ..self }
    }

    fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    fn of(provider: &wire::Provider, keys: &[KeyDocument], spec: Provider) -> Self {
        let mut quirks = quirks::of(provider, "");
        let surface = |surface: &wire::Surface| {
            let dialect = keyway_catalog::dialect_name(surface.dialect()).to_owned();
            let quirks = quirks.remove(&dialect).unwrap_or_default();
            SurfaceView { dialect, base_url: surface.base_url.clone(), quirks }
        };
        let surfaces: Vec<SurfaceView> = provider.surfaces.iter().map(surface).collect();
        let first =
            |part: fn(&SurfaceView) -> &String| surfaces.first().map(part).cloned().unwrap_or_default();
        Self {
            name: String::new(),
            version: None,
            made: None,
            built_in: provider.built_in,
            dialect: first(|surface| &surface.dialect),
            base_url: first(|surface| &surface.base_url),
            keys: keys.iter().map(|key| KeyView::of(&provider.name, key)).collect(),
            limits: Vec::new(),
            offers: provider.offers.len(),
            surfaces,
            spec,
        }
    }
}

impl KeyView {
    pub(super) fn of(provider: &str, key: &KeyDocument) -> Self {
        Self {
            name: key.name.clone(),
            quota: key.domain(provider),
            weight: key.weight.unwrap_or(1),
            discount: key.discount,
            prices: key.prices.clone(),
            made: key.made.clone(),
            versions: key.versions.iter().map(KeyVersionView::from).collect(),
        }
    }
}

impl From<&KeyVersion> for KeyVersionView {
    fn from(version: &KeyVersion) -> Self {
        Self {
            version: version.version,
            state: version.state,
            secret: version.shown.clone(),
            fingerprint: short(&version.fingerprint).to_owned(),
            at: version.at,
            since: version.since,
            proof: version.proof,
            origins: version.origins.clone(),
        }
    }
}

// === the other views ===

impl ModelView {
    pub(super) fn new(name: &str, held: &Held) -> Option<Self> {
        let Body::Model(spec) = &held.document.body else { return None };
        Some(Self { head: Head::new(name, held), spec: spec.clone() })
    }
}

impl TeamView {
    pub(super) fn new(name: &str, held: &Held) -> Option<Self> {
        let Body::Team(spec) = &held.document.body else { return None };
        Some(Self { head: Head::new(name, held), spec: spec.clone() })
    }
}

impl ClientView {
    pub(super) fn new(name: &str, held: &Held) -> Option<Self> {
        let Body::Client { spec, digests, .. } = &held.document.body else { return None };
        let expired = spec.expires.is_some_and(|end| end.unix() <= unix_millis() / 1000);
        let state = match (spec.disabled, expired) {
            (true, _) => "disabled",
            (false, true) => "expired",
            (false, false) => "enabled",
        };
        let head = Head::new(name, held);
        Some(Self { head, state, tokens: digests.len(), spec: Client::clone(spec) })
    }
}

/// Any JSON, where the answer has a schema of its own.
pub(super) type Json = Value;
