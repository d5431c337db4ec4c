//! Moves everything from a data directory into an etcd, or back: the log byte for byte, the documents that it comes to, and
//! the vault's files. The source is only read. The target counts from its last step, under a higher epoch, so that replicas
//! take it; a run that was cut short is begun again.

use super::{
    address::Address,
    inner::{all, chained, load, unreadable},
    keys::{Kept, Keys, Logged, Top, made_at, put},
    proto::{RequestOp, TxnRequest},
    wire::{Wire, WireError},
};
use crate::{
    plane::unix_millis,
    private_dir,
    store::{
        Entry, Revision, StoreError, Versioned, backup,
        disk::System,
        documents::{Documents, Hash},
        durable,
        journal::{
            Journal, SEGMENT_BYTES, payload,
            record::{Fault, Head, Hex, Link, Sealed},
            scan::scan,
        },
        place,
    },
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Bytes of one value, and about those of one transaction.
const BYTES: usize = 1 << 20;
/// Writes of one transaction.
const OPS: usize = 100;
/// A transaction is tried so often: what lies there before the head counts for nothing and may be written twice.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(300);
const STORE: &str = "store";
const VAULT: &str = "vault";
/// Where a directory is filled, beside its place.
const STAGE: &str = "migrating";

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

fn from_directory(home: &Path) -> Result<(Moved, Option<fs::File>), StoreError> {
    let dir = home.join(STORE);
    backup::refuse_half_restored(&dir)?;
    if !dir.join(durable::JOURNAL).exists() {
        return Err(StoreError::Unusable(format!("{} holds no store", home.display())));
    }
    let lock = durable::lock(&dir)?;
    let folder = dir.join(durable::JOURNAL);
    let read = scan(&folder, None)?;
    let (mut records, mut documents) = (Vec::new(), Documents::default());
    if let Some(reach) = read.reach(&folder, None) {
        reach.after(None, |record| {
            let (_, writes) = payload::decode(&record.payload).ok_or(Fault::Payload)?;
            let writes = payload::over(writes, &documents).ok_or(Fault::Payload)?;
            writes.into_iter().for_each(|write| documents.write(write));
            records.push(record.clone());
            Ok(false)
        })?;
    }
    let mut vault = BTreeMap::new();
    sealed_files(&home.join(VAULT), "", &mut vault)
        .map_err(|error| StoreError::unusable(&home.join(VAULT), &error))?;
    Ok((Moved { cluster: read.cluster, records, documents, vault }, Some(lock)))
}

/// What lies in the vault's directory, unfinished writes left out.
fn sealed_files(dir: &Path, before: &str, into: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            sealed_files(&entry.path(), &format!("{name}/"), into)?;
        } else if !entry.file_name().to_string_lossy().starts_with('.') {
            into.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(())
}

async fn from_etcd(wire: &Wire, keys: &Keys) -> Result<Option<Moved>, StoreError> {
    let Some((cluster, mirror)) = load(wire, keys).await? else { return Ok(None) };
    let records = super::inner::read_records(wire, keys, 0, mirror.head.seq).await?;
    if chained(None, &records)? != Some(mirror.head) {
        return Err(StoreError::Damaged("the log in etcd does not end where head says".to_owned()));
    }
    Ok(Some(Moved { cluster, records, documents: mirror.documents, vault: mirror.vault }))
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

/// `true`: it was there.
async fn to_etcd(address: &Address, moved: &Moved) -> Result<bool, StoreError> {
    let (wire, keys) = (Wire::new(address)?, Keys::new(address.prefix()));
    if let Some(there) = from_etcd(&wire, &keys).await? {
        // Compared in full by the caller; here only whether it is another's.
        let ours = there.records.first().map(|one| one.hash) == moved.records.first().map(|one| one.hash);
        return if ours { Ok(true) } else { Err(not_empty(&address.to_string())) };
    }
    let first = moved.records.first().ok_or_else(unreadable)?;
    for one in all(&wire, keys.all(""), 0).await? {
        let name = keys.name(&one.key).ok_or_else(unreadable)?;
        let beginning = name.split('/').next().unwrap_or_default();
        let genesis = name.strip_prefix("log/").and_then(super::keys::seq_of) == Some(0);
        let other = genesis && Logged::decode(&one.value) != Some(Logged::Here(frame(first)?));
        if other || !["log", "part", "doc", "vault"].contains(&beginning) {
            return Err(not_empty(&address.to_string()));
        }
    }
    let (rest, last) =
        (moved.records.split_last()).map(|(last, rest)| (rest, last)).ok_or_else(unreadable)?;
    let mut filling = Filling { wire: &wire, ops: Vec::new(), bytes: 0 };
    for record in rest {
        filling.record(&keys, record).await?;
    }
    for (key, document) in moved.documents.iter() {
        filling.put(keys.document(key), kept(document, moved, key)?).await?;
    }
    for (name, bytes) in &moved.vault {
        filling.put(keys.sealed(name), bytes.clone().into()).await?;
    }
    filling.flush().await?;
    let top = Top { head: last.head(), applied: last.link.seq, sum: moved.documents.sum(), published: None };
    let end = vec![
        put(keys.log(last.link.seq), Logged::Here(frame(last)?).encode(), 0),
        put(keys.head(), top.encode(), 0),
    ];
    let request = TxnRequest { compare: vec![made_at(keys.head(), 0)], success: end, failure: Vec::new() };
    // An outcome that is not known is seen when it is read back.
    match wire.txn(request).await {
        Ok(_) | Err(WireError::Unknown(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn kept(document: &Versioned, moved: &Moved, key: &crate::store::Key) -> Result<Bytes, StoreError> {
    let kept = if document.value.len() <= BYTES {
        Kept::Here(document.clone())
    } else {
        let wrote = |record: &&Sealed| {
            let writes = payload::decode(&record.payload).map(|(_, writes)| writes);
            writes.is_some_and(|writes| writes.iter().any(|write| write.key == *key))
        };
        let record = moved.records.iter().rev().find(wrote).ok_or_else(unreadable)?;
        Kept::InRecord { version: document.version, seq: record.link.seq }
    };
    kept.encode().ok_or(StoreError::TooLarge { bytes: usize::MAX })
}

fn frame(record: &Sealed) -> Result<Bytes, StoreError> {
    let sealed = record.link.seal(&record.payload);
    sealed.map(|(frame, _)| frame.into()).ok_or(StoreError::TooLarge { bytes: record.payload.len() })
}

fn not_empty(what: &str) -> StoreError {
    StoreError::Unusable(format!("{what} is not empty and holds something else; give another target"))
}

/// Writes that wait for their transaction.
struct Filling<'a> {
    wire: &'a Wire,
    ops: Vec<RequestOp>,
    bytes: usize,
}

// === impl Filling ===

impl Filling<'_> {
    async fn record(&mut self, keys: &Keys, record: &Sealed) -> Result<(), StoreError> {
        let frame = frame(record)?;
        let logged = if frame.len() <= BYTES {
            Logged::Here(frame)
        } else {
            let id = Hex(record.hash).to_string();
            let mut count = 0;
            for part in frame.chunks(BYTES) {
                self.put(keys.part(&id, count), frame.slice_ref(part)).await?;
                count += 1;
            }
            Logged::Parts { id, count }
        };
        self.put(keys.log(record.link.seq), logged.encode()).await
    }

    async fn put(&mut self, key: Vec<u8>, value: Bytes) -> Result<(), StoreError> {
        if self.ops.len() >= OPS || (!self.ops.is_empty() && self.bytes + value.len() > BYTES) {
            self.flush().await?;
        }
        self.bytes += key.len() + value.len();
        self.ops.push(put(key, value, 0));
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        let success = std::mem::take(&mut self.ops);
        self.bytes = 0;
        if success.is_empty() {
            return Ok(());
        }
        let request = TxnRequest { success, ..TxnRequest::default() };
        let mut outcome = self.wire.txn(request.clone()).await;
        for _ in 1..TRIES {
            if !matches!(outcome, Err(WireError::Unknown(_) | WireError::Unreached(_))) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            outcome = self.wire.txn(request.clone()).await;
        }
        outcome.map(drop).map_err(StoreError::from)
    }
}

/// `true`: it was there.
fn to_directory(home: &Path, moved: &Moved) -> Result<bool, StoreError> {
    let unusable = |error| StoreError::unusable(home, &error);
    let (store, vault) = (home.join(STORE), home.join(VAULT));
    if store.exists() {
        let (there, _lock) = from_directory(home)?;
        let ours = there.records.first().map(|one| one.hash) == moved.records.first().map(|one| one.hash);
        return if ours { Ok(true) } else { Err(not_empty(&home.display().to_string())) };
    }
    private_dir(home).map_err(unusable)?;
    let stage = home.join(STAGE);
    if stage.exists() {
        fs::remove_dir_all(&stage).map_err(unusable)?;
    }
    let folder = stage.join(STORE).join(durable::JOURNAL);
    private_dir(&folder).map_err(unusable)?;
    let mut journal = Journal::open(&folder, scan(&folder, None)?, Arc::new(System), SEGMENT_BYTES)?;
    for record in &moved.records {
        let head = journal.append(record.link.epoch, record.link.time, &record.payload)?;
        if head != record.head() {
            return Err(StoreError::Damaged(format!("record {} is not what it was", record.link.seq)));
        }
    }
    let fill = || -> io::Result<()> {
        for (name, bytes) in &moved.vault {
            let path = stage.join(VAULT).join(name);
            path.parent().map(private_dir).transpose()?;
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        if vault.exists() {
            // Of an earlier run that was cut short between its last two steps, or another's: never written over.
            let mut found = BTreeMap::new();
            sealed_files(&vault, "", &mut found)?;
            if found != moved.vault {
                return Err(io::Error::other("there is a vault already that is another's"));
            }
        } else if stage.join(VAULT).exists() {
            fs::rename(stage.join(VAULT), &vault)?;
        }
        place::sync_folder(&stage.join(STORE))?;
        fs::rename(stage.join(STORE), &store)?;
        place::sync_folder(home)?;
        fs::remove_dir_all(&stage)
    };
    fill().map_err(unusable)?;
    Ok(false)
}
