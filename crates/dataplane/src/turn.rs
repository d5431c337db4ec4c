//! Lets the other requests of this core go first, once.
//!
//! Reads of many requests before their writes, instead of read and write in turn: a peer that gets its writes in a row
//! is woken once, and one wake-up of a process on another core costs more than all that we do to a request.

use crate::worker::Worker;
use std::{future::poll_fn, task::Poll};

/// Whether a waiting write has let the others go first.
#[derive(Debug, Default)]
pub(crate) struct Turn(bool);

// === impl Turn ===

impl Turn {
    /// True once before every write, if others are under way: the caller wakes itself and waits.
    pub(crate) fn goes_to_others(&mut self, worker: &Worker) -> bool {
        self.0 = !self.0 && worker.in_flight.get() > 1;
        self.0
    }
}

/// Goes to the end of the core's queue, if others are in it. No timer, no system call.
pub(crate) async fn others_first(worker: &Worker) {
    let mut turn = Turn::default();
    poll_fn(|cx| {
        if turn.goes_to_others(worker) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
