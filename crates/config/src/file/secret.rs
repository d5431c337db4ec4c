//! A text that is never printed or serialised by accident and is wiped when dropped.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::scalar::{ByText, TEXT_OF_NUMBER};

/// A provider key, a client token or a signing secret. Only [`Secret::expose`] gives its text; `Debug` prints a fixed word:
/// ```
/// let secret = keyway_config::Secret::new("sk-1".to_owned());
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// ```
/// It cannot be shown, written, or compared in a time that tells how much of a guess was right:
/// ```compile_fail,E0277
/// fn takes(_: impl std::fmt::Display) {}
/// takes(keyway_config::Secret::new(String::new()));
/// ```
/// ```compile_fail,E0277
/// fn takes(_: impl serde::Serialize) {}
/// takes(keyway_config::Secret::new(String::new()));
/// ```
/// ```compile_fail,E0277
/// fn takes(_: impl PartialEq) {}
/// takes(keyway_config::Secret::new(String::new()));
/// ```
#[derive(Clone, JsonSchema)]
#[schemars(transparent)]
pub struct Secret(#[schemars(with = "String")] Zeroizing<String>);

impl Secret {
    /// Takes the text over; nothing is checked or trimmed.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one who must send, store or digest it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

// Through `ByText`, so that a token of digits is taken by its text and no error repeats what was written.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| Some(Self::new(text.to_owned()));
        deserializer.deserialize_newtype_struct(TEXT_OF_NUMBER, ByText { parse, expected: "a text" })
    }
}
