//! How a secret goes into a request.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use keyway_snapshot::{Auth, Secret};

/// Made once a key version, so that a request only clones it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presented {
    Nothing,
    Header(HeaderName, HeaderValue),
    Query(String),
}

/// Bytes of a secret, wiped when the last header that shows them is gone.
struct Shown(zeroize::Zeroizing<Vec<u8>>);

// === impl Presented ===

impl Presented {
    pub(crate) fn of(auth: &Auth, secret: &Secret) -> Self {
        match auth {
            Auth::None | Auth::Unsupported(_) => Self::Nothing,
            Auth::Header(name, prefix) => {
                header(prefix, secret).map_or(Self::Nothing, |value| Self::Header(name.clone(), value))
            }
            Auth::Query(name) => Self::Query(name.to_string()),
        }
    }
}

fn header(prefix: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(prefix.len() + secret.expose().len()));
    text.extend_from_slice(prefix.as_bytes());
    text.extend_from_slice(secret.expose());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(Shown(text))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl AsRef<[u8]> for Shown {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
