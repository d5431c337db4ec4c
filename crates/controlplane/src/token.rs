//! Tokens of operators and replicas: held as a keyed digest, compared in constant time, never printed.

use http::{HeaderMap, header::AUTHORIZATION};
use std::fmt;

/// What is accepted as `authorization: Bearer …`.
#[derive(Clone)]
pub struct Token {
    key: [u8; 32],
    digest: blake3::Hash,
}

// === impl Token ===

impl Token {
    /// Remembers the digest of that text.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(text: &str) -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { key, digest: blake3::keyed_hash(&key, text.as_bytes()) })
    }

    /// Whether the request's bearer token is this one.
    #[must_use]
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|token| self.is(token))
    }

    /// Whether that text is this one.
    pub(crate) fn is(&self, token: &str) -> bool {
        // Equality of BLAKE3 hashes takes constant time.
        blake3::keyed_hash(&self.key, token.as_bytes()) == self.digest
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The one bearer token of a request; `None` if it has none, or more than one.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn one_bearer_token_exactly() {
        let token = Token::new("right").unwrap();
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            token.admits(&headers)
        };
        assert!(with(&["Bearer right"]));
        assert!(with(&["bearer right"]));
        for wrong in
            [&["Bearer wrong"][..], &["Bearer"], &["right"], &["Basic right"], &[], &["Bearer right "]]
        {
            assert!(!with(wrong), "{wrong:?}");
        }
        assert!(!with(&["Bearer right", "Bearer right"]));
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
