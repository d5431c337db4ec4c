//! Reads a request for a certificate (PKCS #10): the key in it, and whether whoever sent it holds the other half. Only ECDSA
//! P-256, and nothing else of the request counts: what a certificate says is said by the control plane. Strangers reach
//! this, so it reads no more than it needs.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};

/// Bytes of an uncompressed point of P-256.
const POINT: usize = 65;
/// A SubjectPublicKeyInfo of P-256, up to the point.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// ecdsa-with-SHA256.
const SIGNED_WITH: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
/// The length stands in so many bytes that follow.
const LONG_BY_ONE: u8 = 0x81;
const LONG_BY_TWO: u8 = 0x82;

/// A public key of P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublicKey([u8; POINT]);

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no request for a certificate over a key of ECDSA P-256, signed by that key")]
pub(crate) struct BadRequest;

// === impl PublicKey ===

impl PublicKey {
    /// The key that a request is about.
    ///
    /// # Errors
    /// When it is none, or is not signed by that key.
    pub(crate) fn of_request(der: &[u8]) -> Result<Self, BadRequest> {
        let (key, info, signature) = parts(der).ok_or(BadRequest)?;
        if key.verifies(info, signature) { Ok(key) } else { Err(BadRequest) }
    }

    /// As documents hold it.
    pub(crate) fn from_point(point: &[u8]) -> Option<Self> {
        let point: [u8; POINT] = point.try_into().ok()?;
        let known = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        known.is_ok().then_some(Self(point))
    }

    /// As certificates hold it.
    pub(crate) fn from_spki(spki: &[u8]) -> Option<Self> {
        Self::from_point(spki.strip_prefix(&SPKI)?)
    }

    pub(crate) fn point(&self) -> &[u8] {
        &self.0
    }

    /// Whether the other half signed this.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.0);
        key.is_ok_and(|key| key.verify_sig(message, signature).is_ok())
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The key, what is signed, and the signature.
fn parts(der: &[u8]) -> Option<(PublicKey, &[u8], &[u8])> {
    let (whole, rest) = take(der, SEQUENCE)?;
    rest.is_empty().then_some(())?;
    let (info, after_info) = take(whole.inside, SEQUENCE)?;
    let (algorithm, after_algorithm) = take(after_info, SEQUENCE)?;
    (algorithm.inside == SIGNED_WITH).then_some(())?;
    let (signature, rest) = take(after_algorithm, BIT_STRING)?;
    rest.is_empty().then_some(())?;
    let (version, after_version) = take(info.inside, INTEGER)?;
    (version.inside == [0]).then_some(())?;
    let (_name, after_name) = take(after_version, SEQUENCE)?;
    let (spki, _attributes) = take(after_name, SEQUENCE)?;
    Some((PublicKey::from_spki(spki.whole)?, info.whole, signature.inside.strip_prefix(&[0])?))
}

struct Element<'a> {
    whole: &'a [u8],
    inside: &'a [u8],
}

/// The next element, which has to have that tag, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let (&found, rest) = der.split_first()?;
    (found == tag).then_some(())?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        LONG_BY_ONE => rest.split_first().map(|(&one, rest)| (usize::from(one), rest))?,
        LONG_BY_TWO => {
            rest.split_first_chunk().map(|(&two, rest)| (usize::from(u16::from_be_bytes(two)), rest))?
        }
        _ => return None,
    };
    let (inside, rest) = rest.split_at_checked(length)?;
    let whole = der.get(..der.len() - rest.len())?;
    Some((Element { whole, inside }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

    fn request(key: &KeyPair) -> Vec<u8> {
        CertificateParams::new(["some.name".to_owned()])
            .unwrap()
            .serialize_request(key)
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn the_key_of_a_request_is_read() {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let key = PublicKey::of_request(&request(&pair)).unwrap();
        assert_eq!(key.point(), pair.public_key_raw());
        assert_eq!(PublicKey::from_spki(&pair.subject_public_key_info()), Some(key));
        assert_eq!(PublicKey::from_point(&[4; POINT]), None, "not on the curve");
    }

    #[test]
    fn anything_else_is_refused() {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let whole = request(&pair);
        for cut in 0..whole.len() {
            assert!(PublicKey::of_request(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            assert!(PublicKey::of_request(&altered).is_err(), "altered at {at}");
        }
        assert!(PublicKey::of_request(&[&whole[..], b"x"].concat()).is_err());
        let other = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        assert!(PublicKey::of_request(&request(&other)).is_err());
    }
}
