//! Signs of life of connections. Requests only note when they begin and end; one look at all of a core's finds those that
//! are quiet, since a timer for each would be asked with every step of every request.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::{Rc, Weak},
    task::{Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// A connection without a whole head for this long is closed at the next look, be it idle or slow: longer than SDKs keep
/// idle ones.
const QUIET_LIMIT: Duration = Duration::from_secs(75);
/// While memory is scarce. Whoever sends a request in the moment when its connection is closed has to send it again.
const QUIET_WHEN_SCARCE: Duration = Duration::from_secs(5);

/// Of one core's connections.
#[derive(Debug, Default)]
pub(crate) struct Pulses(RefCell<Vec<Weak<Pulse>>>);

/// Of one connection.
#[derive(Debug)]
pub(crate) struct Pulse {
    requests: Cell<usize>,
    quiet_since: Cell<Instant>,
    unread: Cell<bool>,
    /// The caller has not taken all that was to be written.
    writing: Cell<bool>,
    stopped: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A request on the connection, its reply included.
#[derive(Debug)]
pub(crate) struct Beat(Rc<Pulse>);

// === impl Pulses ===

impl Pulses {
    /// A connection begins.
    pub(super) fn begin(&self) -> Rc<Pulse> {
        let pulse = Pulse::new();
        let mut all = self.0.borrow_mut();
        if all.len() == all.capacity() {
            all.retain(|one| one.strong_count() > 0);
        }
        all.push(Rc::downgrade(&pulse));
        pulse
    }

    /// Ends connections that have been quiet for too long.
    pub(crate) fn look(&self, now: Instant) {
        self.end_quiet(now, QUIET_LIMIT);
    }

    /// Memory is scarce: ends connections that nobody seems to need at the moment.
    pub(crate) fn shrink(&self, now: Instant) {
        self.end_quiet(now, QUIET_WHEN_SCARCE);
    }

    fn end_quiet(&self, now: Instant, limit: Duration) {
        self.0.borrow_mut().retain(|one| {
            let Some(pulse) = one.upgrade() else { return false };
            if pulse.is_quiet(now, limit) {
                pulse.stop();
            }
            true
        });
    }
}

// === impl Pulse ===

impl Pulse {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            requests: Cell::new(0),
            quiet_since: Cell::new(Instant::now()),
            unread: Cell::new(false),
            writing: Cell::new(false),
            stopped: Cell::new(false),
            waker: RefCell::new(None),
        })
    }

    /// A request begins.
    pub(super) fn beat(self: &Rc<Self>) -> Beat {
        self.requests.set(self.requests.get() + 1);
        Beat(Rc::clone(self))
    }

    /// Something was written, or has to wait for the caller: a connection on which an answer still goes out is not quiet.
    pub(super) fn writes(&self, waits: bool) {
        if self.writing.replace(waits) || waits {
            self.quiet_since.set(Instant::now());
        }
    }

    /// Whether a request was answered although part of its body had not been read.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.get()
    }

    fn is_quiet(&self, now: Instant, limit: Duration) -> bool {
        self.requests.get() == 0 && self.quiet_since.get() + limit <= now
    }

    /// Ends the connection, whatever is on it.
    pub(crate) fn stop(&self) {
        self.stopped.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Comes back once the connection is to end.
    pub(super) async fn stopped(&self) {
        poll_fn(|cx| {
            if self.stopped.get() {
                return Poll::Ready(());
            }
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_connections_end_and_busy_ones_do_not() {
        let pulses = Pulses::default();
        let (quiet, busy) = (pulses.begin(), pulses.begin());
        drop(pulses.begin());
        let _beat = busy.beat();
        pulses.look(Instant::now() + QUIET_LIMIT / 2);
        assert_eq!((quiet.stopped.get(), pulses.0.borrow().len()), (false, 2), "one is gone");
        pulses.look(Instant::now() + QUIET_LIMIT);
        assert_eq!((quiet.stopped.get(), busy.stopped.get()), (true, false));
    }

    #[test]
    fn a_slow_reader_is_not_quiet_while_it_takes_something() {
        let pulses = Pulses::default();
        let slow = pulses.begin();
        let now = Instant::now() + QUIET_LIMIT;
        for (waits, is_over) in [(true, false), (true, false), (false, false), (false, true)] {
            slow.quiet_since.set(now - QUIET_LIMIT);
            slow.writes(waits);
            // Of what was written a moment ago this is short of the limit.
            pulses.look(if is_over { now } else { now - Duration::from_millis(1) });
            assert_eq!(slow.stopped.get(), is_over, "{waits}");
        }
    }

    #[test]
    fn while_memory_is_scarce_quiet_connections_end_sooner() {
        let pulses = Pulses::default();
        let (quiet, busy) = (pulses.begin(), pulses.begin());
        let _beat = busy.beat();
        pulses.shrink(Instant::now() + QUIET_WHEN_SCARCE / 2);
        assert!(!quiet.stopped.get());
        pulses.shrink(Instant::now() + QUIET_WHEN_SCARCE);
        assert_eq!((quiet.stopped.get(), busy.stopped.get()), (true, false));
    }
}
