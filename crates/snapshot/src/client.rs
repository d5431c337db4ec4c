//! Callers, found by keyed digest of their whole token. What a token looks like never decides access.

use crate::{ClientState, Secret};
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

/// BLAKE3 of a token under the fleet's digest key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest(pub [u8; 32]);

/// The key under which tokens are digested.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestKey(pub(crate) zeroize::Zeroizing<[u8; 32]>);

/// Who calls the gateway.
#[derive(Debug)]
pub struct Client {
    /// Unique name.
    pub name: Box<str>,
    /// Empty = a client of its own.
    pub team: Box<str>,
    /// A disabled client is told so.
    pub state: ClientState,
    /// `None` = every model.
    pub models: Option<Vec<Pattern>>,
    /// Seconds since 1970; 0 = never.
    pub expires_at: u64,
    /// Only its first token stays; who uses which is counted.
    pub handing_over: bool,
}

/// A name with `*` for any run of characters, `/` included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

/// A key pair of a client that signs its requests.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Stands for the pair where a token's digest would stand: lets in, is revoked and is compared like one.
    pub digest: TokenDigest,
    /// The secret access key.
    pub secret: Secret,
}

/// All callers.
#[derive(Default)]
pub struct Clients {
    by_digest: HashMap<TokenDigest, Arc<Client>, BuildHasherDefault<DigestHasher>>,
    by_access_key: HashMap<Box<str>, Pair>,
    by_name: HashMap<Box<str>, Arc<Client>>,
    handing_over: Vec<(TokenDigest, u32)>,
}

/// A digest is uniform already: eight of its bytes are the hash.
#[derive(Debug, Default)]
pub(crate) struct DigestHasher(u64);

// === impl DigestKey ===

impl DigestKey {
    /// From 32 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(zeroize::Zeroizing::new(bytes))
    }

    /// Digests a whole token.
    #[must_use]
    pub fn digest(&self, token: &[u8]) -> TokenDigest {
        TokenDigest(*blake3::keyed_hash(&self.0, token).as_bytes())
    }

    /// What stands for a key pair. No token has its form: a zero byte is in none.
    #[must_use]
    pub fn digest_pair(&self, access_key_id: &str, secret: &[u8]) -> TokenDigest {
        let mut hash = blake3::Hasher::new_keyed(&self.0);
        for part in [b"sigv4\0", access_key_id.as_bytes(), b"\0", secret] {
            hash.update(part);
        }
        TokenDigest(*hash.finalize().as_bytes())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

// === impl TokenDigest ===

impl std::hash::Hash for TokenDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

// === impl Client ===

impl Client {
    /// Whether it may use a model that is known by either name.
    #[must_use]
    pub fn may_use(&self, asked: &str, resolved: &str) -> bool {
        self.models
            .as_ref()
            .is_none_or(|all| all.iter().any(|one| one.matches(asked) || one.matches(resolved)))
    }
}

// === impl Clients ===

impl Clients {
    /// `false`: somebody has that access key already.
    pub(crate) fn pair(&mut self, access_key_id: &str, pair: Pair) -> bool {
        self.by_access_key.insert(access_key_id.into(), pair).is_none()
    }

    /// The key pair of that access key.
    #[must_use]
    pub fn by_access_key(&self, access_key_id: &str) -> Option<&Pair> {
        self.by_access_key.get(access_key_id)
    }

    pub(crate) fn insert(&mut self, client: Arc<Client>, digests: Vec<TokenDigest>) -> Result<(), ()> {
        for (digest, place) in digests.into_iter().zip(0..) {
            if client.handing_over {
                self.handing_over.push((digest, place));
            }
            if self.by_digest.insert(digest, Arc::clone(&client)).is_some() {
                return Err(());
            }
        }
        self.by_name.insert(client.name.clone(), client);
        Ok(())
    }

    /// Whose token this is.
    #[must_use]
    pub fn by_digest(&self, digest: &TokenDigest) -> Option<&Arc<Client>> {
        self.by_digest.get(digest)
    }

    /// Tokens of clients that are about to change theirs, each with its place among those of its client.
    pub fn handing_over(&self) -> impl Iterator<Item = (&TokenDigest, u32, &Arc<Client>)> {
        self.handing_over
            .iter()
            .filter_map(|(digest, place)| Some((digest, *place, self.by_digest.get(digest)?)))
    }

    /// The client of that name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Client>> {
        self.by_name.get(name)
    }

    /// Tokens of `self` that let somebody in, and do not in `newer`: gone, or their client is disabled.
    pub fn revoked_in<'a>(&'a self, newer: &'a Clients) -> impl Iterator<Item = &'a TokenDigest> {
        let held = self.by_digest.iter().filter(|(_, client)| client.state == ClientState::Enabled);
        held.map(|(digest, _)| digest).filter(|digest| !newer.admits(digest))
    }

    /// Whether this token lets somebody in, as far as it does not depend on the time.
    #[must_use]
    pub fn admits(&self, digest: &TokenDigest) -> bool {
        self.by_digest.get(digest).is_some_and(|client| client.state == ClientState::Enabled)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients({})", self.len())
    }
}

// === impl Pattern ===

impl Pattern {
    /// Any text is a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether the whole name fits. Linear: each piece between stars is found leftmost.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else { return *self.0 == *name };
        let Some(mut name) = name.strip_prefix(head) else { return false };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        for piece in middle.split('*') {
            let Some(at) = name.find(piece) else { return false };
            name = name.get(at + piece.len()..).unwrap_or("");
        }
        name.ends_with(tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("fast", "fast", true),
            ("fast", "faster", false),
            ("*", "a/b/c", true),
            ("openai/*", "openai/gpt-4o", true),
            ("openai/*", "openai/ft:a/b", true),
            ("openai/*", "azure/gpt-4o", false),
            ("*gpt*mini", "openai/gpt-4o-mini", true),
            ("*gpt*mini", "openai/gpt-4o", false),
            ("a*b*b", "ab", false),
            ("a*b*b", "abb", true),
            ("a*a", "a", false),
            ("", "", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), fits, "{pattern} {name}");
        }
    }
}
