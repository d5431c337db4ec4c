//! The spool's thread: woken by the first request that ends, it waits for those that end with it, writes them as one
//! frame, looks again by itself while more come, and gives the control plane's stream what it asks for.

use super::{Spool, SpoolCounts, Syncer};
use crate::meter::{
    Bell, Budget, Totals, Tray,
    record::{record, sum},
    sheet::{Counted, Sheet},
};
use keyway_metering::Fold;
use keyway_proto::fleet::v1::Batch;
use parking_lot::Mutex;
use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// How long a request that ended waits for others; within 10 ms it stands in the spool.
const GATHER: Duration = Duration::from_millis(8);
/// Looks that find nothing before the thread sleeps until it is woken.
const IDLE_LOOKS: u32 = 4;
/// From a frame that was written to the disk's word for it, at most.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// After the disk refused a frame.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Hands orders to the thread, and ends it when it is dropped.
#[derive(Debug)]
pub(crate) struct Spooling {
    orders: Arc<Orders>,
    bell: Arc<Bell>,
    unread: watch::Receiver<bool>,
    counts: Arc<SpoolCounts>,
}

/// What the stream to the control plane asks for; one is answered before the next is given.
#[derive(Debug)]
enum Order {
    Batch(oneshot::Sender<Option<Batch>>),
    Accepted(String, u64),
    Flush(oneshot::Sender<()>),
    Shrink(bool),
    End,
}

/// Those that wait; `None` = the thread is gone, and what it is asked for will not come.
type Orders = Mutex<Option<Vec<Order>>>;

/// However the thread ends, panics included, nobody waits for it any more.
struct Closing(Arc<Orders>);

/// What the thread reads and moves.
pub(crate) struct Ends {
    pub(crate) trays: Vec<Arc<Tray>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) totals: Arc<Mutex<Totals>>,
    pub(crate) counts: Arc<SpoolCounts>,
    /// This replica's name.
    pub(crate) replica: String,
}

struct Writer {
    spool: Spool,
    syncer: Syncer,
    ends: Ends,
    orders: Arc<Orders>,
    unread: watch::Sender<bool>,
    spare: Sheet,
    refilled: Instant,
    rest: Duration,
    idle_looks: u32,
    /// When each is due, where it is.
    look_at: Option<Instant>,
    sync_at: Option<Instant>,
    again_at: Option<Instant>,
}

// === impl Spooling ===

impl Spooling {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn start(spool: Spool, ends: Ends) -> io::Result<(Self, JoinHandle<()>)> {
        let orders = Arc::new(Mutex::new(Some(Vec::new())));
        let closing = Closing(Arc::clone(&orders));
        let (told, unread) = watch::channel(spool.has_unread());
        let handle = Self {
            orders: Arc::clone(&orders),
            bell: Arc::clone(&ends.bell),
            unread,
            counts: Arc::clone(&ends.counts),
        };
        let mut writer = Writer {
            spool,
            syncer: Syncer::start()?,
            ends,
            orders,
            unread: told,
            spare: Sheet::default(),
            refilled: Instant::now(),
            rest: Duration::ZERO,
            idle_looks: 0,
            look_at: None,
            sync_at: None,
            again_at: None,
        };
        let thread = thread::Builder::new().name("keyway-spool".to_owned()).spawn(move || {
            let _closing = closing;
            writer.run();
            writer.syncer.join();
        })?;
        Ok((handle, thread))
    }

    fn give(&self, order: Order) {
        if let Some(orders) = &mut *self.orders.lock() {
            orders.push(order);
        }
        self.bell.wake();
    }

    /// The oldest frames that were not accepted; `None` if there is nothing, or it cannot be read.
    pub(crate) async fn batch(&self) -> Option<Batch> {
        let (reply, batch) = oneshot::channel();
        self.give(Order::Batch(reply));
        batch.await.ok().flatten()
    }

    /// Everything up to this number of that process is in the books.
    pub(crate) fn accepted(&self, incarnation: String, last: u64) {
        self.give(Order::Accepted(incarnation, last));
    }

    /// Until all that has ended is down on the disk. `false`: the thread is gone.
    pub(crate) async fn flush(&self) -> bool {
        let (reply, done) = oneshot::channel();
        self.give(Order::Flush(reply));
        done.await.is_ok()
    }

    /// Whether memory is scarce.
    pub(crate) fn shrink(&self, scarce: bool) {
        self.give(Order::Shrink(scarce));
    }

    /// Whether anything is to be offered, as it changes.
    pub(crate) fn unread(&self) -> watch::Receiver<bool> {
        self.unread.clone()
    }

    pub(crate) fn counts(&self) -> &SpoolCounts {
        &self.counts
    }
}

impl Drop for Spooling {
    fn drop(&mut self) {
        self.give(Order::End);
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

// === impl Writer ===

impl Writer {
    fn run(&mut self) {
        self.ends.bell.answer();
        loop {
            if self.look_at.is_none() && self.ends.bell.rings() {
                self.watch(Instant::now());
            }
            if self.obey() {
                return;
            }
            self.due(Instant::now());
            let is_busy = self.spool.make_room();
            self.unread.send_if_modified(|unread| {
                let now = self.spool.has_unread();
                std::mem::replace(unread, now) != now
            });
            let next = [self.look_at, self.sync_at, self.again_at].into_iter().flatten().min();
            match next {
                _ if is_busy => {}
                Some(at) => thread::park_timeout(at.saturating_duration_since(Instant::now())),
                None => thread::park(),
            }
        }
    }

    /// Does what was ordered; whether that was the end.
    fn obey(&mut self) -> bool {
        let orders = self.orders.lock().as_mut().map(std::mem::take).unwrap_or_default();
        for order in orders {
            match order {
                Order::Batch(reply) => {
                    // Who asked is gone: it will ask again.
                    let _ = reply.send(self.spool.batch(&self.ends.replica));
                }
                Order::Accepted(incarnation, last) => self.spool.accepted(&incarnation, last),
                Order::Flush(reply) => {
                    self.write();
                    self.spool.sync();
                    let _ = reply.send(());
                }
                Order::Shrink(scarce) => self.spool.shrink(scarce),
                Order::End => {
                    self.write();
                    self.spool.sync();
                    self.spool.end();
                    return true;
                }
            }
        }
        false
    }

    fn due(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.look_at) {
            self.look(now);
        }
        if is_due(self.sync_at) {
            self.sync_at = None;
            self.spool.sync_beside(&self.syncer);
        }
        if let Some(error) = self.syncer.failure() {
            self.spool.sync_failed(&error);
        }
        if is_due(self.again_at) {
            self.again_at = None;
            self.spool.try_disk();
        }
        self.sync_at = self.spool.is_dirty().then(|| self.sync_at.unwrap_or(now + SYNC_EVERY));
        self.again_at = self.spool.is_held_up().then(|| self.again_at.unwrap_or(now + TRY_AGAIN));
    }

    /// Looks again after a while, and need not be woken until then.
    fn watch(&mut self, now: Instant) {
        self.ends.bell.watch(true);
        self.look_at = Some(now + GATHER);
    }

    /// Writes what has ended, and watches on while there is something now and then.
    fn look(&mut self, now: Instant) {
        let has_rung = self.ends.bell.has_rung();
        if has_rung {
            self.write();
        }
        self.idle_looks = if has_rung { 0 } else { self.idle_looks + 1 };
        if self.idle_looks < IDLE_LOOKS {
            return self.watch(now);
        }
        (self.idle_looks, self.look_at) = (0, None);
        self.ends.bell.watch(false);
        // What rang before that woke nobody.
        if self.ends.bell.rings() {
            self.watch(now);
        }
    }

    /// Takes what has ended and writes it.
    fn write(&mut self) {
        let now = Instant::now();
        self.rest = self.ends.budget.refill(now - self.refilled + self.rest);
        self.refilled = now;
        let (mut records, mut sums) = (Vec::new(), Fold::new(usize::MAX));
        let mut totals = self.ends.totals.lock();
        for tray in &self.ends.trays {
            tray.swap(&mut self.spare);
            for ended in self.spare.records.drain(..) {
                if let Some(last) = ended.story.last() {
                    let client = ended.story.client.as_ref().map_or("", |client| &client.name);
                    totals.add(client, &last.key, &last.target, &Counted::of(&ended));
                }
                records.push(record(&ended));
            }
            for (_, row) in self.spare.sums.drain() {
                if let (Some(target), Some(key)) = (&row.target, &row.key) {
                    let client = row.client.as_ref().map_or("", |client| &client.name);
                    totals.add(client, key, target, &row.sum);
                }
                sums.sum(&sum(&row));
            }
        }
        drop(totals);
        if !records.is_empty() || !sums.is_empty() {
            self.spool.write(records, sums.into_sums());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn nobody_waits_for_a_thread_that_is_gone() {
        let orders = Arc::new(Mutex::new(Some(Vec::new())));
        let closing = Closing(Arc::clone(&orders));
        let (bell, counts, unread) = (Arc::default(), Arc::default(), watch::channel(true).1);
        let spooling = Spooling { orders, bell, unread, counts };
        let mut flushed = pin!(spooling.flush());
        assert!(timeout(Duration::ZERO, &mut flushed).await.is_err());
        drop(closing);
        assert_eq!(timeout(PATIENCE, flushed).await, Ok(false));
        assert_eq!(timeout(PATIENCE, spooling.flush()).await, Ok(false));
        assert!(timeout(PATIENCE, spooling.batch()).await.unwrap().is_none());
    }
}
