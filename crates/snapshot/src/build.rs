//! Resources to a typed snapshot: all or nothing.

use crate::{
    Alias, Change, Clients, Credential, DigestKey, Invalid, Parts, Price, Provider, Resources, Secret,
    Settings, Snapshot, Strategy, Target, Timeouts, Version, resolve::Named,
};
use foldhash::{HashMap, HashMapExt};
use keyway_proto::snapshot::v1::{self as wire, CredentialState, Kind, Resource};
use prost::Message;
use std::{iter, sync::Arc, time::Duration};

/// Everything but clients: few and small, so that a change of one builds all anew.
#[derive(Default)]
struct Rules {
    settings: Option<Settings>,
    providers: Vec<wire::Provider>,
    credentials: Vec<wire::Credential>,
    models: Vec<wire::Model>,
}

impl Snapshot {
    /// The typed state.
    ///
    /// # Errors
    /// The first resource and field that does not hold; nothing is taken in part.
    pub fn build(version: Version, resources: &[Resource]) -> Result<Self, Invalid> {
        Self::of(version, Resources::whole(resources)?)
    }

    /// The typed state of resources that were put in order.
    ///
    /// # Errors
    /// As `build`.
    pub fn of(version: Version, resources: Resources) -> Result<Self, Invalid> {
        let parts = Parts { secrets: version, configuration: version };
        let next = Self::ruled(version, parts, &resources)?;
        let clients = next.clients.changed(&next.settings.digest_key, iter::empty(), resources.clients())?;
        Ok(Self { clients, resources, ..next })
    }

    /// The state that a change makes of this one: what it does not touch is shared.
    ///
    /// # Errors
    /// As `build`.
    pub fn changed(&self, version: Version, change: &Change) -> Result<Self, Invalid> {
        self.with(version, change, self.resources.changed(change))
    }

    /// The same, where the resources that the change leads to are known.
    ///
    /// # Errors
    /// As `build`.
    pub fn with(&self, version: Version, change: &Change, resources: Resources) -> Result<Self, Invalid> {
        let (now, before) = (resources.roots(), self.resources.roots());
        let since = |changed, before| if changed { version } else { before };
        let parts = Parts {
            secrets: since(now.secrets != before.secrets, self.parts.secrets),
            configuration: since(now.configuration != before.configuration, self.parts.configuration),
        };
        let is_client = |kind: i32| kind == Kind::Client as i32;
        let only_clients = change.given.iter().all(|one| is_client(one.kind))
            && change.taken.iter().all(|one| is_client(one.kind));
        let next = if only_clients { self.clone() } else { Self::ruled(version, parts, &resources)? };
        let key = &next.settings.digest_key;
        let clients = if *key == self.settings.digest_key {
            let gone = change.taken.iter().filter(|one| is_client(one.kind));
            let given = change.given.iter().filter(|one| is_client(one.kind));
            self.clients.changed(key, gone, given)?
        } else {
            Clients::default().changed(key, iter::empty(), resources.clients())?
        };
        Ok(Self { version, hash: now.all, parts, clients, resources, ..next })
    }

    /// What it was built of, as it was sent.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// A state without clients. Built in the order of names, so that both planes come to the same, however it came.
    fn ruled(version: Version, parts: Parts, resources: &Resources) -> Result<Self, Invalid> {
        let mut rules = Rules::default();
        for resource in resources.but_clients() {
            rules.decode(resource)?;
        }
        rules.sort();
        let settings =
            rules.settings.ok_or_else(|| Invalid::new(Kind::Settings, "settings", "settings", "missing"))?;
        let mut providers = HashMap::with_capacity(rules.providers.len());
        let mut names = HashMap::new();
        for from in &rules.providers {
            let provider = Arc::new(Provider::build(from)?);
            if providers.insert(provider.name.clone(), Arc::clone(&provider)).is_some() {
                return Err(Invalid::new(Kind::Provider, &from.name, "name", "appears twice"));
            }
        }
        for from in &rules.providers {
            offers(from, &providers, &mut names)?;
        }
        for from in &rules.models {
            let alias = alias(from, &providers, &names)?;
            names.insert(from.name.as_str().into(), Named::Alias(Arc::new(alias)));
        }
        let credentials = credentials(rules.credentials, &providers)?;
        Ok(Self {
            version,
            hash: resources.roots().all,
            parts,
            settings: Arc::new(settings),
            clients: Clients::default(),
            providers: Arc::new(providers),
            credentials: Arc::new(credentials),
            names: Arc::new(names),
            resources: Resources::default(),
        })
    }
}

impl Rules {
    fn decode(&mut self, resource: &Resource) -> Result<(), Invalid> {
        let bad = |_| Invalid::new(resource.kind(), &resource.name, "", "not a message of its kind");
        let body = resource.body.clone();
        match resource.kind() {
            Kind::Settings => self.settings = Some(settings(&wire::Settings::decode(body).map_err(bad)?)?),
            Kind::Provider => self.providers.push(wire::Provider::decode(body).map_err(bad)?),
            Kind::Credential => self.credentials.push(wire::Credential::decode(body).map_err(bad)?),
            Kind::Model => self.models.push(wire::Model::decode(body).map_err(bad)?),
            Kind::Unspecified | Kind::Client => {
                return Err(Invalid::new(resource.kind(), &resource.name, "kind", "unknown kind"));
            }
        }
        Ok(())
    }

    fn sort(&mut self) {
        self.providers.sort_by(|a, b| a.name.cmp(&b.name));
        self.credentials.sort_by(|a, b| (&a.key, a.version).cmp(&(&b.key, b.version)));
        self.models.sort_by(|a, b| a.name.cmp(&b.name));
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
