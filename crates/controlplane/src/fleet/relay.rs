//! Replicas of one control plane in the list of another. The one that does not lead tells what its replicas say; the one that
//! leads keeps them in its own registry, with a way back for orders.

use super::{Fleet, Order};
use crate::plane::unix_millis;
use keyway_proto::fleet::v1::{
    Applied, FromPeer, FromReplica, Gone, Hello, ProbeResult, from_peer, from_replica, to_replica,
};
use keyway_snapshot::{StateHash, Version};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// What waits for the leader: some beats of every replica.
const RELAY_QUEUE: usize = 16_384;
/// Probes of relayed replicas that wait for an answer.
const ASKING: usize = 256;

/// The way to the leader; absent = there is none now.
#[derive(Debug, Default)]
pub(super) struct ToLeader(Mutex<Option<mpsc::Sender<FromPeer>>>);

/// The leading end of one relay.
#[derive(Debug)]
pub(crate) struct RelayedRows {
    fleet: Arc<Fleet>,
    /// The peer's number of a replica's stream, and ours.
    rows: HashMap<String, (u64, u64)>,
    asking: AskingAll,
}

/// Who waits for which probe.
#[derive(Debug, Clone, Default)]
pub(crate) struct AskingAll(Arc<Mutex<HashMap<u64, Asking>>>);

#[derive(Debug)]
struct Asking {
    taken: Option<oneshot::Sender<()>>,
    answer: oneshot::Sender<ProbeResult>,
}

// === impl ToLeader ===

impl ToLeader {
    /// Makes the message only if somebody hears it. A relay that does not keep up is ended: the next one begins anew.
    pub(super) fn tell(&self, replica: &str, stream: u64, message: impl FnOnce() -> from_peer::Message) {
        let mut relay = self.0.lock();
        let Some(open) = relay.as_ref() else { return };
        let message = FromPeer { replica: replica.to_owned(), stream, message: Some(message()) };
        if open.try_send(message).is_err() {
            *relay = None;
        }
    }
}

/// A replica's own words.
pub(super) fn heard(message: from_replica::Message) -> from_peer::Message {
    from_peer::Message::Heard(FromReplica { message: Some(message) })
}

/// It serves that state.
pub(super) fn applied(version: Version, hash: StateHash, took: Duration) -> from_peer::Message {
    let took_micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    from_peer::Message::Applied(Applied {
        version: Some(version.into()),
        state_hash: hash.0.to_vec(),
        took_micros,
    })
}

/// Its stream has ended.
pub(super) fn gone() -> from_peer::Message {
    from_peer::Message::Gone(Gone {})
}

// === impl Fleet ===

impl Fleet {
    /// What the leader is told first, and what it is told from now on.
    pub(crate) fn begin_relay(&self) -> (Vec<FromPeer>, mpsc::Receiver<FromPeer>) {
        let (open, rest) = mpsc::channel(RELAY_QUEUE);
        *self.to_leader.0.lock() = Some(open);
        let connected = self.registry.lock().connected();
        let mut first = Vec::with_capacity(2 * connected.len());
        for (stream, hello, beat) in connected {
            let replica = hello.id.clone();
            let mut say = |message| {
                first.push(FromPeer { replica: replica.clone(), stream, message: Some(heard(message)) });
            };
            say(from_replica::Message::Hello(hello));
            say(from_replica::Message::Beat(beat));
        }
        (first, rest)
    }

    /// There is nobody to tell.
    pub(crate) fn end_relay(&self) {
        *self.to_leader.0.lock() = None;
    }

    /// An order of the leader for a replica that is connected here.
    pub(crate) fn pass_on(&self, replica: &str, message: to_replica::Message) {
        let link = self.registry.lock().link(replica);
        if link.is_none_or(|link| link.try_send(Order::Relayed(message)).is_err()) {
            tracing::debug!(replica, "an order of the leader found no replica");
        }
    }
}

// === impl RelayedRows ===

impl RelayedRows {
    pub(crate) fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet, rows: HashMap::new(), asking: AskingAll::default() }
    }

    pub(crate) fn asking(&self) -> AskingAll {
        self.asking.clone()
    }

    /// Takes one message in; for a replica that is new, its orders.
    pub(crate) fn hear(&mut self, message: FromPeer) -> Option<(String, mpsc::Receiver<Order>)> {
        use from_replica::Message;
        let FromPeer { replica, stream, message } = message;
        let now = Instant::now();
        match message? {
            from_peer::Message::Heard(FromReplica { message: Some(Message::Hello(hello)) }) => {
                return self.hello(replica, stream, hello);
            }
            _ if !self.is_current(&replica, stream) => {}
            from_peer::Message::Heard(FromReplica { message }) => self.heard(&replica, message?, now),
            from_peer::Message::Applied(Applied { version, state_hash, took_micros }) => {
                let hash = StateHash(state_hash.try_into().ok()?);
                let state = (version.map(Version::from)?, hash);
                let took = Duration::from_micros(took_micros);
                self.fleet.registry.lock().heard(&replica, now);
                self.fleet.registry.lock().applied(&replica, state, took, now);
                self.fleet.touch();
            }
            from_peer::Message::Gone(_) => {
                if let Some((_, row)) = self.rows.remove(&replica) {
                    self.ended(&replica, row);
                }
            }
        }
        None
    }

    /// The peer is gone: so are its replicas, unless they came by another way meanwhile.
    pub(crate) fn end(&mut self) {
        for (replica, (_, row)) in std::mem::take(&mut self.rows) {
            self.ended(&replica, row);
        }
    }

    fn hello(
        &mut self,
        replica: String,
        stream: u64,
        hello: Hello,
    ) -> Option<(String, mpsc::Receiver<Order>)> {
        if self.is_current(&replica, stream) || hello.id != replica {
            return None;
        }
        let (link, orders) = Fleet::link_pair();
        let known = self.fleet.registry.lock().hello(hello, link, Instant::now());
        let known =
            known.inspect_err(|turned| tracing::warn!(replica, ?turned, "a relayed replica is not let in"));
        self.rows.insert(replica.clone(), (stream, known.ok()?.stream));
        // It is written down if it was not, and rotation looks again.
        self.fleet.touch_members();
        Some((replica, orders))
    }

    fn heard(&self, replica: &str, message: from_replica::Message, now: Instant) {
        use from_replica::Message;
        let mut registry = self.fleet.registry.lock();
        registry.heard(replica, now);
        match message {
            Message::Beat(beat) => registry.beat(replica, beat, now, unix_millis()),
            Message::Nack(nack) => {
                let version = nack.version.map(Version::from).unwrap_or_default();
                let newest = self.fleet.newest.borrow();
                let hash = if newest.version == version { newest.hash } else { StateHash([0; 32]) };
                registry.refused(replica, version, hash, nack);
            }
            Message::ProbeTaken(taken) => self.asking.taken(taken.id),
            Message::ProbeResult(result) => self.asking.answered(result),
            Message::Hello(_) | Message::Ack(_) | Message::Host(_) | Message::Quotas(_) => {}
        }
        drop(registry);
        self.fleet.touch();
    }

    fn is_current(&self, replica: &str, stream: u64) -> bool {
        let row = self.rows.get(replica).filter(|(peers, _)| *peers == stream);
        row.is_some_and(|(_, row)| self.fleet.registry.lock().is_current(replica, *row))
    }

    fn ended(&self, replica: &str, row: u64) {
        self.fleet.ended(replica, row);
    }
}

// === impl AskingAll ===

impl AskingAll {
    pub(crate) fn add(&self, probe: u64, taken: oneshot::Sender<()>, answer: oneshot::Sender<ProbeResult>) {
        let mut asking = self.0.lock();
        asking.retain(|_, one| !one.answer.is_closed());
        if asking.len() < ASKING {
            asking.insert(probe, Asking { taken: Some(taken), answer });
        }
    }

    fn taken(&self, probe: u64) {
        let taken = self.0.lock().get_mut(&probe).and_then(|one| one.taken.take());
        // Whoever asked may have given up meanwhile.
        let _ = taken.map(|taken| taken.send(()));
    }

    fn answered(&self, result: ProbeResult) {
        if let Some(Asking { taken, answer }) = self.0.lock().remove(&result.id) {
            // Whoever asked may have given up meanwhile.
            let _ = (taken.map(|taken| taken.send(())), answer.send(result));
        }
    }
}
