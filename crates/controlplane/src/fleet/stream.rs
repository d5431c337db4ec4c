//! One replica's stream: waits for whatever happens next and tells the session. Nothing here waits for the replica
//! alone, so a frozen one holds up nobody, itself included.

use super::{
    Fleet, Order,
    enroll::evicted,
    hosts,
    registry::{Known, Turned},
    relay,
    service::Welcome,
};
use crate::{
    attest::{contradiction, head},
    plane::unix_millis,
    push::{Heard, Peer, Push, Session},
};
use bytes::Bytes;
use keyway_proto::fleet::v1::{
    AuditHead, ControlPlanes, Drain, FromReplica, Hello, ProbeResult, ProbeTaken, from_peer, from_replica,
    to_replica,
};
use keyway_snapshot::Version;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tonic::{Status, Streaming};

/// The control plane's own life sign.
const BEAT: Duration = Duration::from_secs(1);
/// A stream that says no hello for so long is ended.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// Places of the audit log that are remembered to be in it.
const FOUND: usize = 16;
/// Probes under way on one stream.
const PROBE_LIMIT: usize = 16;

pub(super) type Out = mpsc::Sender<Result<Bytes, Status>>;

/// From hello to the stream's end.
struct Link {
    fleet: Arc<Fleet>,
    id: String,
    /// Its number in the registry.
    stream: u64,
    /// It may be told of other control planes.
    moves: bool,
    session: Session,
    /// What it was told of the audit log before is in it, so that it may be told more: else it is the one that knows.
    agrees: bool,
    probes: HashMap<u64, Asking>,
}

/// Who waits for a probe.
struct Asking {
    /// Until the replica says that it has the order.
    taken: Option<oneshot::Sender<()>>,
    answer: oneshot::Sender<ProbeResult>,
}

/// Whatever may happen next.
struct Hears {
    from: Streaming<FromReplica>,
    orders: mpsc::Receiver<Order>,
    newest: watch::Receiver<Arc<Push>>,
    word: watch::Receiver<Option<Bytes>>,
}

/// Serves one stream to its end.
pub(super) async fn run(fleet: Arc<Fleet>, welcome: Welcome, mut from: Streaming<FromReplica>, out: Out) {
    let hello = match timeout(HELLO_DEADLINE, from.message()).await {
        Ok(Ok(Some(FromReplica { message: Some(from_replica::Message::Hello(hello)) }))) => hello,
        Ok(Ok(_)) => return refuse(&out, Status::invalid_argument("the first message must be Hello")),
        Ok(Err(_)) => return,
        Err(_) => return refuse(&out, Status::deadline_exceeded("no Hello")),
    };
    if fleet.withheld.load(Ordering::Relaxed) {
        return refuse(&out, Status::unavailable("this control plane makes another state than its leader"));
    }
    if !welcome.speaks_for(&hello.id) || !welcome.is_under(&hello.supervisor) {
        let node = welcome.node();
        let text =
            format!("a replica of the node `{node}` is called `{node}` or `{node}~N`, and this one is not");
        return refuse(&out, Status::failed_precondition(text));
    }
    if hello.moves && *fleet.cut_off.borrow() {
        return refuse(&out, elsewhere());
    }
    if hello.is_supervisor {
        let end = hosts::stream::run(fleet, welcome, hello, from, &out).await;
        return refuse(&out, end);
    }
    if let Err(status) = check(&hello, fleet.version(), fleet.cluster()) {
        return refuse(&out, status);
    }
    let (link, orders) = Fleet::link_pair();
    let id = hello.id.clone();
    let (serving, peer) = (hello.serving.map(Version::from), Peer::from(&hello));
    // Subscribed before the session is made, so that no state can be published in between.
    let newest = fleet.newest.subscribe();
    let moves = hello.moves;
    let (said, told) = (hello.clone(), hello.audit.clone());
    let mut word = fleet.word.subscribe();
    // What was said before it came is news to it.
    word.mark_changed();
    let known = fleet.registry.lock().hello(hello, link, Instant::now());
    let known = match known {
        Ok(known) => known,
        Err(Turned::Full) => return refuse(&out, Status::resource_exhausted("too many replicas")),
        Err(Turned::Evicted) => return refuse(&out, evicted()),
    };
    fleet.to_leader.tell(&id, known.stream, || relay::heard(from_replica::Message::Hello(said)));
    if !known.recorded {
        // It is remembered on disk before it gets secrets: a restart must not forget who holds them.
        fleet.record(&id).await;
    }
    tracing::info!(replica = id, serving = serving.map(|v| v.to_string()), "replica connected");
    // Whatever it serves, no lower version is sent: the replica would refuse it.
    let session = Session::new(Arc::clone(&newest.borrow()), peer, known.refused);
    let (stream, probes, agrees) = (known.stream, HashMap::new(), fleet.agrees(&id, told).await);
    let mut running =
        Link { fleet: Arc::clone(&fleet), id: id.clone(), stream, moves, session, agrees, probes };
    running.look_what_it_lacks();
    fleet.touch();
    let end = running.converse(known, Hears { from, orders, newest, word }, &out).await;
    fleet.ended(&id, known.stream);
    fleet.to_leader.tell(&id, known.stream, relay::gone);
    tracing::info!(replica = id, why = %end.message(), "replica's stream ended");
    refuse(&out, end);
}

fn check(hello: &Hello, newest: Version, cluster: &str) -> Result<(), Status> {
    if hello.id.is_empty() {
        return Err(Status::invalid_argument("Hello without id"));
    }
    if !hello.cluster.is_empty() && hello.cluster != cluster {
        let text =
            "the replica holds a state of another cluster: give it an empty state directory to join this one";
        return Err(Status::failed_precondition(text));
    }
    if hello.serving.is_some_and(|serving| serving.epoch > newest.epoch) {
        return Err(Status::failed_precondition("the replica serves a state of a later epoch"));
    }
    Ok(())
}

/// It goes to the next that it knows; one that reaches no other is served from what it has.
pub(in crate::fleet) fn elsewhere() -> Status {
    Status::unavailable("this control plane is cut from its store, and another one leads")
}

/// Best effort: a replica whose queue is full learns it from the stream's end.
fn refuse(out: &Out, status: Status) {
    let _ = out.try_send(Err(status));
}

// === impl Fleet ===

impl Fleet {
    /// Whether what a replica was told of the audit log is in it.
    async fn agrees(&self, id: &str, told: Option<AuditHead>) -> bool {
        let Some((log, told)) = self.log.get().zip(told) else { return true };
        // One at a time: of a thousand that come back at once most were told the same.
        let mut found = self.found.lock().await;
        if found.contains(&told) {
            return true;
        }
        match contradiction(&**log, id.to_owned(), &told).await {
            Ok(None) => {
                found.truncate(FOUND - 1);
                found.push_front(told);
                true
            }
            Ok(Some(why)) => {
                tracing::error!(%why, "the audit log is not the one that this replica was told of");
                false
            }
            Err(error) => {
                tracing::warn!(replica = id, %error, "what it was told of the audit log could not be looked up");
                false
            }
        }
    }
}

// === impl Link ===

impl Link {
    async fn converse(&mut self, known: Known, hears: Hears, out: &Out) -> Status {
        let Hears { mut from, mut orders, mut newest, mut word } = hears;
        let mut beat = interval(BEAT);
        let mut stopping = self.fleet.stopping.subscribe();
        let mut cut_off = self.fleet.cut_off.subscribe();
        let mut planes = self.fleet.planes.subscribe();
        planes.mark_changed();
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A newer state is looked at before the next frame, so that it is not begun late.
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => {
                    return Status::unavailable("the control plane stops");
                }
                _ = cut_off.wait_for(|cut_off| *cut_off), if self.moves => return elsewhere(),
                _ = newest.changed() => {
                    self.session.newest(Arc::clone(&newest.borrow_and_update()));
                    self.look_what_it_lacks();
                    self.refuses_again();
                }
                Ok(()) = word.changed() => {
                    if let Some(frame) = word.borrow_and_update().clone() {
                        self.session.word(frame);
                    }
                }
                message = from.message() => match message {
                    Ok(Some(message)) => if let Err(fault) = self.hear(message, Instant::now()) {
                        return Status::invalid_argument(fault);
                    },
                    Ok(None) => return Status::ok("the replica closed it"),
                    Err(status) => return status,
                },
                Ok(()) = planes.changed(), if self.moves => {
                    let urls = planes.borrow_and_update().clone();
                    if !urls.is_empty() {
                        // Told again with the next change; a full queue is one that takes nothing.
                        let _ = self.session.order(to_replica::Message::ControlPlanes(ControlPlanes { urls }));
                    }
                }
                order = orders.recv() => match order {
                    Some(order) => self.order(order),
                    None if self.fleet.registry.lock().is_evicted(&self.id) => {
                        // What it was ordered before it hears before, if it reads at all.
                        let ordered = self.session.last_orders();
                        let _heard = ordered.map(|order| out.try_send(Ok(order))).all(|sent| sent.is_ok());
                        return evicted();
                    }
                    None => return Status::aborted("the same replica opened another stream"),
                },
                room = out.reserve(), if self.session.has_frame() => match room {
                    Ok(room) => if let Some(frame) = self.session.next_frame(Instant::now()) {
                        room.send(Ok(frame));
                        self.fleet.counts.begun(self.session.begun());
                    },
                    Err(_) => return Status::ok("the replica is gone"),
                },
                _ = beat.tick() => {
                    if self.session.overdue(Instant::now()) {
                        return Status::deadline_exceeded("no answer to a state");
                    }
                    if !self.fleet.registry.lock().is_current(&self.id, known.stream) {
                        return Status::aborted("evicted");
                    }
                    self.probes.retain(|_, asking| !asking.answer.is_closed());
                    self.session.beat(self.fleet.log.get().filter(|_| self.agrees).map(|log| head(&**log)));
                }
            }
        }
    }

    fn hear(&mut self, message: FromReplica, now: Instant) -> Result<(), &'static str> {
        use from_replica::Message;
        self.fleet.registry.lock().heard(&self.id, now);
        let heard = match message.message.ok_or("an empty message")? {
            Message::Hello(_) => return Err("a second Hello"),
            Message::Host(_) => return Err("the word of a supervisor on a replica's stream"),
            Message::Beat(beat) => {
                self.session.serves(beat.version.map(Version::from), &beat.state_hash)?;
                self.relay(|| relay::heard(Message::Beat(beat.clone())));
                self.fleet.registry.lock().beat(&self.id, beat, now, unix_millis());
                self.fleet.touch();
                return Ok(());
            }
            Message::ProbeResult(result) => {
                self.relay(|| relay::heard(Message::ProbeResult(result.clone())));
                if let Some(Asking { taken, answer }) = self.probes.remove(&result.id) {
                    // Whoever asked may have given up meanwhile.
                    let _ = (taken.map(|taken| taken.send(())), answer.send(result));
                }
                return Ok(());
            }
            Message::Quotas(quotas) => {
                self.relay(|| relay::heard(Message::Quotas(quotas.clone())));
                self.fleet.learn(&self.id, &quotas);
                return Ok(());
            }
            Message::ProbeTaken(ProbeTaken { id }) => {
                self.relay(|| relay::heard(Message::ProbeTaken(ProbeTaken { id })));
                let taken = self.probes.get_mut(&id).and_then(|asking| asking.taken.take());
                // Whoever asked may have given up meanwhile.
                let _ = taken.map(|taken| taken.send(()));
                return Ok(());
            }
            Message::Ack(ack) => {
                let version = ack.version.map(Version::from).unwrap_or_default();
                self.session.ack(version, &ack.state_hash, now)
            }
            Message::Nack(nack) => {
                let heard = self.session.nack(&nack);
                if let Heard::Refused { version, hash } = heard {
                    self.relay(|| relay::heard(Message::Nack(nack.clone())));
                    tracing::warn!(replica = self.id, %version, field = nack.field, reason = nack.reason, "state refused");
                    self.fleet.registry.lock().refused(&self.id, version, hash, nack);
                }
                heard
            }
        };
        match heard {
            Heard::Applied { version, hash, took } => {
                tracing::debug!(replica = self.id, %version, took_us = took.as_micros(), "state applied");
                self.fleet.registry.lock().applied(&self.id, (version, hash), took, now);
                self.relay(|| relay::applied(version, hash, took));
            }
            Heard::Refused { .. } => self.fleet.counts.refused(),
            Heard::Again { version } => {
                tracing::warn!(replica = self.id, %version, "what changed does not fit what it holds: it is sent the whole");
                self.fleet.counts.resent();
            }
            Heard::Broken(why) => return Err(why),
        }
        self.fleet.touch();
        Ok(())
    }

    /// The newest state is what it refused before, under another version: whoever leads knows only the version.
    fn refuses_again(&self) {
        if !self.session.refuses_newest() {
            return;
        }
        let refused = self.fleet.registry.lock().refusal(&self.id);
        if let Some(refused) = refused {
            let nack = relay::refusal(refused, &self.fleet.newest());
            self.relay(|| relay::heard(from_replica::Message::Nack(nack)));
        }
    }

    /// A state that it cannot read is not sent: it stands so in the list, by the name of what it lacks.
    fn look_what_it_lacks(&self) {
        let lacks = self.session.lacks();
        if let Some(feature) = &lacks {
            tracing::warn!(
                replica = self.id,
                feature,
                "it cannot read the newest state and keeps what it serves"
            );
        }
        self.fleet.registry.lock().lacks(&self.id, lacks);
    }

    /// To the control plane that leads, if that is another one.
    fn relay(&self, message: impl FnOnce() -> from_peer::Message) {
        self.fleet.to_leader.tell(&self.id, self.stream, message);
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Relayed(message) => {
                // Whoever asked waits for an answer, not for this.
                let _ = self.session.order(message);
            }
            Order::Drain { reason } => {
                // A full queue means that the replica takes nothing: its silence says so.
                let _ = self.session.order(to_replica::Message::Drain(Drain { reason }));
            }
            Order::Probe { probe, taken, answer } => {
                let id = probe.id;
                if self.probes.len() < PROBE_LIMIT && self.session.order(to_replica::Message::Probe(probe)) {
                    self.probes.insert(id, Asking { taken: Some(taken), answer });
                }
            }
        }
    }
}
