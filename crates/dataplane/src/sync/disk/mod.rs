//! The last good state on disk, for a start without the control plane: `last-good`, the one before it, and `newest`,
//! which says what of them may be served. Sealed under a key that lies in another directory.
//!
//! A change is a list of steps of which every prefix leaves a whole file that is accepted: `newest` first names the
//! new version beside the old one, then files change places by renaming, and a secret that was withdrawn is replaced
//! in the older file before `newest` forgets it.

use super::sealed::{Head, KEY_LEN, Newest, NodeKey};
use keyway_proto::{STATE_LIMIT, fleet::v1::Chunk};
use keyway_snapshot::{CredentialState, Snapshot, Version};
use rustix::process::geteuid;
use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

const CURRENT: &str = "last-good";
const BEFORE: &str = "last-good.1";
const NEWEST: &str = "newest";
const LOCK: &str = "lock";
const COMING: &str = "coming";
/// A state with its names and seals.
const FILE_LIMIT: u64 = STATE_LIMIT + (1 << 20);
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// Where a replica keeps its last good state.
#[derive(Debug, Clone)]
pub struct StateDir {
    /// Of this replica alone; made if missing.
    pub dir: PathBuf,
    /// File of the key that seals it, made if missing. In another directory, so that a copy of `dir` opens nothing.
    pub key_file: PathBuf,
    /// How long to wait for a process that still uses `dir`.
    pub lock_wait: Duration,
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
        let withdrawn = self.on_disk.as_ref().is_some_and(|old| !old.secrets.is_subset(&kept.secrets));
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

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("not a file of this user with mode 0600")]
    Exposed,
    #[error("{0}")]
    Bad(#[from] super::sealed::Bad),
    #[error("version {0} is older than what was served here")]
    Older(Version),
    #[error("its cluster is not the one that it names")]
    Cluster,
    #[error("{0}")]
    Invalid(#[from] keyway_snapshot::Invalid),
}

fn private_dir(path: &Path) -> Result<(), StateDirError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StateDirError::System(path.to_owned(), error))
}

/// Held until the file is dropped; the system lets go when a process ends, however it ends.
fn locked(path: &Path, wait: Duration) -> Result<File, StateDirError> {
    let system = |error| StateDirError::System(path.to_owned(), error);
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = opened.map_err(system)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < wait => thread::sleep(LOCK_LOOK),
            Err(TryLockError::WouldBlock) => {
                return Err(StateDirError::InUse(path.parent().unwrap_or(path).to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(system(error)),
        }
    }
}

fn node_key(path: &Path) -> Result<NodeKey, StateDirError> {
    let system = |error| StateDirError::System(path.to_owned(), error);
    if !path.exists() {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        getrandom::fill(&mut *bytes).map_err(|error| system(io::Error::other(error)))?;
        // Whole or not at all: half a key would be refused at every start.
        let coming = path.with_extension("coming");
        write(&coming, &*bytes).and_then(|()| fs::rename(&coming, path)).map_err(system)?;
    }
    let bytes = private_file(path, 2 * KEY_LEN as u64).map_err(|why| match why {
        Unusable::Read(error) => system(error),
        _ => StateDirError::Exposed(path.to_owned()),
    })?;
    NodeKey::new(&Zeroizing::new(bytes)).map_err(|_| StateDirError::NotAKey(path.to_owned()))
}

fn private_file(path: &Path, limit: u64) -> Result<Vec<u8>, Unusable> {
    let file = File::open(path)?;
    // Of the opened file, not of the name: nobody can change it in between.
    let found = file.metadata()?;
    if !found.is_file() || found.mode() & 0o777 != 0o600 || found.uid() != geteuid().as_raw() {
        return Err(Unusable::Exposed);
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn nonce<const N: usize>() -> io::Result<[u8; N]> {
    let mut nonce = [0; N];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    Ok(nonce)
}

#[cfg(test)]
mod tests;
