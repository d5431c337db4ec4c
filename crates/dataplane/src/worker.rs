//! What one core owns. Nothing here is shared with another core but by reading.

use crate::{
    ingress::BodyBudget,
    meter::{SpoolCounts, Tray},
    observe::{Core, Faults, Tracer},
    open::{LAST_READ, Open},
    random::Random,
    sync::Held,
    upstream::{Connector, Pool},
};
use std::{
    cell::Cell,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use ulid::Ulid;

/// A core's belongings.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) held: Arc<Held>,
    pub(crate) pool: Pool,
    pub(crate) connector: Connector,
    pub(crate) random: Random,
    pub(crate) core: Arc<Core>,
    pub(crate) tray: Arc<Tray>,
    pub(crate) usage: Arc<SpoolCounts>,
    pub(crate) faults: Arc<Faults>,
    /// Told when the fleet should hear of a limit at once.
    pub(crate) news: Arc<Notify>,
    pub(crate) budget: Arc<BodyBudget>,
    pub(crate) tracer: Option<Tracer>,
    /// True once the replica ends: replies close their connections.
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) retries: crate::route::RetryBudget,
    pub(crate) strangers: crate::listen::Strangers,
    pub(crate) pulses: crate::listen::Pulses,
    /// Zero of `millis`, the same on every core.
    pub(crate) epoch: Instant,
    /// True once the time to drain is over.
    pub(crate) cutting: watch::Receiver<bool>,
    /// The same, as this core has seen it: streams end with an error event.
    pub(crate) is_cutting: Cell<bool>,
    /// What the calendar said at one moment of the monotonic clock.
    pub(crate) anchor: Cell<(Instant, Duration)>,
    /// Requests that use keys.
    pub(crate) open: std::rc::Rc<Open>,
    pub(crate) in_flight: Cell<u64>,
    pub(crate) requests: Cell<u64>,
}

/// One request under way, streams included.
#[derive(Debug)]
pub(crate) struct InFlight(std::rc::Rc<Worker>);

// === impl Worker ===

impl Worker {
    /// A request begins.
    pub(crate) fn begin(self: &std::rc::Rc<Self>) -> InFlight {
        self.in_flight.set(self.in_flight.get() + 1);
        self.requests.set(self.requests.get() + 1);
        self.core.in_flight.store(self.in_flight.get(), Relaxed);
        self.core.requests.store(self.requests.get(), Relaxed);
        InFlight(std::rc::Rc::clone(self))
    }

    /// Milliseconds on the monotonic clock that keys' waits are counted in.
    pub(crate) fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }

    /// Since 1970, by the anchor that `sweep` renews: one clock is asked a request, not three.
    pub(crate) fn since_epoch(&self, now: Instant) -> Duration {
        let (at, epoch) = self.anchor.get();
        epoch + now.saturating_duration_since(at)
    }

    /// A name for a request.
    pub(crate) fn request_id(&self, now: Instant) -> Ulid {
        let millis = u64::try_from(self.since_epoch(now).as_millis()).unwrap_or(u64::MAX);
        Ulid::from_parts(millis, u128::from(self.random.next()) << 64 | u128::from(self.random.next()))
    }

    /// Cuts what new states revoke, until dropped.
    pub(crate) async fn cut_revoked(&self) {
        let mut revoked = self.held.revoked();
        let mut cutting = self.cutting.clone();
        let mut before = *revoked.borrow_and_update();
        loop {
            tokio::select! {
                changed = revoked.changed() => if changed.is_err() { return },
                // Streams that wait say their last words now, not with their next event.
                ended = cutting.wait_for(|cutting| *cutting) => {
                    if ended.is_ok() {
                        self.is_cutting.set(true);
                        self.open.wake_all();
                    }
                    return;
                }
            }
            let now = *revoked.borrow_and_update();
            if now.keys != before.keys {
                self.pool.clear();
            }
            let state = self.held.pin();
            let keys = if now.keys == before.keys { 0 } else { self.open.cut_keys(state.as_deref()) };
            let tokens =
                if now.tokens == before.tokens { 0 } else { self.open.cut_clients(state.as_deref()) };
            before = now;
            self.core.cut(keys, tokens);
            if keys + tokens > 0 {
                tracing::info!(keys, tokens, "requests of this core were cut: what they used was revoked");
                let open = std::rc::Rc::clone(&self.open);
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(LAST_READ).await;
                    open.close_unread();
                });
            }
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
        self.0.core.in_flight.store(self.0.in_flight.get(), Relaxed);
    }
}
