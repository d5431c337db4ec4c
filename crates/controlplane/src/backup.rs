//! Copies of everything: the store together with the vault that belongs to it.

use crate::store::{Durable, StoreError};
use std::{fmt::Debug, io::Write, path::PathBuf, sync::Arc};

/// The vault's place in a copy.
const VAULT: &str = "vault";

/// What can copy all of a control plane's data.
pub trait Backup: Debug + Send + Sync + 'static {
    /// Writes the whole copy. Waits for disks and for `out`: called on a thread that may.
    ///
    /// # Errors
    /// When something cannot be read, or `out` does not take it; what was written until then is no backup.
    fn write(&self, out: &mut dyn Write) -> Result<(), StoreError>;
}

/// A store that nothing is copied of: what it holds is gone with the process anyway.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBackup;

/// A store on a disk and the vault beside it.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) store: Arc<Durable>,
    /// The vault's directory.
    pub(crate) vault: PathBuf,
}

impl Backup for NoBackup {
    fn write(&self, _: &mut dyn Write) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly("this store has no backup".to_owned()))
    }
}

impl Backup for Whole {
    fn write(&self, out: &mut dyn Write) -> Result<(), StoreError> {
        self.store.backup(&[(VAULT.to_owned(), self.vault.clone())], out).map(drop)
    }
}
