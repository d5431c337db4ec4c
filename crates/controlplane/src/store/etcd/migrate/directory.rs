//! The end of a migration that is a data directory: read whole, or filled beside its place and put there by renaming.

use super::{Moved, not_empty};
use crate::{
    private_dir,
    store::{
        StoreError, backup,
        disk::System,
        documents::Documents,
        durable,
        journal::{Journal, SEGMENT_BYTES, payload, record::Fault, scan::scan},
        place,
    },
};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

const STORE: &str = "store";
const VAULT: &str = "vault";
/// Where a directory is filled, beside its place.
const STAGE: &str = "migrating";

pub(super) fn from_directory(home: &Path) -> Result<(Moved, Option<fs::File>), StoreError> {
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

/// `true`: it was there.
pub(super) fn to_directory(home: &Path, moved: &Moved) -> Result<bool, StoreError> {
    let unusable = |error| StoreError::unusable(home, &error);
    let (store, vault) = (home.join(STORE), home.join(VAULT));
    backup::refuse_half_restored(&store)?;
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
        place::sync_folders(&stage)?;
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
        fs::rename(stage.join(STORE), &store)?;
        place::sync_folder(home)?;
        fs::remove_dir_all(&stage)
    };
    fill().map_err(unusable)?;
    Ok(false)
}
