//! What goes wrong in the vault, in words for people. No text here holds a secret or a part of one.

use super::SecretId;
use std::{io, path::PathBuf};

/// Why the vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It cannot be opened at all: provider keys can neither be read nor added.
    #[error("the vault is sealed: {0}")]
    Sealed(#[from] Sealed),
    /// The secret does not open: nothing of it was given out.
    #[error("the secret of {id} does not open: {why}; enter it again, or restore its file from a backup")]
    Integrity {
        /// Whose.
        id: SecretId,
        /// What does not fit.
        why: Unfit,
    },
    /// There is none.
    #[error("the vault holds no secret of {id}; enter it again, or restore its file from a backup")]
    Missing {
        /// Whose.
        id: SecretId,
    },
    /// It is larger than any secret that makes sense.
    #[error("the secret of {id} is too large: with its addresses it may have {limit} bytes")]
    TooLarge {
        /// Whose.
        id: SecretId,
        /// Bytes that its file may have.
        limit: usize,
    },
    /// So many versions of the wrapping key that one has to go first.
    #[error("the keyring is full of old keys; nothing has changed")]
    TooManyVersions,
    /// Secrets are under an older version, so that it must stay.
    #[error(
        "{left} secrets do not open with the new wrapping key alone: it cannot take the old one's place yet"
    )]
    StillWraps {
        /// How many.
        left: usize,
    },
    /// No space.
    #[error("no space left to write {}: free some and try again; nothing has changed", path.display())]
    Full {
        /// What was to be written.
        path: PathBuf,
    },
    /// Others can read a root key.
    #[error("{} {how}: anybody who reads it can open the vault; {}", path.display(), cure(*owner, path))]
    Permissions {
        /// The root key's file.
        path: PathBuf,
        /// What is wrong.
        how: &'static str,
        /// Whether its owner is wrong, not its mode.
        owner: bool,
    },
    /// A file is there that must not be overwritten.
    #[error("{} is there already and is never overwritten", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The store that sealed files lie in did not take one.
    #[error("{} was not written: {source}", path.display())]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        source: crate::store::StoreError,
    },
    /// No randomness, or a cipher that does not run.
    #[error("the system gives no randomness or its cryptography fails; nothing has changed")]
    System,
}

/// Why the vault stays sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Sealed {
    /// Nowhere.
    #[error("no root key (looked for {}); put it back, or name it with --root-key-file", list(looked))]
    NoRootKey {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// The file is there and holds something else.
    #[error("{} holds no root key: one line of 64 hex digits; put the right file back", path.display())]
    NotARootKey {
        /// The file.
        path: PathBuf,
    },
    /// It is the key of another keyring.
    #[error(
        "{} is root key {found}, the keyring wants root key {wanted}; give the one that it was made with",
        path.display()
    )]
    WrongRootKey {
        /// The file.
        path: PathBuf,
        /// Name of the key in it.
        found: String,
        /// Name of the key that would open the keyring.
        wanted: String,
    },
    /// There is data, and what would open it is not there.
    #[error("{} is missing but there is data; restore it from a backup", path.display())]
    NoKeyring {
        /// Where it should be.
        path: PathBuf,
    },
    /// It was altered, or a newer version of Keyway wrote it.
    #[error("{} is damaged or of a newer version; restore it from a backup", path.display())]
    Damaged {
        /// The keyring.
        path: PathBuf,
    },
    /// Files of two clusters are mixed.
    #[error("the keyring is of cluster '{keyring}', the data of '{data}'; restore both from one backup")]
    OtherCluster {
        /// The keyring's.
        keyring: String,
        /// The store's.
        data: String,
    },
}

/// Why a secret does not open. What its file says of itself is believed only to choose these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No secret of ours.
    #[error("its file is damaged")]
    Damaged,
    /// A file in the place of another.
    #[error("its file is of another key")]
    OtherId,
    /// The provider's addresses are not those for which the key was entered.
    #[error("it was entered for other addresses (`keyway key allow-origin` permits the new ones)")]
    OtherOrigins,
    /// The keyring is older than the file, or of another cluster.
    #[error("it is encrypted with a key that is not in the keyring")]
    UnknownKek,
    /// The cipher says no.
    #[error("its file was altered, or comes from another cluster")]
    Altered,
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn cure(owner: bool, path: &std::path::Path) -> String {
    let verb = if owner { "make its owner the user that runs Keyway: chown" } else { "chmod 600" };
    format!("{verb} {}", path.display())
}
