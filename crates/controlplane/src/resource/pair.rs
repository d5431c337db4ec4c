//! The key pair of a client that signs its requests. Unlike a token it is kept, since a signature cannot be checked by a
//! digest; it lies in the vault, and the document holds its version alone.

use crate::vault::SecretId;
use serde::{Deserialize, Serialize};

/// No provider has a name with a slash.
const FOLDER: &str = "client/";
const KEY: &str = "sigv4";

/// What a document holds of a secret access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairDocument {
    /// Counts up with each secret.
    pub version: u32,
    /// Tells whether two are the same.
    pub fingerprint: String,
}

// === impl PairDocument ===

impl PairDocument {
    /// What the vault calls its secret.
    #[must_use]
    pub fn secret_id(&self, client: &str) -> SecretId {
        SecretId {
            provider: format!("{FOLDER}{client}"),
            key: KEY.to_owned(),
            version: self.version,
            seal: 0,
        }
    }
}

/// Whose secret access key this is; `None` for a provider's key.
pub(super) fn client_of(id: &SecretId) -> Option<&str> {
    id.provider.strip_prefix(FOLDER).filter(|_| id.key == KEY)
}
