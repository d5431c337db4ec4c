//! Opens the store, then the vault that belongs to it, then the books. Store or vault without the other is no fresh start.

use super::{ServeError, SharedStore, Storage};
use crate::{
    backup::{Backup, NoBackup, Whole},
    lead::Member,
    plane::unix_millis,
    private_dir,
    store::{Durable, Etcd, Store, StoreError},
    usage::Books,
    vault::{self, Sources, Vault, VaultError, make_file},
};
use std::{fs, io, net::SocketAddr, path::Path, sync::Arc};

/// The store's directory in the data directory.
const STORE: &str = "store";
/// The vault's directory in the data directory.
const VAULT: &str = "vault";

/// This control plane's name among others, in the data directory.
const NAME: &str = "control-plane.name";
const NAME_LIMIT: usize = 64;

/// What came of it.
pub(super) enum Opened {
    Ready {
        store: Arc<dyn Store>,
        vault: Box<Vault>,
        books: Arc<Books>,
        /// Copies all.
        backup: Arc<dyn Backup>,
    },
    /// The store is whole, and nothing in it can be served without the keys.
    Sealed { why: VaultError },
}

/// Where this control plane listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) admin: SocketAddr,
    pub(super) fleet: SocketAddr,
    /// The admin API has TLS.
    pub(super) tls: bool,
}

pub(super) async fn open(storage: Storage, at: At) -> Result<Opened, ServeError> {
    let opened = tokio::task::spawn_blocking(move || open_here(storage, at)).await;
    opened.unwrap_or_else(|error| Err(io::Error::other(error).into()))
}

fn open_here(storage: Storage, at: At) -> Result<Opened, ServeError> {
    let Storage { home, root_key_file, credentials, index_check, shared } = storage;
    private_dir(&home)?;
    if let Some(shared) = shared {
        let sources = Sources { file: root_key_file, credentials, home: home.clone() };
        return open_shared(&home, &sources, &shared, at);
    }
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
    Ok(Opened::Ready { store, vault: Box::new(vault), books, backup })
}

/// Store and vault are in etcd; the books lie here.
fn open_shared(home: &Path, sources: &Sources, shared: &SharedStore, at: At) -> Result<Opened, ServeError> {
    let name = shared.name.clone().map_or_else(|| name(home), Ok)?;
    if !is_name(&name) {
        let why = format!(
            "`{name}` is no name of a control plane: letters, digits, `-`, `_` and `.`, at most {NAME_LIMIT}"
        );
        return Err(StoreError::Unusable(why).into());
    }
    let scheme = if at.tls { "https" } else { "http" };
    let me = Member {
        name,
        fleet: shared.advertise_fleet.clone().unwrap_or_else(|| format!("https://{}", at.fleet)),
        admin: shared.advertise_admin.clone().unwrap_or_else(|| format!("{scheme}://{}", at.admin)),
    };
    tracing::info!(name = me.name, store = %shared.address, "shares its store with other control planes");
    let store = Arc::new(Etcd::open(&shared.address, me)?);
    let identity = store.identity();
    let place = || -> Box<dyn vault::Place> { Box::new(store.sealed_files()) };
    let vault = match vault::start_shared(place, sources, store.has_data(), &identity.cluster, unix_millis())?
    {
        vault::Opened::Ready(vault) => vault,
        vault::Opened::Fresh(vault) => {
            tracing::info!(root_key = ?sources.places().first(), "made a root key and a keyring: every control plane needs that root key");
            vault
        }
        vault::Opened::Sealed(why) => return Ok(Opened::Sealed { why }),
    };
    let books = Arc::new(Books::open(home, unix_millis())?);
    Ok(Opened::Ready { store, vault: Box::new(vault), books, backup: Arc::new(NoBackup) })
}

/// The name that was made at the first start.
fn name(home: &Path) -> io::Result<String> {
    let path = home.join(NAME);
    match fs::read_to_string(&path) {
        Ok(name) => return Ok(name.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut random = [0; 3];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let host = rustix::system::uname().nodename().to_str().unwrap_or("host").to_owned();
    let host: String =
        host.chars().filter(|one| one.is_ascii_alphanumeric() || *one == '-').take(32).collect();
    let name = format!("{host}-{}", crate::hex::hex(&random));
    make_file(&path, name.as_bytes())?;
    Ok(name)
}

fn is_name(name: &str) -> bool {
    let allowed = |one: char| one.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&one);
    (1..=NAME_LIMIT).contains(&name.len()) && name.chars().all(allowed)
}
