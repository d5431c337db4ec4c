//! Provider keys as this replica uses them: one `Key` a version, leased per attempt, with what is known of its health.
//!
//! A lease counts up first and reads the key's state again: a key that is being withdrawn in that moment is given back,
//! so that "state changed, then count read as 0" means that nobody uses it any more.

mod health;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use keyway_snapshot::{Auth, Credential, CredentialState, Provider, Secret, Snapshot};
use memchr::memmem;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

pub(crate) use health::{Due, Health};

const ACTIVE: u8 = 0;
const RETIRING: u8 = 1;
const WITHDRAWN: u8 = 2;

/// One version of one key.
#[derive(Debug)]
pub(crate) struct Key {
    /// `provider/key/version`.
    pub(crate) id: Arc<str>,
    /// Share among the provider's keys.
    pub(crate) weight: u32,
    /// What is known of it here.
    pub(crate) health: Health,
    present: Presented,
    secret: Option<Secret>,
    state: AtomicU8,
    in_flight: AtomicU64,
    uses: AtomicU64,
}

/// How it goes into a request.
#[derive(Debug, Clone)]
pub(crate) enum Presented {
    Nothing,
    Header(HeaderName, HeaderValue),
    Query(String),
}

/// A key in use by one attempt.
#[derive(Debug)]
pub(crate) struct Lease {
    key: Arc<Key>,
}

/// The newest keys of every provider.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    by_provider: HashMap<Box<str>, Vec<Arc<Key>>>,
}

/// Bytes of a secret, wiped when the last header that shows them is gone.
struct Shown(zeroize::Zeroizing<Vec<u8>>);

// === impl Keyring ===

impl Keyring {
    /// The keys of this snapshot. A key that `before` knows by the same version and secret goes on with its counts and
    /// health; keys that are gone are withdrawn.
    pub(crate) fn build(snapshot: &Snapshot, before: &Keyring) -> Self {
        let mut by_provider = HashMap::with_capacity(snapshot.providers.len());
        for (name, provider) in &snapshot.providers {
            let mut keys: Vec<Arc<Key>> = Vec::new();
            for credential in snapshot.credentials.get(name).into_iter().flatten() {
                keys.push(
                    before.known(credential).unwrap_or_else(|| Arc::new(Key::new(provider, credential))),
                );
            }
            if keys.is_empty() && (provider.built_in || matches!(provider.auth, Auth::None)) {
                let none = before.find(name, &format!("{name}/none/0"));
                keys.push(none.unwrap_or_else(|| Arc::new(Key::none(name))));
            }
            by_provider.insert(name.clone(), keys);
        }
        let ring = Self { by_provider };
        for old in before
            .all()
            .filter(|old| ring.find(old.provider(), &old.id).is_none_or(|new| !Arc::ptr_eq(&new, old)))
        {
            old.state.store(WITHDRAWN, Ordering::SeqCst);
        }
        ring
    }

    /// The keys of a provider, in no order.
    pub(crate) fn of(&self, provider: &str) -> &[Arc<Key>] {
        self.by_provider.get(provider).map_or(&[], Vec::as_slice)
    }

    /// Every key.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.by_provider.values().flatten()
    }

    /// The key of that id.
    pub(crate) fn find(&self, provider: &str, id: &str) -> Option<Arc<Key>> {
        self.of(provider).iter().find(|key| *key.id == *id).cloned()
    }

    fn known(&self, credential: &Credential) -> Option<Arc<Key>> {
        let key = self.find(&credential.provider, &credential.id())?;
        let same = key.secret.as_ref().is_some_and(|known| known.expose() == credential.secret.expose())
            && key.weight == credential.weight;
        same.then(|| {
            key.state.store(state_of(credential.state), Ordering::SeqCst);
            key
        })
    }
}

fn state_of(state: CredentialState) -> u8 {
    match state {
        CredentialState::Active => ACTIVE,
        CredentialState::Retiring => RETIRING,
        CredentialState::Unspecified | CredentialState::Revoked => WITHDRAWN,
    }
}

// === impl Key ===

impl Key {
    fn new(provider: &Provider, credential: &Credential) -> Self {
        let present = match &provider.auth {
            Auth::None | Auth::Unsupported(_) => Presented::Nothing,
            Auth::Header(name, prefix) => header(prefix, &credential.secret)
                .map_or(Presented::Nothing, |value| Presented::Header(name.clone(), value)),
            Auth::Query(name) => Presented::Query(name.to_string()),
        };
        Self {
            id: credential.id().into(),
            weight: credential.weight,
            health: Health::default(),
            present,
            secret: Some(credential.secret.clone()),
            state: AtomicU8::new(state_of(credential.state)),
            in_flight: AtomicU64::new(0),
            uses: AtomicU64::new(0),
        }
    }

    /// For a provider that asks for none: counted and watched like any other.
    fn none(provider: &str) -> Self {
        Self {
            id: format!("{provider}/none/0").into(),
            weight: 1,
            health: Health::default(),
            present: Presented::Nothing,
            secret: None,
            state: AtomicU8::new(ACTIVE),
            in_flight: AtomicU64::new(0),
            uses: AtomicU64::new(0),
        }
    }

    fn provider(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// Whether new requests may take it.
    pub(crate) fn is_active(&self) -> bool {
        self.state.load(Ordering::SeqCst) == ACTIVE
    }

    /// Whether it waits to go and serves only who was refused everywhere else.
    pub(crate) fn is_standby(&self) -> bool {
        self.state.load(Ordering::SeqCst) == RETIRING
    }

    /// Attempts that hold it now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Attempts that ever held it in this process.
    pub(crate) fn uses(&self) -> u64 {
        self.uses.load(Ordering::Relaxed)
    }

    /// Takes it for one attempt; `None` if it was withdrawn meanwhile.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let lease = Lease { key: Arc::clone(self) };
        if self.state.load(Ordering::SeqCst) == WITHDRAWN {
            return None;
        }
        self.uses.fetch_add(1, Ordering::Relaxed);
        Some(lease)
    }
}

// === impl Lease ===

impl Lease {
    pub(crate) fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// How it goes into the request.
    pub(crate) fn presented(&self) -> &Presented {
        &self.key.present
    }

    /// The secret for a query; empty where there is none.
    pub(crate) fn secret(&self) -> &[u8] {
        self.key.secret.as_ref().map_or(&[], Secret::expose)
    }

    /// Whether these bytes hold the secret: what a provider echoes must not reach the caller.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        let secret = self.secret();
        !secret.is_empty() && bytes.len() >= secret.len() && memmem::find(bytes, secret).is_some()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.key.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

fn header(prefix: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(prefix.len() + secret.expose().len()));
    text.extend_from_slice(prefix.as_bytes());
    text.extend_from_slice(secret.expose());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(Shown(text))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl AsRef<[u8]> for Shown {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
