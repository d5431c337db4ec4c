//! Why a source gave no secret, in words for people. What a source itself said is not among them: it may hold a secret.

use std::{io, path::PathBuf};

/// Why there is no new secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// It took longer than any source may.
    #[error("it gave no answer within {} s", super::LIMIT.as_secs())]
    TooSlow,
    /// This process takes no secrets from its environment.
    #[error("this control plane takes no secrets from its environment; use `file` or `command`")]
    NoEnvironment,
    /// The variable is not there.
    #[error("the variable {0} is not set")]
    NoVariable(String),
    /// This build does not know the source.
    #[error("this source is not there")]
    NotThere,
    /// What came cannot be a secret.
    #[error("what it gave {0}")]
    Unsound(String),
    /// More bytes than any secret has.
    #[error("it gave more than {} bytes", super::BYTES_LIMIT)]
    TooLarge,
    /// A file that does not fit.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Certificates that cannot be used.
    #[error("its certificates cannot be used: they must be PEM")]
    NoCertificates,
    /// Nobody there.
    #[error("{host} was not reached: {why}")]
    Unreachable {
        /// Who.
        host: String,
        /// What the system says.
        why: String,
    },
    /// Vault does not let us in.
    #[error(
        "Vault refused the login at auth/{mount} (HTTP {status}); look at the role and at what it is shown"
    )]
    VaultLogin {
        /// Where.
        mount: String,
        /// Of its answer.
        status: u16,
    },
    /// Vault does not let us read.
    #[error("Vault refused to read {0} (HTTP 403): the token has ended or its policy does not allow it")]
    VaultDenied(String),
    /// Nothing is there.
    #[error("Vault has nothing at {0}; look at mount, path and the engine's version")]
    VaultMissing(String),
    /// It was there.
    #[error("the newest version of {0} in Vault is deleted or destroyed; write a new one")]
    VaultDeleted(String),
    /// The value lacks the field.
    #[error("what Vault has at {path} has no text in the field {field}")]
    VaultField {
        /// Of the value.
        path: String,
        /// What is missing.
        field: String,
    },
    /// It is sealed or in maintenance.
    #[error("Vault is sealed or down for maintenance (HTTP 503)")]
    VaultSealed,
    /// Anything else.
    #[error("Vault answered HTTP {status} for {path}")]
    VaultStatus {
        /// Of the value.
        path: String,
        /// Of its answer.
        status: u16,
    },
    /// AWS refused a call.
    #[error("AWS refused {action}: {code} (HTTP {status})")]
    Aws {
        /// Which.
        action: String,
        /// AWS's word for why.
        code: String,
        /// Of its answer.
        status: u16,
    },
    /// No access key to sign with.
    #[error(
        "{0} has no access key in use (ID:SECRET) to sign with; give it one, or name another key as `with`"
    )]
    AwsNoPair(String),
    /// A secret that Keyway has and cannot read.
    #[error(
        "the secret of version {version} cannot be read, and with it which access key at AWS is its own: {why}"
    )]
    AwsUnread {
        /// Of the key.
        version: u32,
        /// What the vault says.
        why: String,
    },
    /// No room for another one.
    #[error(
        "the IAM user {user} has two access keys and one is not Keyway's to delete; delete one that nobody uses"
    )]
    AwsFull {
        /// Whose.
        user: String,
    },
    /// AWS does not take what it made.
    #[error("AWS did not take the new access key within a minute; it was deleted")]
    AwsUnknown,
    /// A program that could not be started.
    #[error("{program} cannot be run: {source}")]
    NotRun {
        /// Which.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program that failed.
    #[error("{program} ended with {how}; run it by hand to see what it says")]
    Ended {
        /// Which.
        program: String,
        /// Its exit code or signal.
        how: String,
    },
}
