//! JSON that is carried as it was written.

/// One JSON value, as text that has been checked to be one. Equal if the texts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(Box<str>);

/// A member of an object that the model has no place for. It stands at the level where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// The member's name.
    pub name: String,
    /// The object inside its level that holds it; empty for the level itself.
    pub within: &'static str,
    /// Its value.
    pub raw: Raw,
}

// === impl Raw ===

impl Raw {
    /// Takes over what a parser has found to be one value.
    pub(crate) fn of(value: &serde_json::value::RawValue) -> Self {
        Self(value.get().into())
    }

    /// The value of `text`; none if it is not exactly one JSON value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<&serde_json::value::RawValue>(text).ok().map(Self::of)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
