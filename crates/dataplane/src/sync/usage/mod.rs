//! The stream that takes usage to the control plane: one batch is under way at a time, and the spool keeps it until it
//! is in the books. Opened when there is something to send, and again with jitter when it breaks.

use super::dial::{LinkSettings, connect, opened, unanswered};
use crate::{
    meter::{BATCH, SpoolCounts, Spooling},
    random::Random,
};
use keyway_proto::fleet::v1::{Accepted, Batch};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// From a batch to the word that it is in the books.
const ACCEPT_LIMIT: Duration = Duration::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(15);
/// From one batch to the next under load: many small ones would cost requests their core, and nobody sees the
/// difference.
const SEND_EVERY: Duration = Duration::from_millis(500);
/// Batches that leave at once after a rest.
const AT_ONCE: u32 = 10;
/// After the spool said that it has something and gave nothing: what was accepted is not taken off it yet, or the disk cannot
/// be read. Doubled up to the longest.
const SPOOL_REST: Duration = Duration::from_millis(5);
const SPOOL_REST_MOST: Duration = Duration::from_secs(1);

/// One replica's.
#[derive(Debug)]
pub(crate) struct UsageLink {
    settings: LinkSettings,
    spooling: Spooling,
}

// === impl UsageLink ===

impl UsageLink {
    pub(crate) fn new(settings: LinkSettings, spooling: Spooling) -> Self {
        Self { settings, spooling }
    }

    /// Whether memory is scarce: what waits there takes less then.
    pub(crate) fn shrink(&self, scarce: bool) {
        self.spooling.shrink(scarce);
    }

    /// Sends what there is and comes to be; until dropped.
    pub(crate) async fn run(&self) {
        let random = Random::new();
        let mut wait = RETRY_FIRST;
        self.settings.badge.joined().await;
        let mut unread = self.spooling.unread();
        // An error says that the spool is gone, and with it all there is to send.
        while unread.wait_for(|unread| *unread).await.is_ok() {
            let mut was_heard = false;
            let ended = self.stream(&mut was_heard).await;
            if was_heard {
                wait = RETRY_FIRST;
            }
            tracing::debug!(why = ended.message(), "usage waits in the spool");
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            sleep(Duration::from_millis(random.next() % millis)).await;
            wait = (wait * 2).min(RETRY_MOST);
        }
    }

    /// Until all that has ended is on the disk and in the books. Takes as long as the control plane does.
    pub(crate) async fn hand_over(&self) {
        self.spooling.flush().await;
        let _ = self.spooling.unread().wait_for(|unread| !*unread).await;
    }

    /// Until all that has ended is on the disk. `false`: nobody is there to bring it.
    pub(crate) async fn flush(&self) -> bool {
        self.spooling.flush().await
    }

    /// One stream, until it breaks.
    async fn stream(&self, was_heard: &mut bool) -> Status {
        match self.talk(was_heard).await {
            Ok(()) => Status::cancelled("the spool has ended"),
            Err(why) => why,
        }
    }

    async fn talk(&self, was_heard: &mut bool) -> Result<(), Status> {
        // Before anything is taken from the spool: what was offered is not folded any more.
        let mut client = connect(&self.settings).await?;
        let (outbox, outgoing) = mpsc::channel(1);
        let Some(batch) = self.next().await else { return Ok(()) };
        let mut incarnation = batch.incarnation.clone();
        let mut pace = Pace::rested(Instant::now());
        let mut more = is_full(&batch);
        outbox.try_send(batch).map_err(|_| ended())?;
        let opening = opened(client.report(ReceiverStream::new(outgoing))).await;
        let mut incoming = opening.map_err(|why| unanswered(&self.settings, why))?;
        self.counts().streams.fetch_add(1, Relaxed);
        loop {
            let last = timeout(ACCEPT_LIMIT, booked(&mut incoming, &incarnation)).await;
            let last = last.map_err(|_| Status::unknown("the control plane is silent"))??;
            *was_heard = true;
            self.spooling.accepted(incarnation, last);
            if !more {
                sleep_until(pace.next(Instant::now())).await;
            }
            let Some(batch) = self.next().await else { return Ok(()) };
            incarnation = batch.incarnation.clone();
            more = is_full(&batch);
            outbox.send(batch).await.map_err(|_| ended())?;
        }
    }

    /// The oldest frames that are not in the books, once there are any; `None` once the spool has ended.
    async fn next(&self) -> Option<Batch> {
        let (mut unread, mut rest) = (self.spooling.unread(), SPOOL_REST);
        loop {
            unread.wait_for(|unread| *unread).await.ok()?;
            if let Some(batch) = self.spooling.batch().await {
                return Some(batch);
            }
            sleep(rest).await;
            rest = (rest * 2).min(SPOOL_REST_MOST);
        }
    }

    fn counts(&self) -> &SpoolCounts {
        self.spooling.counts()
    }
}

/// When the next batch would leave if each took its time.
struct Pace(Instant);

impl Pace {
    fn rested(now: Instant) -> Self {
        Self(now.checked_sub(SEND_EVERY * AT_ONCE).unwrap_or(now))
    }

    /// When it leaves.
    fn next(&mut self, now: Instant) -> Instant {
        self.0 = self.0.max(Self::rested(now).0) + SEND_EVERY;
        self.0
    }
}

/// Whether more than this waits, most likely.
fn is_full(batch: &Batch) -> bool {
    batch.frames.iter().map(Vec::len).sum::<usize>() > BATCH / 2
}

/// The number up to which this process's frames are in the books.
async fn booked(incoming: &mut Streaming<Accepted>, incarnation: &str) -> Result<u64, Status> {
    loop {
        match incoming.message().await? {
            Some(accepted) if accepted.incarnation == incarnation => return Ok(accepted.last),
            Some(_) => {}
            None => return Err(ended()),
        }
    }
}

fn ended() -> Status {
    Status::unknown("the control plane ended the stream")
}

#[cfg(test)]
mod tests;
