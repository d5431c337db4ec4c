//! All documents at one revision, each with the resources that it compiles to. Immutable; a change makes the next one
//! and shares whatever it did not touch.

use super::{Body, Document, KeyDocument, Kind};
use crate::store::{Key, Revision};
use keyway_config::{Client, File, Key as FileKey, Model, Provider, Team};
use keyway_proto::snapshot::v1::Resource;
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

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
    /// Of the commit that made it.
    pub revision: Revision,
    documents: BTreeMap<Key, Arc<Held>>,
}

// === impl State ===

impl State {
    /// The document of that kind and name.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Held>> {
        self.documents.get(&kind.key(name))
    }

    /// All documents of one kind with their names, in order.
    pub fn each(&self, kind: Kind) -> impl Iterator<Item = (&str, &Arc<Held>)> {
        let from = (Bound::Included(kind.key("")), Bound::Unbounded);
        let of_kind = self.documents.range(from).take_while(move |(key, _)| key.kind() == kind.word());
        of_kind.map(|(key, held)| (key.name(), held))
    }

    /// All documents.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Held>)> {
        self.documents.iter()
    }

    /// Whether there is no document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// What every document compiles to.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.documents.values().flat_map(|held| &held.resources)
    }

    /// Puts a document in force.
    pub(crate) fn put(&mut self, key: Key, held: Held) {
        self.documents.insert(key, Arc::new(held));
    }

    /// Takes a document out of force.
    pub(crate) fn remove(&mut self, key: &Key) {
        self.documents.remove(key);
    }

    /// A provider's configuration and keys.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<(&Provider, &[KeyDocument])> {
        match &self.get(Kind::Provider, name)?.document.body {
            Body::Provider { spec, keys } => Some((spec, keys)),
            Body::Model(_) | Body::Team(_) | Body::Client { .. } | Body::Section(_) | Body::Operator(_) => {
                None
            }
        }
    }

    /// The whole configuration as a file without secrets: applied again it changes nothing.
    #[must_use]
    pub fn export(&self) -> File {
        self.to_file(|_| true)
    }

    /// What names may refer to: everything but clients.
    pub(crate) fn nameable(&self) -> File {
        self.to_file(|kind| kind != Kind::Client)
    }

    fn to_file(&self, wanted: impl Fn(Kind) -> bool) -> File {
        let mut file = File::default();
        for (key, held) in &self.documents {
            if Kind::of(key).is_some_and(&wanted) {
                add(&mut file, key.name(), &held.document.body);
            }
        }
        file
    }
}

/// Puts a document into a file, without its secrets.
pub(crate) fn add(file: &mut File, name: &str, body: &Body) {
    let name = name.to_owned();
    match body {
        Body::Provider { spec, keys } => {
            let keys =
                keys.iter().map(|key| FileKey { name: key.name.clone(), secret: None, weight: key.weight });
            let provider = Provider { keys: keys.collect(), ..Provider::clone(spec) };
            file.providers.insert(name, provider);
        }
        Body::Model(model) => drop::<Option<Model>>(file.models.insert(name, model.clone())),
        Body::Team(team) => drop::<Option<Team>>(file.teams.insert(name, team.clone())),
        Body::Client { spec, .. } => drop::<Option<Client>>(file.clients.insert(name, Client::clone(spec))),
        Body::Section(value) => section(file, &name, value),
        Body::Operator(_) => {}
    }
}

fn section(file: &mut File, name: &str, value: &serde_json::Value) {
    let open = || value.as_object().cloned();
    match name {
        // It was written from the same type.
        "cache" => file.cache = serde_json::from_value(value.clone()).ok(),
        "limits" => file.limits = open(),
        "policies" => file.policies = open(),
        "rotation" => file.rotation = open(),
        "telemetry" => file.telemetry = open(),
        _ => {}
    }
}
