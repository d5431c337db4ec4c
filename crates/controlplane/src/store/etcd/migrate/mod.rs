//! Moves everything from a data directory into an etcd, or back: the log byte for byte, the documents that it comes to, and
//! the vault's files. The source is only read. The target counts from its last step, under a higher epoch, so that replicas
//! take it; a run that was cut short is begun again.

mod directory;
mod filling;

use super::{address::Address, keys::Keys, wire::Wire};
use crate::{
    plane::unix_millis,
    store::{
        Entry, Revision, StoreError,
        documents::{Documents, Hash},
        journal::{
            payload,
            record::{Head, Hex, Link, Sealed},
        },
    },
};
use directory::{from_directory, to_directory};
use filling::{from_etcd, to_etcd};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// One end of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A data directory, with `store` and `vault` in it.
    Directory(PathBuf),
    /// An etcd.
    Etcd(Address),
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Whose data it is.
    pub cluster: String,
    /// Its new life.
    pub epoch: u64,
    /// The record that says that it was migrated.
    pub revision: Revision,
    /// Documents that are there.
    pub documents: usize,
    /// Sealed files of the vault.
    pub sealed: usize,
    /// Hash of the newest record, hex: the source's chain, and one record more.
    pub head: String,
    /// It was there already, from an earlier run.
    pub done_before: bool,
}

/// All that moves.
struct Moved {
    cluster: String,
    records: Vec<Sealed>,
    documents: Documents,
    vault: BTreeMap<String, Vec<u8>>,
}

/// Copies `from` to `to`, which must hold nothing, or what an earlier run of the same migration left there. Nobody else may
/// use either meanwhile.
///
/// # Errors
/// When the source is in use or not whole, when the target holds anything else, and when something cannot be written:
/// the target then does not count.
pub fn migrate(from: &Place, to: &Place) -> Result<Migrated, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StoreError::Unusable(format!("the system refused: {error}")))?;
    runtime.block_on(async {
        let (mut moved, _lock) = read(from).await?;
        let source = moved.head()?;
        let last = moved.mark(&source)?;
        let done_before = match to {
            Place::Etcd(address) => to_etcd(address, &moved).await?,
            Place::Directory(home) => to_directory(home, &moved)?,
        };
        // The record that ends it was made anew, if it was there before.
        let (there, _lock) = read(to).await?;
        let end = same(&moved, &there, if done_before { None } else { Some(last) })?;
        Ok(Migrated {
            cluster: there.cluster,
            epoch: end.epoch,
            revision: end.seq,
            documents: there.documents.len(),
            sealed: there.vault.len(),
            head: Hex(end.hash).to_string(),
            done_before,
        })
    })
}

async fn read(place: &Place) -> Result<(Moved, Option<fs::File>), StoreError> {
    match place {
        Place::Directory(home) => from_directory(home),
        Place::Etcd(address) => {
            let (wire, keys) = (Wire::new(address)?, Keys::new(address.prefix()));
            let found = from_etcd(&wire, &keys).await?;
            let nothing = || StoreError::Unusable(format!("{address} holds nothing of Keyway"));
            Ok((found.ok_or_else(nothing)?, None))
        }
    }
}

// === impl Moved ===

impl Moved {
    fn head(&self) -> Result<Head, StoreError> {
        let head = self.records.last().map(Sealed::head);
        head.ok_or_else(|| StoreError::Damaged("the source holds no record".to_owned()))
    }

    /// Adds the record that says that it was migrated.
    fn mark(&mut self, source: &Head) -> Result<Head, StoreError> {
        let epoch = source.epoch + 1;
        let entry = Entry {
            at: unix_millis(),
            actor: "system".to_owned(),
            action: MIGRATE.to_owned(),
            detail: serde_json::json!({ "from_epoch": source.epoch, "from_revision": source.seq, "epoch": epoch }),
            ..Entry::default()
        };
        let payload = payload::encode(&entry, &[], &[]).ok_or(StoreError::TooLarge { bytes: usize::MAX })?;
        let link = Link { seq: source.seq + 1, epoch, time: entry.at, before: source.hash };
        let (_, hash) = link.seal(&payload).ok_or(StoreError::TooLarge { bytes: payload.len() })?;
        let record = Sealed { link, payload, hash };
        let head = record.head();
        self.records.push(record);
        Ok(head)
    }
}

/// The audit log's word for it.
const MIGRATE: &str = "migrate";

/// Whether what is there is the source and the one record more.
fn same(moved: &Moved, there: &Moved, last: Option<Head>) -> Result<Head, StoreError> {
    let unlike = |what: &str| StoreError::Damaged(format!("the target's {what} are not the source's"));
    let source = moved.records.len().saturating_sub(1);
    let hashes = |records: &[Sealed]| records.iter().take(source).map(|one| one.hash).collect::<Vec<Hash>>();
    if moved.cluster != there.cluster || hashes(&moved.records) != hashes(&there.records) {
        return Err(unlike("records"));
    }
    let mark = there.records.get(source).ok_or_else(|| unlike("records"))?;
    let says = payload::decode(&mark.payload).is_some_and(|(entry, _)| entry.action == MIGRATE);
    let untouched = there.records.len() == moved.records.len();
    if !says || last.is_some_and(|last| last != mark.head()) {
        return Err(unlike("records"));
    }
    // A target that is in use already has gone on.
    if untouched && moved.documents.sum() != there.documents.sum() {
        return Err(unlike("documents"));
    }
    if untouched && moved.vault != there.vault {
        return Err(unlike("sealed secrets"));
    }
    there.head()
}

fn not_empty(what: &str) -> StoreError {
    StoreError::Unusable(format!("{what} is not empty and holds something else; give another target"))
}
