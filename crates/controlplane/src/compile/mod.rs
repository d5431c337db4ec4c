//! Documents and catalogue to the resources of a snapshot. Pure: the same input gives the same bytes. Secrets are
//! asked for at the last moment and stand in credentials only.

mod auth;
mod origins;
mod price;
mod provider;
mod quirk;
#[cfg(test)]
mod tests;

use crate::{
    resource::{Body, Handover, KeyDocument, KeyState, PairDocument, Refusal},
    vault::SecretId,
};
pub(crate) use origins::{origin, origins, origins_in};
pub(crate) use provider::sends_key;

use bytes::Bytes;
use keyway_catalog::Catalog;
use keyway_config::{Client, Model, Provider, Strategy, Timeouts};
use keyway_proto::snapshot::v1::{self as wire, Kind, Resource};
use keyway_snapshot::Secret;
use prost::Message;
use std::collections::BTreeSet;
use zeroize::{Zeroize, Zeroizing};

/// The provider that is always there and needs no network.
pub const SANDBOX: &str = "sandbox";
/// Why no key of a provider may be used, as replicas say it.
pub(crate) const SECRET_INTEGRITY: &str = "secret_integrity";
/// Bytes that one request's body may have.
pub const BODY_LIMIT: u64 = 32 << 20;
/// Bytes of request bodies that a replica holds at one time.
pub const BODIES_IN_FLIGHT_LIMIT: u64 = 256 << 20;

/// What compiling needs beside the documents.
pub struct Compiler<'a> {
    /// Providers and models that are known.
    pub catalog: &'a Catalog,
    /// Where a secret is had.
    pub secrets: &'a dyn Fn(&SecretId, &BTreeSet<String>) -> Option<Secret>,
}

/// Settings of a whole data plane.
#[derive(Debug)]
pub struct DataPlane<'a> {
    /// The key of token digests.
    pub digest_key: &'a [u8; 32],
    /// Whose state it is.
    pub cluster: &'a str,
    /// Seconds that secrets are used without word from the control plane.
    pub lease: u64,
    /// Whether replicas refuse calls while their usage spool is full.
    pub refuse_when_spool_full: bool,
}

/// Where a provider's secrets would be sent.
///
/// # Errors
/// When the provider cannot be compiled.
pub(crate) fn origins_of(
    catalog: &Catalog,
    name: &str,
    spec: &Provider,
    has_keys: bool,
) -> Result<BTreeSet<String>, Refusal> {
    Ok(origins(&provider::provider(catalog, name, spec, has_keys)?))
}

// === impl Compiler ===

impl Compiler<'_> {
    /// What is in every state beside documents: settings and the sandbox.
    ///
    /// # Errors
    /// When the catalogue has no row for the sandbox.
    pub fn base(&self, plane: &DataPlane<'_>) -> Result<Vec<Resource>, Refusal> {
        let mut settings = wire::Settings {
            digest_key: plane.digest_key.to_vec(),
            body_limit: BODY_LIMIT,
            bodies_in_flight_limit: BODIES_IN_FLIGHT_LIMIT,
            timeouts: None,
            cluster: plane.cluster.to_owned(),
            lease_seconds: plane.lease,
            refuse_when_spool_full: plane.refuse_when_spool_full,
        };
        let resource = secret_resource(Kind::Settings, "settings".to_owned(), &settings);
        settings.digest_key.zeroize();
        let sandbox = provider::provider(self.catalog, SANDBOX, &Provider::default(), false)?;
        Ok(vec![resource, self::resource(Kind::Provider, SANDBOX.to_owned(), &sandbox)])
    }

    /// What one document compiles to.
    ///
    /// # Errors
    /// The field that cannot be.
    pub fn document(&self, name: &str, body: &Body) -> Result<Vec<Resource>, Refusal> {
        Ok(match body {
            Body::Provider { spec, keys } => {
                let mut provider = provider::provider(self.catalog, name, spec, !keys.is_empty())?;
                provider.key_prices = price::of_keys(keys);
                let mut credentials = Vec::new();
                if provider::sends_key(&provider) && !self.credentials(&provider, keys, &mut credentials) {
                    SECRET_INTEGRITY.clone_into(&mut provider.withheld);
                }
                let needs = price::needs(&provider).map(str::to_owned).into_iter().collect();
                let mut all =
                    vec![Resource { needs, ..resource(Kind::Provider, name.to_owned(), &provider) }];
                all.append(&mut credentials);
                all
            }
            Body::Model(spec) => vec![resource(Kind::Model, name.to_owned(), &model(name, spec))],
            Body::Client { spec, digests, pair, handover } => {
                let mut client = client(name, spec, digests)?;
                client.handing_over = handover.as_ref().is_some_and(Handover::is_running);
                client.sigv4.extend(self.pair(name, spec, pair.as_ref()));
                let made = match client.sigv4.is_empty() {
                    true => resource(Kind::Client, name.to_owned(), &client),
                    false => secret_resource(Kind::Client, name.to_owned(), &client),
                };
                client.sigv4.iter_mut().for_each(|pair| pair.secret_access_key.zeroize());
                vec![made]
            }
            Body::Team(_)
            | Body::Section(_)
            | Body::Operator(_)
            | Body::Replica(_)
            | Body::Host(_)
            | Body::Node(_)
            | Body::Join(_)
            | Body::Authority(_)
            | Body::Kek(_)
            | Body::Answer(_) => Vec::new(),
        })
    }

    /// A client's key pair. One whose secret is not what was sealed lets nobody in.
    fn pair(&self, client: &str, spec: &Client, pair: Option<&PairDocument>) -> Option<wire::KeyPair> {
        let access_key_id = spec.sigv4.as_ref()?.access_key_id.clone();
        let secret = (self.secrets)(&pair?.secret_id(client), &BTreeSet::new())?;
        let secret_access_key = std::str::from_utf8(secret.expose()).ok()?.to_owned();
        Some(wire::KeyPair { access_key_id, secret_access_key })
    }

    /// Every version that replicas are to know. `false`: a secret was withheld, because it was not entered for where
    /// this provider is now, or because it is not what was sealed.
    fn credentials(&self, provider: &wire::Provider, keys: &[KeyDocument], all: &mut Vec<Resource>) -> bool {
        let origins = origins(provider);
        let mut whole = true;
        for key in keys {
            let trial = key.on_trial().map(|(tried, _, trial)| (tried, &trial.replicas));
            for version in &key.versions {
                let (state, secret) = match version.state {
                    KeyState::Active => (wire::CredentialState::Active, true),
                    KeyState::Retiring => (wire::CredentialState::Retiring, true),
                    _ if version.is_cut() => (wire::CredentialState::Revoked, false),
                    _ => continue,
                };
                let id = version.secret_id(&provider.name, &key.name);
                let allowed = origins.is_subset(&version.origins);
                let opened = || (self.secrets)(&id, &version.origins).filter(|_| allowed);
                let secret = if secret { opened() } else { Some(Secret::new(Vec::new())) };
                let Some(secret) = secret else {
                    whole = false;
                    continue;
                };
                let weight = key.weight.unwrap_or(1);
                let mut credential = wire::Credential {
                    provider: id.provider,
                    key: id.key,
                    version: id.version,
                    state: state.into(),
                    weight,
                    secret: secret.expose().to_vec(),
                    quota: key.quota.clone().unwrap_or_default(),
                    ..wire::Credential::default()
                };
                match trial.filter(|_| version.state == KeyState::Active) {
                    Some((tried, replicas)) if tried == version.version => {
                        credential.active_on.clone_from(replicas);
                    }
                    Some((_, replicas)) => credential.standby_on.clone_from(replicas),
                    None => {}
                }
                let name = format!("{}/{}/{}", provider.name, key.name, version.version);
                all.push(secret_resource(Kind::Credential, name, &credential));
                credential.secret.zeroize();
            }
        }
        whole
    }
}

impl std::fmt::Debug for Compiler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compiler(..)")
    }
}

/// Encoded once.
fn resource(kind: Kind, name: String, body: &impl Message) -> Resource {
    Resource { kind: kind.into(), name, body: body.encode_to_vec().into(), ..Resource::default() }
}

/// Encoded once; wiped when the last state that holds it is dropped.
fn secret_resource(kind: Kind, name: String, body: &impl Message) -> Resource {
    let body = Bytes::from_owner(Zeroizing::new(body.encode_to_vec()));
    Resource { kind: kind.into(), name, body, ..Resource::default() }
}

fn model(name: &str, spec: &Model) -> wire::Model {
    // What is not enforced yet acts as weighted; the warning says so.
    let strategy = match spec.strategy.unwrap_or_default() {
        Strategy::Priority => wire::Strategy::Priority,
        Strategy::Weighted
        | Strategy::LeastLatency
        | Strategy::LeastCost
        | Strategy::LeastBusy
        | Strategy::Sticky
        | Strategy::Semantic => wire::Strategy::Weighted,
    };
    let target = |target: &keyway_config::Target| wire::Target {
        provider: target.provider.clone(),
        model: target.model.clone(),
        weight: target.weight.unwrap_or(1),
        priority: target.priority.unwrap_or(0),
    };
    wire::Model {
        name: name.to_owned(),
        strategy: strategy.into(),
        targets: spec.targets.iter().map(target).collect(),
        fallback: spec.fallback.clone(),
        retries: spec.retries,
        timeouts: timeouts(&spec.bounds()),
    }
}

fn client(name: &str, spec: &Client, digests: &[String]) -> Result<wire::Client, Refusal> {
    let bytes = |hex: &String| {
        let hash = blake3::Hash::from_hex(hex).map_err(|_| Refusal::Internal("a token digest is not hex"))?;
        Ok(hash.as_bytes().to_vec())
    };
    let state = if spec.disabled { wire::ClientState::Disabled } else { wire::ClientState::Enabled };
    Ok(wire::Client {
        name: name.to_owned(),
        team: spec.team.clone().unwrap_or_default(),
        state: state.into(),
        token_digests: digests.iter().map(bytes).collect::<Result<_, Refusal>>()?,
        models: spec.models.clone().unwrap_or_default(),
        all_models: spec.models.is_none(),
        expires_at: spec.expires.map_or(0, keyway_config::Expiry::unix),
        sigv4: Vec::new(),
        handing_over: false,
    })
}

fn timeouts(spec: &Timeouts) -> Option<wire::Timeouts> {
    let millis = |span: Option<keyway_config::Span>| span.map_or(0, keyway_config::Span::millis);
    (*spec != Timeouts::default()).then(|| wire::Timeouts {
        total_ms: millis(spec.total),
        first_token_ms: millis(spec.first_token),
        idle_ms: millis(spec.idle),
        connect_ms: millis(spec.connect),
    })
}
