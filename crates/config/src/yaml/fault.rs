//! Why a value does not fit its type, in words for people. Never repeats what was written: it may be a secret.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use crate::nearest::hint;

#[derive(Debug)]
pub(crate) struct Fault {
    /// The sentence that follows the field's path.
    words: String,
    /// A field that is not there.
    missing: Option<&'static str>,
}

impl Fault {
    fn new(words: String) -> Self {
        Self { words, missing: None }
    }

    /// The field that is not there, if that is the fault.
    pub(super) fn missing(&self) -> Option<&'static str> {
        self.missing
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found {}", wanted(expected), kind(&found)))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}", wanted(expected)))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}{}", expected.join(", "), hint(found, expected)))
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        let near = hint(found, expected);
        let known = if near.is_empty() { format!("; known: {}", expected.join(", ")) } else { near };
        Self::new(format!("unknown field{known}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { words: format!("needs the field {field}"), missing: Some(field) }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("gives the field {field} twice, once by another name; keep one"))
    }
}

/// Serde's words for what it wants, in ours.
fn wanted(expected: &dyn Expected) -> String {
    let words = expected.to_string();
    match words.as_str() {
        "a map" => "a mapping".into(),
        "a sequence" => "a list".into(),
        "a boolean" => "true or false".into(),
        "a string" => "a text".into(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number in range, 0 or more".into(),
        "i8" | "i16" | "i32" | "i64" => "a whole number in range".into(),
        "f32" | "f64" => "a number".into(),
        other if other.starts_with("struct ") => "a mapping".into(),
        other if other.starts_with("enum ") => "a name".into(),
        other => other.into(),
    }
}

fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Str(_) | Unexpected::Char(_) => "a text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a mapping",
        Unexpected::Unit | Unexpected::Option => "nothing",
        _ => "something else",
    }
}
