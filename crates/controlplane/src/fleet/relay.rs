//! Replicas and hosts of one control plane in the lists of another. The one that does not lead tells what they say; the one that
//! leads keeps them in its own lists, with a way back for orders, and merges what they read of limits.

use super::{
    Fleet, Order,
    registry::{Connected, Known, Turned},
};
use crate::{
    plane::unix_millis,
    push::{Push, frame, lacks},
};
use bytes::Bytes;
use keyway_proto::fleet::v1::{
    Applied, FromPeer, FromReplica, Gone, Hello, HostOrder, Nack, ProbeResult, from_peer, from_replica,
    to_replica,
};
use keyway_snapshot::{StateHash, Version};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};

/// What waits for the leader: some beats of every replica.
const RELAY_QUEUE: usize = 16_384;
/// Probes of relayed replicas that wait for an answer.
const ASKING: usize = 256;

/// Stands before a supervisor's name.
const HOST: &str = "host/";
/// Orders that wait for a relayed supervisor.
const HOST_ORDERS: usize = 8;

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

/// What is to be passed on to one that is new.
pub(crate) enum Orders {
    /// A replica's.
    Replica(mpsc::Receiver<Order>),
    /// A supervisor's.
    Host(mpsc::Receiver<HostOrder>),
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
    /// Whether somebody hears it.
    pub(super) fn is_open(&self) -> bool {
        self.0.lock().is_some()
    }

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

/// What a replica refused, under the newest version if that is the same state: by its version alone the leader knows which it is.
pub(super) fn refusal((hash, nack): (StateHash, Nack), newest: &Push) -> Nack {
    if hash == newest.hash { Nack { version: Some(newest.version.into()), ..nack } } else { nack }
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

/// A host's supervisor, as a relay names it: no replica is called so.
pub(super) fn host(name: &str) -> String {
    format!("{HOST}{name}")
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
        let newest = self.newest();
        let mut first = Vec::with_capacity(2 * connected.len());
        for Connected { stream, hello, beat, refused } in connected {
            let replica = hello.id.clone();
            let mut say = |message| {
                first.push(FromPeer { replica: replica.clone(), stream, message: Some(heard(message)) });
            };
            say(from_replica::Message::Hello(hello));
            say(from_replica::Message::Beat(beat));
            if let Some(refused) = refused {
                say(from_replica::Message::Nack(refusal(refused, &newest)));
            }
        }
        for (stream, hello, report) in self.hosts.lock().connected() {
            let replica = host(&hello.supervisor);
            let said = [from_replica::Message::Hello(hello), from_replica::Message::Host(report)];
            first.extend(said.map(|message| FromPeer {
                replica: replica.clone(),
                stream,
                message: Some(heard(message)),
            }));
        }
        (first, rest)
    }

    /// A replica of another control plane says hello.
    fn relayed(&self, hello: Hello, link: mpsc::Sender<Order>) -> Result<Known, Turned> {
        let mut registry = self.registry.lock();
        let (replica, newest) = (hello.id.clone(), self.newest());
        let lacking = lacks(&hello, &newest);
        let known = registry.hello(hello, link, Instant::now())?;
        registry.lacks(&replica, lacking);
        Ok(known)
    }

    /// There is nobody to tell.
    pub(crate) fn end_relay(&self) {
        *self.to_leader.0.lock() = None;
    }

    /// An order of the leader for a replica or a host that is connected here, or its word for all replicas.
    pub(crate) fn pass_on(&self, replica: &str, message: to_replica::Message) {
        let found = match (replica.strip_prefix(HOST), message) {
            (None, message @ to_replica::Message::Quotas(_)) => {
                self.word.send_replace(Some(frame(message)));
                true
            }
            (Some(name), to_replica::Message::Host(order)) => self.hosts.lock().order(name, order),
            (_, message) => {
                let link = self.registry.lock().link(replica);
                link.is_some_and(|link| link.try_send(Order::Relayed(message)).is_ok())
            }
        };
        if !found {
            tracing::debug!(replica, "an order of the leader found no replica");
        }
    }

    /// What all replicas are to know of limits, as it changes.
    pub(crate) fn words(&self) -> watch::Receiver<Option<Bytes>> {
        self.word.subscribe()
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

    /// Takes one message in; for a replica or a host that is new, its orders.
    pub(crate) fn hear(&mut self, message: FromPeer) -> Option<(String, Orders)> {
        use from_replica::Message;
        let FromPeer { replica, stream, message } = message;
        let now = Instant::now();
        if let Some(name) = replica.strip_prefix(HOST) {
            let orders = self.hear_host(name, stream, message?)?;
            return Some((replica, Orders::Host(orders)));
        }
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

    /// What a supervisor says; its orders, where it is new.
    fn hear_host(
        &mut self,
        name: &str,
        stream: u64,
        message: from_peer::Message,
    ) -> Option<mpsc::Receiver<HostOrder>> {
        use from_replica::Message;
        let known = self.rows.get(&host(name)).filter(|(peers, _)| *peers == stream).map(|(_, row)| *row);
        match message {
            from_peer::Message::Heard(FromReplica { message: Some(Message::Hello(hello)) }) => {
                if known.is_some() || hello.supervisor != name {
                    return None;
                }
                let (link, orders) = mpsc::channel(HOST_ORDERS);
                let row = self.fleet.hosts.lock().hello(hello, link, Instant::now())?;
                self.rows.insert(host(name), (stream, row));
                self.fleet.touch();
                return Some(orders);
            }
            from_peer::Message::Heard(FromReplica { message: Some(Message::Host(report)) }) => {
                // An older stream's word is passed over.
                let _ = known.is_some_and(|row| self.fleet.host_reports(name, row, report));
            }
            from_peer::Message::Gone(_) => {
                if let Some(row) = known {
                    self.rows.remove(&host(name));
                    self.fleet.host_ended(name, row);
                }
            }
            _ => {}
        }
        None
    }

    /// The peer is gone: so are its replicas, unless they came by another way meanwhile.
    pub(crate) fn end(&mut self) {
        for (replica, (_, row)) in std::mem::take(&mut self.rows) {
            match replica.strip_prefix(HOST) {
                Some(name) => self.fleet.host_ended(name, row),
                None => self.ended(&replica, row),
            }
        }
    }

    fn hello(&mut self, replica: String, stream: u64, hello: Hello) -> Option<(String, Orders)> {
        if self.is_current(&replica, stream) || hello.id != replica {
            return None;
        }
        let (link, orders) = Fleet::link_pair();
        let known = self.fleet.relayed(hello, link);
        let known =
            known.inspect_err(|turned| tracing::warn!(replica, ?turned, "a relayed replica is not let in"));
        self.rows.insert(replica.clone(), (stream, known.ok()?.stream));
        // It is written down if it was not, and rotation looks again.
        self.fleet.touch_members();
        Some((replica, Orders::Replica(orders)))
    }

    fn heard(&self, replica: &str, message: from_replica::Message, now: Instant) {
        use from_replica::Message;
        if let Message::Quotas(quotas) = &message {
            self.fleet.learn(replica, quotas);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fleet::ReplicaState,
        push::tests::{Signs, client, settings, version},
        resource::ReplicaDocument,
    };
    use keyway_proto::{SCHEMA, snapshot::v1::Resource};
    use keyway_snapshot::Snapshot;

    fn push(counter: u64, last: Resource) -> Arc<Push> {
        let snapshot = Snapshot::build(version(counter), &[settings(), last]).unwrap();
        Arc::new(Push::first(snapshot, &Signs).unwrap())
    }

    fn enters(fleet: &Fleet, hello: Hello) -> mpsc::Receiver<Order> {
        let (link, orders) = Fleet::link_pair();
        fleet.registry.lock().hello(hello, link, Instant::now()).unwrap();
        orders
    }

    #[test]
    fn a_leader_knows_what_replicas_of_others_lack_and_refused() {
        use ReplicaState::{Incompatible, Rejected, Syncing};
        let bad = push(1, client("bad", 1));
        let follower = Fleet::new("c".to_owned(), Arc::clone(&bad));
        let leader = Arc::new(Fleet::new("c".to_owned(), push(2, client("bad", 1))));
        let hello = |id: &str, schema| Hello { id: id.to_owned(), schema, ..Hello::default() };
        let _orders = [enters(&follower, hello("a", SCHEMA)), enters(&follower, hello("old", 0))];
        let nack = Nack { field: "client/bad".to_owned(), reason: "bad".to_owned(), ..Nack::default() };
        follower.registry.lock().refused("a", bad.version, bad.hash, nack);
        // The leader's version of its own has the same content.
        follower.publish(leader.newest());
        let (first, _rest) = follower.begin_relay();
        let mut rows = RelayedRows::new(Arc::clone(&leader));
        let _relayed: Vec<_> = first.into_iter().filter_map(|said| rows.hear(said)).collect();
        let states = || leader.list().into_iter().map(|one| one.state).collect::<Vec<_>>();
        assert_eq!(states(), [Rejected, Incompatible]);
        let needing = Resource { needs: vec!["quota".to_owned()], ..client("needs", 1) };
        leader.publish(push(3, needing));
        assert_eq!(states(), [Incompatible, Incompatible]);
        leader.publish(push(4, client("good", 1)));
        assert_eq!(states(), [Syncing, Incompatible]);
        let remembered = ReplicaDocument { host: String::new(), supervisor: String::new(), evicted: false };
        leader.remember("lost", &remembered);
        leader.publish(push(5, client("other", 1)));
        let lost = leader.list().into_iter().find(|one| one.id == "lost").unwrap();
        assert_eq!(lost.lacks, None, "of one that is only remembered nothing is known");
    }
}
