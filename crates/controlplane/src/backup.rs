//! Copies of everything: the store together with the vault that belongs to it, and the books of usage.

use crate::{
    store::{self, Durable, StoreError},
    usage::Books,
};
use std::{fmt::Debug, io::Write, path::PathBuf, sync::Arc};

/// Writes a copy that was begun. Waits for disks and for what it writes to: called on a thread that may. When it fails, what
/// was written until then is no backup.
pub type Begun = Box<dyn FnOnce(&mut dyn Write) -> Result<(), StoreError> + Send>;

/// What can copy all of a control plane's data.
pub trait Backup: Debug + Send + Sync + 'static {
    /// Takes in what changes together, for a copy of everything or of all but the books of usage. Only while nothing is being
    /// changed; what it gives may take its time. Waits for disks: called on a thread that may.
    ///
    /// # Errors
    /// When something cannot be read.
    fn begin(&self, with_usage: bool) -> Result<Begun, StoreError>;
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
    fn begin(&self, _: bool) -> Result<Begun, StoreError> {
        Err(StoreError::ReadOnly("this store has no backup".to_owned()))
    }
}

impl Backup for Whole {
    fn begin(&self, with_usage: bool) -> Result<Begun, StoreError> {
        let (moment, books) = (self.store.moment(Some(&self.vault))?, Arc::clone(&self.books));
        Ok(Box::new(move |out| {
            // Before the first byte: whoever waits for it is told what is wrong, and no pause in the middle looks like an end.
            let usage = with_usage.then(|| books.copy()).transpose();
            let usage = usage
                .map_err(|error| StoreError::Unusable(format!("its usage cannot be copied: {error}")))?;
            store::write_backup(&moment, usage, out).map(drop)
        }))
    }
}
