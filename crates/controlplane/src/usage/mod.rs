//! The books: what was used and what it cost, booked once, kept in SQLite for as long as the file says. One thread writes; a
//! few connections read. Nothing outside this room knows the database.

mod booking;
mod copy;
mod counted;
mod error;
mod file;
mod filter;
mod level;
mod plan;
mod reader;
mod records;
mod report;
mod retention;
mod running;
mod spenders;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

pub use copy::Brought;
pub(crate) use copy::{LeftOut, choose};
pub(crate) use counted::{Counted, meter};
pub use error::UsageError;
pub(crate) use file::NAME;
pub(crate) use filter::{Filter, model, split as split_tag};
pub(crate) use level::Level;
pub(crate) use plan::NotKept;
pub(crate) use records::{Found, Id, Outcomes, Search, Statuses};
pub(crate) use report::{By, Position, Question, Report, Row, Sort};
pub use retention::Retention;
pub(crate) use running::run;
pub(crate) use tail::Entry;

use file::Place;
use keyway_proto::fleet::v1::Batch;
use parking_lot::Mutex;
use reader::Readers;
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};
use tail::Tail;
use tokio::sync::{broadcast, mpsc, oneshot};
use writer::{Job, Writer};

/// Jobs that wait for the writer: replicas have one batch under way each.
const JOBS: usize = 64;

/// The books.
#[derive(Debug)]
pub struct Books {
    jobs: mpsc::Sender<Job>,
    readers: Arc<Readers>,
    tail: Arc<Tail>,
    condition: Arc<Mutex<Condition>>,
    place: Place,
    /// One copy at a time: each takes as much of the disk as the books.
    copying: Mutex<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How the books are, for doctor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Why the last commit failed; absent = it did not.
    pub(crate) failing: Option<String>,
    /// Batches that were refused since the start because they could not be read.
    pub(crate) malformed: u64,
    /// How often new books were begun since the start.
    pub(crate) renewed: u64,
    /// Numbers of frames that never came, and frames that overlapped what was booked.
    pub(crate) lost: u64,
    pub(crate) overlapped: u64,
    /// What is missing since the books came from a backup.
    pub(crate) left_out: Option<LeftOut>,
    /// Bytes that hold something.
    pub(crate) bytes: u64,
    /// Damaged files that were put aside.
    pub(crate) aside: Vec<PathBuf>,
}

// === impl Books ===

impl Books {
    /// Opens `usage.db` in that directory, or makes it. A damaged one is put aside, and doctor shows it. One that the disk
    /// does not let open, because it is full for example, is tried again with each batch: configuration does not wait for it.
    ///
    /// # Errors
    /// When a later version wrote it, or the system gives no thread.
    pub fn open(home: &Path, now: u64) -> Result<Self, UsageError> {
        let place = Place::new(home);
        let (tail, condition) = (Arc::<Tail>::default(), Arc::<Mutex<Condition>>::default());
        let db = match place.open(now) {
            Err(error @ UsageError::Newer { .. }) => return Err(error),
            Err(error) => {
                tracing::error!(%error, "usage cannot be booked yet; replicas keep what they count");
                condition.lock().failing = Some(error.to_string());
                None
            }
            Ok(db) => {
                condition.lock().bytes = retention::used_bytes(&db).unwrap_or_default();
                Some(db)
            }
        };
        let readers = Arc::new(Readers::open(&place));
        let writer =
            Writer::new(db, place.clone(), (Arc::clone(&tail), Arc::clone(&readers)), Arc::clone(&condition));
        let (jobs, waiting) = mpsc::channel(JOBS);
        let thread = std::thread::Builder::new().name("keyway-usage".to_owned());
        let thread = Mutex::new(Some(thread.spawn(move || writer.run(waiting))?));
        Ok(Self { jobs, readers, tail, condition, place, copying: Mutex::default(), thread })
    }

    /// Books a batch; the number up to which its process stands in the books, for good.
    ///
    /// # Errors
    /// Nothing of it was booked then.
    pub async fn book(&self, batch: Batch, now: u64) -> Result<u64, UsageError> {
        self.ask(|done| Job::Book { batch, now, done }).await
    }

    /// Deletes a piece of what has had its time; whether there is more.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub async fn tidy(&self, retention: Retention, now: u64) -> Result<bool, UsageError> {
        self.ask(|done| Job::Tidy { retention, now, done }).await
    }

    /// What was used in some stretch of time.
    pub(crate) async fn report(&self, question: Question) -> Result<Result<Report, NotKept>, UsageError> {
        self.readers.read(move |db, deadline| report::report(db, &question, deadline)).await
    }

    /// Records, newest first.
    pub(crate) async fn search(&self, search: Search) -> Result<Found, UsageError> {
        self.readers.read(move |db, _| records::search(db, &search)).await
    }

    /// One record with the replica that metered it.
    pub(crate) async fn record(&self, id: Id) -> Result<Option<Entry>, UsageError> {
        self.readers.read(move |db, _| records::one(db, id)).await
    }

    /// Records that are booked from now on; `None` when the control plane ends.
    pub(crate) fn follow(&self) -> Option<broadcast::Receiver<Arc<Entry>>> {
        self.tail.follow()
    }

    /// How they are.
    pub(crate) async fn condition(&self) -> Result<Condition, UsageError> {
        let read = |db: &Connection, _| Ok((records::lost(db)?, copy::left_out(db)?));
        let ((lost, overlapped), left_out) = self.readers.read(read).await?;
        let aside = self.place.aside()?;
        let known = self.condition.lock().clone();
        Ok(Condition { lost, overlapped, left_out, aside, ..known })
    }

    /// One moment of them as a file of its own, which has no name and is gone once it is closed. Takes as long as reading and
    /// writing all of them: called on a thread that may wait.
    ///
    /// # Errors
    /// When the disk has no room for it, or they cannot be read.
    pub fn copy(&self) -> Result<std::fs::File, UsageError> {
        let _alone = self.copying.lock();
        copy::copy(&self.place)
    }

    /// Followers see the end of their stream.
    pub fn end_tail(&self) {
        self.tail.end();
    }

    /// Ends the thread, once it has done what waits. Waits for it: called on a thread that may.
    pub fn close(&self) {
        let thread = self.thread.lock().take();
        // The writer closes last: it then brings all of the log into the file.
        self.readers.renew();
        // Both can only fail because it ended already.
        let _ = self.jobs.blocking_send(Job::End);
        let _ = thread.map(JoinHandle::join);
    }

    #[cfg(test)]
    async fn close_in_test(&self) {
        tokio::task::block_in_place(|| self.close());
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, UsageError>>) -> Job,
    ) -> Result<T, UsageError> {
        let (done, answer) = oneshot::channel();
        self.jobs.send(job(done)).await.map_err(|_| UsageError::Ended)?;
        answer.await.map_err(|_| UsageError::Ended)?
    }
}
