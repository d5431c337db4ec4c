//! The identity's file. In clear with mode 0600, beside the node key and not in the state directory: sealing it under a key
//! that lies next to it would protect it from nobody, and a copy of the state directory still opens nothing.

use super::{Identity, LIMIT};
use crate::sync::{place_private, private_dir, private_file, write_private};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why an identity cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system refused something.
    #[error("cannot keep this node's identity in {0}: {1}; give another --state-dir")]
    File(PathBuf, io::Error),
    /// Others may read it, or it is damaged.
    #[error(
        "{0} is not a whole identity in a file of this user with mode 0600; correct it, or remove it and join again with a new token"
    )]
    Unusable(PathBuf),
    /// No randomness, most likely.
    #[error("the system gave no key for this node")]
    System,
    /// There is neither an identity nor a way to get one.
    #[error("this node has not joined: give --join-token-file with a token of `keyway join-token create`")]
    NotJoined,
}

impl Identity {
    /// The one that is kept in that file; `None` if there is no file.
    ///
    /// # Errors
    /// When there is one that cannot be used.
    pub fn read(path: &Path) -> Result<Option<Self>, IdentityError> {
        if !path.exists() {
            return Ok(None);
        }
        let unusable = || IdentityError::Unusable(path.to_owned());
        let limit = u64::try_from(LIMIT + 1).unwrap_or(u64::MAX);
        let bytes = zeroize::Zeroizing::new(private_file(path, limit).map_err(|_| unusable())?);
        Self::decode(&bytes).map(Some).ok_or_else(unusable)
    }

    /// Puts it there, whole, in place of another.
    ///
    /// # Errors
    /// What the system refused; the one before is still there then.
    pub fn write(&self, path: &Path) -> Result<(), IdentityError> {
        let failed = |error| IdentityError::File(path.to_owned(), error);
        private_dir(path.parent().unwrap_or(path)).map_err(|error| failed(io::Error::other(error)))?;
        let coming = path.with_extension("coming");
        write_private(&coming, self.encode().expose())
            .and_then(|()| place_private(&coming, path))
            .map_err(failed)
    }
}
