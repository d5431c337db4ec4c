//! Brings files down to the disk beside the spool's thread: a disk takes milliseconds or seconds for that, and what ends
//! meanwhile is written in time.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

/// Its thread; ends when this is joined.
#[derive(Debug)]
pub(super) struct Syncer {
    /// One round under way and one that waits.
    files: SyncSender<Vec<Arc<File>>>,
    failed: Receiver<io::Error>,
    thread: JoinHandle<()>,
}

// === impl Syncer ===

impl Syncer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(super) fn start() -> io::Result<Self> {
        let (files, rounds) = sync_channel::<Vec<Arc<File>>>(1);
        let (failures, failed) = sync_channel(1);
        let run = move || {
            for round in rounds {
                if let Err(error) = round.iter().try_for_each(|file| file.sync_data()) {
                    // One that nobody has looked at yet says the same.
                    let _ = failures.try_send(error);
                }
            }
        };
        let thread = thread::Builder::new().name("keyway-fsync".to_owned()).spawn(run)?;
        Ok(Self { files, failed, thread })
    }

    /// Has these brought down; gives them back where the disk is still at the ones before.
    pub(super) fn sync(&self, files: Vec<Arc<File>>) -> Vec<Arc<File>> {
        self.files.try_send(files).err().map_or_else(Vec::new, |full| match full {
            std::sync::mpsc::TrySendError::Full(files)
            | std::sync::mpsc::TrySendError::Disconnected(files) => files,
        })
    }

    /// What went wrong since this was last asked.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.failed.try_recv().ok()
    }

    /// Waits for what is under way.
    pub(super) fn join(self) {
        drop(self.files);
        // A panic there was reported by its hook.
        let _ = self.thread.join();
    }
}
