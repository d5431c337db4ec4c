//! Nodes, the tokens with which they join, and the roots of their certificates. Kept like any document, but in no file.
//! Of a token only the keyed digest is kept, and the keys of roots lie in the vault.

use super::{Body, Kind, State};
use crate::vault::SecretId;
use serde::{Deserialize, Serialize};

/// The one document of its kind.
pub const AUTHORITY: &str = "ca";
/// No provider has a name with a slash.
const FOLDER: &str = "authority/";
const KEY: &str = "root";

/// A host or process that joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDocument {
    /// Its public key, base64: an uncompressed point of P-256.
    pub key: String,
    /// Where it runs, as it said when it joined.
    pub host: String,
    /// The token that it joined with.
    pub token: String,
    /// Which root its newest certificate is under.
    pub root: u32,
    /// When that ends, seconds since 1970.
    pub expires: u64,
    /// It may not come back under this name.
    #[serde(default)]
    pub evicted: bool,
}

/// A token with which nodes join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinDocument {
    /// Keyed digest of its secret, hex.
    pub digest: String,
    /// It is refused from then on, seconds since 1970.
    pub expires: u64,
    /// How many nodes may join with it.
    pub max_nodes: u32,
    /// The only name that may join with it; also one that has joined before, with a new key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Who joined with it.
    #[serde(default)]
    pub used_by: Vec<String>,
}

/// The roots of certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityDocument {
    /// The newest last: it issues, all are trusted.
    pub roots: Vec<RootDocument>,
}

/// One root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootDocument {
    /// Counts up from 1; what the vault calls its key by.
    pub generation: u32,
    /// X.509, DER, base64.
    pub certificate: String,
    /// The same name and key under the root before, for who does not know this one yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross: Option<String>,
    /// Seconds since 1970.
    pub made_at: u64,
    /// Seconds since 1970.
    pub expires: u64,
    /// It is trusted until then at least, seconds since 1970, as a newer one issues; absent = it issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_at: Option<u64>,
}

// === impl RootDocument ===

impl RootDocument {
    /// What the vault calls its key.
    #[must_use]
    pub fn secret_id(&self) -> SecretId {
        secret_id(self.generation)
    }
}

/// What the vault calls the key of a root.
#[must_use]
pub(crate) fn secret_id(generation: u32) -> SecretId {
    SecretId { provider: format!("{FOLDER}{AUTHORITY}"), key: KEY.to_owned(), version: generation, seal: 0 }
}

/// Whether this is the key of a root.
pub(super) fn is_of_authority(id: &SecretId) -> bool {
    id.provider.strip_prefix(FOLDER).is_some_and(|name| name == AUTHORITY && id.key == KEY)
}

// === impl State ===

impl State {
    /// A node.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeDocument> {
        let Body::Node(node) = &self.get(Kind::Node, name)?.document.body else { return None };
        Some(node)
    }

    /// All nodes with their names.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &NodeDocument)> {
        self.each(Kind::Node).filter_map(|(name, held)| match &held.document.body {
            Body::Node(node) => Some((name, node)),
            _ => None,
        })
    }

    /// All join tokens with their names.
    pub fn joins(&self) -> impl Iterator<Item = (&str, &JoinDocument)> {
        self.each(Kind::Join).filter_map(|(name, held)| match &held.document.body {
            Body::Join(join) => Some((name, join)),
            _ => None,
        })
    }

    /// The roots; `None` before the first was made.
    #[must_use]
    pub fn authority(&self) -> Option<&AuthorityDocument> {
        let Body::Authority(authority) = &self.get(Kind::Authority, AUTHORITY)?.document.body else {
            return None;
        };
        Some(authority)
    }
}
