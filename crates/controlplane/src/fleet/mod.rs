//! The fleet: one gRPC stream per replica. Decisions are in `push::Session` and `registry`; here are sockets and waits.

mod codec;
mod probe;
mod registry;
mod service;
mod stream;

pub use probe::{ProbeFailed, Probed};
pub use registry::{Refused, Replica, ReplicaState};
pub use service::serve;

use crate::{observe::Answers, push::Push, token::Token};
use keyway_proto::fleet::v1::{Probe, ProbeResult};
use keyway_snapshot::{StateHash, Version};
use parking_lot::Mutex;
use registry::Registry;
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};
use tokio::sync::{mpsc, oneshot, watch};

/// Orders that wait for a replica's stream task.
const ORDER_QUEUE: usize = 16;

/// All replicas, and the newest state for them.
#[derive(Debug)]
pub struct Fleet {
    token: Token,
    registry: Mutex<Registry>,
    newest: watch::Sender<Arc<Push>>,
    changed: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    probes: AtomicU64,
}

/// What a stream task is told to send, beyond states.
#[derive(Debug)]
pub(crate) enum Order {
    Drain { reason: String },
    Probe { probe: Probe, taken: oneshot::Sender<()>, answer: oneshot::Sender<ProbeResult> },
}

// === impl Fleet ===

impl Fleet {
    /// A fleet without replicas; `first` is what they will be sent.
    #[must_use]
    pub fn new(token: Token, first: Arc<Push>) -> Self {
        Self {
            token,
            registry: Mutex::default(),
            newest: watch::Sender::new(first),
            changed: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            probes: AtomicU64::new(0),
        }
    }

    /// Every stream sends this as soon as its replica has answered what is under way.
    pub fn publish(&self, push: Arc<Push>) {
        self.newest.send_replace(push);
        self.touch();
    }

    /// The newest version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.newest.borrow().version
    }

    /// Every replica that is known, by id.
    #[must_use]
    pub fn list(&self) -> Vec<Replica> {
        let newest = {
            let push = self.newest.borrow();
            (push.version, push.hash)
        };
        self.registry.lock().list(newest, Instant::now())
    }

    /// Tells a replica to end in order.
    ///
    /// # Errors
    /// When there is no such connected replica, or it takes no orders.
    pub fn drain(&self, id: &str, reason: &str) -> Result<(), NotConnected> {
        let link = self.registry.lock().link(id).ok_or(NotConnected)?;
        link.try_send(Order::Drain { reason: reason.to_owned() }).map_err(|_| NotConnected)?;
        self.registry.lock().draining(id);
        self.touch();
        Ok(())
    }

    /// The caller starts and reaps every replica: a drained one stays in the list until [`Self::forget`].
    pub fn supervise(&self) {
        self.registry.lock().supervise();
    }

    /// Takes a replica whose process has ended and been reaped off the list.
    pub fn forget(&self, id: &str) -> bool {
        let known = self.registry.lock().forget(id);
        self.touch();
        known
    }

    /// Ends once that many connected replicas serve that version or a later one. The caller sets the deadline.
    pub async fn acknowledged(&self, replicas: usize, version: Version) {
        let mut changed = self.changed.subscribe();
        while self.registry.lock().serving(version) < replicas {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// How many connected replicas serve that version or a later one.
    #[must_use]
    pub fn serving(&self, version: Version) -> usize {
        self.registry.lock().serving(version)
    }

    /// What connected replicas made of one state.
    pub(crate) fn answers(&self, version: Version, hash: StateHash) -> Answers {
        self.registry.lock().answers(version, hash)
    }

    /// Wakes whenever something about a replica changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Ends every stream: the replicas keep what they serve and come back later.
    fn end_streams(&self) {
        self.stopping.send_replace(true);
    }

    fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn link_pair() -> (mpsc::Sender<Order>, mpsc::Receiver<Order>) {
        mpsc::channel(ORDER_QUEUE)
    }
}

/// No connected replica of that id takes orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not connected")]
pub struct NotConnected;
