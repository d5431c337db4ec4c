//! Opens the store, then the vault that belongs to it, then the books. Store or vault without the other is no fresh start.

use super::{ServeError, Storage};
use crate::{
    backup::{Backup, Whole},
    plane::unix_millis,
    private_dir,
    store::{Durable, Store},
    usage::Books,
    vault::{self, Sources, Vault, VaultError},
};
use std::{io, sync::Arc};

/// The store's directory in the data directory.
const STORE: &str = "store";
/// The vault's directory in the data directory.
const VAULT: &str = "vault";

/// What came of it.
pub(super) enum Opened {
    Ready {
        store: Arc<dyn Store>,
        vault: Vault,
        books: Arc<Books>,
        /// Copies all.
        backup: Arc<dyn Backup>,
    },
    /// The store is whole, and nothing in it can be served without the keys.
    Sealed { why: VaultError },
}

pub(super) async fn open(storage: Storage) -> Result<Opened, ServeError> {
    let opened = tokio::task::spawn_blocking(move || open_here(storage)).await;
    opened.unwrap_or_else(|error| Err(io::Error::other(error).into()))
}

fn open_here(storage: Storage) -> Result<Opened, ServeError> {
    let Storage { home, root_key_file, credentials, index_check } = storage;
    private_dir(&home)?;
    let store = Arc::new(Durable::open(&home.join(STORE), index_check)?);
    for repair in store.condition().repairs {
        tracing::warn!("the store: {repair}");
    }
    let sources = Sources { file: root_key_file, credentials, home: home.clone() };
    let identity = store.identity();
    let vault = match vault::start(&sources, store.has_data(), &identity.cluster, unix_millis())? {
        vault::Opened::Ready(vault) => vault,
        vault::Opened::Fresh(vault) => {
            tracing::info!(root_key = ?sources.places().first(), "made a root key and a keyring: keep a copy of the root key elsewhere");
            vault
        }
        vault::Opened::Sealed(why) => return Ok(Opened::Sealed { why }),
    };
    let books = Arc::new(Books::open(&home, unix_millis())?);
    let backup = Whole { store: Arc::clone(&store), vault: home.join(VAULT), books: Arc::clone(&books) };
    let backup = Arc::new(backup);
    Ok(Opened::Ready { store, vault, books, backup })
}
