//! The last good state on disk, for a start without the control plane: `last-good`, the one before it, and `newest`,
//! which says what of them may be served. Sealed under a key that lies in another directory.
//!
//! A change is a list of steps of which every prefix leaves a whole file that is accepted: `newest` first names the
//! new version beside the old one, then files change places by renaming, and a secret that was withdrawn is replaced
//! in the older file before `newest` forgets it.

mod files;

use super::sealed::{Head, KEY_LEN, Newest, NodeKey};
use crate::meter::DISK_LIMIT;
use files::{Unusable, locked, node_key, nonce, write};
pub(crate) use files::{private_dir, private_file, write as write_private};
use keyway_proto::{STATE_LIMIT, fleet::v1::Chunk};
use keyway_snapshot::{CredentialState, Snapshot, Version};
use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::PathBuf,
    time::Duration,
};

const CURRENT: &str = "last-good";
const BEFORE: &str = "last-good.1";
const NEWEST: &str = "newest";
const LOCK: &str = "lock";
const COMING: &str = "coming";
/// A state with its names and seals.
const FILE_LIMIT: u64 = STATE_LIMIT + (1 << 20);
/// A process that was told to end is gone by then.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Where a replica keeps its last good state.
#[derive(Debug, Clone)]
pub struct StateDir {
    /// Of this replica alone; made if missing.
    pub dir: PathBuf,
    /// File of the key that seals it, made if missing. In another directory, so that a copy of `dir` opens nothing.
    pub key_file: PathBuf,
    /// File of this node's identity, beside that key and for the same reason.
    pub identity_file: PathBuf,
    /// How long to wait for a process that still uses `dir`.
    pub lock_wait: Duration,
    /// Bytes of usage that wait here for the control plane. Beyond them requests are summed up, coarser where need be.
    pub usage_limit: u64,
}

impl StateDir {
    /// Of [`Self::usage_limit`], unless another is said.
    pub const USAGE_MIB: u64 = DISK_LIMIT >> 20;

    /// With key and identity in `node-keys` beside it.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        let beside = |ending: &str| {
            let mut name = dir.file_name().unwrap_or_default().to_owned();
            name.push(ending);
            dir.parent().unwrap_or(&dir).join("node-keys").join(name)
        };
        let (key_file, identity_file) = (beside(".key"), beside(".identity"));
        Self { dir, key_file, identity_file, lock_wait: LOCK_WAIT, usage_limit: DISK_LIMIT }
    }
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another replica runs in it.
    #[error("{0} is in use by another replica; give each replica its own --state-dir")]
    InUse(PathBuf),
    /// The system refused something.
    #[error("cannot use {0}: {1}; give another --state-dir, or --no-state to keep nothing on disk")]
    System(PathBuf, io::Error),
    /// Others may read or change the file.
    #[error("{0} must be a file of this user with mode 0600; correct it, or remove it and begin anew")]
    Exposed(PathBuf),
    /// The node key has another length.
    #[error("{0} is not a node key of {KEY_LEN} bytes; remove it and begin anew")]
    NotAKey(PathBuf),
}

/// A state directory that this process holds.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: PathBuf,
    key: NodeKey,
    on_disk: Option<OnDisk>,
    _lock: File,
}

#[derive(Debug, Clone)]
struct OnDisk {
    version: Version,
    file: &'static str,
    secrets: HashSet<String>,
}

/// A state to keep.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(super) head: Head,
    pub(super) state: Chunk,
    /// Key versions whose secret it holds.
    pub(super) secrets: HashSet<String>,
}

/// A state that was kept.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) snapshot: Snapshot,
    /// Seconds since 1970.
    pub(crate) confirmed_at: u64,
}

/// One step of a change; a crash may come between any two.
#[derive(Debug)]
enum Step {
    /// Into a file of its own, down to the disk.
    Write(Vec<u8>),
    /// That file takes this name.
    Place(&'static str),
    Rename(&'static str, &'static str),
    Sync,
}

// === impl Kept ===

impl Kept {
    pub(super) fn new(snapshot: &Snapshot, state: Chunk, confirmed_at: u64) -> Self {
        let head = Head {
            version: snapshot.version,
            hash: snapshot.hash,
            cluster: snapshot.settings.cluster.to_string(),
            confirmed_at,
        };
        Self { head, state, secrets: secrets(snapshot) }
    }
}

fn secrets(snapshot: &Snapshot) -> HashSet<String> {
    let all = snapshot.credentials.values().flatten();
    all.filter(|one| one.state != CredentialState::Revoked).map(|one| one.id()).collect()
}

// === impl Disk ===

impl Disk {
    /// Takes the directory for the life of this process.
    ///
    /// # Errors
    /// The system refused something, or the directory is in use for longer than the limit.
    pub(crate) fn open(at: &StateDir) -> Result<Self, StateDirError> {
        private_dir(&at.dir)?;
        let lock = locked(&at.dir.join(LOCK), at.lock_wait)?;
        if let Some(keys) = at.key_file.parent() {
            private_dir(keys)?;
        }
        let key = node_key(&at.key_file)?;
        // Of a crash; what it holds is in none of the files.
        let _ = fs::remove_file(at.dir.join(COMING));
        Ok(Self { dir: at.dir.clone(), key, on_disk: None, _lock: lock })
    }

    /// What may be served until the control plane is heard, and why what lies there may not.
    pub(crate) fn load(&mut self) -> (Option<Loaded>, Option<String>) {
        if !self.dir.join(NEWEST).exists() && !self.dir.join(CURRENT).exists() {
            return (None, None);
        }
        let newest = match self.read(NEWEST).and_then(|file| Ok(Newest::open(&self.key, &file)?)) {
            Ok(newest) => newest,
            Err(why) => return (None, Some(format!("{NEWEST}: {why}"))),
        };
        let mut reasons = Vec::new();
        for file in [CURRENT, BEFORE] {
            match self.load_one(file, newest) {
                Ok(loaded) => {
                    let snapshot = &loaded.snapshot;
                    self.on_disk =
                        Some(OnDisk { version: snapshot.version, file, secrets: secrets(snapshot) });
                    self.tidy(file, newest);
                    return (Some(loaded), (!reasons.is_empty()).then(|| reasons.join("; ")));
                }
                Err(why) => reasons.push(format!("{file}: {why}")),
            }
        }
        (None, Some(reasons.join("; ")))
    }

    fn load_one(&self, file: &'static str, newest: Newest) -> Result<Loaded, Unusable> {
        let (head, resources) = Head::open(&self.key, &self.read(file)?)?;
        if !newest.allows(head.version) {
            return Err(Unusable::Older(head.version));
        }
        let snapshot = Snapshot::build(head.version, &resources)?;
        if *snapshot.settings.cluster != *head.cluster {
            return Err(Unusable::Cluster);
        }
        Ok(Loaded { snapshot, confirmed_at: head.confirmed_at })
    }

    /// After a crash the older file may be one that holds secrets which are withdrawn since.
    fn tidy(&self, used: &str, newest: Newest) {
        let path = self.dir.join(BEFORE);
        let version = |file: Vec<u8>| Head::read(&file).map(|(head, _)| head.version);
        let stale = fs::read(&path).is_ok_and(|file| version(file).is_ok_and(|found| !newest.allows(found)));
        if used == CURRENT && stale {
            // Left where it cannot be removed: it is not accepted anyway.
            let _ = fs::remove_file(path);
        }
    }

    /// The version that would be served after a start.
    pub(crate) fn version(&self) -> Option<Version> {
        self.on_disk.as_ref().map(|on_disk| on_disk.version)
    }

    /// Keeps a state.
    ///
    /// # Errors
    /// The system refused something; what lay there before is accepted still.
    pub(super) fn keep(&mut self, kept: &Kept) -> io::Result<()> {
        self.run(&self.steps(kept)?)?;
        let (version, secrets) = (kept.head.version, kept.secrets.clone());
        self.on_disk = Some(OnDisk { version, file: CURRENT, secrets });
        Ok(())
    }

    fn steps(&self, kept: &Kept) -> io::Result<Vec<Step>> {
        let current = kept.head.version;
        let state = || kept.head.seal(&self.key, nonce()?, &kept.state).map_err(io::Error::other);
        let newest = |previous| {
            let newest = Newest { current, previous };
            newest.seal(&self.key, nonce()?).map_err(io::Error::other).map(Step::Write)
        };
        let before = self.on_disk.as_ref().filter(|before| before.version != current);
        let previous = before.map(|before| before.version);
        let mut steps = vec![newest(previous)?, Step::Place(NEWEST), Step::Sync, Step::Write(state()?)];
        // What could not be read may hold any secret.
        let withdrawn = self.on_disk.as_ref().is_none_or(|old| !old.secrets.is_subset(&kept.secrets));
        if !withdrawn && before.is_some_and(|before| before.file == CURRENT) {
            steps.push(Step::Rename(CURRENT, BEFORE));
        }
        steps.extend([Step::Place(CURRENT), Step::Sync]);
        if withdrawn {
            steps.extend([Step::Write(state()?), Step::Place(BEFORE), Step::Sync]);
            steps.extend([newest(None)?, Step::Place(NEWEST), Step::Sync]);
        }
        Ok(steps)
    }

    /// The control plane was heard at this time, in seconds since 1970.
    ///
    /// # Errors
    /// As `keep`.
    pub(super) fn confirm(&self, confirmed_at: u64) -> io::Result<()> {
        let Some(on_disk) = &self.on_disk else { return Ok(()) };
        let file = self.read(on_disk.file).map_err(io::Error::other)?;
        let (head, resources) = Head::open(&self.key, &file).map_err(io::Error::other)?;
        let head = Head { confirmed_at, ..head };
        let sealed = head.seal(&self.key, nonce()?, &Chunk { resources }).map_err(io::Error::other)?;
        self.run(&[Step::Write(sealed), Step::Place(on_disk.file), Step::Sync])
    }

    fn run(&self, steps: &[Step]) -> io::Result<()> {
        let path = |name: &str| self.dir.join(name);
        for step in steps {
            match step {
                Step::Write(bytes) => write(&path(COMING), bytes)?,
                Step::Place(name) => fs::rename(path(COMING), path(name))?,
                Step::Rename(from, to) => fs::rename(path(from), path(to))?,
                Step::Sync => File::open(&self.dir)?.sync_all()?,
            }
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Unusable> {
        private_file(&self.dir.join(name), FILE_LIMIT)
    }
}

#[cfg(test)]
mod tests;
