//! The last good state on disk, for a start without the control plane: `last-good` and the one before it, behind each
//! a log of what changed since, and `newest`, which says what of them may be served. Sealed under a key that lies in
//! another directory.
//!
//! A change is a list of steps of which every prefix leaves a whole state that is accepted: `newest` first names the
//! new version beside the old one, then files change places by renaming or the log grows, and a secret that was
//! withdrawn is replaced in the older file, and is in no log, before `newest` forgets it.

mod files;
mod log;

use super::{
    sealed::{Bad, Head, KEY_LEN, Newest, NodeKey},
    trust::{Signature, Trust},
};
use crate::meter::DISK_LIMIT;
use files::{Unusable, append, locked, node_key, nonce, remove, write};
pub(crate) use files::{private_dir, private_file, write as write_private};
use keyway_proto::{
    SCHEMA, STATE_LIMIT,
    fleet::v1::{Chunk, Removal},
};
use keyway_snapshot::{CredentialState, Parts, Resources, Snapshot, StateHash, Version, signed};
use log::{LOG_CHANGES, LOG_LIMIT, Log, Played, framed};
use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

const CURRENT: &str = "last-good";
const BEFORE: &str = "last-good.1";
const CHANGES: &str = "changes";
const CHANGES_BEFORE: &str = "changes.1";
const NEWEST: &str = "newest";
const LOCK: &str = "lock";
const COMING: &str = "coming";
/// A smaller state is written whole each time: two whole generations are worth more than what that costs.
const LOG_LEAST: u64 = 256 << 10;
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
    key_file: PathBuf,
    key: NodeKey,
    on_disk: Option<OnDisk>,
    /// Bytes that were written since it was opened.
    written: u64,
    /// Bytes of changes that were no whole ones when it was read.
    torn: u64,
    _lock: File,
}

#[derive(Debug, Clone)]
struct OnDisk {
    version: Version,
    hash: StateHash,
    parts: Parts,
    signature: Signature,
    /// The file that holds it, with the logs.
    file: &'static str,
    resources: Resources,
    secrets: HashSet<String>,
    log: LogEnd,
}

/// Of the log that grows.
#[derive(Debug, Clone, Copy, Default)]
struct LogEnd {
    bytes: u64,
    changes: usize,
    /// Something went wrong with it: nothing may be written behind what is there.
    is_torn: bool,
}

/// A state to keep.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) signature: Signature,
    /// Seconds since 1970.
    pub(super) confirmed_at: u64,
}

/// A state that was kept.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) signature: Signature,
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
    /// Behind what that file holds, down to the disk.
    Append(&'static str, Vec<u8>),
    Remove(&'static str),
    Sync,
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
        let (dir, key_file) = (at.dir.clone(), at.key_file.clone());
        Ok(Self { dir, key_file, key, on_disk: None, written: 0, torn: 0, _lock: lock })
    }

    /// What may be served until the control plane is heard, and why what lies there may not.
    pub(crate) fn load(&mut self, trust: &Trust) -> (Option<Loaded>, Option<String>) {
        if !self.dir.join(NEWEST).exists() && !self.dir.join(CURRENT).exists() {
            return (None, None);
        }
        let newest = match self.read(NEWEST).and_then(|file| Ok(Newest::open(&self.key, &file)?)) {
            Ok(newest) => newest,
            Err(why) => return (None, Some(format!("{NEWEST}: {why}"))),
        };
        let logs = [CHANGES_BEFORE, CHANGES].map(|file| {
            let read = self.read(file);
            read.map_or_else(|_| Log::default(), |file| Log::read(&self.key, &file))
        });
        let torn = logs.iter().map(|log| log.torn).sum();
        let mut reasons = Vec::new();
        for file in [CURRENT, BEFORE] {
            match self.load_one(file, &logs, newest, trust) {
                Ok((loaded, begun)) => {
                    self.on_disk = Some(OnDisk::loaded(&loaded, file, &logs));
                    if loaded.snapshot.version != newest.current {
                        reasons.extend(self.passed_over(torn));
                    }
                    self.tidy(file, &logs, newest);
                    if file == CURRENT {
                        self.tidy_logs(&logs, &[begun, loaded.snapshot.version]);
                    }
                    return (Some(loaded), (!reasons.is_empty()).then(|| reasons.join("; ")));
                }
                Err(why) => reasons.push(format!("{file}: {why}")),
            }
        }
        reasons.extend(self.passed_over(torn));
        (None, Some(reasons.join("; ")))
    }

    /// What would have led to the newest state is not whole: a crash came into its writing, or it was harmed since.
    fn passed_over(&mut self, torn: u64) -> Option<String> {
        self.torn = torn;
        (torn > 0).then(|| format!("{torn} bytes of {CHANGES} are no whole change and were passed over"))
    }

    fn load_one(
        &self,
        file: &'static str,
        logs: &[Log; 2],
        newest: Newest,
        trust: &Trust,
    ) -> Result<(Loaded, Version), Unusable> {
        let begun = Played::begin(&self.key, &self.read(file)?)?;
        let first = begun.head.version;
        let Played { head, resources } = logs.iter().try_fold(begun, |played, log| played.play(log))?;
        if !newest.allows(head.version) {
            return Err(Unusable::Older(head.version));
        }
        trust.verify(&signed(&head.cluster, head.version, head.hash, SCHEMA), &head.signature)?;
        let mut snapshot = Snapshot::of(head.version, resources)?;
        if *snapshot.settings.cluster != *head.cluster {
            return Err(Unusable::Cluster);
        }
        snapshot.parts = head.parts;
        let (snapshot, signature) = (Arc::new(snapshot), head.signature);
        Ok((Loaded { snapshot, signature, confirmed_at: head.confirmed_at }, first))
    }

    /// After a crash the older file may be one that holds secrets which are withdrawn since.
    fn tidy(&self, used: &str, logs: &[Log; 2], newest: Newest) {
        let path = self.dir.join(BEFORE);
        let leads_to = |file: Vec<u8>| {
            let (head, _) = Head::read(&file)?;
            Ok::<_, Bad>(logs.iter().fold((head.version, head.hash), |at, log| log.leads(at)).0)
        };
        let stale = fs::read(&path).is_ok_and(|file| leads_to(file).is_ok_and(|end| !newest.allows(end)));
        if used == CURRENT && stale {
            // Left where it cannot be removed: it is not accepted anyway.
            let _ = fs::remove_file(path);
        }
    }

    /// Likewise a log that leads to neither of these versions: a crash came before it was removed.
    fn tidy_logs(&mut self, logs: &[Log; 2], ends: &[Version]) {
        for (log, file) in logs.iter().zip([CHANGES_BEFORE, CHANGES]) {
            let stale = log.pieces.last().is_some_and(|(head, _)| !ends.contains(&head.version));
            let removed = stale && fs::remove_file(self.dir.join(file)).is_ok();
            if let Some(on_disk) = self.on_disk.as_mut().filter(|_| removed && file == CHANGES) {
                on_disk.log = LogEnd::default();
            }
        }
    }

    /// The version that would be served after a start.
    pub(crate) fn version(&self) -> Option<Version> {
        self.on_disk.as_ref().map(|on_disk| on_disk.version)
    }

    /// Bytes that were written since it was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes of changes that could not be read at the start, and were passed over.
    pub(crate) fn torn(&self) -> u64 {
        self.torn
    }

    /// Keeps a state.
    ///
    /// # Errors
    /// The system refused something; what lay there before is accepted still.
    pub(super) fn keep(&mut self, kept: &Kept) -> io::Result<()> {
        let (steps, log) = self.steps(kept)?;
        self.run(&steps).inspect_err(|_| self.spoil())?;
        self.on_disk = Some(OnDisk { log, ..OnDisk::of(&kept.snapshot, &kept.signature) });
        Ok(())
    }

    /// Whatever stands at the end of the log now, nothing is written behind it.
    fn spoil(&mut self) {
        if let Some(on_disk) = &mut self.on_disk {
            on_disk.log.is_torn = true;
        }
    }

    /// What is to be done, and the log after it.
    fn steps(&self, kept: &Kept) -> io::Result<(Vec<Step>, LogEnd)> {
        let now = OnDisk::of(&kept.snapshot, &kept.signature);
        let before = self.on_disk.as_ref().filter(|before| before.version != now.version);
        let mut steps = vec![self.newest(now.version, before.map(|before| before.version))?];
        steps.extend([Step::Place(NEWEST), Step::Sync]);
        // What could not be read may hold any secret.
        let withdrawn = self.on_disk.as_ref().is_none_or(|old| !old.secrets.is_subset(&now.secrets));
        let piece = before.filter(|_| !withdrawn).map(|before| self.piece(before, &now, kept.confirmed_at));
        let piece = piece.transpose()?.flatten();
        let mut grown = before.is_some_and(|before| before.log.bytes > 0);
        if let Some((piece, log)) = piece {
            // Where the state is written whole next, too: so the older file leads to all that follows.
            steps.extend([Step::Append(CHANGES, piece), Step::Sync]);
            if log.fits(&now.resources) {
                return Ok((steps, log));
            }
            grown = true;
        }
        let state = || self.whole(&now, kept.confirmed_at).map(Step::Write);
        steps.push(state()?);
        let log = match before {
            _ if withdrawn => LogEnd::default(),
            Some(before) if before.file == CURRENT => {
                let log = Step::Rename(CHANGES, CHANGES_BEFORE);
                steps.push(if grown { log } else { Step::Remove(CHANGES_BEFORE) });
                steps.push(Step::Rename(CURRENT, BEFORE));
                LogEnd::default()
            }
            // The older file needs what is in the log still.
            Some(before) => before.log,
            None => self.on_disk.as_ref().map(|same| same.log).unwrap_or_default(),
        };
        steps.extend([Step::Place(CURRENT), Step::Sync]);
        if withdrawn {
            steps.extend([state()?, Step::Place(BEFORE)]);
            steps.extend([Step::Remove(CHANGES), Step::Remove(CHANGES_BEFORE), Step::Sync]);
            steps.extend([self.newest(now.version, None)?, Step::Place(NEWEST), Step::Sync]);
        }
        Ok((steps, log))
    }

    fn newest(&self, current: Version, previous: Option<Version>) -> io::Result<Step> {
        let newest = Newest { current, previous };
        newest.seal(&self.key, nonce()?).map_err(io::Error::other).map(Step::Write)
    }

    fn whole(&self, now: &OnDisk, confirmed_at: u64) -> io::Result<Vec<u8>> {
        let chunk = Chunk { resources: now.resources.iter().cloned().collect(), ..Chunk::default() };
        now.head(None, confirmed_at).seal(&self.key, nonce()?, &chunk).map_err(io::Error::other)
    }

    /// What changed, to be appended, and the log after it; `None`: there is nothing that it could be appended to.
    fn piece(
        &self,
        before: &OnDisk,
        now: &OnDisk,
        confirmed_at: u64,
    ) -> io::Result<Option<(Vec<u8>, LogEnd)>> {
        let log = before.log;
        let is_small = now.resources.bytes() < LOG_LEAST;
        if is_small || before.file != CURRENT || log.is_torn {
            return Ok(None);
        }
        let change = before.resources.change_to(&now.resources);
        let removals = change.taken.into_iter().map(|one| Removal { kind: one.kind, name: one.name });
        let chunk = Chunk { removals: removals.collect(), resources: change.given };
        let head = now.head(Some((before.version, before.hash)), confirmed_at);
        let sealed = head.seal(&self.key, nonce()?, &chunk).map_err(io::Error::other)?;
        let piece = framed(&sealed).map_err(io::Error::other)?;
        let bytes = log.bytes + piece.len() as u64;
        let is_sane = piece.len() as u64 <= LOG_LIMIT;
        Ok(is_sane.then_some((piece, LogEnd { bytes, changes: log.changes + 1, is_torn: false })))
    }

    /// Forgets every state that was kept: first the key that opens them, so that whatever a crash leaves opens nothing.
    ///
    /// # Errors
    /// The system refused something; it is to be tried again.
    pub(super) fn wipe(&mut self) -> io::Result<()> {
        self.on_disk = None;
        remove(&self.key_file)?;
        let folder = self.key_file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all());
        folder?;
        self.run(&[CURRENT, BEFORE, CHANGES, CHANGES_BEFORE, NEWEST, COMING].map(Step::Remove))?;
        self.run(&[Step::Sync])?;
        self.key = node_key(&self.key_file).map_err(io::Error::other)?;
        Ok(())
    }

    /// The control plane was heard at this time, in seconds since 1970.
    ///
    /// # Errors
    /// As `keep`.
    pub(super) fn confirm(&mut self, confirmed_at: u64) -> io::Result<()> {
        let Some(on_disk) = &self.on_disk else { return Ok(()) };
        let piece = self.piece(on_disk, on_disk, confirmed_at)?;
        let (steps, log) = match piece.filter(|(_, log)| log.fits(&on_disk.resources)) {
            Some((piece, log)) => (vec![Step::Append(CHANGES, piece), Step::Sync], log),
            None => {
                let state = Step::Write(self.whole(on_disk, confirmed_at)?);
                (vec![state, Step::Place(on_disk.file), Step::Sync], on_disk.log)
            }
        };
        self.run(&steps).inspect_err(|_| self.spoil())?;
        self.on_disk = self.on_disk.take().map(|on_disk| OnDisk { log, ..on_disk });
        Ok(())
    }

    fn run(&mut self, steps: &[Step]) -> io::Result<()> {
        let dir = self.dir.clone();
        let path = |name: &str| dir.join(name);
        for step in steps {
            if let Step::Write(bytes) | Step::Append(_, bytes) = step {
                self.written += bytes.len() as u64;
            }
            match step {
                Step::Write(bytes) => write(&path(COMING), bytes)?,
                Step::Place(name) => fs::rename(path(COMING), path(name))?,
                Step::Rename(from, to) => fs::rename(path(from), path(to))?,
                Step::Append(name, bytes) => append(&path(name), bytes)?,
                Step::Remove(name) => remove(&path(name))?,
                Step::Sync => File::open(&dir)?.sync_all()?,
            }
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Unusable> {
        private_file(&self.dir.join(name), FILE_LIMIT)
    }
}

// === impl LogEnd ===

impl LogEnd {
    /// A start plays it in no time, and it is no larger than what it follows.
    fn fits(&self, resources: &Resources) -> bool {
        self.bytes <= LOG_LIMIT.min(resources.bytes()) && self.changes <= LOG_CHANGES
    }
}

// === impl OnDisk ===

impl OnDisk {
    fn of(snapshot: &Snapshot, signature: &Signature) -> Self {
        Self {
            version: snapshot.version,
            hash: snapshot.hash,
            parts: snapshot.parts,
            signature: signature.clone(),
            file: CURRENT,
            resources: snapshot.resources().clone(),
            secrets: secrets(snapshot),
            log: LogEnd::default(),
        }
    }

    fn loaded(loaded: &Loaded, file: &'static str, [_, log]: &[Log; 2]) -> Self {
        let log = LogEnd { bytes: log.bytes, changes: log.pieces.len(), is_torn: log.torn > 0 };
        Self { file, log, ..Self::of(&loaded.snapshot, &loaded.signature) }
    }

    fn head(&self, base: Option<(Version, StateHash)>, confirmed_at: u64) -> Head {
        Head {
            base,
            version: self.version,
            hash: self.hash,
            parts: self.parts,
            cluster: self.resources.cluster(),
            confirmed_at,
            signature: self.signature.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
