//! Why a state was refused whole.

use keyway_proto::snapshot::v1::Kind;

/// Names the resource and the field, so that a person finds it in their file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}/{name}: {field}: {reason}", kind_word(*kind))]
pub struct Invalid {
    /// Of the resource.
    pub kind: Kind,
    /// Of the resource.
    pub name: String,
    /// Path inside the resource.
    pub field: String,
    /// What is wrong with it; never holds a secret.
    pub reason: String,
}

// === impl Invalid ===

impl Invalid {
    pub(crate) fn new(kind: Kind, name: &str, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, name: name.to_owned(), field: field.into(), reason: reason.into() }
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Unspecified => "unknown",
        Kind::Settings => "settings",
        Kind::Provider => "provider",
        Kind::Credential => "credential",
        Kind::Model => "model",
        Kind::Client => "client",
    }
}
