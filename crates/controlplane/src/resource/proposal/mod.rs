//! A change in the making: documents to write, secrets to take in or erase, tokens to show once. It is built against
//! one state and knows which versions it read.

mod keys;
mod pairs;
#[cfg(test)]
mod tests;

pub use keys::How;

use super::{
    Author, Begin, Body, Document, Handover, HandoverEnd, KeyDocument, Kind, Made, MadePair, Refusal, State,
    TokenText, Verb, digest,
    handover::TOKENS,
    key::{Merging, Unmerged, merge},
};
use crate::{
    store::{Entry, Key},
    vault::{SecretId, Vault},
};
use keyway_catalog::Catalog;
use keyway_config::{Client, Model, Problem, Provider, Team};
use keyway_snapshot::{DigestKey, Secret, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a change does to one document.
#[derive(Debug)]
pub struct Touch {
    /// The version that it was built upon; 0 = none.
    pub expected: u64,
    /// The new document; `None` deletes.
    pub document: Option<Document>,
}

/// One line of what a change did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// What is done.
    pub op: Op,
    /// To what.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// What is done to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It was not there.
    Create,
    /// It was there and said something else.
    Update,
    /// It was there.
    Delete,
}

/// A made token, for the one answer that shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Whose it is.
    pub client: String,
    /// The token.
    pub token: TokenText,
}

/// A change in the making.
#[derive(Debug)]
pub struct Proposal<'a> {
    /// What it is built upon.
    pub state: &'a State,
    /// Documents to write or delete.
    pub touches: BTreeMap<Key, Touch>,
    /// Secrets to seal before the commit.
    pub secrets: BTreeMap<SecretId, Sealing>,
    /// Secrets to erase after it.
    pub erase: Vec<SecretId>,
    /// What is accepted without effect.
    pub warnings: Vec<Problem>,
    /// Tokens that were made.
    pub tokens: Vec<Shown>,
    /// The key pair that was made.
    pub pair: Option<MadePair>,
    /// As [`Author::trace`].
    pub trace: String,
    /// Providers that are known.
    catalog: &'a Catalog,
    vault: &'a Vault,
    digests: &'a DigestKey,
    made: Made,
    /// Milliseconds since 1970.
    now: u64,
    entry: Entry,
}

/// A secret on its way into the vault.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// What is sealed.
    pub secret: Secret,
    /// Where it may be sent.
    pub origins: BTreeSet<String>,
}

/// What proposals are made with.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// Providers that are known.
    pub catalog: &'a Catalog,
    /// Where secrets are.
    pub vault: &'a Vault,
    /// How tokens are digested.
    pub digests: &'a DigestKey,
}

// === impl Proposal ===

impl<'a> Proposal<'a> {
    /// Changes nothing yet. What it makes is marked as made so.
    #[must_use]
    pub fn new(state: &'a State, means: Means<'a>, author: &Author, at: u64) -> Self {
        let Means { catalog, vault, digests } = means;
        Self {
            state,
            touches: BTreeMap::new(),
            secrets: BTreeMap::new(),
            erase: Vec::new(),
            warnings: Vec::new(),
            tokens: Vec::new(),
            pair: None,
            catalog,
            trace: author.trace.clone(),
            vault,
            digests,
            made: author.made(at),
            now: at,
            entry: author.entry(at),
        }
    }

    /// When it is made, milliseconds since 1970.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// The version of the state that it makes.
    #[must_use]
    pub fn next(&self) -> Version {
        Version { epoch: self.state.epoch, counter: self.state.revision + 1 }
    }

    /// Makes or changes a provider. Keys that it does not name stay.
    ///
    /// # Errors
    /// When it names a key that is not there and has no secret.
    pub fn provider(&mut self, name: &str, mut spec: Provider) -> Result<(), Refusal> {
        let mut keys = self.state.provider(name).map(|(_, keys)| keys.to_vec()).unwrap_or_default();
        let has_keys = !keys.is_empty() || spec.credentials().next().is_some();
        let origins = crate::compile::origins_of(self.catalog, name, &spec, has_keys)?;
        for (place, offered) in spec.credentials().enumerate() {
            let place = place.saturating_sub(usize::from(spec.api_key.is_some()));
            let merged = self.merged(name, &origins, &mut keys, &offered);
            let merged = merged.map_err(|unmerged| unmerged.refusal(name, &offered.name, place))?;
            self.seal(merged.secret, &origins);
            self.erase.extend(merged.erase);
            if merged.seen_before {
                let field = format!("{}.keys.{}", Kind::Provider.path(name), offered.name);
                let reason = "holds a secret that this key had before; the version in use stays";
                self.warnings.push(Problem::new(field, reason));
            }
        }
        (spec.api_key, spec.keys) = (None, Vec::new());
        self.put(Kind::Provider, name, Body::Provider { spec: Box::new(spec), keys })
    }

    fn merged(
        &self,
        provider: &str,
        origins: &BTreeSet<String>,
        keys: &mut Vec<KeyDocument>,
        offered: &keyway_config::Key,
    ) -> Result<super::key::Merged, Unmerged> {
        let begin = |verb: Verb| Begin { probe: false, ..self.begin(verb, &How::default()) };
        merge(keys, offered, &self.merging(provider, origins, &begin))
    }

    fn merging<'b>(
        &'b self,
        provider: &'b str,
        origins: &'b BTreeSet<String>,
        begin: &'b dyn Fn(Verb) -> Begin,
    ) -> Merging<'b> {
        let (vault, made, now, next) = (self.vault, &self.made, self.now, self.next());
        Merging { provider, origins, vault, made, now, next, begin }
    }

    fn seal(&mut self, secret: Option<(SecretId, Secret)>, origins: &BTreeSet<String>) {
        let sealing = |(id, secret)| (id, Sealing { secret, origins: origins.clone() });
        self.secrets.extend(secret.map(sealing));
    }

    /// Makes or changes an alias.
    ///
    /// # Errors
    /// When it cannot be written as a document.
    pub fn model(&mut self, name: &str, spec: Model) -> Result<(), Refusal> {
        self.put(Kind::Model, name, Body::Model(spec))
    }

    /// Makes or changes a team.
    ///
    /// # Errors
    /// When it cannot be written as a document.
    pub fn team(&mut self, name: &str, spec: Team) -> Result<(), Refusal> {
        self.put(Kind::Team, name, Body::Team(spec))
    }

    /// Keeps a section of the file.
    ///
    /// # Errors
    /// When it cannot be written as a document.
    pub fn section(&mut self, name: &str, value: serde_json::Value) -> Result<(), Refusal> {
        self.put(Kind::Section, name, Body::Section(value))
    }

    /// Makes or changes a client. With a token in it that is the only valid one from then on, unless it is one of those that
    /// are valid; a new client without one gets a made one.
    ///
    /// # Errors
    /// When the system gives no randomness, or half a key pair is named.
    pub fn client(&mut self, name: &str, mut spec: Client) -> Result<(), Refusal> {
        let token = spec.token.take().map(|token| digest(self.digests, token.expose()));
        let there = self.state.get(Kind::Client, name).map(|held| &held.document.body);
        let (digests, handover) = match (token, there) {
            // A file that is applied again does not end the change of a token that it has one side of.
            (Some(token), Some(Body::Client { digests, handover, .. })) if digests.contains(&token) => {
                (digests.clone(), handover.clone())
            }
            (None, Some(Body::Client { digests, handover, .. })) => (digests.clone(), handover.clone()),
            (Some(token), _) => (vec![token], None),
            (None, _) => (vec![self.make_token(name)?], None),
        };
        let pair = self.pair_of(name, &mut spec)?;
        self.put(Kind::Client, name, Body::Client { spec: Box::new(spec), digests, pair, handover })
    }

    /// Gives a client a new token; the old one is refused from then on, or at the end of `handover`.
    ///
    /// # Errors
    /// When there is no such client, it has too many valid tokens, or the system gives no randomness.
    pub fn rotate_client(&mut self, name: &str, handover: Option<Handover>) -> Result<(), Refusal> {
        let held = self.state.get(Kind::Client, name).ok_or_else(|| self.not_found(Kind::Client, name))?;
        let Body::Client { spec, pair, digests: old, .. } = &held.document.body else {
            return Err(Refusal::Internal("a client's document holds something else"));
        };
        if handover.is_some() && old.len() >= TOKENS {
            let reason =
                format!("{name} has {} valid tokens already; without it all but the new one end", old.len());
            return Err(Refusal::field("overlap", reason));
        }
        let mut digests = vec![self.make_token(name)?];
        digests.extend(old.iter().filter(|_| handover.is_some()).cloned());
        self.put(
            Kind::Client,
            name,
            Body::Client { spec: spec.clone(), digests, pair: pair.clone(), handover },
        )
    }

    /// The old tokens of a client end, if it is still the change that began then.
    ///
    /// # Errors
    /// When it cannot be written as a document.
    pub(crate) fn end_handover(&mut self, name: &str, begun: u64, end: HandoverEnd) -> Result<(), Refusal> {
        let there = self.state.get(Kind::Client, name).map(|held| held.document.body.clone());
        let Some(Body::Client { spec, mut digests, pair, handover: Some(mut handover) }) = there else {
            return Ok(());
        };
        if handover.begun != begun || !handover.is_running() {
            return Ok(());
        }
        digests.truncate(1);
        handover.ended = Some(end);
        self.put(Kind::Client, name, Body::Client { spec, digests, pair, handover: Some(handover) })
    }

    /// Deletes a document, with all keys of a provider. Whoever calls it asks first who uses it.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn delete(&mut self, kind: Kind, name: &str) -> Result<(), Refusal> {
        let held = self.state.get(kind, name).ok_or_else(|| self.not_found(kind, name))?;
        match &held.document.body {
            Body::Provider { keys, .. } => keys.iter().for_each(|key| self.drop_key(name, key)),
            Body::Client { pair: Some(pair), .. } => self.erase.push(pair.secret_id(name)),
            _ => {}
        }
        self.touches.insert(kind.key(name), Touch { expected: held.version, document: None });
        Ok(())
    }

    /// Takes a key out of a provider that this change writes or that is there.
    ///
    /// # Errors
    /// When it cannot be written as a document.
    pub fn delete_key(&mut self, provider: &str, key: &str) -> Result<(), Refusal> {
        let written =
            self.touches.get(&Kind::Provider.key(provider)).and_then(|touch| touch.document.as_ref());
        let there = || self.state.get(Kind::Provider, provider).map(|held| &held.document);
        let Some(Body::Provider { spec, keys }) =
            written.or_else(there).map(|document| document.body.clone())
        else {
            return Err(self.not_found(Kind::Provider, provider));
        };
        let (gone, keys): (Vec<_>, Vec<_>) = keys.into_iter().partition(|one| one.name == key);
        gone.iter().for_each(|key| self.drop_key(provider, key));
        self.put(Kind::Provider, provider, Body::Provider { spec, keys })
    }

    /// What it does, in order.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let change = |(key, touch): (&Key, &Touch)| {
            let op = match (&touch.document, touch.expected) {
                (None, _) => Op::Delete,
                (Some(_), 0) => Op::Create,
                (Some(_), _) => Op::Update,
            };
            Some(Change { op, kind: Kind::of(key)?, name: key.name().to_owned() })
        };
        self.touches.iter().filter_map(change).collect()
    }

    /// What the audit log says of it.
    #[must_use]
    pub fn entry(&self) -> Entry {
        self.entry.clone()
    }

    /// There is nothing of that name; says what was perhaps meant.
    #[must_use]
    pub fn not_found(&self, kind: Kind, name: &str) -> Refusal {
        not_found(self.state, kind, name)
    }

    pub(super) fn make_token(&mut self, client: &str) -> Result<String, Refusal> {
        let token = TokenText::make().map_err(|_| Refusal::Internal("the system gives no randomness"))?;
        let kept = digest(self.digests, token.expose());
        self.tokens.push(Shown { client: client.to_owned(), token });
        Ok(kept)
    }

    fn drop_key(&mut self, provider: &str, key: &KeyDocument) {
        let kept = key.versions.iter().filter(|version| version.state.has_secret());
        self.erase.extend(kept.map(|version| version.secret_id(provider, &key.name)));
    }

    /// Writes a document unless it says what is there already.
    pub(crate) fn put(&mut self, kind: Kind, name: &str, body: Body) -> Result<(), Refusal> {
        let key = kind.key(name);
        let there = self.state.get(kind, name);
        let made = there.map_or_else(|| self.made.clone(), |held| held.document.made.clone());
        let document = Document { made, body };
        let text = |document: &Document| {
            document.encode().map_err(|_| Refusal::Internal("a document that is no JSON"))
        };
        let same = match there {
            Some(held) => text(&held.document)? == text(&document)?,
            None => false,
        };
        if same {
            self.touches.remove(&key);
        } else {
            let expected = there.map_or(0, |held| held.version);
            self.touches.insert(key, Touch { expected, document: Some(document) });
        }
        Ok(())
    }
}

/// There is nothing of that name; says what was perhaps meant.
#[must_use]
pub(crate) fn not_found(state: &State, kind: Kind, name: &str) -> Refusal {
    let nearest = keyway_config::nearest(name, state.each(kind).map(|(name, _)| name));
    Refusal::NotFound { kind, name: name.to_owned(), nearest }
}
