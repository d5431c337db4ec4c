//! A provider's secret: cannot be printed, compared or serialised, and is wiped when its last holder lets go.

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
