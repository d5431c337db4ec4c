//! The keys that the root key opens: those that wrap data keys, in versions, and the cluster's own for digests,
//! fingerprints and signatures. One file, written whole.

use super::{
    RootKey, Sealed, VaultError,
    fields::{Fields, Reader},
    files::{Files, Over},
    key::{Cipher, KEY, Key, TAG, Use},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use zeroize::Zeroizing;

/// Its file.
pub(super) const FILE: &str = "keyring";
/// First field of the file.
const FORMAT: &[u8] = b"keyway keyring 1";
/// Data keys that one key may wrap before the next is due: far below what its cipher allows.
const WRAPS_LIMIT: u64 = 1 << 30;
/// Milliseconds for which one key is the one in use: a year.
const AGE_LIMIT: u64 = 365 * 24 * 60 * 60 * 1000;
/// Versions that are kept; one a year.
const VERSIONS_LIMIT: usize = 256;
/// Bytes of a version, and of everything else, as fields.
const VERSION_ROOM: usize = 3 * 12 + 4 + KEY;
const OWN_ROOM: usize = 12 + 3 * (4 + KEY);

/// Everything that the root key opens.
#[derive(Debug, Clone)]
pub(super) struct Keyring {
    /// Whose.
    pub(super) cluster: String,
    /// Digests client tokens.
    pub(super) digest: Key,
    /// Makes fingerprints of secrets.
    pub(super) fingerprint: Key,
    /// The Ed25519 seed.
    pub(super) signing: Key,
    /// By version, growing. The newest wraps; all unwrap.
    keks: Vec<Arc<Kek>>,
}

/// A key that wraps data keys.
#[derive(Debug)]
pub(super) struct Kek {
    /// Counts from 1.
    pub(super) version: u32,
    /// The key.
    pub(super) key: Key,
    /// Milliseconds since 1970.
    made_at: u64,
    /// Data keys wrapped so far. Kept when the keyring is written, and never less than there are files.
    wraps: AtomicU64,
}

// === impl Kek ===

impl Kek {
    fn random(version: u32, made_at: u64) -> Result<Arc<Self>, VaultError> {
        Ok(Arc::new(Self { version, key: Key::random()?, made_at, wraps: AtomicU64::new(0) }))
    }

    /// One more data key is wrapped.
    pub(super) fn count(&self) {
        self.wraps.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the next one should take its place.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.wraps.load(Ordering::Relaxed) >= WRAPS_LIMIT || now.saturating_sub(self.made_at) >= AGE_LIMIT
    }
}

// === impl Keyring ===

impl Keyring {
    /// A new one.
    pub(super) fn random(cluster: &str, now: u64) -> Result<Self, VaultError> {
        Ok(Self {
            cluster: cluster.to_owned(),
            digest: Key::random()?,
            fingerprint: Key::random()?,
            signing: Key::random()?,
            keks: vec![Kek::random(1, now)?],
        })
    }

    /// The one that wraps.
    pub(super) fn active(&self) -> Result<&Arc<Kek>, VaultError> {
        self.keks.last().ok_or(VaultError::System)
    }

    /// A version.
    pub(super) fn kek(&self, version: u32) -> Option<&Arc<Kek>> {
        self.keks.iter().find(|kek| kek.version == version)
    }

    /// The same with one version more.
    pub(super) fn with_next(&self, now: u64) -> Result<Self, VaultError> {
        let mut next = self.clone();
        let version = self.active()?.version.checked_add(1).ok_or(VaultError::System)?;
        if next.keks.len() >= VERSIONS_LIMIT {
            return Err(VaultError::TooManyVersions);
        }
        next.keks.push(Kek::random(version, now)?);
        Ok(next)
    }

    /// All versions, growing.
    pub(super) fn versions(&self) -> impl Iterator<Item = u32> {
        self.keks.iter().map(|kek| kek.version)
    }

    /// The same without the versions before that one; the newest always stays.
    pub(super) fn since_version(&self, first: u32) -> Self {
        let mut next = self.clone();
        let newest = next.keks.last().map_or(0, |kek| kek.version);
        next.keks.retain(|kek| kek.version >= first || kek.version == newest);
        next
    }

    /// At least that many data keys are wrapped by the newest.
    pub(super) fn at_least(&self, files: usize) {
        if let Ok(kek) = self.active() {
            kek.wraps.fetch_max(u64::try_from(files).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Seals and writes it.
    pub(super) fn write(&self, files: &Files, root: &RootKey, over: Over) -> Result<(), VaultError> {
        let name = root.name();
        let sealed = root.key.seal(Use::Often, &aad(&self.cluster, &name), self.payload().bytes())?;
        let mut file = Fields::with_room(0);
        file.put(FORMAT).put(self.cluster.as_bytes()).put(name.as_bytes());
        file.put(&sealed.nonce).put(&sealed.text);
        files.write(FILE, file.bytes(), over)
    }

    /// Reads and opens it.
    pub(super) fn read(files: &Files, root: &RootKey, cluster: &str) -> Result<Self, VaultError> {
        let path = files.path(FILE);
        let bytes = files.read(FILE)?.ok_or_else(|| Sealed::NoKeyring { path: path.clone() })?;
        let damaged = || Sealed::Damaged { path: path.clone() };
        let (keyring, wanted, sealed) = parse(&bytes).ok_or_else(damaged)?;
        let found = root.name();
        if found != wanted {
            return Err(Sealed::WrongRootKey { path: root.path().to_owned(), found, wanted }.into());
        }
        let plain = root.key.open(Use::Often, &aad(&keyring, &wanted), &sealed).ok_or_else(damaged)?;
        if keyring != cluster {
            return Err(Sealed::OtherCluster { keyring, data: cluster.to_owned() }.into());
        }
        Ok(Self::from_payload(keyring, &plain).ok_or_else(damaged)?)
    }

    /// Fields, not JSON: a serialiser would leave copies of the keys in buffers that nobody wipes.
    fn payload(&self) -> Fields {
        let mut payload = Fields::with_room(OWN_ROOM + self.keks.len() * VERSION_ROOM);
        for key in [&self.digest, &self.fingerprint, &self.signing] {
            payload.put(key.expose());
        }
        payload.number(u64::try_from(self.keks.len()).unwrap_or(u64::MAX));
        for kek in &self.keks {
            payload.number(kek.version.into()).put(kek.key.expose());
            payload.number(kek.made_at).number(kek.wraps.load(Ordering::Relaxed));
        }
        payload
    }

    fn from_payload(cluster: String, payload: &Zeroizing<Vec<u8>>) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let (digest, fingerprint) = (Key::from_slice(reader.take()?)?, Key::from_slice(reader.take()?)?);
        let signing = Key::from_slice(reader.take()?)?;
        let versions =
            usize::try_from(reader.number()?).ok().filter(|all| (1..=VERSIONS_LIMIT).contains(all))?;
        let mut keks = Vec::with_capacity(versions);
        for _ in 0..versions {
            let (version, key) = (reader.version()?, Key::from_slice(reader.take()?)?);
            let (made_at, wraps) = (reader.number()?, AtomicU64::new(reader.number()?));
            keks.push(Arc::new(Kek { version, key, made_at, wraps }));
        }
        reader.end()?;
        Some(Self { cluster, digest, fingerprint, signing, keks })
    }
}

/// How many versions the bytes of a keyring hold: its length says so without the root key. `None` for what is none.
pub(super) fn count(file: &[u8]) -> Option<usize> {
    let (_, _, sealed) = parse(file)?;
    Some(sealed.text.len().checked_sub(TAG + OWN_ROOM)? / VERSION_ROOM)
}

/// The versions that the bytes of a keyring hold; `None` if that root key does not open them.
pub(super) fn versions(file: &[u8], root: &RootKey) -> Option<Vec<u32>> {
    let (cluster, ..) = parse(file)?;
    let files =
        Files::Memory([(FILE.to_owned(), file.to_vec())].into_iter().collect::<BTreeMap<_, _>>().into());
    Some(Keyring::read(&files, root, &cluster).ok()?.versions().collect())
}

/// Cluster, name of the root key, what it opens.
fn parse(file: &[u8]) -> Option<(String, String, Cipher)> {
    let mut reader = Reader::new(file);
    (reader.take()? == FORMAT).then_some(())?;
    let (cluster, root) = (reader.text()?, reader.text()?);
    let sealed = Cipher { nonce: *reader.exact()?, text: reader.take()?.to_vec() };
    reader.end()?;
    Some((cluster, root, sealed))
}

fn aad(cluster: &str, root: &str) -> Vec<u8> {
    let mut aad = Fields::with_room(0);
    aad.put(FORMAT).put(b"keyring").put(cluster.as_bytes()).put(root.as_bytes());
    aad.bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer that grew would have left a copy of the keys behind.
    #[test]
    fn the_payload_never_grows() {
        let mut keyring = Keyring::random("c", 0).unwrap();
        for versions in 1..4 {
            assert_eq!(keyring.payload().bytes().len(), OWN_ROOM + versions * VERSION_ROOM);
            keyring = keyring.with_next(1).unwrap();
        }
    }

    #[test]
    fn counts_wraps_and_knows_when_the_next_is_due() {
        let keyring = Keyring::random("c", 5).unwrap();
        let due = |now| keyring.active().unwrap().is_due(now);
        assert!(!due(0) && !due(AGE_LIMIT + 4) && due(AGE_LIMIT + 5));
        keyring.at_least(usize::try_from(WRAPS_LIMIT).unwrap() - 1);
        keyring.at_least(3);
        assert!(!due(5));
        keyring.active().unwrap().count();
        assert!(due(5));
    }
}
