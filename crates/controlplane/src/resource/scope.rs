//! What an operator's token may be good for. Read and write stand apart: to write does not let see more than what was
//! just written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// One right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    /// Sees the configuration, without secrets.
    #[serde(rename = "config:read")]
    ConfigRead,
    /// Changes what holds no secret.
    #[serde(rename = "config:write")]
    ConfigWrite,
    /// Sees keys and how they are used, without secrets.
    #[serde(rename = "keys:read")]
    KeysRead,
    /// Moves keys through their life; does not bring secrets in.
    #[serde(rename = "keys:write")]
    KeysWrite,
    /// Takes secrets in, or gives a client's token out.
    #[serde(rename = "secrets:write")]
    SecretsWrite,
    /// Sees replicas.
    #[serde(rename = "nodes:read")]
    NodesRead,
    /// Tells replicas what to do.
    #[serde(rename = "nodes:write")]
    NodesWrite,
    /// Reads and checks the audit log.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Takes a copy of everything.
    #[serde(rename = "backup:create")]
    BackupCreate,
    /// Puts a copy in place of everything.
    #[serde(rename = "backup:restore")]
    BackupRestore,
    /// Sees operators.
    #[serde(rename = "operators:read")]
    OperatorsRead,
    /// Makes operators that may no more than the maker.
    #[serde(rename = "operators:write")]
    OperatorsWrite,
    /// Sees what was used and what it cost, request by request.
    #[serde(rename = "usage:read")]
    UsageRead,
}

/// Scopes; none twice.
pub type Scopes = BTreeSet<Scope>;

// === impl Scope ===

impl Scope {
    /// All that there are.
    pub const ALL: [Self; 13] = [
        Self::ConfigRead,
        Self::ConfigWrite,
        Self::KeysRead,
        Self::KeysWrite,
        Self::SecretsWrite,
        Self::NodesRead,
        Self::NodesWrite,
        Self::AuditRead,
        Self::BackupCreate,
        Self::BackupRestore,
        Self::OperatorsRead,
        Self::OperatorsWrite,
        Self::UsageRead,
    ];

    /// As people and programs write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ConfigRead => "config:read",
            Self::ConfigWrite => "config:write",
            Self::KeysRead => "keys:read",
            Self::KeysWrite => "keys:write",
            Self::SecretsWrite => "secrets:write",
            Self::NodesRead => "nodes:read",
            Self::NodesWrite => "nodes:write",
            Self::AuditRead => "audit:read",
            Self::BackupCreate => "backup:create",
            Self::BackupRestore => "backup:restore",
            Self::OperatorsRead => "operators:read",
            Self::OperatorsWrite => "operators:write",
            Self::UsageRead => "usage:read",
        }
    }

    /// What a word stands for: one scope, or a group: `admin` is all, `viewer` all that only reads.
    #[must_use]
    pub fn named(word: &str) -> Scopes {
        let all = Self::ALL.into_iter();
        match word {
            "admin" => all.collect(),
            "viewer" => all.filter(|scope| scope.word().ends_with(":read")).collect(),
            _ => all.filter(|scope| scope.word() == word).collect(),
        }
    }

    /// All words of [`Self::named`], for people.
    #[must_use]
    pub fn words() -> String {
        let single = Self::ALL.map(Self::word).join(", ");
        format!("{single}, admin (all), viewer (all that only reads)")
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_documents_and_name_exactly_one() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.word());
            assert_eq!(Scope::named(scope.word()), Scopes::from([scope]));
        }
        assert_eq!(Scopes::from(Scope::ALL).len(), Scope::ALL.len());
        assert_eq!(Scope::named("admin").len(), Scope::ALL.len());
        assert_eq!(Scope::named("root"), Scopes::new());
    }

    #[test]
    fn a_viewer_changes_and_takes_nothing() {
        let viewer = Scope::named("viewer");
        let words = viewer.iter().map(|scope| scope.word()).collect::<Vec<_>>();
        assert_eq!(
            words,
            ["config:read", "keys:read", "nodes:read", "audit:read", "operators:read", "usage:read"]
        );
    }
}
