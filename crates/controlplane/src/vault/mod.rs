//! The only room that sees provider secrets in clear. For now they are held in memory; sealing them on disk is a
//! matter of this room alone. `compile` asks it at the last moment.

use keyway_snapshot::Secret;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use zeroize::Zeroizing;

/// Hex digits of a fingerprint that people see.
const SHOWN_FINGERPRINT: usize = 8;
/// Characters of a secret that people see, at its end, and the length below which they see none.
const SHOWN_END: usize = 4;
const SHOWN_FROM: usize = 12;

/// One version of one key of one provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretId {
    /// The provider.
    pub provider: String,
    /// Its key.
    pub key: String,
    /// The key's version.
    pub version: u32,
}

/// Interim.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Not there.
    #[error("missing")]
    Missing,
}

/// Secrets by id.
pub struct Vault {
    fingerprint_key: Zeroizing<[u8; 32]>,
    held: Mutex<BTreeMap<SecretId, Secret>>,
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.provider, self.key, self.version)
    }
}

// === impl Vault ===

impl Vault {
    /// An empty vault; the same fingerprint key gives the same fingerprints.
    #[must_use]
    pub fn new(fingerprint_key: [u8; 32]) -> Self {
        Self { fingerprint_key: Zeroizing::new(fingerprint_key), held: Mutex::default() }
    }

    /// The key of token digests.
    #[must_use]
    pub fn digest_key(&self) -> &[u8; 32] {
        &self.fingerprint_key
    }

    /// Interim.
    #[must_use]
    pub fn sign(&self, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    /// Interim.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Erases what is not known.
    pub(crate) fn sweep(&self, _: &BTreeSet<SecretId>) -> Result<(), VaultError> {
        Ok(())
    }

    /// Tells whether two secrets are the same without keeping either: 64 hex digits.
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        blake3::keyed_hash(&self.fingerprint_key, secret).to_hex().to_string()
    }

    /// A vault in memory, for tests.
    pub fn ephemeral() -> Result<Self, VaultError> {
        Ok(Self::new([7; 32]))
    }

    /// Takes a secret in.
    pub(crate) fn put(&self, id: &SecretId, secret: &Secret, _: &BTreeSet<String>) -> Result<(), VaultError> {
        self.held.lock().insert(id.clone(), secret.clone());
        Ok(())
    }

    /// The secret in clear, for a snapshot and nothing else.
    pub(crate) fn open(&self, id: &SecretId, _: &BTreeSet<String>) -> Result<Secret, VaultError> {
        self.held.lock().get(id).cloned().ok_or(VaultError::Missing)
    }

    /// Forgets a secret; it is wiped when its last user lets go.
    pub(crate) fn erase(&self, id: &SecretId) -> Result<(), VaultError> {
        self.held.lock().remove(id);
        Ok(())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} secrets)", self.held.lock().len())
    }
}

/// What of a secret may be seen: `sk-…` and its last four characters; of a short one nothing.
#[must_use]
pub(crate) fn shown(secret: &str) -> String {
    let characters: Vec<char> = secret.chars().collect();
    let prefix = secret.split_once('-').map(|(head, _)| head).filter(|head| head.len() <= SHOWN_END);
    let prefix = prefix.map(|head| format!("{head}-")).unwrap_or_default();
    match characters.len().checked_sub(SHOWN_END).and_then(|start| characters.get(start..)) {
        Some(end) if characters.len() >= SHOWN_FROM => format!("{prefix}…{}", end.iter().collect::<String>()),
        _ => "…".to_owned(),
    }
}

/// The first digits of a fingerprint.
#[must_use]
pub(crate) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..SHOWN_FINGERPRINT).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_little() {
        assert_eq!(shown("sk-proj-0123456789abcdef"), "sk-…cdef");
        assert_eq!(shown("AIzaSy0123456789"), "…6789");
        assert_eq!(shown("short-one"), "…");
        assert_eq!(shown("ключ-длинный-ключ"), "…ключ");
    }

    #[test]
    fn same_secret_same_fingerprint() {
        let vault = Vault::new([1; 32]);
        assert_eq!(vault.fingerprint(b"a"), vault.fingerprint(b"a"));
        assert_ne!(vault.fingerprint(b"a"), vault.fingerprint(b"b"));
        assert_ne!(vault.fingerprint(b"a"), Vault::new([2; 32]).fingerprint(b"a"));
    }
}
