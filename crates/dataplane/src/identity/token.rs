//! A join token as an operator hands it over: where the fleet port is, whose certificate to expect there, and the secret.

use keyway_proto::fleet::v1 as wire;
use keyway_snapshot::Secret;
use prost::Message;
use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// How one begins.
const PREFIX: &str = "kwj_";
/// Characters that one has at most.
const LIMIT: usize = 4096;
/// Bytes of a SHA-256.
const PIN: usize = 32;

/// A join token, read.
#[derive(Clone)]
pub struct JoinToken {
    pub(super) pin: Vec<u8>,
    pub(super) secret: Secret,
    pub(super) addresses: Vec<String>,
}

/// Some text is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no join token; make one with `keyway join-token create`")]
pub struct BadToken;

// === impl JoinToken ===

impl JoinToken {
    /// Reads one; white space round it does no harm.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let body = text.trim().strip_prefix(PREFIX).filter(|body| body.len() <= LIMIT).ok_or(BadToken)?;
        let bytes = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| BadToken)?);
        let wire::JoinToken { root_sha256, secret, addresses } =
            wire::JoinToken::decode(bytes.as_slice()).map_err(|_| BadToken)?;
        let whole = root_sha256.len() == PIN && !secret.is_empty();
        whole.then(|| Self { pin: root_sha256, secret: Secret::new(secret), addresses }).ok_or(BadToken)
    }

    /// Where the fleet port is, `HOST:PORT`.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({:?})", self.addresses)
    }
}
