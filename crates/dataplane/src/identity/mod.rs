//! Who this node is to its control plane: its own key, which never leaves it, the certificate over it, the roots that it
//! trusts and the keys under which states are signed. Got once with a join token, renewed by itself after that.

mod badge;
mod due;
mod enroll;
mod file;
mod keep;
#[cfg(test)]
#[path = "../../tests/peer/mod.rs"]
pub(crate) mod peer;
mod tls;
mod token;

pub(crate) use badge::Badge;
pub use file::IdentityError;
pub(crate) use keep::{Joining, keep, prepare};
pub use token::{BadToken, JoinToken};

use base64::{Engine, engine::general_purpose::STANDARD};
use keyway_proto::fleet::v1::{Enrolled, KeptIdentity};
use keyway_snapshot::Secret;
use prost::Message;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::{fmt, time::Duration};

/// Bytes that an identity has at most: three certificates and a key take 3 KB.
const LIMIT: usize = 64 << 10;

/// A node's identity. Whoever renews one tells the badge: cloning shares nothing with the file.
#[derive(Clone)]
pub struct Identity {
    enrolled: Enrolled,
    /// PKCS #8.
    key: Secret,
    /// Seconds since 1970, by this node's clock.
    received_at: u64,
    addresses: Vec<String>,
}

/// A key that was made for a node and the request for a certificate over it.
pub struct Request {
    key: KeyPair,
    /// PKCS #10.
    csr: Vec<u8>,
}

// === impl Identity ===

impl Identity {
    /// What the control plane's cluster is called.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.enrolled.cluster
    }

    /// The node's name: ids of its replicas are this, or this with `~N`.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.enrolled.node
    }

    /// Ed25519 public keys under which the control plane signs; 32 bytes each.
    #[must_use]
    pub fn signing_keys(&self) -> &[Vec<u8>] {
        &self.enrolled.signing_keys
    }

    /// Where the fleet port is, `HOST:PORT`, as the join token said; empty = it was said otherwise.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// For how long the certificate was given.
    #[must_use]
    pub fn life(&self) -> Duration {
        Duration::from_secs(self.enrolled.life_seconds)
    }

    /// How much of it is left; zero = it has expired.
    #[must_use]
    pub fn left(&self, now_unix: u64) -> Duration {
        let age = now_unix.saturating_sub(self.received_at);
        Duration::from_secs(self.enrolled.life_seconds.saturating_sub(age))
    }

    /// For a child of this process, over a pipe that nobody else reads, and for the file.
    #[must_use]
    pub fn encode(&self) -> Secret {
        let mut kept = KeptIdentity {
            enrolled: Some(self.enrolled.clone()),
            key: self.key.expose().to_vec(),
            received_at: self.received_at,
            addresses: self.addresses.clone(),
        };
        let bytes = kept.encode_to_vec();
        zeroize::Zeroize::zeroize(&mut kept.key);
        Secret::new(bytes)
    }

    /// What [`Self::encode`] gave; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let kept = (bytes.len() <= LIMIT).then(|| KeptIdentity::decode(bytes).ok()).flatten()?;
        let KeptIdentity { enrolled, key, received_at, addresses } = kept;
        let whole = Self { enrolled: enrolled?, key: Secret::new(key), received_at, addresses };
        // What rustls will want of it, asked now: a damaged file is found at the start.
        (whole.key_pair().is_some() && !whole.enrolled.chain.is_empty()).then_some(whole)
    }

    /// The same as text, for where bytes do not go.
    #[must_use]
    pub fn text(&self) -> zeroize::Zeroizing<String> {
        zeroize::Zeroizing::new(STANDARD.encode(self.encode().expose()))
    }

    /// What [`Self::text`] gave; `None` for anything else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::decode(&zeroize::Zeroizing::new(STANDARD.decode(text).ok()?))
    }

    fn key_pair(&self) -> Option<KeyPair> {
        let der = rustls::pki_types::PrivatePkcs8KeyDer::from(self.key.expose());
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).ok()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.enrolled.node)
    }
}

// === impl Request ===

impl Request {
    /// Makes a key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn make(node: &str) -> Result<Self, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| IdentityError::System)?;
        Self::over(key, node)
    }

    fn over(key: KeyPair, node: &str) -> Result<Self, IdentityError> {
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, node);
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        let csr = params.serialize_request(&key).map_err(|_| IdentityError::System)?;
        Ok(Self { csr: csr.der().to_vec(), key })
    }

    /// PKCS #10, DER.
    #[must_use]
    pub fn csr(&self) -> &[u8] {
        &self.csr
    }

    /// The identity that the control plane's answer makes of it, received now.
    #[must_use]
    pub fn accept(self, enrolled: Enrolled, addresses: Vec<String>) -> Identity {
        self.accepted(enrolled, addresses, crate::clock::since_epoch().as_secs())
    }

    fn accepted(self, enrolled: Enrolled, addresses: Vec<String>, now_unix: u64) -> Identity {
        let key = Secret::new(self.key.serialize_der());
        Identity { enrolled, key, received_at: now_unix, addresses }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request(..)")
    }
}

#[cfg(test)]
mod tests;
