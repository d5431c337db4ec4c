//! A provider's secret: cannot be printed, compared or serialised, and is wiped when its last holder lets go.

use bytes::Bytes;
use http::HeaderValue;
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// Secret text. `Debug` prints a fixed word:
/// ```
/// fn takes(_: impl std::fmt::Debug) {}
/// takes(keyway_snapshot::Secret::new(vec![1]));
/// ```
/// Nothing else shows it, or tells by its time how much of a guess was right:
/// ```compile_fail,E0277
/// fn takes(_: impl std::fmt::Display) {}
/// takes(keyway_snapshot::Secret::new(vec![1]));
/// ```
/// ```compile_fail,E0277
/// fn takes(_: impl PartialEq) {}
/// takes(keyway_snapshot::Secret::new(vec![1]));
/// ```
/// ```compile_fail,E0277
/// fn takes(_: impl AsRef<[u8]>) {}
/// takes(keyway_snapshot::Secret::new(vec![1]));
/// ```
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

/// Bytes of a secret, wiped when the last header that shows them is gone.
struct Shown(Zeroizing<Vec<u8>>);

/// A header's value that shows a secret and is wiped; none if the secret does not fit into a header.
#[must_use]
pub fn header_value(prefix: &str, secret: &[u8]) -> Option<HeaderValue> {
    let mut text = Zeroizing::new(Vec::with_capacity(prefix.len() + secret.len()));
    text.extend_from_slice(prefix.as_bytes());
    text.extend_from_slice(secret);
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(Shown(text))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl AsRef<[u8]> for Shown {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

// === impl Secret ===

impl Secret {
    /// Takes the bytes over; the caller's copy is gone.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The bytes, to sign or send with. Never log, store or return what comes out of here.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
