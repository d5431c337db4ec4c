//! Signatures of the control plane under its reports: Ed25519.

use super::{VaultError, key::Key};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};

/// The pair of a seed.
pub(super) fn pair(seed: &Key) -> Result<Ed25519KeyPair, VaultError> {
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| VaultError::System)
}

/// The half that may be known.
pub(super) fn public_key(pair: &Ed25519KeyPair) -> Vec<u8> {
    pair.public_key().as_ref().to_vec()
}

/// Whether whoever holds the other half of `public_key` signed `message`.
#[must_use]
pub fn verify(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = ParsedPublicKey::new(&ED25519, public_key);
    key.is_ok_and(|key| key.verify_sig(message, signature).is_ok())
}
