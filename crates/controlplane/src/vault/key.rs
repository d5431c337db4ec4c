//! Symmetric keys, and the two ciphers of this room: AES-256-GCM for what a key encrypts once, AES-256-GCM-SIV for
//! what one key encrypts often, since there a nonce that came twice would show no more than that two texts are equal.

use super::VaultError;
use aws_lc_rs::aead::{
    AES_256_GCM, AES_256_GCM_SIV, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a key.
pub(super) const KEY: usize = 32;
/// Bytes of an authentication tag.
pub(super) const TAG: usize = 16;

/// 32 bytes on the heap: moved without leaving copies on the stack, wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Key(Box<[u8; KEY]>);

/// How often a key encrypts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    /// One text in its life.
    Once,
    /// Many.
    Often,
}

/// What came out of a cipher: nothing in it is secret.
#[derive(Debug, Clone)]
pub(super) struct Cipher {
    /// Random, never chosen.
    pub(super) nonce: [u8; NONCE_LEN],
    /// Ciphertext, then the tag.
    pub(super) text: Vec<u8>,
}

// === impl Key ===

impl Key {
    /// Made by the system.
    pub(super) fn random() -> Result<Self, VaultError> {
        let mut key = Self(Box::new([0; KEY]));
        getrandom::fill(&mut *key.0).map_err(|_| VaultError::System)?;
        Ok(key)
    }

    /// A copy of these; `None` if they are not 32.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Self(Box::new([0; KEY]));
        (bytes.len() == KEY).then(|| key.0.copy_from_slice(bytes))?;
        Some(key)
    }

    /// The bytes.
    pub(super) fn expose(&self) -> &[u8; KEY] {
        &self.0
    }

    /// Encrypts under a fresh nonce. Opening needs the same `aad`.
    pub(super) fn seal(&self, uses: Use, aad: &[u8], plain: &[u8]) -> Result<Cipher, VaultError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| VaultError::System)?;
        // Wiped should the cipher fail half way; room for the tag, so that it never moves while it is in clear.
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + TAG));
        text.extend_from_slice(plain);
        let key = self.cipher(uses).ok_or(VaultError::System)?;
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut text)
            .map_err(|_| VaultError::System)?;
        text.extend_from_slice(tag.as_ref());
        Ok(Cipher { nonce, text: std::mem::take(&mut *text) })
    }

    /// What was encrypted; `None` if key, `aad`, nonce or text are not those of sealing.
    pub(super) fn open(&self, uses: Use, aad: &[u8], cipher: &Cipher) -> Option<Zeroizing<Vec<u8>>> {
        let mut text = Zeroizing::new(cipher.text.clone());
        let nonce = Nonce::assume_unique_for_key(cipher.nonce);
        let length = self.cipher(uses)?.open_in_place(nonce, Aad::from(aad), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    fn cipher(&self, uses: Use) -> Option<LessSafeKey> {
        let algorithm: &'static Algorithm = match uses {
            Use::Once => &AES_256_GCM,
            Use::Often => &AES_256_GCM_SIV,
        };
        UnboundKey::new(algorithm, self.expose()).ok().map(LessSafeKey::new)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_was_sealed() {
        for uses in [Use::Once, Use::Often] {
            let (key, other) = (Key::random().unwrap(), Key::random().unwrap());
            let sealed = key.seal(uses, b"for a", b"text").unwrap();
            assert_eq!(key.open(uses, b"for a", &sealed).unwrap().as_slice(), b"text");
            assert!(key.open(uses, b"for b", &sealed).is_none());
            assert!(other.open(uses, b"for a", &sealed).is_none());
            for at in 0..sealed.text.len() {
                let mut bent = sealed.clone();
                bent.text[at] ^= 1;
                assert!(key.open(uses, b"for a", &bent).is_none());
            }
            let again = key.seal(uses, b"for a", b"text").unwrap();
            assert!(again.nonce != sealed.nonce && again.text != sealed.text);
        }
        assert_eq!(format!("{:?}", Key::random().unwrap()), "Key(..)");
        assert!(Key::from_slice(&[0; 31]).is_none());
    }

    /// RFC 8452, appendix C.2, and the GCM specification's case 13: the algorithms are those that are named.
    #[test]
    fn known_answers() {
        let mut one = [0; KEY];
        one[0] = 1;
        let mut nonce = [0; NONCE_LEN];
        nonce[0] = 3;
        let siv = Cipher { nonce, text: hex("07f5f4169bbf55a8400cd47ea6fd400f") };
        assert_eq!(Key::from_slice(&one).unwrap().open(Use::Often, b"", &siv).unwrap().len(), 0);
        let gcm = Cipher { nonce: [0; NONCE_LEN], text: hex("530f8afbc74536b9a963b4f1c4cb738b") };
        assert_eq!(Key::from_slice(&[0; KEY]).unwrap().open(Use::Once, b"", &gcm).unwrap().len(), 0);
    }

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }
}
