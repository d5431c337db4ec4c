//! The fleet: one gRPC stream per replica for states, one for usage. Decisions are in `push::Session` and `registry`; here are sockets and waits.

mod accept;
mod codec;
mod counts;
mod enroll;
mod hosts;
mod probe;
mod registry;
mod relay;
mod report;
mod service;
#[cfg(feature = "simulation")]
mod simulation;
mod stream;
mod tls;

pub use counts::{Counts, Pushed};
pub use hosts::{Host, HostReplica, HostReplicaState, HostState};
pub use probe::{Asked, ProbeFailed, Probed};
pub use registry::{Refused, Replica, ReplicaState};
pub(crate) use service::{Fort, serve};
#[cfg(feature = "simulation")]
pub use simulation::{Books, Entered};

use crate::{
    observe::Answers,
    push::{Push, frame},
    quota::{QuotaView, Table},
    resource::ReplicaDocument,
    store::Store,
};
use bytes::Bytes;
use keyway_proto::fleet::v1::{AuditHead, HostOrder, Probe, ProbeResult, Quotas, to_replica};
use keyway_snapshot::{StateHash, Version};
use parking_lot::Mutex;
pub(crate) use registry::Evidence;
pub(crate) use registry::Member;
use registry::Registry;
pub(crate) use relay::{AskingAll, Orders, RelayedRows};
pub(crate) use service::{REPORT, is_of};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};

/// A replica waits so long for the store to know it.
const RECORD_LIMIT: Duration = Duration::from_secs(2);
/// The answer to a change waits so long for replicas to serve it: usually some milliseconds, and what was made can be used.
const EFFECT_LIMIT: Duration = Duration::from_millis(300);
/// Orders that wait for a replica's stream task.
const ORDER_QUEUE: usize = 16;

/// All replicas, and the newest state for them.
#[derive(Debug)]
pub struct Fleet {
    cluster: String,
    registry: Mutex<Registry>,
    /// Taken before `registry` where both are wanted.
    hosts: Mutex<hosts::Hosts>,
    newest: watch::Sender<Arc<Push>>,
    changed: watch::Sender<u64>,
    /// Counts replicas that came or whose books were closed.
    members: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    quotas: Mutex<Table>,
    /// What all replicas are to know of limits, encoded once; none before anything was scarce.
    word: watch::Sender<Option<Bytes>>,
    started: Instant,
    probes: AtomicU64,
    counts: Counts,
    /// The newest state is not what the leader made of it: no replica is let in.
    withheld: AtomicBool,
    /// What is decided is decided elsewhere and not heard of here: replicas that know where go there.
    cut_off: watch::Sender<bool>,
    /// To whoever leads, if that is another control plane.
    to_leader: relay::ToLeader,
    /// Where all control planes are; empty = there is only this one.
    planes: watch::Sender<Vec<String>>,
    /// Of whose audit log replicas are told how far it is.
    log: OnceLock<Arc<dyn Store>>,
    /// What replicas were told of it and is in it, the last few.
    found: tokio::sync::Mutex<VecDeque<AuditHead>>,
}

/// What a stream task is told to send, beyond states.
#[derive(Debug)]
pub(crate) enum Order {
    Drain {
        reason: String,
    },
    /// Of the control plane that leads, where that is another one.
    Relayed(to_replica::Message),
    Probe {
        probe: Probe,
        taken: oneshot::Sender<()>,
        answer: oneshot::Sender<ProbeResult>,
    },
}

/// What replicas call the key of a provider that wants none.
pub(crate) const KEYLESS: &str = "none";

/// What they report it as.
pub(crate) fn keyless_id(provider: &str) -> String {
    format!("{provider}/{KEYLESS}/0")
}

// === impl Fleet ===

impl Fleet {
    /// A fleet without replicas; `first` is what they will be sent.
    #[must_use]
    pub fn new(cluster: String, first: Arc<Push>) -> Self {
        Self {
            cluster,
            members: watch::Sender::new(0),
            registry: Mutex::default(),
            hosts: Mutex::default(),
            newest: watch::Sender::new(first),
            changed: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            quotas: Mutex::default(),
            word: watch::Sender::new(None),
            started: Instant::now(),
            probes: AtomicU64::new(0),
            counts: Counts::default(),
            withheld: AtomicBool::new(false),
            cut_off: watch::Sender::new(false),
            to_leader: relay::ToLeader::default(),
            planes: watch::Sender::new(Vec::new()),
            log: OnceLock::new(),
            found: tokio::sync::Mutex::default(),
        }
    }

    /// From now on replicas are told how far this log is.
    pub(crate) fn tell_of(&self, log: Arc<dyn Store>) {
        // Of the one that there is; a second one would be another cluster's.
        let _ = self.log.set(log);
    }

    /// What replicas were told of how far the audit log is, by id.
    pub(crate) fn told(&self) -> Vec<(String, AuditHead)> {
        self.registry.lock().told()
    }

    /// Every stream sends this as soon as its replica has answered what is under way.
    pub fn publish(&self, push: Arc<Push>) {
        self.newest.send_replace(push);
        self.look_what_they_lack();
        self.touch();
    }

    /// Under the registry's lock, so that whoever looks last looked at the newest.
    fn look_what_they_lack(&self) {
        let mut registry = self.registry.lock();
        registry.look_what_they_lack(&self.newest());
    }

    /// The newest state.
    pub(crate) fn newest(&self) -> Arc<Push> {
        Arc::clone(&self.newest.borrow())
    }

    /// The newest version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.newest.borrow().version
    }

    /// What was sent to replicas since the start.
    #[must_use]
    pub fn pushed(&self) -> Pushed {
        self.counts.read()
    }

    /// A state was made of a change of documents, in so long.
    pub(crate) fn built(&self, took: Duration) {
        self.counts.built(took);
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

    /// Every host with a supervisor that is known, by name.
    #[must_use]
    pub fn hosts(&self) -> Vec<Host> {
        self.hosts.lock().list(Instant::now())
    }

    /// How many replicas an operator wants on which host.
    pub(crate) fn want(&self, wanted: BTreeMap<String, u32>) {
        self.hosts.lock().want(wanted);
        self.touch();
    }

    /// Says a host's number once more; what is not there hears it when it comes.
    pub(crate) fn scale(&self, host: &str, replicas: u32) {
        self.hosts.lock().order(host, HostOrder { replicas, upgrade: false });
    }

    /// Tells a host to replace its replicas, and then its supervisor, by the program that is on its disk.
    ///
    /// # Errors
    /// When there is no such connected host, or it takes no orders.
    pub fn upgrade(&self, host: &str) -> Result<(), NotConnected> {
        let order = HostOrder { replicas: 0, upgrade: true };
        if self.hosts.lock().order(host, order) { Ok(()) } else { Err(NotConnected) }
    }

    /// Closes a replica's books by an operator's word and never lets it in again under its name. `false`: not known.
    pub fn evict(&self, id: &str) -> bool {
        let known = self.registry.lock().evict(id);
        self.touch_members();
        known
    }

    /// What is known of a provider's limits: of one model, or of all.
    pub(crate) fn limits(&self, provider: &str, model: Option<&str>) -> Vec<QuotaView> {
        self.quotas.lock().views(provider, model, self.millis())
    }

    /// A replica has read of limits; the others hear what is scarce, from the control plane that leads if there is one.
    fn learn(&self, replica: &str, quotas: &Quotas) {
        let (mut table, now) = (self.quotas.lock(), self.millis());
        let urgent = table.take(replica, quotas, now);
        if self.to_leader.is_open() {
            return;
        }
        if let Some(word) = table.word(urgent, now) {
            self.word.send_replace(Some(frame(to_replica::Message::Quotas(word))));
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whose states are sent.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What rotation needs to know of every replica whose books are open.
    pub(crate) fn evidence(&self) -> Vec<Evidence> {
        self.registry.lock().evidence(self.version().epoch, Instant::now())
    }

    /// A replica that the store remembers.
    pub(crate) fn remember(&self, id: &str, document: &ReplicaDocument) {
        self.registry.lock().remember(id, document, Instant::now());
    }

    /// The store knows it, by whichever control plane it came.
    pub(crate) fn known(&self, id: &str, replica: &ReplicaDocument) {
        self.registry.lock().known(id, replica, Instant::now());
        self.touch_members();
    }

    /// The store does not know it any more.
    pub(crate) fn unknown(&self, id: &str) {
        self.registry.lock().unknown(id);
        self.touch_members();
    }

    /// A replica that the store remembers, when this control plane begins to lead: whoever serves it will say so, and nobody is
    /// held for lost before.
    pub(crate) fn remember_anew(&self, id: &str, replica: &ReplicaDocument) {
        let (mut registry, now) = (self.registry.lock(), Instant::now());
        if replica.evicted {
            registry.remember(id, replica, now);
        } else {
            registry.known(id, replica, now);
            registry.begin_anew(id, now);
        }
    }

    /// Where all control planes are: replicas are told, and go to another when they lose theirs.
    pub(crate) fn tell_planes(&self, urls: Vec<String>) {
        self.planes.send_if_modified(|known| {
            let news = *known != urls;
            *known = urls;
            news
        });
    }

    /// A replica's stream has ended.
    fn ended(&self, id: &str, stream: u64) {
        let supervisor = self.registry.lock().supervisor(id);
        let is_reaped = self.hosts.lock().is_connected(&supervisor);
        self.registry.lock().ended(id, stream, is_reaped, Instant::now());
        self.touch();
        // One that said that it has ended is not to come back as lost after a restart.
        self.touch_members();
    }

    /// Whether replicas are turned away because this control plane cannot make the state that its leader made.
    pub(crate) fn withhold(&self, withheld: bool) {
        self.withheld.store(withheld, Ordering::Relaxed);
    }

    /// Whether replicas are sent to another control plane: this one is cut from the store, and another one leads.
    pub(crate) fn cut_off(&self, cut_off: bool) {
        self.cut_off.send_replace(cut_off);
    }

    /// How long secrets are used without word from here; absent = without limit.
    pub(crate) fn set_lease(&self, lease: Option<Duration>) {
        let version = self.version();
        self.registry.lock().set_lease(lease, version);
    }

    /// Wakes when a replica came or its books were closed.
    pub(crate) fn membership(&self) -> watch::Receiver<u64> {
        self.members.subscribe()
    }

    /// Every replica whose books are open.
    pub(crate) fn members(&self) -> Vec<Member> {
        let mut registry = self.registry.lock();
        registry.close_books(Instant::now());
        registry.members().collect()
    }

    /// The store knows these now.
    pub(crate) fn recorded(&self, ids: &[String]) {
        self.registry.lock().recorded(ids);
        self.members.send_modify(|count| *count += 1);
    }

    /// Waits until the store knows this replica; a store that takes no writes does not keep it waiting for long.
    async fn record(&self, id: &str) {
        let mut members = self.membership();
        self.touch_members();
        let known = async {
            while !self.registry.lock().is_recorded(id) {
                if members.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(RECORD_LIMIT, known).await.is_err() {
            tracing::warn!(replica = id, "it could not be written down that this replica holds secrets");
        }
    }

    fn touch_members(&self) {
        self.members.send_modify(|count| *count += 1);
        self.touch();
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

    /// Ends once every replica that is connected now serves the newest state, or has not answered in time.
    pub(crate) async fn in_effect(&self) {
        let connected = self.serving(Version::default());
        let _ = tokio::time::timeout(EFFECT_LIMIT, self.acknowledged(connected, self.version())).await;
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
