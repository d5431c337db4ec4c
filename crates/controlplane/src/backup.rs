//! Copies of everything: the store together with the vault that belongs to it, and the books of usage.

use crate::{
    store::{Durable, StoreError},
    usage::Books,
};
use std::{fmt::Debug, io::Write, path::PathBuf, sync::Arc};

/// The vault's place in a copy.
const VAULT: &str = "vault";

/// What can copy all of a control plane's data.
pub trait Backup: Debug + Send + Sync + 'static {
    /// Writes the whole copy, or all but the books of usage. Waits for disks and for `out`: called on a thread that may.
    ///
    /// # Errors
    /// When something cannot be read, or `out` does not take it; what was written until then is no backup.
    fn write(&self, out: &mut dyn Write, with_usage: bool) -> Result<(), StoreError>;
}

/// A store that nothing is copied of: what it holds is gone with the process anyway.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBackup;

/// A store on a disk, and vault and books beside it.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) store: Arc<Durable>,
    /// The vault's directory.
    pub(crate) vault: PathBuf,
    pub(crate) books: Arc<Books>,
}

impl Backup for NoBackup {
    fn write(&self, _: &mut dyn Write, _: bool) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly("this store has no backup".to_owned()))
    }
}

impl Backup for Whole {
    fn write(&self, out: &mut dyn Write, with_usage: bool) -> Result<(), StoreError> {
        // Before the first byte: whoever waits for it is told what is wrong, and no pause in the middle looks like an end.
        let usage = with_usage.then(|| self.books.copy()).transpose();
        let usage =
            usage.map_err(|error| StoreError::Unusable(format!("its usage cannot be copied: {error}")))?;
        self.store.backup(&[(VAULT.to_owned(), self.vault.clone())], usage, out).map(drop)
    }
}
