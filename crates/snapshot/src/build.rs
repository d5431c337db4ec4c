//! Resources to a typed snapshot: all or nothing.

use crate::{
    Alias, Client, Clients, Credential, DigestKey, Invalid, Pair, Pattern, Price, Provider, Secret, Settings,
    Snapshot, Strategy, Target, Timeouts, TokenDigest, Version, resolve::Named, state_hash,
};
use foldhash::{HashMap, HashMapExt};
use keyway_proto::snapshot::v1::{self as wire, ClientState, CredentialState, Kind, Resource};
use prost::Message;
use std::{sync::Arc, time::Duration};

#[derive(Default)]
struct Parts {
    settings: Option<Settings>,
    providers: Vec<wire::Provider>,
    credentials: Vec<wire::Credential>,
    models: Vec<wire::Model>,
    clients: Vec<wire::Client>,
}

impl Snapshot {
    /// The typed state.
    ///
    /// # Errors
    /// The first resource and field that does not hold; nothing is taken in part.
    pub fn build(version: Version, resources: &[Resource]) -> Result<Self, Invalid> {
        let mut parts = Parts::default();
        for resource in resources {
            parts.decode(resource)?;
        }
        let settings =
            parts.settings.ok_or_else(|| Invalid::new(Kind::Settings, "settings", "settings", "missing"))?;
        let mut providers = HashMap::with_capacity(parts.providers.len());
        let mut names = HashMap::new();
        for from in &parts.providers {
            let provider = Arc::new(Provider::build(from)?);
            if providers.insert(provider.name.clone(), Arc::clone(&provider)).is_some() {
                return Err(Invalid::new(Kind::Provider, &from.name, "name", "appears twice"));
            }
        }
        for from in &parts.providers {
            offers(from, &providers, &mut names)?;
        }
        for from in &parts.models {
            let alias = alias(from, &providers, &names)?;
            names.insert(from.name.as_str().into(), Named::Alias(Arc::new(alias)));
        }
        let credentials = credentials(parts.credentials, &providers)?;
        let clients = clients(parts.clients, &settings.digest_key)?;
        Ok(Self { version, hash: state_hash(resources), settings, clients, providers, credentials, names })
    }
}

impl Parts {
    fn decode(&mut self, resource: &Resource) -> Result<(), Invalid> {
        let bad = |_| Invalid::new(resource.kind(), &resource.name, "", "not a message of its kind");
        let body = resource.body.clone();
        match resource.kind() {
            Kind::Unspecified => {
                return Err(Invalid::new(resource.kind(), &resource.name, "kind", "unknown kind"));
            }
            Kind::Settings => self.settings = Some(settings(&wire::Settings::decode(body).map_err(bad)?)?),
            Kind::Provider => self.providers.push(wire::Provider::decode(body).map_err(bad)?),
            Kind::Credential => self.credentials.push(wire::Credential::decode(body).map_err(bad)?),
            Kind::Model => self.models.push(wire::Model::decode(body).map_err(bad)?),
            Kind::Client => self.clients.push(wire::Client::decode(body).map_err(bad)?),
        }
        Ok(())
    }
}

fn settings(from: &wire::Settings) -> Result<Settings, Invalid> {
    let bad = |field: &str, reason: &str| Invalid::new(Kind::Settings, "settings", field, reason);
    let key =
        <[u8; 32]>::try_from(from.digest_key.as_slice()).map_err(|_| bad("digest_key", "not 32 bytes"))?;
    let size = |field: &str, value: u64| match usize::try_from(value) {
        Ok(0) | Err(_) => Err(bad(field, "out of range")),
        Ok(bytes) => Ok(bytes),
    };
    Ok(Settings {
        digest_key: DigestKey::new(key),
        body_limit: size("body_limit", from.body_limit)?,
        bodies_in_flight_limit: size("bodies_in_flight_limit", from.bodies_in_flight_limit)?,
        timeouts: from.timeouts.map(Timeouts::from).unwrap_or_default(),
        cluster: from.cluster.as_str().into(),
        lease: (from.lease_seconds > 0).then(|| Duration::from_secs(from.lease_seconds)),
        refuse_when_spool_full: from.refuse_when_spool_full,
    })
}

/// A provider's catalogue models: `provider/model` each, and the bare id where nobody else offers it.
fn offers(
    from: &wire::Provider,
    providers: &HashMap<Box<str>, Arc<Provider>>,
    names: &mut HashMap<Box<str>, Named>,
) -> Result<(), Invalid> {
    let Some(provider) = providers.get(from.name.as_str()) else { return Ok(()) };
    for (at, offer) in from.offers.iter().enumerate() {
        let price =
            offer.price.as_ref().map(|price| Price::build(price, &from.name, &format!("offers[{at}].price")));
        let target = Target::new(Arc::clone(provider), &offer.id, price.transpose()?.map(Arc::new));
        let context_window = Some(offer.context_window).filter(|tokens| *tokens > 0);
        let target = Arc::new(Target { context_window, serves: offer.serves(), ..target });
        names.insert(target.label.clone(), Named::Offer(Arc::clone(&target)));
        let led_by_provider =
            offer.id.split_once('/').is_some_and(|(first, _)| providers.contains_key(first));
        if led_by_provider {
            continue;
        }
        let bare = match names.remove(offer.id.as_str()) {
            None => Named::Bare(target),
            Some(Named::Bare(other)) => {
                Named::Ambiguous(vec![other.provider.name.clone(), provider.name.clone()])
            }
            Some(Named::Ambiguous(mut all)) => {
                all.push(provider.name.clone());
                Named::Ambiguous(all)
            }
            Some(other @ (Named::Alias(_) | Named::Offer(_))) => other,
        };
        names.insert(offer.id.as_str().into(), bare);
    }
    Ok(())
}

fn alias(
    from: &wire::Model,
    providers: &HashMap<Box<str>, Arc<Provider>>,
    names: &HashMap<Box<str>, Named>,
) -> Result<Alias, Invalid> {
    let bad = |field: String, reason: &str| Invalid::new(Kind::Model, &from.name, field, reason);
    if from.targets.is_empty() {
        return Err(bad("targets".into(), "a model needs at least one target"));
    }
    let mut targets = Vec::with_capacity(from.targets.len());
    for (at, target) in from.targets.iter().enumerate() {
        let provider = providers
            .get(target.provider.as_str())
            .ok_or_else(|| bad(format!("targets[{at}].provider"), "no such provider"))?;
        let label = format!("{}/{}", target.provider, target.model);
        let known = match names.get(label.as_str()) {
            Some(Named::Offer(offer)) => Arc::clone(offer),
            _ => Arc::new(Target::new(Arc::clone(provider), &target.model, None)),
        };
        targets.push((known, target.weight, target.priority));
    }
    let strategy = match from.strategy() {
        Strategy::Unspecified => Strategy::Weighted,
        known => known,
    };
    Ok(Alias {
        name: from.name.as_str().into(),
        strategy,
        targets,
        fallback: from.fallback.iter().map(|name| name.as_str().into()).collect(),
        retries: from.retries,
        timeouts: from.timeouts.map(Timeouts::from).unwrap_or_default(),
    })
}

type ByProvider = HashMap<Box<str>, Vec<Arc<Credential>>>;

fn credentials(
    all: Vec<wire::Credential>,
    providers: &HashMap<Box<str>, Arc<Provider>>,
) -> Result<ByProvider, Invalid> {
    let mut by_provider = ByProvider::new();
    for mut from in all {
        let name = format!("{}/{}/{}", from.provider, from.key, from.version);
        if !providers.contains_key(from.provider.as_str()) {
            return Err(Invalid::new(Kind::Credential, &name, "provider", "no such provider"));
        }
        if from.state() == CredentialState::Unspecified {
            return Err(Invalid::new(Kind::Credential, &name, "state", "unknown state"));
        }
        if from.state() == CredentialState::Revoked && !from.secret.is_empty() {
            return Err(Invalid::new(Kind::Credential, &name, "secret", "a revoked version must have none"));
        }
        let credential = Credential {
            state: from.state(),
            secret: Secret::new(std::mem::take(&mut from.secret)),
            provider: from.provider.as_str().into(),
            quota: if from.quota.is_empty() { from.key.as_str().into() } else { from.quota.into() },
            key: from.key.into(),
            version: from.version,
            weight: from.weight,
            active_on: names(from.active_on),
            standby_on: names(from.standby_on),
        };
        by_provider.entry(from.provider.into()).or_default().push(Arc::new(credential));
    }
    Ok(by_provider)
}

fn names(all: Vec<String>) -> Vec<Box<str>> {
    all.into_iter().map(Into::into).collect()
}

fn clients(all: Vec<wire::Client>, key: &DigestKey) -> Result<Clients, Invalid> {
    let mut clients = Clients::default();
    for mut from in all {
        let pairs = std::mem::take(&mut from.sigv4);
        let bad = |field: &str, reason: &str| Invalid::new(Kind::Client, &from.name, field, reason);
        if from.state() == ClientState::Unspecified {
            return Err(bad("state", "unknown state"));
        }
        let mut digests = from
            .token_digests
            .iter()
            .map(|digest| <[u8; 32]>::try_from(digest.as_slice()).map(TokenDigest))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| bad("token_digests", "not 32 bytes"))?;
        for wire::KeyPair { access_key_id, secret_access_key } in pairs {
            let secret = Secret::new(secret_access_key.into_bytes());
            if access_key_id.is_empty() || secret.expose().is_empty() {
                return Err(bad("sigv4", "half a key pair"));
            }
            let digest = key.digest_pair(&access_key_id, secret.expose());
            digests.push(digest);
            if !clients.pair(&access_key_id, Pair { digest, secret }) {
                return Err(bad("sigv4.access_key_id", "two clients hold the same access key"));
            }
        }
        let models = (!from.all_models).then(|| from.models.iter().map(|text| Pattern::new(text)).collect());
        let client = Client {
            state: from.state(),
            models,
            expires_at: from.expires_at,
            handing_over: from.handing_over,
            name: from.name.as_str().into(),
            team: from.team.as_str().into(),
        };
        clients
            .insert(Arc::new(client), digests)
            .map_err(|()| bad("token_digests", "two clients hold the same token"))?;
    }
    Ok(clients)
}

impl From<wire::Timeouts> for Timeouts {
    fn from(from: wire::Timeouts) -> Self {
        let wait = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
        Self {
            total: wait(from.total_ms),
            first_token: wait(from.first_token_ms),
            idle: wait(from.idle_ms),
            connect: wait(from.connect_ms),
        }
    }
}
