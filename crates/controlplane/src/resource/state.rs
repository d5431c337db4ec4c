//! All documents at one revision, each with the resources that it compiles to. Immutable; a change makes the next one
//! and shares whatever it did not touch.

use super::{Body, Document, KeyDocument, Kind, RootDocument};
use crate::{
    store::{Key, Revision, Shelves},
    usage::Retention,
    vault::SecretId,
};
use keyway_config::{Client, File, Key as FileKey, Model, Provider, Rotation, Team, Usage};
use keyway_proto::snapshot::v1::Resource;
use keyway_snapshot::Version;
use std::sync::Arc;

/// A document in force.
#[derive(Debug)]
pub struct Held {
    /// How often it was written.
    pub version: u64,
    /// What it says.
    pub document: Document,
    /// What it compiles to, encoded once.
    pub resources: Vec<Resource>,
}

/// All documents.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// In which life of the data.
    pub epoch: u64,
    /// Of the commit that made it.
    pub revision: Revision,
    /// Of the commit that last changed what replicas are sent.
    pub published: Revision,
    documents: Shelves<Held>,
}

// === impl State ===

impl State {
    /// No document yet.
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// The document of that kind and name.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Held>> {
        self.documents.get(&kind.key(name))
    }

    /// The document under that key of the store.
    pub(crate) fn held(&self, key: &Key) -> Option<&Arc<Held>> {
        self.documents.get(key)
    }

    /// Every key with its provider.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &KeyDocument)> {
        self.each(Kind::Provider).flat_map(|(provider, held)| {
            let keys = match &held.document.body {
                Body::Provider { keys, .. } => keys.as_slice(),
                _ => &[],
            };
            keys.iter().map(move |key| (provider, key))
        })
    }

    /// Every secret that some key version, client or root needs.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = SecretId> {
        let of_clients = self.each(Kind::Client).filter_map(|(client, held)| match &held.document.body {
            Body::Client { pair: Some(pair), .. } => Some(pair.secret_id(client)),
            _ => None,
        });
        let of_keys = self.each(Kind::Provider).flat_map(|(provider, held)| {
            let keys = match &held.document.body {
                Body::Provider { keys, .. } => keys.as_slice(),
                _ => &[],
            };
            keys.iter().flat_map(move |key| {
                let kept = key.versions.iter().filter(|version| version.state.has_secret());
                kept.map(move |version| version.secret_id(provider, &key.name))
            })
        });
        let of_roots = self.authority().into_iter().flat_map(|all| &all.roots).map(RootDocument::secret_id);
        of_keys.chain(of_clients).chain(of_roots)
    }

    /// Whether some key version, client or root needs this secret.
    pub(crate) fn names(&self, id: &SecretId) -> bool {
        if super::node::is_of_authority(id) {
            let roots = self.authority().map(|all| all.roots.as_slice()).unwrap_or_default();
            return roots.iter().any(|root| root.generation == id.version);
        }
        if let Some(client) = super::pair::client_of(id) {
            let held = self.get(Kind::Client, client).map(|held| &held.document.body);
            return matches!(held, Some(Body::Client { pair: Some(pair), .. }) if pair.version == id.version);
        }
        let keys = self.provider(&id.provider).map(|(_, keys)| keys).unwrap_or_default();
        let key = keys.iter().find(|key| key.name == id.key);
        key.and_then(|key| key.version(id.version))
            .is_some_and(|version| version.state.has_secret() && version.seal == id.seal)
    }

    /// All documents of one kind with their names, in order.
    pub fn each(&self, kind: Kind) -> impl Iterator<Item = (&str, &Arc<Held>)> {
        let of_kind =
            self.documents.from(&kind.key("")).take_while(move |(key, _)| key.kind() == kind.word());
        of_kind.map(|(key, held)| (key.name(), held))
    }

    /// All documents.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Held>)> {
        self.documents.iter()
    }

    /// Whether anything was ever configured.
    pub(crate) fn has_settings(&self) -> bool {
        self.documents.iter().any(|(key, _)| Kind::of(key).is_some_and(Kind::is_configuration))
    }

    /// Whether there is no document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// What every document compiles to.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.documents.iter().flat_map(|(_, held)| &held.resources)
    }

    /// Puts a document in force.
    pub(crate) fn put(&mut self, key: Key, held: Held) {
        self.documents.put(key, Arc::new(held));
    }

    /// Takes a document out of force.
    pub(crate) fn remove(&mut self, key: &Key) {
        self.documents.remove(key);
    }

    /// The version that replicas are sent.
    #[must_use]
    pub fn version(&self) -> Version {
        Version { epoch: self.epoch, counter: self.published }
    }

    /// How key changes roll out.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        let held = self.get(Kind::Section, "rotation").map(|held| &held.document.body);
        let Some(Body::Section(value)) = held else { return Rotation::default() };
        // It was written from the same type.
        serde_json::from_value(value.clone()).unwrap_or_default()
    }

    /// How long usage is kept.
    #[must_use]
    pub fn retention(&self) -> Retention {
        self.usage().into()
    }

    /// The section `usage`.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let held = self.get(Kind::Section, "usage").map(|held| &held.document.body);
        let Some(Body::Section(value)) = held else { return Usage::default() };
        // It was written from the same type.
        serde_json::from_value(value.clone()).unwrap_or_default()
    }

    /// A provider's configuration and keys.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<(&Provider, &[KeyDocument])> {
        match &self.get(Kind::Provider, name)?.document.body {
            Body::Provider { spec, keys } => Some((spec, keys)),
            Body::Model(_)
            | Body::Team(_)
            | Body::Client { .. }
            | Body::Section(_)
            | Body::Operator(_)
            | Body::Replica(_)
            | Body::Host(_)
            | Body::Node(_)
            | Body::Join(_)
            | Body::Authority(_)
            | Body::Kek(_)
            | Body::Answer(_) => None,
        }
    }

    /// The whole configuration as a file without secrets: applied again it changes nothing.
    #[must_use]
    pub fn export(&self) -> File {
        self.to_file(&Kind::OF_FILE)
    }

    /// What names may refer to; of a hundred thousand clients nobody speaks by name.
    #[must_use]
    pub fn nameable(&self) -> File {
        self.to_file(&Kind::NAMEABLE)
    }

    fn to_file(&self, kinds: &[Kind]) -> File {
        let mut file = File::default();
        for (name, held) in kinds.iter().flat_map(|kind| self.each(*kind)) {
            add(&mut file, name, &held.document.body);
        }
        file
    }
}

/// Puts a document into a file, without its secrets.
pub(crate) fn add(file: &mut File, name: &str, body: &Body) {
    let name = name.to_owned();
    match body {
        Body::Provider { spec, keys } => {
            let shown = keys.iter().filter(|key| key.active().is_some() || key.rotation.is_some());
            let keys = shown.map(|key| FileKey {
                name: key.name.clone(),
                secret: None,
                weight: key.weight,
                prices: key.prices.clone(),
                discount: key.discount,
                quota: key.quota.clone(),
                rotation: key.rotation.clone(),
            });
            let provider = Provider { keys: keys.collect(), ..Provider::clone(spec) };
            file.providers.insert(name, provider);
        }
        Body::Model(model) => drop::<Option<Model>>(file.models.insert(name, model.clone())),
        Body::Team(team) => drop::<Option<Team>>(file.teams.insert(name, team.clone())),
        Body::Client { spec, .. } => drop::<Option<Client>>(file.clients.insert(name, Client::clone(spec))),
        Body::Section(value) => section(file, &name, value),
        Body::Operator(_)
        | Body::Replica(_)
        | Body::Host(_)
        | Body::Node(_)
        | Body::Join(_)
        | Body::Authority(_)
        | Body::Kek(_)
        | Body::Answer(_) => {}
    }
}

fn section(file: &mut File, name: &str, value: &serde_json::Value) {
    let open = || value.as_object().cloned();
    match name {
        // It was written from the same type.
        "cache" => file.cache = serde_json::from_value(value.clone()).ok(),
        "limits" => file.limits = open(),
        "policies" => file.policies = open(),
        "rotation" => file.rotation = serde_json::from_value(value.clone()).ok(),
        "telemetry" => file.telemetry = open(),
        "usage" => file.usage = serde_json::from_value(value.clone()).ok(),
        _ => {}
    }
}
