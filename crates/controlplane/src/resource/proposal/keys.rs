//! Changes of a key's versions: each finds the key, does one thing to it and writes its provider again.

use super::{Proposal, Sealing};
use crate::{
    resource::{
        Barred, Begin, Body, KeyDocument, KeyState, Kind, Refusal, Step, Trial, Verb,
        key::{Merging, stage},
    },
    vault::SecretId,
};
use keyway_config::{Provider, RotationStrategy, Span};
use keyway_snapshot::Secret;
use std::collections::BTreeSet;

/// How long old versions stay as standby unless the file or the command says otherwise.
const OVERLAP_MS: u64 = 10 * 60 * 1000;
/// After this a replica that has not acknowledged is named silent.
const ACK_TIMEOUT_MS: u64 = 2000;
/// How long each stage of a trial is watched.
const STEP_TIME_MS: u64 = 60_000;
/// Requests on the new version without which a stage of a trial proves nothing.
const STEP_REQUESTS: u64 = 50;

/// How a change is to be made; what is absent comes from the file's section `rotation`, else from the defaults.
#[derive(Debug, Clone, Default)]
pub struct How {
    /// The provider is not asked first.
    pub unverified: bool,
    /// Ends once it is verified.
    pub hold: bool,
    /// Milliseconds.
    pub overlap_ms: Option<u64>,
    /// Milliseconds.
    pub ack_timeout_ms: Option<u64>,
    /// Whether it is tried on some replicas first.
    pub strategy: Option<RotationStrategy>,
    /// Milliseconds that each stage is watched.
    pub step_ms: Option<u64>,
    /// Requests on the new version without which a stage proves nothing.
    pub step_requests: Option<u64>,
    /// The key's share of the requests, where the key is new.
    pub weight: Option<u32>,
    /// Attempts that still use a revoked version may finish.
    pub graceful: bool,
}

/// A key as a change finds it: its provider's document, and where it stands in it.
struct Found {
    spec: Box<Provider>,
    keys: Vec<KeyDocument>,
    place: usize,
}

impl Proposal<'_> {
    /// Takes a new secret in as the key's next version. Sent again with the same secret it is the same change, as long as
    /// that is under way or came to what is asked for.
    ///
    /// # Errors
    /// When there is no such key, another change is under way, or the key had this secret before.
    pub fn rotate_key(&mut self, provider: &str, key: &str, secret: &str, how: &How) -> Result<(), Refusal> {
        let mut found = self.found(provider, key)?;
        self.rotated(&mut found, provider, secret, how)?;
        self.written(provider, found)
    }

    /// Begins the rotation and gives its id; `None`: it is there already, and nothing was begun.
    fn rotated(
        &mut self,
        found: &mut Found,
        provider: &str,
        secret: &str,
        how: &How,
    ) -> Result<Option<String>, Refusal> {
        let origins = crate::compile::origins_of(self.catalog, provider, &found.spec, true)?;
        let fingerprint = self.vault.fingerprint(secret.as_bytes());
        let doc = found.key_mut()?;
        let key = doc.name.clone();
        if is_the_same(doc, &fingerprint, how.hold) {
            return Ok(None);
        }
        let waiting = doc.versions.iter().find(|one| {
            one.fingerprint == fingerprint && matches!(one.state, KeyState::Staged | KeyState::Verified)
        });
        let waiting = waiting.map(|one| one.version);
        let had = doc.versions.iter().find(|one| one.fingerprint == fingerprint && one.state.has_secret());
        if let (None, Some(had)) = (waiting, had) {
            let reason = format!(
                "is version {} of this key already ({}); to use it again: keyway key promote {provider}/{key} --version {0}",
                had.version,
                had.state.word(),
            );
            return Err(Refusal::field("secret", reason));
        }
        let to = match waiting {
            Some(version) => version,
            None => self.staged(doc, provider, secret, &origins)?,
        };
        let begin = Begin { to: Some(to), ..self.begin(Verb::Rotate, how) };
        let id = begin.id.clone();
        self.begun(doc, provider, begin)?;
        Ok(Some(id))
    }

    /// Takes in what a key's source gave. A secret that this key ever had changes nothing, and that is written down.
    ///
    /// # Errors
    /// As [`Self::rotate_key`].
    pub(crate) fn supply_key(
        &mut self,
        (provider, key): (&str, &str),
        secret: &keyway_config::Secret,
        (watched, jitter): (bool, u8),
    ) -> Result<(), Refusal> {
        let fingerprint = self.vault.fingerprint(secret.expose().as_bytes());
        let now = self.now;
        let mut found = self.found(provider, key)?;
        let doc = found.key_mut()?;
        // Taken away while it was asked.
        let Some(rotation) = doc.rotation.clone() else { return Ok(()) };
        let waits = |state: KeyState| matches!(state, KeyState::Staged | KeyState::Verified);
        let known = doc.versions.iter().find(|one| one.fingerprint == fingerprint && !waits(one.state));
        let known = known.map(|one| {
            let words =
                format!("it gives version {}, which this key had before ({})", one.version, one.state.word());
            if one.state == KeyState::Active {
                format!("it still gives version {}, which is in use", one.version)
            } else {
                words
            }
        });
        match known {
            Some(words) if watched => doc.supply.unchanged(&words, now),
            Some(words) => doc.supply.failed(&words, jitter, now),
            None => {
                let how = How {
                    // As the first secret in a file, which is in use at once.
                    unverified: doc.versions.is_empty(),
                    overlap_ms: millis(rotation.overlap),
                    ack_timeout_ms: millis(rotation.ack_timeout),
                    strategy: rotation.strategy,
                    step_ms: millis(rotation.step_time),
                    step_requests: rotation.step_requests,
                    ..How::default()
                };
                let begun = self.rotated(&mut found, provider, secret.expose(), &how)?;
                let supply = &mut found.key_mut()?.supply;
                match begun {
                    Some(id) => supply.rotated(&id, now),
                    None => supply.unchanged("it gives the version that is on its way into use", now),
                }
            }
        }
        self.written(provider, found)
    }

    /// Has a key's source asked for a secret at once.
    ///
    /// # Errors
    /// When it has none, or a change is under way.
    pub(crate) fn ask_source(&mut self, provider: &str, key: &str) -> Result<(), Refusal> {
        let now = self.now;
        let mut found = self.found(provider, key)?;
        let doc = found.key_mut()?;
        if doc.rotation.is_none() {
            let reason = "is not set: this key has no source; give the secret, or give the key a `rotation` in the file";
            return Err(Refusal::field(format!("providers.{provider}.keys.{key}.rotation"), reason));
        }
        if let Some(running) = doc.under_way().filter(|rollout| rollout.step != Step::Withdrawn) {
            let (verb, step, by) = (running.verb, running.step, running.actor.clone());
            return Err(barred(provider, key, Barred::UnderWay { verb, step, by }));
        }
        doc.supply.asked = now.max(1);
        self.written(provider, found)
    }

    /// Makes a new key of a provider, which is made too if the catalogue knows it.
    ///
    /// # Errors
    /// When the key is there already.
    pub fn add_key(&mut self, provider: &str, key: &str, secret: &str, how: &How) -> Result<(), Refusal> {
        let (spec, mut keys) = match self.state.provider(provider) {
            Some((spec, keys)) => (Box::new(spec.clone()), keys.to_vec()),
            None => (Box::default(), Vec::new()),
        };
        let fingerprint = self.vault.fingerprint(secret.as_bytes());
        let place = match keys.iter().position(|one| one.name == key) {
            // The same call sent again, or once more after a failure.
            Some(place) => {
                let there = keys.get(place).ok_or(Refusal::Internal("a key that is not there"))?;
                let first = there.versions.first().is_some_and(|one| one.fingerprint == fingerprint);
                if there.active().is_some() || there.under_way().is_some() {
                    let exists = Refusal::field("key", "exists; to replace its secret: keyway key rotate");
                    return if first { Ok(()) } else { Err(exists) };
                }
                place
            }
            None => {
                keys.push(KeyDocument::new(key, self.made.clone(), how.weight));
                keys.len() - 1
            }
        };
        let origins = crate::compile::origins_of(self.catalog, provider, &spec, true)?;
        let mut found = Found { spec, keys, place };
        let doc = found.key_mut()?;
        let to = self.staged(doc, provider, secret, &origins)?;
        self.begun(doc, provider, Begin { to: Some(to), ..self.begin(Verb::Add, how) })?;
        self.written(provider, found)
    }

    /// Brings a version into use that is there already; without a number the newest one that waits for it.
    ///
    /// # Errors
    /// When it cannot come into use.
    pub fn promote_key(
        &mut self,
        provider: &str,
        key: &str,
        version: Option<u32>,
        how: &How,
    ) -> Result<(), Refusal> {
        let mut found = self.found(provider, key)?;
        let doc = found.key_mut()?;
        let tried = || doc.on_trial().map(|(tried, ..)| tried);
        let newest = || doc.in_state(KeyState::Verified).chain(doc.in_state(KeyState::Staged)).max();
        let to =
            version.or_else(tried).or_else(newest).ok_or_else(|| barred(provider, key, Barred::Nothing))?;
        let proven = doc.version(to).is_some_and(|one| one.state == KeyState::Verified);
        let begin = self.begin(Verb::Promote, how);
        // Whoever promotes what is on trial has seen enough.
        let on_trial = doc.on_trial().is_some_and(|(tried, ..)| tried == to);
        let trial = begin.trial.filter(|_| !on_trial);
        self.begun(doc, provider, Begin { to: Some(to), probe: begin.probe && !proven, trial, ..begin })?;
        self.written(provider, found)
    }

    /// Brings the version before back into use, or the given one.
    ///
    /// # Errors
    /// When there is none, or its secret is erased.
    pub fn rollback_key(
        &mut self,
        provider: &str,
        key: &str,
        version: Option<u32>,
        how: &How,
    ) -> Result<(), Refusal> {
        let mut found = self.found(provider, key)?;
        let doc = found.key_mut()?;
        let to = match version {
            Some(version) => version,
            None => doc.before().map_err(|why| barred(provider, key, why))?,
        };
        let begin =
            Begin { to: Some(to), probe: false, hold: false, trial: None, ..self.begin(Verb::Rollback, how) };
        // Whoever goes back does not want the newer one as standby for long.
        let overlap_ms = how.overlap_ms.unwrap_or(0);
        self.begun(doc, provider, Begin { overlap_ms, ..begin })?;
        self.written(provider, found)
    }

    /// Takes versions out of use at once; without a number all that replicas hold.
    ///
    /// # Errors
    /// When there is nothing to take out.
    pub fn revoke_key(
        &mut self,
        provider: &str,
        key: &str,
        version: Option<u32>,
        how: &How,
    ) -> Result<(), Refusal> {
        let next = self.next();
        let begin = self.begin(Verb::Revoke, how);
        let begin = Begin { probe: false, hold: false, trial: None, overlap_ms: 0, ..begin };
        let now = self.now;
        let mut found = self.found(provider, key)?;
        let doc = found.key_mut()?;
        let served = || {
            let used = |state: KeyState| state.is_served() || state == KeyState::Withdrawn;
            doc.versions.iter().filter(|one| used(one.state)).map(|one| one.version).collect()
        };
        let versions = version.map_or_else(served, |one| vec![one]);
        let kept: Vec<SecretId> = ids_with_secret(doc, provider).collect();
        let done = doc.revoke(begin, &versions, (next, !how.graceful), now);
        done.map_err(|why| barred(provider, key, why))?;
        let left: BTreeSet<SecretId> = ids_with_secret(doc, provider).collect();
        self.erase.extend(kept.into_iter().filter(|id| !left.contains(id)));
        self.written(provider, found)
    }

    /// Erases the secret of a version that is not in use.
    ///
    /// # Errors
    /// When it is in use or not there.
    pub fn destroy_key(&mut self, provider: &str, key: &str, version: u32) -> Result<(), Refusal> {
        let mut found = self.found(provider, key)?;
        let doc = found.key_mut()?;
        let id = doc.version(version).map(|one| one.secret_id(provider, key));
        doc.destroy(version, self.now).map_err(|why| barred(provider, key, why))?;
        self.erase.extend(id);
        self.written(provider, found)
    }

    /// Lets a key's secrets go to one more origin.
    ///
    /// # Errors
    /// When the origin is no origin, or a secret cannot be opened.
    pub fn allow_origin(&mut self, provider: &str, key: &str, origin: &str) -> Result<(), Refusal> {
        let origin = crate::compile::origin(origin)
            .ok_or_else(|| Refusal::field("origin", "is no origin; give one like https://api.example.com"))?;
        let mut found = self.found(provider, key)?;
        for version in &mut found.key_mut()?.versions {
            if !version.state.has_secret() || version.origins.contains(&origin) {
                continue;
            }
            let old = version.secret_id(provider, key);
            let secret: Secret = self.vault.open(&old, &version.origins)?;
            version.seal += 1;
            version.origins.insert(origin.clone());
            let origins = version.origins.clone();
            self.secrets.insert(version.secret_id(provider, key), Sealing { secret, origins });
            self.erase.push(old);
        }
        self.written(provider, found)
    }

    /// Moves a key's rollout on: what the rotation itself does. `false` = nothing was done.
    ///
    /// # Errors
    /// When the key is gone.
    pub(crate) fn step_key(
        &mut self,
        (provider, key): (&str, &str),
        step: impl FnOnce(&mut KeyDocument, keyway_snapshot::Version, u64),
    ) -> Result<(), Refusal> {
        let (next, now) = (self.next(), self.now);
        let mut found = self.found(provider, key)?;
        let doc = found.key_mut()?;
        step(doc, next, now);
        self.written(provider, found)
    }

    /// What a change begins with.
    pub(crate) fn begin(&self, verb: Verb, how: &How) -> Begin {
        let section = self.state.rotation();
        let strategy = how.strategy.or(section.strategy).unwrap_or_default();
        let trial = (strategy == RotationStrategy::Staged).then(|| Trial {
            step_ms: how.step_ms.or(millis(section.step_time)).unwrap_or(STEP_TIME_MS),
            step_requests: how.step_requests.or(section.step_requests).unwrap_or(STEP_REQUESTS),
            replicas: Vec::new(),
            stages: Vec::new(),
            undone: false,
        });
        Begin {
            id: self.next().to_string(),
            verb,
            to: None,
            probe: !how.unverified,
            hold: how.hold,
            trial,
            overlap_ms: how.overlap_ms.or(millis(section.overlap)).unwrap_or(OVERLAP_MS),
            ack_timeout_ms: how.ack_timeout_ms.or(millis(section.ack_timeout)).unwrap_or(ACK_TIMEOUT_MS),
            trace: self.trace.clone(),
            actor: self.entry.actor.clone(),
        }
    }

    fn staged(
        &mut self,
        doc: &mut KeyDocument,
        provider: &str,
        secret: &str,
        origins: &BTreeSet<String>,
    ) -> Result<u32, Refusal> {
        let none = |verb: Verb| self.begin(verb, &How::default());
        let with: Merging<'_> = self.merging(provider, origins, &none);
        let version =
            stage(doc, secret, &with).map_err(|unmerged| unmerged.refusal(provider, &doc.name, 0))?;
        let secret = Secret::new(secret.as_bytes().to_vec());
        let id = doc.version(version).map(|one| one.secret_id(provider, &doc.name));
        self.seal(id.map(|id| (id, secret)), origins);
        Ok(version)
    }

    fn begun(&self, doc: &mut KeyDocument, provider: &str, begin: Begin) -> Result<(), Refusal> {
        let key = doc.name.clone();
        doc.begin(begin, self.now).map_err(|why| barred(provider, &key, why))
    }

    fn found(&self, provider: &str, key: &str) -> Result<Found, Refusal> {
        let name = format!("{provider}/{key}");
        let all = self.state.each(Kind::Provider).flat_map(|(name, held)| {
            let keys = match &held.document.body {
                Body::Provider { keys, .. } => keys.as_slice(),
                _ => &[],
            };
            keys.iter().map(move |key| format!("{name}/{}", key.name))
        });
        let missing = || {
            let all: Vec<String> = all.collect();
            let nearest = keyway_config::nearest(&name, all.iter().map(String::as_str));
            Refusal::NoKey { name: name.clone(), nearest }
        };
        let Some((spec, keys)) = self.state.provider(provider) else { return Err(missing()) };
        let place = keys.iter().position(|one| one.name == key).ok_or_else(missing)?;
        Ok(Found { spec: Box::new(spec.clone()), keys: keys.to_vec(), place })
    }

    fn written(&mut self, provider: &str, found: Found) -> Result<(), Refusal> {
        self.put(Kind::Provider, provider, Body::Provider { spec: found.spec, keys: found.keys })
    }
}

impl Found {
    fn key_mut(&mut self) -> Result<&mut KeyDocument, Refusal> {
        self.keys.get_mut(self.place).ok_or(Refusal::Internal("a key that is not there"))
    }
}

fn millis(span: Option<Span>) -> Option<u64> {
    span.map(Span::millis)
}

/// Whether the newest change is one with this secret that is under way, or came to what is asked for. What became of its
/// version since then counts: one that was held, refused or erased is not in use.
fn is_the_same(doc: &KeyDocument, fingerprint: &str, hold: bool) -> bool {
    let Some(rollout) = doc.rollout.as_ref().filter(|rollout| rollout.failure.is_none()) else {
        return false;
    };
    let to = rollout.to.and_then(|to| doc.version(to));
    let Some(to) = to.filter(|version| version.fingerprint == fingerprint) else { return false };
    match to.state {
        KeyState::Active => true,
        KeyState::Staged | KeyState::Verified => rollout.hold == hold,
        _ => !rollout.step.is_end(),
    }
}

fn ids_with_secret(doc: &KeyDocument, provider: &str) -> impl Iterator<Item = SecretId> {
    let kept = doc.versions.iter().filter(|one| one.state.has_secret());
    kept.map(move |one| one.secret_id(provider, &doc.name))
}

fn barred(provider: &str, key: &str, barred: Barred) -> Refusal {
    Refusal::Barred { key: format!("{provider}/{key}"), barred }
}
