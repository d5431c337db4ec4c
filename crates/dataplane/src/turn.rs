//! Lets the other requests of this core go first, once.
//!
//! Reads of many requests before their writes, instead of read and write in turn: a peer that gets its writes in a row
//! is woken once, and one wake-up of a process on another core costs more than all that we do to a request.

use crate::worker::Worker;
use std::{future::poll_fn, task::Poll};

/// Goes to the end of the core's queue, if others are in it. No timer, no system call.
pub(crate) async fn others_first(worker: &Worker) {
    let mut went = worker.in_flight.get() <= 1;
    poll_fn(|cx| {
        if std::mem::replace(&mut went, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
