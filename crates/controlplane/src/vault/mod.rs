//! The only room that sees provider secrets in clear. On disk each lies in a file of its own, encrypted with its own
//! data key, which a key of the keyring wraps, which the root key opens. What is not for the right key, version,
//! cluster and addresses does not open. Never in the store, never in a backup of it.

mod envelope;
mod fault;
mod fields;
mod files;
mod key;
mod keyring;
mod packed;
mod rekey;
mod root;
mod seen;
mod sign;
mod start;
#[cfg(test)]
mod tests;

pub use fault::{Sealed, Unfit, VaultError};
pub(crate) use files::{Over, Place, make_file, private};
pub(crate) use packed::Packed;
pub use root::{CREDENTIAL, RootKey, Sources, private_file};
pub(crate) use seen::{short, shown};
pub use sign::verify;
pub(crate) use start::start_shared;
pub use start::{Opened, start};

use aws_lc_rs::signature::Ed25519KeyPair;
use envelope::Envelope;
use files::Files;
use keyring::Keyring;
use keyway_snapshot::Secret;
use parking_lot::RwLock;
use std::{collections::BTreeSet, fmt, path::Path, sync::Arc};
use zeroize::Zeroizing;

/// The vault's directory in the data directory.
const DIR: &str = "vault";
/// The folder of sealed secrets in it, and how their names end.
const FOLDER: &str = "secrets";
const SEALED: &str = ".sealed";
/// Hex digits of a secret's file name.
const NAME: usize = 32;

/// One version of one key of one provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretId {
    /// The provider.
    pub provider: String,
    /// Its key.
    pub key: String,
    /// The key's version.
    pub version: u32,
    /// Which sealing of it, from 0: sealed anew for other addresses it lies in another file until the change is
    /// committed, so that a change that is cut short leaves the old one whole.
    pub seal: u32,
}

/// Secrets by id, sealed. Its calls read and write small files and wait for the disk.
///
/// What it gives out cannot be written by a serialiser, as all else can:
/// ```
/// fn takes<T: serde::Serialize>() {}
/// takes::<Vec<u8>>();
/// ```
/// ```compile_fail,E0277
/// fn takes<T: serde::Serialize>() {}
/// takes::<keyway_snapshot::Secret>();
/// ```
///
/// A clone is the same vault, for a thread that may wait.
#[derive(Clone)]
pub struct Vault {
    files: Arc<Files>,
    /// Only the wrapping keys in it change.
    keyring: Arc<RwLock<Keyring>>,
    digest: Arc<key::Key>,
    fingerprint: Arc<key::Key>,
    signing: Arc<Ed25519KeyPair>,
    /// Where the root key is, for when the keyring is written again.
    root: Arc<RwLock<Sources>>,
}

// === impl SecretId ===

impl SecretId {
    /// A name that says nothing and fits every file system.
    fn file(&self) -> String {
        let mut id = fields::Fields::with_room(0);
        id.put(self.provider.as_bytes()).put(self.key.as_bytes());
        id.number(self.version.into()).number(self.seal.into());
        let hash = blake3::hash(id.bytes()).to_hex();
        format!("{FOLDER}/{}{SEALED}", hash.get(..NAME).unwrap_or_default())
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} version {}", self.provider, self.key, self.version)
    }
}

// === impl Vault ===

impl Vault {
    /// Opens the vault that is in the data directory `dir`. [`start`] decides whether to.
    ///
    /// # Errors
    /// [`Sealed`] with a keyring that is not there, of another root key or cluster, or damaged.
    pub fn unlock(dir: &Path, root: &RootKey, cluster: &str) -> Result<Self, VaultError> {
        Self::unlock_in(Self::files(dir), root, cluster)
    }

    fn unlock_in(files: Files, root: &RootKey, cluster: &str) -> Result<Self, VaultError> {
        let keyring = Keyring::read(&files, root, cluster)?;
        keyring.at_least(files.list(FOLDER)?.len());
        Self::over(files, keyring)
    }

    /// Makes one in the data directory `dir`. [`start`] decides whether to.
    ///
    /// # Errors
    /// [`VaultError::Exists`] over another keyring.
    pub fn create(dir: &Path, root: &RootKey, cluster: &str, now: u64) -> Result<Self, VaultError> {
        Self::create_in(Self::files(dir), root, cluster, now)
    }

    fn create_in(files: Files, root: &RootKey, cluster: &str, now: u64) -> Result<Self, VaultError> {
        files.make_dir(FOLDER)?;
        let keyring = Keyring::random(cluster, now)?;
        keyring.write(&files, root, Over::Nothing)?;
        Self::over(files, keyring)
    }

    /// One that is gone with the process, for tests: the same seals, in memory.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn ephemeral() -> Result<Self, VaultError> {
        Self::over(Files::Memory(parking_lot::Mutex::default()), Keyring::random("ephemeral", 0)?)
    }

    fn files(dir: &Path) -> Files {
        Files::Disk(dir.join(DIR))
    }

    fn over(files: Files, keyring: Keyring) -> Result<Self, VaultError> {
        Ok(Self {
            files: Arc::new(files),
            digest: Arc::new(keyring.digest.clone()),
            fingerprint: Arc::new(keyring.fingerprint.clone()),
            signing: Arc::new(sign::pair(&keyring.signing)?),
            keyring: Arc::new(RwLock::new(keyring)),
            root: Arc::default(),
        })
    }

    /// Finds its root key there when the keyring is written again.
    pub(super) fn rooted(self, sources: &Sources) -> Self {
        *self.root.write() = sources.clone();
        self
    }

    /// The root key, read anew: it is not kept.
    ///
    /// # Errors
    /// When it is not where it was.
    pub fn root(&self) -> Result<RootKey, VaultError> {
        let sources = self.root.read().clone();
        RootKey::find(&sources)?.ok_or_else(|| Sealed::NoRootKey { looked: sources.places() }.into())
    }

    /// The key of clients' token digests.
    #[must_use]
    pub fn digest_key(&self) -> &[u8; 32] {
        self.digest.expose()
    }

    /// Tells whether two secrets are the same without keeping either: 64 hex digits.
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        blake3::keyed_hash(self.fingerprint.expose(), secret).to_hex().to_string()
    }

    /// What only who holds this keyring can say: how control planes of one cluster know each other. 64 hex digits.
    pub(crate) fn peer_token(&self) -> String {
        // Not of the key of digests: that one is in every replica.
        let token = blake3::derive_key(
            "keyway 2026-11 token of control planes among themselves",
            self.fingerprint.expose(),
        );
        crate::hex::hex(&token)
    }

    /// Takes a secret in, to be sent to these addresses and no others. One that was there is replaced, by one step.
    ///
    /// # Errors
    /// When it is not on disk; what was there before then still is.
    pub fn put(&self, id: &SecretId, secret: &Secret, origins: &BTreeSet<String>) -> Result<(), VaultError> {
        self.files.write(&id.file(), &self.seal(id, secret, origins)?, Over::Anything)
    }

    /// Takes many in. Their folder is brought to the disk once, after the last of them.
    ///
    /// # Errors
    /// At the first that is not on disk; those before it may be.
    pub(crate) fn put_all<'a>(
        &self,
        all: impl Iterator<Item = (&'a SecretId, &'a Secret, &'a BTreeSet<String>)>,
    ) -> Result<(), VaultError> {
        let mut any = false;
        for (id, secret, origins) in all {
            self.files.replace(&id.file(), &self.seal(id, secret, origins)?)?;
            any = true;
        }
        if any { self.files.sync(FOLDER) } else { Ok(()) }
    }

    /// What its file holds.
    fn seal(
        &self,
        id: &SecretId,
        secret: &Secret,
        origins: &BTreeSet<String>,
    ) -> Result<Vec<u8>, VaultError> {
        let (cluster, kek) = {
            let keyring = self.keyring.read();
            (keyring.cluster.clone(), keyring.active()?.clone())
        };
        Envelope::seal(&cluster, &kek, id, origins, secret)?.encode()
    }

    /// The secret in clear, for a snapshot or a probe and nothing else. `origins` must be those that it was put for.
    ///
    /// # Errors
    /// [`VaultError::Missing`], [`VaultError::Integrity`].
    pub fn open(&self, id: &SecretId, origins: &BTreeSet<String>) -> Result<Secret, VaultError> {
        let unfit = |why| VaultError::Integrity { id: id.clone(), why };
        // Before the file: no version leaves the keyring between reading the one and opening with the other.
        let keyring = self.keyring.read();
        self.envelope(id)?.open(&keyring, id, origins).map_err(unfit)
    }

    /// Seals a secret anew, for other addresses or under the newest key, from those that its file is sealed for.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::put`].
    pub fn reseal(&self, id: &SecretId, origins: &BTreeSet<String>) -> Result<(), VaultError> {
        let sealed_for = self.envelope(id)?.origins;
        self.put(id, &self.open(id, &sealed_for)?, origins)
    }

    /// Forgets a secret. What was given out is wiped when its last user lets go.
    ///
    /// # Errors
    /// When its file cannot be removed. One that is not there is forgotten already.
    pub fn erase(&self, id: &SecretId) -> Result<(), VaultError> {
        self.files.remove(&id.file())
    }

    /// Whose secrets are here, by what their files say. Files that say nothing are left out.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn ids(&self) -> Result<Vec<SecretId>, VaultError> {
        let mut ids = Vec::new();
        for name in self.files.list(FOLDER)? {
            let file = self.files.read(&name)?;
            ids.extend(file.and_then(|file| Envelope::decode(&file)).map(|envelope| envelope.id));
        }
        Ok(ids)
    }

    /// Erases what no document names and what was not written to its end: leftovers of changes that were cut short. Returns
    /// how many files. Only while nothing is being changed: a secret comes in before its document. When nothing is known, no
    /// secret is erased: more likely the store is lost than every secret a leftover.
    ///
    /// # Errors
    /// When a file cannot be removed; the others may be.
    pub fn sweep(&self, known: &BTreeSet<SecretId>) -> Result<usize, VaultError> {
        let named: BTreeSet<String> = known.iter().map(SecretId::file).collect();
        let leftover = |name: &&String| !named.contains(*name) && !named.is_empty();
        let all = self.files.list(FOLDER)?;
        let leftovers: Vec<&String> = all.iter().filter(leftover).collect();
        leftovers.iter().try_for_each(|name| self.files.remove(name))?;
        Ok(leftovers.len() + self.files.remove_unfinished()?)
    }

    /// Whether [`Self::add_kek`] should be called: a year is over, or very many secrets came in.
    #[must_use]
    pub fn kek_is_due(&self, now: u64) -> bool {
        self.keyring.read().active().is_ok_and(|kek| kek.is_due(now))
    }

    /// Makes the next version of the key that wraps data keys; secrets that are put from now on are under it.
    ///
    /// # Errors
    /// When the keyring cannot be written; the old one then stays in force.
    pub fn add_kek(&self, root: &RootKey, now: u64) -> Result<(), VaultError> {
        let mut keyring = self.keyring.write();
        let next = keyring.with_next(now)?;
        next.write(&self.files, root, Over::Anything)?;
        *keyring = next;
        Ok(())
    }

    /// Seals what is kept of a request under its name: any control plane with this keyring opens it.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(crate) fn seal_answer(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let cipher = self.answer_key()?.seal(key::Use::Often, name.as_bytes(), plain)?;
        Ok([&cipher.nonce[..], &cipher.text].concat())
    }

    /// What was sealed; `None` = not here, or under another name.
    pub(crate) fn open_answer(&self, name: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.split_first_chunk()?;
        let cipher = key::Cipher { nonce: *nonce, text: text.to_vec() };
        self.answer_key().ok()?.open(key::Use::Often, name.as_bytes(), &cipher)
    }

    fn answer_key(&self) -> Result<key::Key, VaultError> {
        // Not of the key of digests: that one is in every replica.
        let derived = Zeroizing::new(blake3::derive_key(
            "keyway 2026-11 answers of the admin API",
            self.fingerprint.expose(),
        ));
        key::Key::from_slice(&*derived).ok_or(VaultError::System)
    }

    /// Signs in the name of this control plane.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.signing.sign(message).as_ref().to_vec()
    }

    /// What [`verify`] needs: 32 bytes that may be known.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        sign::public_key(&self.signing)
    }

    fn envelope(&self, id: &SecretId) -> Result<Envelope, VaultError> {
        let file = self.files.read(&id.file())?.ok_or_else(|| VaultError::Missing { id: id.clone() })?;
        let damaged = || VaultError::Integrity { id: id.clone(), why: Unfit::Damaged };
        Envelope::decode(&file).ok_or_else(damaged)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}
