//! Signs of life of one connection. One timer a connection watches it; requests only note when they begin and end.

use std::{cell::Cell, rc::Rc, time::Duration};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// A connection without a whole head for this long is closed, be it idle or slow: longer than SDKs keep idle ones.
const QUIET_LIMIT: Duration = Duration::from_secs(75);

/// Of one connection.
#[derive(Debug)]
pub(crate) struct Pulse {
    requests: Cell<usize>,
    quiet_since: Cell<Instant>,
    unread: Cell<bool>,
    stop: Notify,
}

/// A request on the connection, its reply included.
#[derive(Debug)]
pub(crate) struct Beat(Rc<Pulse>);

// === impl Pulse ===

impl Pulse {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            requests: Cell::new(0),
            quiet_since: Cell::new(Instant::now()),
            unread: Cell::new(false),
            stop: Notify::new(),
        })
    }

    /// A request begins.
    pub(super) fn beat(self: &Rc<Self>) -> Beat {
        self.requests.set(self.requests.get() + 1);
        Beat(Rc::clone(self))
    }

    /// Whether a request was answered although part of its body had not been read.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.get()
    }

    /// Ends the connection, whatever is on it.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    /// Ends when the connection has been quiet for too long, or is stopped.
    pub(super) async fn stopped(&self) {
        loop {
            let due = match self.requests.get() {
                0 => self.quiet_since.get() + QUIET_LIMIT,
                _ => Instant::now() + QUIET_LIMIT,
            };
            if due <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.stop.notified() => return,
            }
        }
    }
}

impl Beat {
    /// Of its connection.
    pub(crate) fn pulse(&self) -> &Rc<Pulse> {
        &self.0
    }

    /// Part of the request's body was left unread: nothing else can come over this connection.
    pub(crate) fn leave_unread(&self) {
        self.0.unread.set(true);
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get().saturating_sub(1));
        self.0.quiet_since.set(Instant::now());
    }
}
