//! Requests under way on one core, so that those which use a revoked key, came with a revoked token or wait for too
//! long can be cut, and the connections of callers that do not read be closed.
//!
//! Only the core's own thread comes here: no lock and no atomic. Places are used again, so that a request allocates
//! nothing; it sets aside its waker when it waits for a provider, and the walk through all of them happens only when
//! a new state revoked something.

use crate::{listen::Pulse, sync::State};
use keyway_snapshot::TokenDigest;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// What a caller gets to read the end of its cut answer before its connection is closed: one that reads nothing would
/// keep the key in use.
pub(crate) const LAST_READ: Duration = Duration::from_millis(250);

/// How often waits are looked at: a timer for each request would cost more than the look at all of them.
const LATE_EVERY: Duration = Duration::from_millis(100);

/// A caller that took nothing for so long does not read: nobody asks a body for more while what it gave before cannot be
/// written. Its connection is closed, as it would keep the key and the provider's connection in use. A third of the
/// socket's buffer must get free before the system tells that there is room.
const STALLED_LIMIT: Duration = Duration::from_secs(60);

/// Why a request is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Credential,
    Client,
    /// Its provider is too slow.
    Late,
    /// Its caller does not read.
    Unread,
}

/// What was given to be written and stands before all that comes after.
#[derive(Debug, Clone, Copy, Default)]
enum Given {
    /// All was taken: more is asked for.
    #[default]
    Nothing,
    /// Since the last look.
    Lately,
    Since(Instant),
}

/// All of one core.
#[derive(Debug, Default)]
pub(crate) struct Open {
    entries: RefCell<Vec<Rc<Entry>>>,
    free: RefCell<Vec<Rc<Entry>>>,
    /// Nobody looks at waits until a request comes.
    unwatched: Cell<bool>,
    came: Notify,
}

/// One request's, until it ends.
#[derive(Debug)]
pub(crate) struct Place {
    open: Rc<Open>,
    entry: Rc<Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    token: Cell<Option<TokenDigest>>,
    /// Of the key that is used now; 0 = none.
    key: Cell<u64>,
    /// When it has waited long enough.
    due: Cell<Option<Instant>>,
    /// It has shown a sign of life, and may wait so long for the next.
    alive: Cell<Option<Duration>>,
    given: Cell<Given>,
    cut: Cell<Option<Cut>>,
    waker: RefCell<Option<Waker>>,
    pulse: RefCell<Option<Rc<Pulse>>>,
}

// === impl Cut ===

impl Cut {
    /// As in `error.reason`.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Credential => "credential_revoked",
            Self::Client => "client_revoked",
            Self::Late => "upstream_timeout",
            Self::Unread => "downstream_stall",
        }
    }
}

// === impl Open ===

impl Open {
    /// A request that was admitted with this token begins to use keys.
    pub(crate) fn enter(self: &Rc<Self>, token: TokenDigest, pulse: Rc<Pulse>) -> Place {
        let entry = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let entry = Rc::new(Entry::default());
            self.entries.borrow_mut().push(Rc::clone(&entry));
            entry
        });
        entry.token.set(Some(token));
        entry.pulse.replace(Some(pulse));
        if self.unwatched.replace(false) {
            self.came.notify_one();
        }
        Place { open: Rc::clone(self), entry }
    }

    /// Cuts what uses a key that this state revokes, or any where there is no state any more; gives how many.
    pub(crate) fn cut_keys(&self, state: Option<&State>) -> u64 {
        let is_revoked = |key| state.is_none_or(|state| state.keyring.is_revoked(key));
        self.cut(Cut::Credential, |entry| entry.key.get() != 0 && is_revoked(entry.key.get()))
    }

    /// Cuts what came with a token that this state does not admit; none does where there is none.
    pub(crate) fn cut_clients(&self, state: Option<&State>) -> u64 {
        let admits = |token: &TokenDigest| state.is_some_and(|state| state.snapshot.clients.admits(token));
        self.cut(Cut::Client, |entry| entry.token.get().is_some_and(|token| !admits(&token)))
    }

    fn cut(&self, why: Cut, is_meant: impl Fn(&Entry) -> bool) -> u64 {
        let mut count = 0;
        for entry in self.entries.borrow().iter() {
            if entry.cut.get().is_none() && is_meant(entry) {
                count += 1;
                entry.cut.set(Some(why));
                entry.wake();
            }
        }
        count
    }

    /// Cuts what waits for too long, until dropped. Sleeps while there is nothing.
    pub(crate) async fn cut_late(&self) {
        loop {
            if self.entries.borrow().len() == self.free.borrow().len() {
                self.unwatched.set(true);
                self.came.notified().await;
            }
            tokio::time::sleep(LATE_EVERY).await;
            self.look(Instant::now());
        }
    }

    /// Cuts what waits for too long for its provider, and closes the connections of callers that do not read.
    fn look(&self, now: Instant) {
        self.cut(Cut::Late, |entry| entry.is_late(now));
        for entry in self.entries.borrow().iter().filter(|entry| entry.is_unread(now)) {
            entry.cut.set(Some(Cut::Unread));
            entry.close();
        }
    }

    /// Wakes every request, so that each looks at what has changed for all.
    pub(crate) fn wake_all(&self) {
        self.entries.borrow().iter().for_each(|entry| entry.wake());
    }

    /// Closes the connections of those that were cut and still have not ended.
    pub(crate) fn close_unread(&self) {
        let is_revoked = |entry: &&Rc<Entry>| matches!(entry.cut.get(), Some(Cut::Credential | Cut::Client));
        self.entries.borrow().iter().filter(is_revoked).for_each(|entry| entry.close());
    }
}

impl Entry {
    /// Signs of life are dated here: the clock is asked once for all of them.
    fn is_late(&self, now: Instant) -> bool {
        if let Some(idle) = self.alive.take() {
            self.due.set(Some(now + idle));
        }
        self.due.get().is_some_and(|due| due <= now)
    }

    /// What it gave is dated here, as signs of life are.
    fn is_unread(&self, now: Instant) -> bool {
        match self.given.get() {
            Given::Nothing => false,
            Given::Lately => {
                self.given.set(Given::Since(now));
                false
            }
            Given::Since(given) => given + STALLED_LIMIT <= now,
        }
    }

    /// Closes its caller's connection.
    fn close(&self) {
        if let Some(pulse) = &*self.pulse.borrow() {
            pulse.stop();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

// === impl Place ===

impl Place {
    /// The next attempt uses the key of this number, and the client is admitted still: what was cut before is over.
    pub(crate) fn uses(&self, key: u64) {
        self.entry.key.set(key);
        self.entry.cut.set(None);
    }

    /// Whether it must end now.
    pub(crate) fn is_cut(&self) -> Option<Cut> {
        self.entry.cut.get()
    }

    /// It is cut a moment after `due`, unless it has brought its answer.
    pub(crate) fn due(&self, due: Option<Instant>) {
        self.entry.due.set(due);
    }

    /// It goes on, and is cut a moment after it has shown no further sign of life for so long. Having been late is over.
    pub(crate) fn goes_on(&self, idle: Duration) {
        self.entry.alive.set(Some(idle));
        if self.is_cut() == Some(Cut::Late) {
            self.entry.cut.set(None);
        }
    }

    /// It has given something to be written. Until it is asked for more its caller may take its time, within bounds.
    pub(crate) fn gives(&self) {
        self.entry.given.set(Given::Lately);
    }

    /// What it gave is written, or nearly.
    pub(crate) fn is_asked(&self) {
        self.entry.given.set(Given::Nothing);
    }

    /// To be woken when it must end.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        let mut waker = self.entry.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let entry = &self.entry;
        entry.token.set(None);
        entry.key.set(0);
        entry.due.set(None);
        entry.alive.set(None);
        entry.given.set(Given::Nothing);
        entry.cut.set(None);
        entry.waker.replace(None);
        entry.pulse.replace(None);
        self.open.free.borrow_mut().push(Rc::clone(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_shows_signs_of_life_is_not_late() {
        let open = Rc::new(Open::default());
        let place = open.enter(TokenDigest([1; 32]), Pulse::new());
        let (begun, idle) = (Instant::now(), Duration::from_secs(1));
        let late_after = |seconds| place.entry.is_late(begun + idle * seconds);
        assert!(!late_after(9), "it has not begun to wait");
        place.goes_on(idle);
        assert!(!late_after(10) && late_after(11));
        place.goes_on(idle);
        assert!(!late_after(20) && late_after(22));
        assert_eq!(open.cut(Cut::Late, |_| true), 1);
        place.goes_on(idle);
        assert_eq!(place.is_cut(), None, "it came before anybody had looked");
    }

    #[test]
    fn who_does_not_read_is_closed_and_who_waits_is_not() {
        let open = Rc::new(Open::default());
        let enter = || {
            let pulse = Pulse::new();
            (open.enter(TokenDigest([1; 32]), Rc::clone(&pulse)), pulse)
        };
        let ((unread, unread_pulse), (waits, waits_pulse), (reads, reads_pulse)) =
            (enter(), enter(), enter());
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let stopped = || [&unread_pulse, &waits_pulse, &reads_pulse].map(|pulse| pulse.is_stopped());
        [&unread, &waits, &reads].into_iter().for_each(Place::gives);
        waits.is_asked();
        open.look(begun);
        reads.is_asked();
        reads.gives();
        open.look(begun + STALLED_LIMIT - second);
        assert_eq!(stopped(), [false; 3], "too soon");
        open.look(begun + STALLED_LIMIT);
        assert_eq!(stopped(), [true, false, false]);
        assert_eq!([&unread, &waits, &reads].map(Place::is_cut), [Some(Cut::Unread), None, None]);
        drop((unread, waits, reads));
        let (_next, pulse) = enter();
        open.look(begun + STALLED_LIMIT * 3);
        assert!(!pulse.is_stopped(), "what was before is none of its business");
    }

    #[test]
    fn only_what_is_meant_is_cut_and_woken_and_places_are_used_again() {
        let open = Rc::new(Open::default());
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let enter = |key| {
            let place = open.enter(TokenDigest([1; 32]), Pulse::new());
            place.uses(key);
            place.wait(&Context::from_waker(&waker));
            place
        };
        let (one, two) = (enter(1), enter(2));
        assert_eq!(open.cut(Cut::Credential, |entry| entry.key.get() == 2), 1);
        assert_eq!((one.is_cut(), two.is_cut()), (None, Some(Cut::Credential)));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert_eq!(open.cut(Cut::Client, |entry| entry.key.get() == 2), 0, "once is enough");
        two.uses(3);
        assert_eq!(two.is_cut(), None, "it goes on with another key");
        drop(two);
        assert_eq!(open.cut(Cut::Client, |entry| entry.token.get().is_some()), 1, "one is left");
        drop(one);
        drop((enter(5), enter(6)));
        assert_eq!(open.entries.borrow().len(), 2);
    }
}
