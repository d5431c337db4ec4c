//! What this replica serves from. The only file that names `ArcSwap`: one swap changes everything at once, and a
//! request that pinned the old state keeps it to its end.

use crate::{handovers::Handovers, lease::Keyring};
use arc_swap::ArcSwapOption;
use http::HeaderValue;
use keyway_snapshot::Snapshot;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::watch;

/// One state: configuration and keys that belong together.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) keyring: Keyring,
    /// Tokens that are about to be changed.
    pub(crate) handovers: Handovers,
    /// The version as a header.
    pub(crate) version: HeaderValue,
}

/// How often something was revoked under running requests. What it was stands in the newest state, so that a core
/// which sees two at once misses none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Revoked {
    pub(crate) keys: u64,
    pub(crate) tokens: u64,
}

/// What a swap replaced.
#[derive(Debug)]
pub(crate) struct Swapped {
    before: Option<Arc<State>>,
    state: Arc<State>,
}

/// The newest state; none before the first was applied.
#[derive(Debug)]
pub(crate) struct Held {
    newest: ArcSwapOption<State>,
    /// Keys before the first state.
    none: Keyring,
    revoked: watch::Sender<Revoked>,
    /// States that were replaced, until no request has them any more: the last to let go of one takes it apart, and
    /// that is never a core.
    replaced: Mutex<Vec<Arc<State>>>,
    /// True from the first state on.
    configured: watch::Sender<bool>,
}

// === impl Held ===

impl Default for Held {
    fn default() -> Self {
        Self::of_replica("")
    }
}

impl Held {
    /// Of the replica of that id, which decides what it may use of a version on trial.
    pub(crate) fn of_replica(id: &str) -> Self {
        let (revoked, configured) = (watch::channel(Revoked::default()).0, watch::channel(false).0);
        Self {
            newest: ArcSwapOption::default(),
            none: Keyring::of_replica(id),
            revoked,
            configured,
            replaced: Mutex::default(),
        }
    }

    /// The state to serve a request from, or the newest keys for an attempt.
    pub(crate) fn pin(&self) -> Option<Arc<State>> {
        self.newest.load_full()
    }

    /// Whether no newer state has come since this one was pinned.
    pub(crate) fn is_newest(&self, state: &Arc<State>) -> bool {
        self.newest.load().as_ref().is_some_and(|newest| Arc::ptr_eq(newest, state))
    }

    /// Serves from this snapshot from now on. When it returns, no attempt can begin with a key that the snapshot took
    /// away, so that counts which are read from here on are counts at this version.
    pub(crate) fn swap(&self, snapshot: Arc<Snapshot>) -> Swapped {
        let before = self.newest.load_full();
        let old = before.as_ref().map_or(&self.none, |before| &before.keyring);
        let (keyring, changes) = Keyring::build(&snapshot, old);
        let version = HeaderValue::from_str(&snapshot.version.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("0.0"));
        let handovers = Handovers::build(&snapshot, before.as_ref().map(|before| &before.handovers));
        let state = Arc::new(State { snapshot, keyring, handovers, version });
        changes.grant();
        self.newest.store(Some(Arc::clone(&state)));
        self.replaced.lock().extend(before.clone());
        self.configured.send_if_modified(|configured| !std::mem::replace(configured, true));
        if changes.take_away() {
            self.revoked.send_modify(|revoked| revoked.keys += 1);
        }
        Swapped { before, state }
    }

    /// Cuts requests of clients that a swap no longer admits. Apart from the swap, so that an ACK does not wait for a
    /// walk through a hundred thousand tokens: new requests are refused by the state itself.
    pub(crate) fn cut_clients(&self, swapped: &Swapped) {
        let Some(before) = &swapped.before else { return };
        let (old, new) = (&before.snapshot, &swapped.state.snapshot);
        let same_digests = old.settings.digest_key == new.settings.digest_key;
        if !same_digests || old.clients.revoked_in(&new.clients).next().is_some() {
            self.revoked.send_modify(|revoked| revoked.tokens += 1);
        }
    }

    /// Whether secrets may be used, by what was heard of the control plane. Requests under way go on.
    pub(crate) fn lapse(&self, lapsed: bool) {
        let Some(now) = self.newest.load_full().filter(|now| now.keyring.is_lapsed() != lapsed) else {
            return;
        };
        let keyring = now.keyring.lapse(lapsed);
        let (snapshot, version) = (Arc::clone(&now.snapshot), now.version.clone());
        let handovers = now.handovers.clone();
        self.newest.store(Some(Arc::new(State { snapshot, keyring, handovers, version })));
        self.replaced.lock().push(now);
    }

    /// Serves nothing from now on and lets go of every secret; requests under way are cut.
    pub(crate) fn forget(&self) {
        let Some(before) = self.newest.swap(None) else { return };
        before.keyring.close();
        self.replaced.lock().push(before);
        self.revoked
            .send_modify(|revoked| *revoked = Revoked { keys: revoked.keys + 1, tokens: revoked.tokens + 1 });
    }

    /// Takes apart what no request has any more; gives how many states there still are. Nobody can take a replaced
    /// state anew, so that one which only this list holds stays so.
    pub(crate) fn bury(&self) -> usize {
        let mut replaced = self.replaced.lock();
        let (over, used) =
            std::mem::take(&mut *replaced).into_iter().partition(|one| Arc::strong_count(one) == 1);
        *replaced = used;
        let left = replaced.len();
        drop(replaced);
        drop::<Vec<_>>(over);
        left + usize::from(self.newest.load().is_some())
    }

    /// Ends once there is a state to serve from.
    pub(crate) async fn configured(&self) {
        // An error cannot be: the sender is this value's.
        let _ = self.configured.subscribe().wait_for(|configured| *configured).await;
    }

    /// Tells when running requests must look at the newest state.
    pub(crate) fn revoked(&self) -> watch::Receiver<Revoked> {
        self.revoked.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{Take, tests::snapshot};
    use keyway_snapshot::CredentialState as Is;
    use std::{
        sync::atomic::{AtomicBool, AtomicU64, Ordering},
        thread,
    };

    /// As a request does it: at no moment of a rotation is it without a key, and none that it gets is one which the
    /// newest state had taken away before it looked.
    #[test]
    fn a_rotation_leaves_no_moment_without_a_key() {
        const SWAPS: u64 = 400;
        let held = Held::default();
        held.swap(Arc::new(snapshot(1, &[(1, Is::Active)])));
        let (done, without) = (AtomicBool::new(false), AtomicU64::new(0));
        let request = || loop {
            let state = held.pin().unwrap();
            let keys = state.keyring.of("p");
            if let Some(key) = keys.iter().find(|key| key.is_active()) {
                if key.lease(Take::Active).is_some() {
                    return;
                }
            } else if held.is_newest(&state) {
                without.fetch_add(1, Ordering::SeqCst);
                return;
            }
        };
        let caller = || {
            while !done.load(Ordering::SeqCst) {
                request();
            }
        };
        thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(caller)));
            for counter in 2..SWAPS {
                let version = u32::try_from(counter).unwrap();
                held.swap(Arc::new(snapshot(counter, &[(version - 1, Is::Retiring), (version, Is::Active)])));
                let state = held.pin().unwrap();
                let gone = state.keyring.report().into_iter().filter(|row| row.state() == Is::Unspecified);
                assert!(gone.count() < 8, "what is out of use is forgotten");
            }
            done.store(true, Ordering::SeqCst);
        });
        assert_eq!(without.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn cores_hear_only_of_what_was_revoked() {
        let held = Held::default();
        let mut revoked = held.revoked();
        held.swap(Arc::new(snapshot(1, &[(1, Is::Active), (2, Is::Active)])));
        held.swap(Arc::new(snapshot(2, &[(2, Is::Active), (3, Is::Active)])));
        assert!(!revoked.has_changed().unwrap(), "a version that is merely gone lets its attempts finish");
        held.swap(Arc::new(snapshot(3, &[(2, Is::Revoked), (3, Is::Active)])));
        assert_eq!(*revoked.borrow_and_update(), Revoked { keys: 1, tokens: 0 });
        held.swap(Arc::new(snapshot(4, &[(2, Is::Revoked), (3, Is::Active)])));
        assert!(!revoked.has_changed().unwrap());
        held.lapse(true);
        let pinned = held.pin().unwrap();
        assert!(pinned.keyring.of("p").is_empty() && pinned.snapshot.version.counter == 4);
    }
}
