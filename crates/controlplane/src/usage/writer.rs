//! The thread `keyway-usage`: the one that writes. Batches that wait together share one commit; only after it is anyone told
//! that they are booked.

use super::{
    Condition,
    booking::{Booking, Read},
    error::UsageError,
    file::Place,
    reader::Readers,
    retention::{self, Retention},
    spenders::{Numbers, SPENDER_LIMIT},
    tail::Tail,
};
use keyway_proto::fleet::v1::Batch;
use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Batches of one commit.
const SHARED: usize = 16;
/// A day, after which spenders that nothing names are looked for again.
const SWEEP_MILLIS: u64 = 24 * 3600 * 1000;

type Answer<T> = oneshot::Sender<Result<T, UsageError>>;

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Answers with the number up to which the process has been booked.
    Book {
        batch: Batch,
        now: u64,
        done: Answer<u64>,
    },
    /// Answers with whether there is more to do.
    Tidy {
        retention: Retention,
        now: u64,
        done: Answer<bool>,
    },
    End,
}

/// What it works with.
pub(super) struct Writer {
    /// Absent while the file cannot be opened: each job tries again.
    db: Option<Connection>,
    place: Place,
    numbers: Numbers,
    tail: Arc<Tail>,
    readers: Arc<Readers>,
    condition: Arc<Mutex<Condition>>,
    swept: u64,
}

/// Takes further batches that wait already; gives back what is none, which ended it.
fn share(jobs: &mut mpsc::Receiver<Job>, books: &mut Vec<(Batch, Answer<u64>)>) -> Option<Job> {
    while books.len() < SHARED {
        match jobs.try_recv().ok()? {
            Job::Book { batch, done, .. } => books.push((batch, done)),
            other => return Some(other),
        }
    }
    None
}

/// The file, opened if it is not.
fn opened<'d>(
    db: &'d mut Option<Connection>,
    place: &Place,
    now: u64,
) -> Result<&'d mut Connection, UsageError> {
    let known = db.take().map_or_else(|| place.open(now), Ok)?;
    Ok(db.insert(known))
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        db: Option<Connection>,
        place: Place,
        (tail, readers): (Arc<Tail>, Arc<Readers>),
        condition: Arc<Mutex<Condition>>,
    ) -> Self {
        Self { db, place, numbers: Numbers::new(SPENDER_LIMIT), tail, readers, condition, swept: 0 }
    }

    /// Works until it is told to end, or nobody is left who could.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| jobs.blocking_recv()) {
            match job {
                Job::Book { batch, now, done } => {
                    let mut books = vec![(batch, done)];
                    next = share(&mut jobs, &mut books);
                    self.book(books, now);
                }
                // Whoever asked may have gone.
                Job::Tidy { retention, now, done } => drop(done.send(self.tidy(&retention, now))),
                Job::End => return,
            }
        }
    }

    fn book(&mut self, books: Vec<(Batch, Answer<u64>)>, now: u64) {
        let mut read = Vec::with_capacity(books.len());
        for (batch, done) in books {
            match Read::new(&batch) {
                Ok(batch) => read.push((batch, done)),
                Err(error) => {
                    tracing::error!(%error, replica = batch.replica, "a batch of usage was refused");
                    self.condition.lock().malformed += 1;
                    drop(done.send(Err(error)));
                }
            }
        }
        let (batches, answers): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        if batches.is_empty() {
            return;
        }
        let booked = self.commit(batches, now);
        self.noted(booked.as_ref().err(), now);
        match booked {
            Ok(numbers) => {
                answers.into_iter().zip(numbers).for_each(|(done, number)| drop(done.send(Ok(number))));
            }
            Err(error) => answers.into_iter().for_each(|done| drop(done.send(Err(error.clone())))),
        }
    }

    fn commit(&mut self, batches: Vec<Read>, now: u64) -> Result<Vec<u64>, UsageError> {
        let follow = self.tail.is_followed();
        let db = opened(&mut self.db, &self.place, now)?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut booking = Booking::default();
        let mut last = Vec::with_capacity(batches.len());
        for batch in batches {
            last.push(booking.batch(&transaction, &mut self.numbers, batch, (now, follow))?);
        }
        booking.finish(&transaction)?;
        transaction.commit()?;
        self.tail.tell(booking.entries);
        Ok(last)
    }

    fn tidy(&mut self, retention: &Retention, now: u64) -> Result<bool, UsageError> {
        let done = self.tidy_once(retention, now);
        if let Err(error) = &done {
            self.noted(Some(error), now);
        }
        done
    }

    fn tidy_once(&mut self, retention: &Retention, now: u64) -> Result<bool, UsageError> {
        let db = opened(&mut self.db, &self.place, now)?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let more = retention::tidy(&transaction, retention, now)?;
        transaction.commit()?;
        if more || retention::give_back(db)? {
            return Ok(true);
        }
        if now.saturating_sub(self.swept) >= SWEEP_MILLIS {
            // Not at every start: it reads everything.
            if self.swept > 0 && retention::forget_spenders(db)? > 0 {
                self.numbers.forget();
            }
            self.swept = now;
        }
        self.condition.lock().bytes = retention::used_bytes(db)?;
        Ok(false)
    }

    /// Keeps for doctor what became of the last commit, and goes on with new books where the old are damaged.
    fn noted(&mut self, error: Option<&UsageError>, now: u64) {
        let before = std::mem::replace(&mut self.condition.lock().failing, error.map(ToString::to_string));
        let Some(error) = error else {
            if before.is_some() {
                tracing::info!("usage is booked again");
            }
            return;
        };
        self.numbers.forget();
        if before.is_none() {
            tracing::error!(%error, "usage cannot be booked; replicas keep what they have counted");
        }
        if error.is_damage() {
            // Closed before it is renamed, so that nothing of it is written back under its old name.
            self.db = None;
            let renewed = self.place.put_aside(error, now);
            match renewed {
                Ok(()) => {
                    self.readers.renew();
                    self.condition.lock().renewed += 1;
                }
                Err(error) => tracing::error!(%error, "new books cannot be begun"),
            }
        }
    }
}
