//! The connections that read: few, each on a thread that may wait, each question within its time.

use super::{error::UsageError, file::Place};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Questions at one time; more wait.
const READERS: usize = 2;
/// One question takes at most so long.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Readers {
    place: Place,
    room: Semaphore,
    idle: Mutex<Idle>,
}

#[derive(Debug)]
struct Idle {
    connections: Vec<Connection>,
    /// Counts files: a connection to one that was put aside is not used again.
    file: u64,
}

// === impl Readers ===

impl Readers {
    /// What cannot be opened yet is opened by the question that needs it.
    pub(super) fn open(place: &Place) -> Self {
        let connections = (0..READERS).filter_map(|_| place.reader().ok()).collect();
        let idle = Mutex::new(Idle { connections, file: 0 });
        Self { place: place.clone(), room: Semaphore::new(READERS), idle }
    }

    /// Another file is in the place of the one that was read.
    pub(super) fn renew(&self) {
        let mut idle = self.idle.lock();
        idle.connections.clear();
        idle.file += 1;
    }

    /// Asks one question, of one state of the books; the moment at which it must be done comes with it.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Connection, Instant) -> Result<T, UsageError> + Send + 'static,
    ) -> Result<T, UsageError> {
        let _room = self.room.acquire().await.map_err(|_| UsageError::Ended)?;
        let readers = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || {
            let (idle, file) = readers.take();
            let db = idle.map_or_else(|| readers.place.reader(), Ok)?;
            let state = db.unchecked_transaction()?;
            let answer = question(&state, Instant::now() + LIMIT);
            drop(state);
            readers.put_back(db, file, answer.is_ok());
            answer
        });
        asked.await.map_err(UsageError::failed)?
    }

    fn take(&self) -> (Option<Connection>, u64) {
        let mut idle = self.idle.lock();
        (idle.connections.pop(), idle.file)
    }

    /// One that failed is not used again. What it keeps of the file is given up: questions are seldom, and what they read is
    /// large.
    fn put_back(&self, db: Connection, file: u64, works: bool) {
        let works = works && db.execute_batch("PRAGMA shrink_memory").is_ok();
        let mut idle = self.idle.lock();
        if works && file == idle.file {
            idle.connections.push(db);
        }
    }
}
