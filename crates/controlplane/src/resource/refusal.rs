//! Why a change was refused. Nothing happened then.

use super::{Barred, Kind};
use crate::{push::TooLarge, store::StoreError, vault::VaultError};
use keyway_config::Problem;
use keyway_proto::snapshot::v1::Kind as Wire;
use keyway_snapshot::Invalid;

/// Why a change or a question was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What was sent does not hold; never empty.
    #[error("{}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Invalid(Vec<Problem>),
    /// There is nothing of that name.
    #[error("no {} is named `{name}`{}", kind.word(), hint(nearest))]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// As asked.
        name: String,
        /// What was perhaps meant.
        nearest: Vec<String>,
    },
    /// Something of that name is there already.
    #[error("the {} `{name}` exists; choose another name", kind.word())]
    Exists {
        /// What was to be made.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// Someone else changed it meanwhile.
    #[error("the {} `{name}` has version {found} now; read it again and repeat the change", kind.word())]
    Conflict {
        /// What was to be changed.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its version; 0 = it is not there.
        found: u64,
    },
    /// Whoever wants it may not; says what is missing.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such key.
    #[error("no key is named `{name}`{}", hint(nearest))]
    NoKey {
        /// As asked, `provider/key`.
        name: String,
        /// What was perhaps meant.
        nearest: Vec<String>,
    },
    /// The key's versions do not allow it.
    #[error("{}", barred.words(key))]
    Barred {
        /// `provider/key`.
        key: String,
        /// Why.
        barred: Barred,
    },
    /// A secret would go where it was not entered for.
    #[error(
        "the secret of `{key}` was entered for {allowed} and would go to {origin}; enter the secret again with this \
         change, or allow it first: keyway key allow-origin {key} {origin}"
    )]
    Origin {
        /// `provider/key`.
        key: String,
        /// Where it would go.
        origin: String,
        /// Where it may go.
        allowed: String,
    },
    /// The vault failed.
    #[error("{0}")]
    Vault(#[source] VaultError),
    /// The store failed.
    #[error("{0}")]
    Store(#[source] StoreError),
    /// The system gave no randomness, or a document could not be written as text.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

fn hint(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; did you mean {}?", nearest.join(" or ")) }
}

// === impl Refusal ===

impl Refusal {
    /// One field at fault.
    #[must_use]
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![Problem::new(field, reason)])
    }
}

impl Barred {
    fn words(&self, key: &str) -> String {
        match self {
            Self::UnderWay { verb, step, by } => format!(
                "a {} of `{key}` by {by} is under way ({}); wait for it, or undo it: keyway key rollback {key}",
                verb.word(),
                step.word(),
            ),
            Self::NoVersion(version) => {
                format!("`{key}` has no version {version}; see keyway key show {key}")
            }
            Self::NoSecret(gone) => {
                let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
                let versions = gone.join(", ");
                format!("the secret of `{key}` version {versions} is erased; rotate to a new one instead")
            }
            Self::State(version, state) => {
                format!("`{key}` version {version} is {}; see keyway key show {key}", state.word())
            }
            Self::Nothing => format!("`{key}` has no version for that; see keyway key show {key}"),
        }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        let section = section(invalid.kind, &invalid.name);
        // Of digests a person knows only the token.
        let field = if invalid.field.starts_with("token_digests") { "token" } else { invalid.field.as_str() };
        let dot = if field.is_empty() { "" } else { "." };
        Self::field(format!("{section}{dot}{field}"), invalid.reason)
    }
}

impl From<TooLarge> for Refusal {
    fn from(large: TooLarge) -> Self {
        let field = match &large {
            TooLarge::Resource { kind, name, .. } => section(*kind, name),
            // Nothing else comes in such numbers.
            TooLarge::State { .. } => "clients".to_owned(),
        };
        Self::field(field, large.to_string())
    }
}

/// Where in the file a resource comes from.
fn section(kind: Wire, name: &str) -> String {
    match kind {
        Wire::Provider => Kind::Provider.path(name),
        Wire::Credential => {
            let mut parts = name.split('/');
            let (provider, key) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{}.keys.{key}", Kind::Provider.path(provider))
        }
        Wire::Model => Kind::Model.path(name),
        Wire::Client => Kind::Client.path(name),
        Wire::Settings | Wire::Unspecified => "settings".to_owned(),
    }
}

impl From<VaultError> for Refusal {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { key, found, .. } => match Kind::of(&key) {
                Some(kind) => Self::Conflict { kind, name: key.name().to_owned(), found },
                None => Self::Internal("a conflict over an unknown kind"),
            },
            other @ (StoreError::BadBatch { .. }
            | StoreError::Full
            | StoreError::Failed(_)
            | StoreError::ReadOnly(_)
            | StoreError::NotLeader { .. }
            | StoreError::Unavailable(_)
            | StoreError::Damaged(_)
            | StoreError::Locked(_)
            | StoreError::Unusable(_)
            | StoreError::BadBackup(_)
            | StoreError::TooLarge { .. }) => Self::Store(other),
        }
    }
}
