//! The field `rotation` of a key: how often it is replaced by itself, and where its new secret comes from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RotationStrategy, Span};

/// When a key is replaced by itself, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyRotation {
    /// Where its next secret comes from.
    pub source: Source,
    /// How long one secret is used; the section's `every` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// How what the source gives comes into use; the section's `strategy` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RotationStrategy>,
    /// How long each stage of `staged` is watched; the section's `step_time` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_time: Option<Span>,
    /// Requests without which a stage proves nothing; the section's `step_requests` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_requests: Option<u64>,
    /// How long old versions stay as standby; the section's `overlap` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Span>,
    /// After this a replica that has not acknowledged is named silent; the section's `ack_timeout` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_timeout: Option<Span>,
}

/// Where secrets come from: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// A variable of the environment that `keyway up` was started with. A control plane of its own refuses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// A file, absolute, that nobody else may read; a changed content is a new secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A program with its arguments, no shell, that prints the secret.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// A key-value engine of HashiCorp Vault or OpenBao; a changed value is a new secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultSource>,
    /// Access keys of an AWS IAM user: each is made for this purpose, and the old one deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_iam: Option<AwsIam>,
}

/// A value in HashiCorp Vault or OpenBao.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VaultSource {
    /// `https://vault.example.com:8200`; in clear on loopback only.
    pub address: String,
    /// Where the engine is mounted; `secret` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// Of the value in the engine.
    pub path: String,
    /// Which of its fields; `value` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Of the engine, 1 or 2; 2 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Path of the certificates (PEM) that its own is checked with; the system's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// How this control plane logs in.
    pub auth: VaultAuth,
}

/// How to log in at Vault: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VaultAuth {
    /// Path of a file with a token, as an agent writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// By the service account of this pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<VaultKubernetes>,
    /// By a role and its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approle: Option<VaultAppRole>,
}

/// Log in by the service account of this pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VaultKubernetes {
    /// The role in Vault.
    pub role: String,
    /// Where the method is mounted; `kubernetes` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// Path of the account's token; where Kubernetes puts it if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt_file: Option<String>,
}

/// Log in by a role and its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VaultAppRole {
    /// The role's id, which is no secret.
    pub role_id: String,
    /// Path of the file with the secret id.
    pub secret_id_file: String,
    /// Where the method is mounted; `approle` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
}

/// Access keys of an IAM user. They are made and deleted with the key that is in use, or with another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsIam {
    /// The user's name.
    pub user: String,
    /// `PROVIDER/KEY`, an access key of Keyway's that may change this user's; the key in use if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// Of IAM's and STS's addresses; `us-east-1` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// In the place of AWS's own addresses, for both services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// The one source that a [`Source`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourcePlace<'a> {
    /// A variable.
    Env(&'a str),
    /// A file.
    File(&'a str),
    /// A program and its arguments.
    Command(&'a [String]),
    /// A value in Vault.
    Vault(&'a VaultSource),
    /// Access keys at AWS.
    AwsIam(&'a AwsIam),
}

// === impl Source ===

impl Source {
    /// The one that is named; `None` if none is, or several are.
    #[must_use]
    pub fn place(&self) -> Option<SourcePlace<'_>> {
        let command = Some(self.command.as_slice()).filter(|argv| !argv.is_empty());
        let all = [
            self.env.as_deref().map(SourcePlace::Env),
            self.file.as_deref().map(SourcePlace::File),
            command.map(SourcePlace::Command),
            self.vault.as_ref().map(SourcePlace::Vault),
            self.aws_iam.as_ref().map(SourcePlace::AwsIam),
        ];
        let mut named = all.into_iter().flatten();
        named.next().filter(|_| named.next().is_none())
    }
}

// === impl SourcePlace ===

impl SourcePlace<'_> {
    /// Whether looking changes nothing there, so that it is looked at again and again: whoever keeps it decides when a
    /// secret is new. The others are asked when it is time.
    #[must_use]
    pub fn is_watched(self) -> bool {
        matches!(self, Self::Env(_) | Self::File(_) | Self::Vault(_))
    }
}

impl std::fmt::Display for SourcePlace<'_> {
    /// For people; nothing of it is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "variable {name}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Command(argv) => write!(f, "command {}", argv.first().map_or("", String::as_str)),
            Self::Vault(at) => write!(f, "vault {} {}", at.address, at.path),
            Self::AwsIam(at) => write!(f, "aws_iam user {}", at.user),
        }
    }
}
