//! What a start finds of what was kept: the newest of it that is whole, proven and not older than what was served, and what a
//! crash left beside it goes. Nothing here makes a state of what is in doubt.

use super::{
    BEFORE, CHANGES, CHANGES_BEFORE, CURRENT, Disk, FILE_LIMIT, LogEnd, NEWEST, OnDisk,
    files::{Unusable, private_file, remove, sync_dir},
    log::{Log, Played},
    secrets,
};
use crate::sync::{
    sealed::{Head, Newest},
    trust::{Signature, Trust},
};
use keyway_proto::SCHEMA;
use keyway_snapshot::{Snapshot, Version, signed};
use std::{fs, io, sync::Arc};

/// A state that was kept.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) signature: Signature,
    /// Seconds since 1970.
    pub(crate) confirmed_at: u64,
}

// === impl Disk ===

impl Disk {
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
                    if file == CURRENT
                        && let Err(error) = self.tidy(&logs, newest, &[begun, loaded.snapshot.version])
                    {
                        // What is left may hold a secret that is withdrawn: nobody is told that this state is kept.
                        self.on_disk = None;
                        reasons.push(format!("what a crash left could not be removed: {error}"));
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

    /// What a crash left beside the newest state goes, for good before anybody is told that this state is kept.
    fn tidy(&mut self, logs: &[Log; 2], newest: Newest, ends: &[Version]) -> io::Result<()> {
        let before = fs::read(self.dir.join(BEFORE));
        let mut stale = Vec::new();
        if before.is_ok_and(|file| self.is_stale(&file, logs, newest)) {
            stale.push(BEFORE);
        }
        // A log that leads to neither of these versions: a crash came before it was removed.
        let astray = |log: &Log| log.pieces.last().is_some_and(|(head, _)| !ends.contains(&head.version));
        let astray = logs.iter().zip([CHANGES_BEFORE, CHANGES]).filter(|(log, _)| astray(log));
        stale.extend(astray.map(|(_, file)| file));
        if stale.is_empty() {
            return Ok(());
        }
        stale.iter().try_for_each(|file| remove(&self.dir.join(file)))?;
        if let Some(on_disk) = self.on_disk.as_mut().filter(|_| stale.contains(&CHANGES)) {
            on_disk.log = LogEnd::default();
        }
        sync_dir(&self.dir)
    }

    /// Whether the older file leads to nothing that may be served, or holds a secret that the newest state does not: a crash
    /// came before its withdrawal was at its end.
    fn is_stale(&self, file: &[u8], logs: &[Log; 2], newest: Newest) -> bool {
        let Ok((head, _)) = Head::read(file) else { return false };
        let (end, _) = logs.iter().fold((head.version, head.hash), |at, log| log.leads(at));
        if !newest.allows(end) {
            return true;
        }
        let Some(on_disk) = self.on_disk.as_ref().filter(|now| now.parts.secrets != head.parts.secrets)
        else {
            return false;
        };
        let held =
            Played::begin(&self.key, file).and_then(|one| Ok(Snapshot::of(head.version, one.resources)?));
        // What could not be read may hold any secret.
        !held.is_ok_and(|held| secrets(&held).is_subset(&on_disk.secrets))
    }

    /// Bytes of changes that could not be read at the start, and were passed over.
    pub(crate) fn torn(&self) -> u64 {
        self.torn
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Unusable> {
        private_file(&self.dir.join(name), FILE_LIMIT)
    }
}

// === impl OnDisk ===

impl OnDisk {
    fn loaded(loaded: &Loaded, file: &'static str, [_, log]: &[Log; 2]) -> Self {
        let log = LogEnd { bytes: log.bytes, changes: log.pieces.len(), is_torn: log.torn > 0 };
        Self { file, log, ..Self::of(&loaded.snapshot, &loaded.signature) }
    }
}
