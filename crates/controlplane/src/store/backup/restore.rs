//! Brings a backup back. All of it is unpacked beside the store and checked before the store is touched; what was there
//! is put aside, never deleted. The epoch rises, so that replicas take what is older by count.

use super::{
    JOURNAL, USAGE, VAULT,
    file::{Contents, Unpacker},
    refuse_foreign, refuse_orphan, see,
};
use crate::{
    plane::unix_millis,
    private_dir,
    store::{
        Entry, StoreError, checkpoint,
        disk::System,
        durable,
        journal::{
            Journal, SEGMENT_BYTES, payload,
            records::{Place, Records, segments},
            scan::scan,
        },
        place,
    },
    usage::{self, Brought},
    vault::{Packed, RootKey, Sources},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where it is unpacked, under the home.
const STAGE: &str = "restoring";
const STORE: &str = "store";
/// The store that was there, in the stage: while the home has none, a start is refused.
const BEFORE: &str = "store.before";

/// What was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Whose data it is.
    pub cluster: String,
    /// Its new life.
    pub epoch: u64,
    /// Of the record that says that it was restored.
    pub revision: u64,
    /// Where the store and the vault that were there are now; absent = there were none.
    pub put_aside: Option<PathBuf>,
    /// Whose books of usage go on.
    pub usage: Brought,
}

/// Puts a backup in the place of what that home holds. No other process may have it open. The new epoch is one above
/// the backup's and the present store's, or the given one, which has to be higher than both.
///
/// # Errors
/// When the home is in use, when the backup is not whole or holds secrets that its keyring cannot open, and when files
/// cannot be written: what was there stays then.
pub fn restore(from: impl Read, into: &Path, epoch: Option<u64>) -> Result<Restored, StoreError> {
    let unusable = |error| StoreError::unusable(into, &error);
    private_dir(into).map_err(unusable)?;
    let old = into.join(STORE);
    let _old_lock = if old.exists() { Some(durable::lock(&old)?) } else { None };
    let present = present_epoch(into).map_err(unusable)?;
    let (stage, interrupted) = begin_stage(into).map_err(unusable)?;
    let _stage_lock = durable::lock(&stage.join(STORE))?;
    let prepared = prepare(from, &stage, (present, epoch), root_key(into).as_ref()).and_then(|prepared| {
        let usage = usage::choose(into, &stage);
        Ok((prepared, usage.map_err(|error| StoreError::BadBackup(error.to_string()))?))
    });
    let ((cluster, epoch, revision), usage) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            // Nothing but what was unpacked just now stands there.
            let _ = fs::remove_dir_all(&stage);
            if let Some(interrupted) = interrupted {
                // The mark of an interrupted restore stays until one has come to its end.
                fs::rename(interrupted, &stage).map_err(unusable)?;
            }
            return Err(error);
        }
    };
    let put_aside = exchange(into, &stage).map_err(unusable)?;
    Ok(Restored { cluster, epoch, revision, put_aside, usage })
}

/// A store that is gone while a restore was under way is not a new store.
pub(crate) fn refuse_half_restored(store: &Path) -> Result<(), StoreError> {
    let stage = store.parent().map(|home| home.join(STAGE));
    match stage {
        Some(stage) if stage.exists() && !store.exists() => Err(StoreError::Damaged(format!(
            "a restore was interrupted, its files are in {}: run `keyway restore` again",
            stage.display()
        ))),
        _ => Ok(()),
    }
}

/// A new one, and where an interrupted restore's is now.
fn begin_stage(home: &Path) -> io::Result<(PathBuf, Option<PathBuf>)> {
    let stage = home.join(STAGE);
    // An interrupted restore may already have moved there what was here before.
    let interrupted = stage.exists().then(|| free_name(home)).transpose()?;
    if let Some(interrupted) = &interrupted {
        fs::rename(&stage, interrupted)?;
    }
    private_dir(&stage.join(JOURNAL))?;
    Ok((stage, interrupted))
}

fn free_name(home: &Path) -> io::Result<PathBuf> {
    let seconds = unix_millis() / 1000;
    let names = (0..1000).map(|more| home.join(format!("before-restore-{}", seconds + more)));
    names.into_iter().find(|path| !path.exists()).ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}

/// Unpacks, checks, and raises the epoch: cluster, epoch and revision.
fn prepare(
    from: impl Read,
    stage: &Path,
    (present, epoch): (u64, Option<u64>),
    root: Option<&RootKey>,
) -> Result<(String, u64, u64), StoreError> {
    let (mut unpacker, mut packed) = (Unpacker::begin(from)?, Packed::default());
    while let Some((path, length)) = unpacker.next_file()? {
        refuse_foreign(&path)?;
        let to = stage.join(&path);
        unpack(&to, unpacker.contents(length)).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StoreError::BadBackup("it is cut short".to_owned()),
            _ => StoreError::unusable(&to, &error),
        })?;
        let seen = fs::File::open(&to).and_then(|mut file| see(&mut packed, &path, &mut file));
        seen.map_err(|error| StoreError::unusable(&to, &error))?;
    }
    unpacker.end()?;
    refuse_orphan(&packed, root)?;
    let folder = stage.join(JOURNAL);
    let read = scan(&folder, None)?;
    let head = match read.head {
        Some(head) if read.torn.is_none() => head,
        _ => return Err(StoreError::BadBackup("its journal is not whole".to_owned())),
    };
    let highest = head.epoch.max(present);
    let epoch = epoch.unwrap_or(highest + 1);
    if epoch <= highest {
        return Err(StoreError::BadBackup(format!("the epoch has to be above {highest}, not {epoch}")));
    }
    let cluster = read.cluster.clone();
    let entry = Entry {
        at: unix_millis(),
        actor: "system".to_owned(),
        action: "restore".to_owned(),
        detail: serde_json::json!({ "from_epoch": head.epoch, "from_revision": head.seq, "epoch": epoch }),
        ..Entry::default()
    };
    let encoded = payload::encode(&entry, &[], &[]).ok_or(StoreError::TooLarge { bytes: usize::MAX })?;
    let mut journal = Journal::open(&folder, read, Arc::new(System), SEGMENT_BYTES)?;
    let head = journal.append(epoch, entry.at, &encoded)?;
    place::sync_folders(stage).map_err(|error| StoreError::unusable(stage, &error))?;
    Ok((cluster, epoch, head.seq))
}

fn unpack(to: &Path, mut contents: Contents<'_, impl Read>) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        private_dir(folder)?;
    }
    let mut file = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    let mut file = file.write(true).create_new(true).open(to)?;
    io::copy(&mut contents, &mut file)?;
    file.sync_all()
}

/// The root key that a control plane would find in this home: with it the look at the vault is exact.
fn root_key(home: &Path) -> Option<RootKey> {
    RootKey::find(&Sources { home: home.to_owned(), ..Sources::default() }).ok().flatten()
}

/// The present store's; where an interrupted restore has put that aside, the highest of all that lie there.
fn present_epoch(home: &Path) -> io::Result<u64> {
    let live = home.join(STORE);
    if live.exists() {
        return Ok(epoch_of(&live));
    }
    let mut highest = 0;
    for entry in fs::read_dir(home)? {
        let folder = entry?.path();
        let epochs = [STORE, BEFORE].map(|name| epoch_of(&folder.join(name)));
        highest = epochs.into_iter().fold(highest, u64::max);
    }
    Ok(highest)
}

/// The highest epoch that the store shows, whatever else is wrong with it; 0 = none.
fn epoch_of(store: &Path) -> u64 {
    let folder = store.join(durable::JOURNAL);
    let mut highest = 0;
    for segment in segments(&folder).unwrap_or_default() {
        let Ok(mut records) = Records::open(&folder, Place { segment, offset: 0 }, segment) else { continue };
        while let Ok(Some((_, record))) = records.read() {
            highest = highest.max(record.link.epoch);
        }
    }
    let checkpoints = store.join(checkpoint::FOLDER);
    for seq in checkpoint::places(&checkpoints).unwrap_or_default().into_iter().rev().take(1) {
        highest = highest.max(checkpoint::read(&checkpoints, seq).map_or(0, |found| found.head.epoch));
    }
    highest
}

/// Swaps vault and store with the staged ones, and the books if there are any; the old ones end in a folder that says when. A
/// backup without a vault leaves none: secrets of another life do not fit. The store goes first and comes last: one that
/// is not there marks a restore that was cut short, whose vault and store may not belong together.
fn exchange(home: &Path, stage: &Path) -> io::Result<Option<PathBuf>> {
    let brings_usage = stage.join(USAGE).exists();
    let had = [STORE, VAULT].iter().any(|name| home.join(name).exists())
        || brings_usage && home.join(USAGE).exists();
    let (live, before) = (home.join(STORE), stage.join(BEFORE));
    if live.exists() {
        fs::rename(&live, &before)?;
    }
    sync_both(home, stage)?;
    swap(&home.join(VAULT), &stage.join(VAULT))?;
    if brings_usage {
        // A log belongs to its file: beside another it would be read into it.
        for log in ["-wal", "-shm"].map(|end| format!("{USAGE}{end}")) {
            if home.join(&log).exists() {
                fs::rename(home.join(&log), stage.join(&log))?;
            }
        }
        swap(&home.join(USAGE), &stage.join(USAGE))?;
    }
    sync_both(home, stage)?;
    fs::rename(stage.join(STORE), &live)?;
    if before.exists() {
        fs::rename(&before, stage.join(STORE))?;
    }
    sync_both(home, stage)?;
    if !had {
        fs::remove_dir_all(stage)?;
        return Ok(None);
    }
    let aside = free_name(home)?;
    fs::rename(stage, &aside)?;
    place::sync_folder(home)?;
    Ok(Some(aside))
}

/// No later step is on the disk before those until now.
fn sync_both(home: &Path, stage: &Path) -> io::Result<()> {
    place::sync_folder(home)?;
    place::sync_folder(stage)
}

/// In one step where the file system can, so that one of the two is always there.
fn swap(live: &Path, staged: &Path) -> io::Result<()> {
    match (live.exists(), staged.exists()) {
        (false, false) => Ok(()),
        (false, true) => fs::rename(staged, live),
        (true, false) => fs::rename(live, staged),
        (true, true) => match renameat_with(CWD, live, CWD, staged, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            Err(_) => {
                let between = staged.with_extension("old");
                fs::rename(live, &between)?;
                fs::rename(staged, live)?;
                fs::rename(between, staged)
            }
        },
    }
}
