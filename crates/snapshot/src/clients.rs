//! All callers, found by keyed digest of their whole token. They lie in shards: a change of one copies the few shards
//! that it touches, and a state shares all others with the one before.

use crate::{Client, ClientState, DigestKey, Invalid, Pair, Pattern, ResourceName, Secret, TokenDigest};
use foldhash::fast::FixedState;
use keyway_proto::snapshot::v1::{self as wire, Kind, Resource};
use prost::Message;
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    sync::Arc,
};

const SHARDS: usize = 256;

/// All callers.
#[derive(Clone, Default)]
pub struct Clients {
    by_digest: Shards<HashMap<TokenDigest, Arc<Client>, BuildHasherDefault<DigestHasher>>>,
    by_access_key: Shards<HashMap<Box<str>, Pair>>,
    by_name: Shards<HashMap<Box<str>, Arc<Entry>>>,
    count: usize,
}

/// A client, and under what it is found.
struct Entry {
    client: Arc<Client>,
    digests: Vec<TokenDigest>,
    access_keys: Vec<Box<str>>,
}

/// Parts of a map, each shared until it is changed.
#[derive(Clone)]
struct Shards<T>(Vec<Arc<T>>);

/// A digest is uniform already: eight of its bytes are the hash, and another one names the shard.
#[derive(Debug, Default)]
struct DigestHasher(u64);

// === impl Clients ===

impl Clients {
    /// Takes and gives these: all are gone before the first comes, so that a token may move from one to another.
    ///
    /// # Errors
    /// The client that cannot be.
    pub(crate) fn changed<'a>(
        &self,
        key: &DigestKey,
        gone: impl Iterator<Item = &'a ResourceName>,
        mut given: impl Iterator<Item = &'a Resource> + Clone,
    ) -> Result<Self, Invalid> {
        let mut next = self.clone();
        gone.for_each(|named| next.remove(&named.name));
        given.clone().for_each(|resource| next.remove(&resource.name));
        given.try_for_each(|resource| next.add(key, resource))?;
        Ok(next)
    }

    fn remove(&mut self, name: &str) {
        let place = place_of(name);
        if !self.by_name.get(place).is_some_and(|shard| shard.contains_key(name)) {
            return;
        }
        let Some(entry) = self.by_name.edit(place).and_then(|shard| shard.remove(name)) else { return };
        for digest in &entry.digests {
            self.by_digest.edit(digest.shard()).map(|shard| shard.remove(digest));
        }
        for access_key in &entry.access_keys {
            self.by_access_key.edit(place_of(access_key)).map(|shard| shard.remove(access_key));
        }
        self.count -= 1;
    }

    fn add(&mut self, key: &DigestKey, resource: &Resource) -> Result<(), Invalid> {
        let bad = |field: &str, reason: &str| Invalid::new(Kind::Client, &resource.name, field, reason);
        let mut from =
            wire::Client::decode(resource.body.clone()).map_err(|_| bad("", "not a message of its kind"))?;
        let pairs = std::mem::take(&mut from.sigv4);
        if from.name != resource.name {
            return Err(bad("name", "is not the resource's"));
        }
        if from.state() == ClientState::Unspecified {
            return Err(bad("state", "unknown state"));
        }
        let digest = |digest: &Vec<u8>| <[u8; 32]>::try_from(digest.as_slice()).map(TokenDigest);
        let mut digests = from
            .token_digests
            .iter()
            .map(digest)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| bad("token_digests", "not 32 bytes"))?;
        let mut access_keys = Vec::with_capacity(pairs.len());
        for wire::KeyPair { access_key_id, secret_access_key } in pairs {
            let secret = Secret::new(secret_access_key.into_bytes());
            if access_key_id.is_empty() || secret.expose().is_empty() {
                return Err(bad("sigv4", "half a key pair"));
            }
            let digest = key.digest_pair(&access_key_id, secret.expose());
            digests.push(digest);
            let shard = self.by_access_key.edit(place_of(&access_key_id));
            let before =
                shard.and_then(|shard| shard.insert(access_key_id.as_str().into(), Pair { digest, secret }));
            if before.is_some() {
                return Err(bad("sigv4.access_key_id", "two clients hold the same access key"));
            }
            access_keys.push(access_key_id.into());
        }
        let models = (!from.all_models).then(|| from.models.iter().map(|text| Pattern::new(text)).collect());
        let client = Arc::new(Client {
            state: from.state(),
            models,
            expires_at: from.expires_at,
            name: from.name.as_str().into(),
            team: from.team.as_str().into(),
        });
        for digest in &digests {
            let shard = self.by_digest.edit(digest.shard());
            if shard.and_then(|shard| shard.insert(*digest, Arc::clone(&client))).is_some() {
                return Err(bad("token_digests", "two clients hold the same token"));
            }
        }
        if let Some(shard) = self.by_name.edit(place_of(&client.name)) {
            shard.insert(client.name.clone(), Arc::new(Entry { client, digests, access_keys }));
            self.count += 1;
        }
        Ok(())
    }

    /// The key pair of that access key.
    #[must_use]
    pub fn by_access_key(&self, access_key_id: &str) -> Option<&Pair> {
        self.by_access_key.get(place_of(access_key_id))?.get(access_key_id)
    }

    /// Whose token this is.
    #[must_use]
    pub fn by_digest(&self, digest: &TokenDigest) -> Option<&Arc<Client>> {
        self.by_digest.get(digest.shard())?.get(digest)
    }

    /// The client of that name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Client>> {
        self.by_name.get(place_of(name))?.get(name).map(|entry| &entry.client)
    }

    /// Tokens of `self` that let somebody in, and do not in `newer`: gone, or their client is disabled.
    pub fn revoked_in<'a>(&'a self, newer: &'a Clients) -> impl Iterator<Item = &'a TokenDigest> {
        let held = self.by_digest.differing(&newer.by_digest).flatten();
        let held = held.filter(|(_, client)| client.state == ClientState::Enabled);
        held.map(|(digest, _)| digest).filter(|digest| !newer.admits(digest))
    }

    /// Whether this token lets somebody in, as far as it does not depend on the time.
    #[must_use]
    pub fn admits(&self, digest: &TokenDigest) -> bool {
        self.by_digest(digest).is_some_and(|client| client.state == ClientState::Enabled)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients({})", self.len())
    }
}

// === impl Shards ===

impl<T: Default> Default for Shards<T> {
    fn default() -> Self {
        let one = Arc::default();
        Self((0..SHARDS).map(|_| Arc::clone(&one)).collect())
    }
}

impl<T: Clone> Shards<T> {
    fn get(&self, place: u8) -> Option<&T> {
        self.0.get(usize::from(place)).map(|shard| &**shard)
    }

    fn edit(&mut self, place: u8) -> Option<&mut T> {
        self.0.get_mut(usize::from(place)).map(Arc::make_mut)
    }

    /// What here is not the very same there.
    fn differing<'a>(&'a self, newer: &'a Self) -> impl Iterator<Item = &'a T> {
        let pairs = self.0.iter().zip(&newer.0);
        pairs.filter(|(old, new)| !Arc::ptr_eq(old, new)).map(|(old, _)| &**old)
    }
}

fn place_of(name: &str) -> u8 {
    let [first, ..] = FixedState::default().hash_one(name).to_le_bytes();
    first
}

// === impl TokenDigest ===

impl TokenDigest {
    fn shard(&self) -> u8 {
        let [first, ..] = self.0;
        first
    }
}

// === impl DigestHasher ===

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk::<8>() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
