//! Whose signature under a state counts: the keys that a node was told when it joined. Where it was told none, the key of
//! the first signed state that comes over the authenticated stream is kept, and no other counts from then on.

use aws_lc_rs::signature::{ED25519, ParsedPublicKey};

/// A signature of the control plane, as it came with a state and as it lies beside it on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Signature {
    /// Public half of the key that signed; empty = not signed.
    pub(crate) signer: Vec<u8>,
    /// Ed25519.
    pub(crate) bytes: Vec<u8>,
}

/// The keys that count; none = the first one will.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust(Vec<Vec<u8>>);

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untrusted {
    #[error("is missing")]
    Missing,
    #[error("is of a key that is not known here")]
    Unknown,
    #[error("is not of this state")]
    Wrong,
}

// === impl Trust ===

impl Trust {
    /// These keys count, and no other; of none, the first that comes.
    pub(crate) fn in_keys(keys: Vec<Vec<u8>>) -> Self {
        Self(keys)
    }

    /// Whether the signature under `bytes` counts.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn verify(&self, bytes: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        let Signature { signer, bytes: signed } = signature;
        if signer.is_empty() {
            return if self.0.is_empty() { Ok(()) } else { Err(Untrusted::Missing) };
        }
        if !self.0.is_empty() && !self.0.contains(signer) {
            return Err(Untrusted::Unknown);
        }
        let key = ParsedPublicKey::new(&ED25519, signer).map_err(|_| Untrusted::Unknown)?;
        key.verify_sig(bytes, signed).map_err(|_| Untrusted::Wrong)
    }

    /// A state of this signer is served: where nobody was known, it is the one.
    pub(crate) fn keep(&mut self, signer: &[u8]) {
        if self.0.is_empty() && !signer.is_empty() {
            self.0.push(signer.to_vec());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    pub(crate) fn sign(seed: u8, bytes: &[u8]) -> Signature {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let signer = pair.public_key().as_ref().to_vec();
        Signature { signer, bytes: pair.sign(bytes).as_ref().to_vec() }
    }

    #[test]
    fn the_first_key_is_kept_and_no_other_counts_after() {
        let mut trust = Trust::default();
        let (one, two) = (sign(1, b"state"), sign(2, b"state"));
        assert_eq!(trust.verify(b"state", &Signature::default()), Ok(()), "a control plane of before");
        assert_eq!(trust.verify(b"other", &one), Err(Untrusted::Wrong));
        assert_eq!(trust.verify(b"state", &one), Ok(()));
        trust.keep(&one.signer);
        trust.keep(&two.signer);
        assert_eq!(trust.verify(b"state", &one), Ok(()));
        assert_eq!(trust.verify(b"state", &two), Err(Untrusted::Unknown));
        assert_eq!(trust.verify(b"state", &Signature::default()), Err(Untrusted::Missing));
        let forged = Signature { signer: one.signer, bytes: two.bytes };
        assert_eq!(trust.verify(b"state", &forged), Err(Untrusted::Wrong));
        let trust = Trust::in_keys(vec![two.signer.clone()]);
        assert!(
            trust.verify(b"state", &sign(2, b"state")).is_ok()
                && trust.verify(b"state", &sign(1, b"state")).is_err()
        );
    }
}
