//! One caller, its tokens and what it may ask for. What a token looks like never decides access.

use crate::{ClientState, Secret};
use std::{fmt, hash::Hasher};

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
