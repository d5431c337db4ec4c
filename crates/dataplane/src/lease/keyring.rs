//! The newest keys of every provider, and those that are on their way out.
//!
//! A new ring is made beside the old one; keys that gain a right get it before the swap and keys that lose one lose it
//! after, so that at no moment a request finds the old version closed and the new one not there yet.

use super::{Key, key::KeyState};
use crate::quota::Domain;
use foldhash::HashMap;
use keyway_proto::fleet::v1::KeyUse;
use keyway_snapshot::{Credential, CredentialState, Provider, Snapshot};
use std::{collections::HashSet, sync::Arc};

/// The newest keys of every provider.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keyring {
    by_provider: HashMap<Box<str>, Keys>,
    /// What keys share; one that a new state names too goes on with what is known of it.
    domains: HashMap<Box<str>, Arc<Domain>>,
    /// Revoked, or in no state any more and perhaps still in use. Never chosen.
    leaving: Vec<Arc<Key>>,
    /// Secrets must not be used: the control plane has been silent for too long.
    lapsed: bool,
    /// Whose it is: versions on trial are active on some replicas only.
    replica: Arc<str>,
}

#[derive(Debug, Clone)]
struct Keys {
    keys: Vec<Arc<Key>>,
    keyless: bool,
}

/// What a new ring changes of keys that the old one holds too.
#[derive(Debug, Default)]
pub(crate) struct Changes(Vec<(Arc<Key>, KeyState)>);

// === impl Keyring ===

impl Keyring {
    /// A replica's, without keys.
    pub(crate) fn of_replica(id: &str) -> Self {
        Self { replica: id.into(), ..Self::default() }
    }

    /// The keys of this snapshot, and what changes with it. A key that `before` knows by the same version and secret
    /// goes on with its counts and health.
    pub(crate) fn build(snapshot: &Snapshot, before: &Keyring) -> (Self, Changes) {
        let replica = Arc::clone(&before.replica);
        let mut ring = Self { lapsed: before.lapsed, replica, ..Self::default() };
        let mut changes = Changes::default();
        for (name, provider) in snapshot.providers.iter() {
            let mut keys = Vec::new();
            for credential in snapshot.credentials.get(name).into_iter().flatten() {
                let quota = ring.share(before, &credential.provider, &credential.quota);
                if credential.state == CredentialState::Revoked {
                    ring.revoke((credential, quota), provider, before, &mut changes);
                    continue;
                }
                let state = credential.state_on(&ring.replica).into();
                let key = before.known(provider, credential, &quota);
                let key = key.unwrap_or_else(|| Arc::new(Key::new(provider, credential, state, quota)));
                key.weigh(credential.weight);
                key.try_out(credential.is_on_trial_on(&ring.replica));
                changes.enter(&key, state);
                keys.push(key);
            }
            if keys.is_empty() && provider.is_keyless() {
                let none = before.find(name, &format!("{name}/none/0"));
                let quota = ring.share(before, name, "none");
                keys.push(none.unwrap_or_else(|| Arc::new(Key::none(name, quota))));
            }
            let keyless = provider.is_keyless();
            ring.by_provider.insert(name.clone(), Keys { keys, keyless });
        }
        ring.leave(before, &mut changes);
        (ring, changes)
    }

    /// The quota domain of this name.
    fn share(&mut self, before: &Keyring, provider: &str, name: &str) -> Arc<Domain> {
        let id = format!("{provider}/{name}");
        let known = self.domains.get(&*id).or_else(|| before.domains.get(&*id)).cloned();
        let domain = known.unwrap_or_else(|| Arc::new(Domain::new(id)));
        self.domains.entry(domain.id.clone()).or_insert(domain).clone()
    }

    fn revoke(
        &mut self,
        (credential, quota): (&Credential, Arc<Domain>),
        provider: &Provider,
        before: &Keyring,
        changes: &mut Changes,
    ) {
        let id = credential.id();
        let known: Vec<_> = before.everything().filter(|key| *key.id == *id).cloned().collect();
        if known.is_empty() {
            // Named in reports, so that it is known to be out of use here.
            self.leaving.push(Arc::new(Key::new(provider, credential, KeyState::Revoked, quota)));
        }
        for key in known {
            changes.enter(&key, KeyState::Revoked);
            self.leaving.push(Arc::new(key.without_secret()));
        }
    }

    /// What the new ring does not hold is withdrawn, and kept until its last use was reported.
    fn leave(&mut self, before: &Keyring, changes: &mut Changes) {
        let held: HashSet<u64> = self.everything().map(|key| key.number).collect();
        for old in before.everything().filter(|old| !held.contains(&old.number)) {
            if old.state() == KeyState::Withdrawn && old.is_over() {
                if let Some(same) = self.find(old.provider(), &old.id) {
                    same.absorb(old);
                }
                continue;
            }
            // What was cut stays cut, also where the state no longer names it.
            if old.state() != KeyState::Revoked || old.is_over() {
                changes.enter(old, KeyState::Withdrawn);
            }
            self.leaving.push(Arc::new(old.without_secret()));
        }
    }

    /// Nobody may use any of them any more, and who does is cut.
    pub(crate) fn close(&self) {
        self.everything().for_each(|key| key.enter(KeyState::Revoked));
    }

    /// The same, with secrets in use or not.
    pub(crate) fn lapse(&self, lapsed: bool) -> Self {
        Self { lapsed, ..self.clone() }
    }

    /// Whether secrets must not be used.
    pub(crate) fn is_lapsed(&self) -> bool {
        self.lapsed
    }

    /// The keys of a provider that may be used, in no order.
    pub(crate) fn of(&self, provider: &str) -> &[Arc<Key>] {
        match self.by_provider.get(provider) {
            Some(keys) if keys.keyless || !self.lapsed => &keys.keys,
            Some(_) | None => &[],
        }
    }

    /// Every key that requests may take.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.by_provider.values().flat_map(|of| &of.keys)
    }

    /// These, and what is on its way out.
    pub(crate) fn everything(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.all().chain(&self.leaving)
    }

    /// What its keys share.
    pub(crate) fn domains(&self) -> impl Iterator<Item = &Arc<Domain>> {
        self.domains.values()
    }

    /// The quota domain of that id, `provider/domain`.
    pub(crate) fn domain(&self, id: &str) -> Option<&Arc<Domain>> {
        self.domains.get(id)
    }

    /// The key of that id.
    pub(crate) fn find(&self, provider: &str, id: &str) -> Option<Arc<Key>> {
        self.by_provider.get(provider)?.keys.iter().find(|key| *key.id == *id).cloned()
    }

    /// The key of that id, whosever it is.
    pub(crate) fn named(&self, id: &str) -> Option<Arc<Key>> {
        self.find(id.split('/').next().unwrap_or_default(), id)
    }

    /// Whether attempts with the key of that number are to be cut.
    pub(crate) fn is_revoked(&self, number: u64) -> bool {
        self.leaving.iter().any(|key| key.number == number && key.state() == KeyState::Revoked)
    }

    /// What the control plane learns of every key version, one row an id, as counted now. Who waits for a count of 0
    /// has been told with it.
    pub(crate) fn report(&self) -> Vec<KeyUse> {
        self.rows(Key::tell)
    }

    /// As `report`, for who only looks.
    pub(crate) fn uses(&self) -> Vec<KeyUse> {
        self.rows(|_, _| {})
    }

    fn rows(&self, tell: impl Fn(&Key, u64)) -> Vec<KeyUse> {
        let told = |key: &Arc<Key>| {
            let row = key.report();
            tell(key, row.in_flight);
            row
        };
        let mut rows: Vec<KeyUse> = self.all().map(told).collect();
        for key in &self.leaving {
            let over = key.state() == KeyState::Withdrawn && key.is_over();
            let row = told(key);
            match rows.iter_mut().find(|known| known.id == row.id) {
                Some(known) => add(known, &row),
                None if over => {}
                None => rows.push(row),
            }
        }
        rows
    }

    /// Whether somebody waits to hear of a version, and whether there is something to say.
    pub(crate) fn awaited(&self) -> (bool, bool) {
        let keys = self.everything().map(|key| (key.is_awaited(), key.is_drained()));
        keys.fold((false, false), |sum, one| (sum.0 || one.0, sum.1 || one.1))
    }

    fn known(&self, provider: &Provider, credential: &Credential, quota: &Arc<Domain>) -> Option<Arc<Key>> {
        let id = credential.id();
        let held = self.by_provider.get(&credential.provider).into_iter().flat_map(|of| &of.keys);
        held.chain(&self.leaving)
            .filter(|key| *key.id == *id)
            .find_map(|key| key.again(provider, credential, quota))
    }
}

/// A version whose secret or presentation was replaced is one version still.
fn add(known: &mut KeyUse, row: &KeyUse) {
    known.in_flight += row.in_flight;
    known.started += row.started;
    known.standby += row.standby;
    known.refused += row.refused;
    known.failed += row.failed;
    known.faults += row.faults;
    known.throttled += row.throttled;
    known.timeouts += row.timeouts;
    known.last_use_unix_millis = known.last_use_unix_millis.max(row.last_use_unix_millis);
}

// === impl Changes ===

impl Changes {
    fn enter(&mut self, key: &Arc<Key>, state: KeyState) {
        if key.state() != state {
            self.0.push((Arc::clone(key), state));
        }
    }

    /// Before the swap: rights that are gained.
    pub(crate) fn grant(&self) {
        self.0.iter().filter(|(key, state)| (*state as u8) < key.state() as u8).for_each(|(key, state)| {
            key.enter(*state);
        });
    }

    /// After the swap: rights that are lost. From here on, a count of 0 is proof. True if attempts are to be cut.
    pub(crate) fn take_away(&self) -> bool {
        self.0.iter().for_each(|(key, state)| key.enter(*state));
        self.0.iter().any(|(_, state)| *state == KeyState::Revoked)
    }
}
