//! Opens a store: reads all of the journal, holds index and checkpoints against it, and only then writes. Refuses
//! whatever would serve an older state as the newest.

use super::{
    keeper::Keeper,
    shared::{Held, Schedule, Shared, Writer},
};
use crate::{
    plane::unix_millis,
    private_dir,
    store::{
        Batch, IndexCheck, StoreError, WATCH_BACKLOG, Write, backup,
        checkpoint::{self, Checkpoint},
        disk::{Disk, System},
        documents::{Documents, Hash},
        index::{self, Applied},
        journal::{
            Journal, Reach, SEGMENT_BYTES, payload,
            record::{Fault, Head, Hex},
            scan::{Scan, scan},
        },
        place,
    },
};
use parking_lot::Mutex;
use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    time::Instant,
};
use tokio::sync::broadcast;

/// The journal's folder in the store.
pub(crate) const JOURNAL: &str = "journal";
const LOCK: &str = "lock";
/// Records after which a checkpoint is made.
const CHECKPOINT_EVERY: u64 = 10_000;
/// Random bytes of a cluster's id.
const CLUSTER_BYTES: usize = 16;

/// How it is opened.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) check: Option<IndexCheck>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) segment_bytes: u64,
    pub(super) checkpoint_every: u64,
}

/// Documents as they were after a record, from where the journal is replayed.
struct Base {
    seq: Option<u64>,
    documents: Documents,
}

/// The newest checkpoint.
struct Kept {
    /// 0 = there is none.
    seq: u64,
    base: Base,
}

/// Documents as they are, and what was written to the base for that.
struct Replayed {
    documents: Documents,
    writes: Vec<Write>,
    head: Head,
}

// === impl Setup ===

impl Setup {
    pub(super) fn new(check: Option<IndexCheck>) -> Self {
        let disk = Arc::new(System);
        Self { check, disk, segment_bytes: SEGMENT_BYTES, checkpoint_every: CHECKPOINT_EVERY }
    }
}

/// Opens or makes the store.
pub(super) fn open(dir: &Path, setup: Setup) -> Result<Shared, StoreError> {
    backup::refuse_half_restored(dir)?;
    let (folder, checkpoints) = (dir.join(JOURNAL), dir.join(checkpoint::FOLDER));
    for needed in [dir, &folder, &checkpoints] {
        private_dir(needed).map_err(|error| StoreError::unusable(needed, &error))?;
    }
    for named_in in [Some(dir), dir.parent()].into_iter().flatten().filter(|path| path.exists()) {
        place::sync_folder(named_in).map_err(|error| StoreError::unusable(named_in, &error))?;
    }
    let lock = lock(dir)?;
    let mut notes = Vec::new();
    let scan = read_journal(dir, &setup)?;
    let had_index = dir.join(index::FOLDER).exists();
    let (mut keeper, loaded) = Keeper::open(dir, setup.check.as_ref(), &mut notes);
    if had_index && loaded.is_none() && notes.is_empty() {
        note(&mut notes, "the index held nothing and was filled from the journal".to_owned());
    }
    let applied = loaded.as_ref().map(|(applied, _)| *applied);
    let reach = scan.reach(&folder, None).ok_or_else(|| gone(&folder))?;
    if let Some(applied) = &applied {
        agrees(&reach, applied.seq, applied.hash, "the index")?;
    }
    let kept = newest_checkpoint(&checkpoints, &reach, applied.is_none())?;
    let base = loaded.map_or(kept.base, |(applied, documents)| Base { seq: Some(applied.seq), documents });
    let cluster = scan.cluster.clone();
    // Only now is a torn tail cut: what index and checkpoints say of it has been heard.
    let cut = scan.torn.as_ref().map(|torn| torn.note(scan.end));
    let journal = Journal::open(&folder, scan, Arc::clone(&setup.disk), setup.segment_bytes)?;
    notes.extend(cut.inspect(|cut| tracing::warn!("{cut}")));
    let Replayed { documents, writes, head } = replay(&journal, base)?;
    let now = Applied::new(head, &documents);
    match applied {
        Some(then) if then == now => {}
        Some(then) => {
            // A crash leaves it one record behind.
            let behind = now.seq.saturating_sub(then.seq);
            if behind > 1 {
                note(&mut notes, format!("the index had lost {behind} records, taken from the journal"));
            }
            notes.extend(keeper.apply(&writes, &now, || documents.clone()));
        }
        None => keeper.fill(&documents, &now, &mut notes),
    }
    let schedule = Schedule { every: setup.checkpoint_every, last: kept.seq, at: Instant::now() };
    let shared = Shared {
        dir: dir.to_owned(),
        disk: setup.disk,
        cluster,
        held: Mutex::new(Held { documents, head, read_only: None }),
        writer: Mutex::new(Writer { journal, keeper }),
        changes: broadcast::Sender::new(WATCH_BACKLOG),
        notes: Mutex::new(notes),
        schedule: Mutex::new(schedule),
        _lock: lock,
    };
    if shared.claims_checkpoint(head.seq) {
        shared.checkpoint();
    }
    Ok(shared)
}

/// Keeps other processes out for as long as the file is open.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(|error| StoreError::unusable(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.display().to_string())),
        Err(TryLockError::Error(error)) => Err(StoreError::unusable(&path, &error)),
    }
}

/// All of the journal; its first record is written if there never was one.
fn read_journal(dir: &Path, setup: &Setup) -> Result<Scan, StoreError> {
    let folder = dir.join(JOURNAL);
    let read = scan(&folder, None)?;
    if read.head.is_some() {
        return Ok(read);
    }
    let unusable = |error| StoreError::unusable(dir, &error);
    let checkpoints = checkpoint::places(&dir.join(checkpoint::FOLDER)).map_err(unusable)?;
    // Both come after the first record.
    if dir.join(index::FOLDER).exists() || !checkpoints.is_empty() {
        return Err(gone(&folder));
    }
    Journal::open(&folder, read, Arc::clone(&setup.disk), setup.segment_bytes)?
        .begin(&new_cluster()?, unix_millis())?;
    scan(&folder, None)
}

fn note(notes: &mut Vec<String>, what: String) {
    tracing::warn!("{what}");
    notes.push(what);
}

fn gone(folder: &Path) -> StoreError {
    StoreError::Damaged(format!(
        "{} holds no record, but this store had some: bring back a backup with `keyway restore`",
        folder.display()
    ))
}

pub(crate) fn new_cluster() -> Result<String, StoreError> {
    let mut bytes = [0; CLUSTER_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|_| StoreError::Unusable("the system gives no randomness".to_owned()))?;
    Ok(crate::hex::hex(&bytes))
}

/// Whether the journal has the record that something else was made after. Where it has not, it has lost its end.
fn agrees(reach: &Reach, seq: u64, hash: Hash, who: &str) -> Result<(), StoreError> {
    let found = if seq <= reach.head.seq { reach.hash_at(seq)? } else { None };
    if found == Some(hash) {
        return Ok(());
    }
    let has = match found {
        Some(found) => format!("another one there, with hash {}", Hex(found)),
        None => format!("only records up to {}", reach.head.seq),
    };
    Err(StoreError::Damaged(format!(
        "{who} was made after record {seq} with hash {}, the journal {} has {has}; nothing older is \
         served in its place: bring back a backup with `keyway restore`",
        Hex(hash),
        reach.folder.display()
    )))
}

/// Those that are not whole are passed over; the contents are read only if they are needed.
fn newest_checkpoint(folder: &Path, reach: &Reach, needed: bool) -> Result<Kept, StoreError> {
    let seqs = checkpoint::places(folder).map_err(|error| StoreError::unusable(folder, &error))?;
    let nothing = Base { seq: None, documents: Documents::default() };
    for seq in seqs.into_iter().rev() {
        let ahead = seq > reach.head.seq;
        if !needed && !ahead {
            return Ok(Kept { seq, base: nothing });
        }
        if let Some(Checkpoint { head, documents }) = checkpoint::read(folder, seq) {
            agrees(reach, seq, head.hash, "a checkpoint")?;
            return Ok(Kept { seq, base: Base { seq: Some(seq), documents } });
        }
    }
    Ok(Kept { seq: 0, base: nothing })
}

/// Applies what the journal has after the base.
fn replay(journal: &Journal, base: Base) -> Result<Replayed, StoreError> {
    let Base { seq, mut documents } = base;
    let reach = journal.reach(seq).ok_or_else(|| StoreError::Damaged("the journal is empty".to_owned()))?;
    let mut writes = Vec::new();
    reach.after(seq, |record| {
        let (entry, new) = payload::decode(&record.payload).ok_or(Fault::Payload)?;
        let batch = Batch { writes: payload::over(new, &documents).ok_or(Fault::Payload)?, entry };
        documents.check(&batch).map_err(|_| Fault::Payload)?;
        batch.writes.iter().cloned().for_each(|write| documents.write(write));
        writes.extend(batch.writes);
        Ok(false)
    })?;
    Ok(Replayed { documents, writes, head: reach.head })
}
