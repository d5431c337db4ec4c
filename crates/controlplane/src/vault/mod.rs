//! The only room that sees provider secrets in clear. For now they are held in memory; sealing them on disk is a
//! matter of this room alone. `compile` asks it at the last moment.

use keyway_snapshot::Secret;
use parking_lot::Mutex;
use std::{collections::BTreeMap, fmt};
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

/// Secrets by id.
pub struct Vault {
    fingerprint_key: Zeroizing<[u8; 32]>,
    held: Mutex<BTreeMap<SecretId, Secret>>,
}

// === impl Vault ===

impl Vault {
    /// An empty vault; the same fingerprint key gives the same fingerprints.
    #[must_use]
    pub fn new(fingerprint_key: [u8; 32]) -> Self {
        Self { fingerprint_key: Zeroizing::new(fingerprint_key), held: Mutex::default() }
    }

    /// Tells whether two secrets are the same without keeping either: 64 hex digits.
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        blake3::keyed_hash(&self.fingerprint_key, secret).to_hex().to_string()
    }

    /// Takes a secret in.
    pub(crate) fn put(&self, id: SecretId, secret: Secret) {
        self.held.lock().insert(id, secret);
    }

    /// The secret in clear, for a snapshot and nothing else.
    pub(crate) fn open(&self, id: &SecretId) -> Option<Secret> {
        self.held.lock().get(id).cloned()
    }

    /// Forgets a secret; it is wiped when its last user lets go.
    pub(crate) fn erase(&self, id: &SecretId) {
        self.held.lock().remove(id);
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

    #[test]
    fn erased_is_gone() {
        let vault = Vault::new([1; 32]);
        let id = SecretId { provider: "p".to_owned(), key: "k".to_owned(), version: 1 };
        vault.put(id.clone(), Secret::new(b"x".to_vec()));
        assert!(vault.open(&id).is_some());
        vault.erase(&id);
        assert!(vault.open(&id).is_none());
    }
}
