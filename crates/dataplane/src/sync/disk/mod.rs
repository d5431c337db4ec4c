//! The last good state on disk, for a start without the control plane: `last-good` and the one before it, behind each
//! a log of what changed since, and `newest`, which says what of them may be served. Sealed under a key that lies in
//! another directory.
//!
//! A change is a list of steps of which every prefix leaves a whole state that is accepted: `newest` first names the
//! new version beside the old one, then files change places by renaming or the log grows, and a secret that was
//! withdrawn is replaced in the older file, and is in no log, before `newest` forgets it.

mod files;
mod load;
mod log;
mod place;

use super::{
    sealed::{Head, Newest, NodeKey},
    trust::Signature,
};
use files::{append, locked, node_key, nonce, remove, rename, sync_dir, write};
pub(crate) use files::{place as place_private, private_dir, private_file, write as write_private};
use keyway_proto::{
    STATE_LIMIT,
    fleet::v1::{Chunk, Removal},
};
use keyway_snapshot::{CredentialState, Parts, Resources, Snapshot, StateHash, Version};
use log::{LOG_CHANGES, LOG_LIMIT, framed};
pub use place::{StateDir, StateDirError};
use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::PathBuf,
    sync::Arc,
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

/// One step of a change; a crash may come between any two.
#[derive(Debug)]
enum Step {
    /// Into a file of its own, down to the disk.
    Write(Vec<u8>),
    /// That file takes this name.
    Place(&'static str),
    /// What is gone was renamed by a try before this one, which failed after that.
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

    /// The version that would be served after a start.
    pub(crate) fn version(&self) -> Option<Version> {
        self.on_disk.as_ref().map(|on_disk| on_disk.version)
    }

    /// Bytes that were written since it was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written
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
                if !grown && before.log.is_torn {
                    // Its first piece came in part: what followed would lie behind that, and a start stops there.
                    steps.push(Step::Remove(CHANGES));
                }
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
        self.key_file.parent().map_or(Ok(()), sync_dir)?;
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
                Step::Rename(from, to) => rename(&path(from), &path(to))?,
                Step::Append(name, bytes) => append(&path(name), bytes)?,
                Step::Remove(name) => remove(&path(name))?,
                Step::Sync => sync_dir(&dir)?,
            }
        }
        Ok(())
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
