//! The stream to the control plane: connects, applies what comes, says what it serves; comes back with jitter when it
//! breaks. Requests go on from what is held, whatever happens here.

mod building;

use super::{
    Held, Keeper, LinkStatus, Source, Trust,
    dial::{LinkSettings, dial},
    disk::Kept,
    quotas, report,
    session::{Built, Session},
};
use crate::{
    clock,
    observe::{Applying, Gauges},
    random::Random,
};
use building::Building;
use keyway_proto::fleet::v1::{
    Ack, Beat, FromReplica, Nack, Probe, ProbeResult, ProbeTaken, ToReplica, from_replica, to_replica,
};
use keyway_snapshot::{Snapshot, Version};
use parking_lot::Mutex;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tonic::{Code, Status};

const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How often a key version that somebody waits for is looked at; it is told of at once when its last attempt is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A control plane sends a life sign a second: one that has sent nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(15);
/// How often the fleet is told what was learnt of limits; of a 429 it is told at once.
const NEWS_EVERY: Duration = Duration::from_millis(200);
/// Between two such words, however many 429s there are.
const NEWS_PAUSE: Duration = Duration::from_millis(20);
/// Messages that wait for the stream.
const OUTBOX: usize = 64;
/// Probes under way at one time.
const PROBES: usize = 16;

/// What a link reads and moves.
pub(crate) struct Ends {
    pub(crate) held: Arc<Held>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) status: Arc<Mutex<LinkStatus>>,
    pub(crate) drain: watch::Sender<bool>,
    /// Wakes when the fleet should hear of a limit at once.
    pub(crate) news: Arc<Notify>,
    /// Zero of the milliseconds that limits are kept in.
    pub(crate) epoch: std::time::Instant,
    /// `None` = nothing is kept on disk.
    pub(crate) keeper: Option<Keeper>,
}

/// The link of one replica.
pub(crate) struct Link<P> {
    settings: LinkSettings,
    ends: Ends,
    /// True once the last word is to be said.
    ending: watch::Sender<bool>,
    /// Follows what lies on disk; without a disk it never changes.
    kept: watch::Receiver<Option<Version>>,
    _no_disk: watch::Sender<Option<Version>>,
    trust: Mutex<Trust>,
    building: Building,
    probe: P,
}

/// One open stream.
struct Talk {
    outbox: mpsc::Sender<FromReplica>,
    session: Session,
    /// When the state under way began, and its span.
    began: Instant,
    applying: Applying,
    heard: Instant,
    /// Some key version's end is waited for.
    awaited: bool,
    probes: JoinSet<ProbeResult>,
}

// === impl Link ===

impl<P, F> Link<P>
where
    P: Fn(Probe) -> F,
    F: Future<Output = ProbeResult> + Send + 'static,
{
    pub(crate) fn new(settings: LinkSettings, ends: Ends, trust: Trust, probe: P) -> Self {
        let (no_disk, nothing) = watch::channel(None);
        let kept = ends.keeper.as_ref().map_or(nothing, Keeper::kept);
        let (ending, building) = (watch::channel(false).0, Building::default());
        let trust = Mutex::new(trust);
        Self { settings, ends, ending, kept, _no_disk: no_disk, trust, building, probe }
    }

    /// Runs until told to end.
    pub(crate) async fn run(&self) {
        let random = Random::new();
        let (mut wait, mut tried, mut ending) = (RETRY_FIRST, 0, self.ending.subscribe());
        tokio::select! {
            () = self.settings.badge.joined() => {}
            _ = ending.wait_for(|ending| *ending) => return,
        }
        while !*self.ending.borrow() {
            let mut was_heard = false;
            let at = self.settings.planes.current();
            let ended = self.stream(&mut was_heard).await;
            self.building.forget();
            self.disconnected(ended);
            // Another one perhaps answers.
            self.settings.planes.leave(&at);
            tried += 1;
            if was_heard {
                // It was there a moment ago: it restarts, or another one takes its place, and one is soon back.
                (wait, tried) = (RETRY_FIRST, 0);
            }
            // Full jitter: a thousand replicas do not come back in one moment.
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            let mut ending = self.ending.subscribe();
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(random.next() % millis)) => {}
                _ = ending.wait_for(|ending| *ending) => return,
            }
            if tried >= self.settings.planes.count() {
                wait = (wait * 2).min(RETRY_MOST);
            }
        }
    }

    /// Says the last word; `run` then comes to its end.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Closes secrets by when the control plane was last heard, and wipes them where it sent this node away; until dropped.
    pub(crate) async fn watch_lease(&self) {
        let mut tick = interval(BEAT_EVERY);
        loop {
            tick.tick().await;
            self.check_lease();
            self.forget_if_evicted();
            self.ends.gauges.holds(self.ends.held.bury());
        }
    }

    fn check_lease(&self) {
        let lease = self.ends.held.pin().and_then(|state| state.snapshot.settings.lease);
        if self.ends.status.lock().is_lapsed(lease, std::time::Instant::now()) {
            self.ends.held.lapse(true);
        }
    }

    fn disconnected(&self, why: Option<Status>) {
        let mut status = self.ends.status.lock();
        status.connected = false;
        let text = why.as_ref().map(|why| match why.code() {
            Code::Unknown => why.message().to_owned(),
            code => format!("{code}: {}", why.message()),
        });
        if let Some(rejected) = why.filter(|why| why.code() == Code::FailedPrecondition) {
            tracing::warn!(reason = rejected.message(), "the control plane does not want this replica");
            status.turned_away(&rejected);
        }
        status.last_error = Some(text.unwrap_or_else(|| "the control plane ended the stream".to_owned()));
        drop(status);
        self.forget_if_evicted();
    }

    /// What an evicted node holds is wiped, from memory and from disk: it is not its own any more.
    fn forget_if_evicted(&self) {
        {
            let mut status = self.ends.status.lock();
            if !status.evicted || status.forgotten {
                return;
            }
            (status.source, status.forgotten) = (Source::None, true);
        }
        tracing::warn!("evicted: this replica forgets its state and its keys, and serves nothing");
        self.ends.held.forget();
        if let Some(keeper) = &self.ends.keeper {
            keeper.forget();
        }
    }

    /// One stream from Hello to its end; gives why it ended.
    async fn stream(&self, was_heard: &mut bool) -> Option<Status> {
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        let audit = self.ends.status.lock().audit.clone();
        let hello = report::hello(&self.settings, &self.ends.held, self.kept(), audit);
        let mut incoming = match dial(&self.settings, hello, (&outbox, outgoing)).await {
            Ok(incoming) => incoming,
            Err(why) => return Some(why),
        };
        self.ends.status.lock().connected = true;
        let (now, state) = (Instant::now(), self.ends.held.pin());
        let session = Session::new(state.as_ref().map(|state| Arc::clone(&state.snapshot)));
        let probes = JoinSet::new();
        let applying = Applying::default();
        let mut talk = Talk { outbox, session, began: now, applying, heard: now, awaited: true, probes };
        let (mut ending, mut kept) = (self.ending.subscribe(), self.kept.clone());
        let (mut beat, mut look, mut news) =
            (interval(BEAT_EVERY), interval(LOOK_EVERY), interval(NEWS_EVERY));
        news.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut urgent = false;
        let revoked = self.ends.held.revoked();
        let keys = revoked.borrow().keys;
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = incoming.message() => match message {
                    Ok(Some(message)) => {
                        *was_heard = true;
                        self.heard(&mut talk);
                        self.take(&mut talk, message).await?;
                    }
                    Ok(None) => return None,
                    Err(status) => return Some(status),
                },
                built = self.building.done() => self.answer(&mut talk, built).await?,
                Some(Ok(result)) = talk.probes.join_next() => {
                    let message = Some(from_replica::Message::ProbeResult(result));
                    talk.outbox.send(FromReplica { message }).await.ok()?;
                }
                _ = beat.tick() => {
                    if talk.heard.elapsed() > SILENCE {
                        return Some(Status::unknown("the control plane is silent"));
                    }
                    // The buffers of this connection hold what came last over it, the revoked key perhaps, as long as it lives.
                    if cfg!(feature = "wipe") && revoked.borrow().keys != keys {
                        return Some(Status::unknown("begun anew, since a key was revoked"));
                    }
                    self.beat(&mut talk);
                }
                _ = look.tick(), if talk.awaited => self.look(&mut talk),
                () = self.ends.news.notified(), if !urgent => {
                    urgent = true;
                    news.reset_after(NEWS_PAUSE);
                }
                _ = news.tick() => {
                    urgent = false;
                    self.tell_limits(&talk);
                }
                Ok(()) = kept.changed() => self.beat(&mut talk),
                _ = ending.wait_for(|ending| *ending) => {
                    self.last_beat(talk.outbox).await;
                    // Until the other side has read it and closes; the caller's patience is the bound.
                    while let Ok(Some(_)) = incoming.message().await {}
                    return None;
                }
            }
        }
    }

    fn heard(&self, talk: &mut Talk) {
        talk.heard = Instant::now();
        self.ends.status.lock().heard(std::time::Instant::now());
    }

    /// One message; `None` once the stream is gone.
    async fn take(&self, talk: &mut Talk, message: ToReplica) -> Option<()> {
        match message.message? {
            to_replica::Message::Begin(begin) => {
                talk.began = Instant::now();
                talk.applying = Applying::begin(self.settings.tracer.as_ref(), &begin, &self.settings.id);
                talk.session.begin(begin);
            }
            to_replica::Message::Chunk(chunk) => talk.session.chunk(chunk),
            to_replica::Message::Commit(commit) => match talk.session.commit(commit, &self.trusted()) {
                Ok(build) => self.building.begin(build),
                Err(nack) => self.answer(talk, Err(nack)).await?,
            },
            to_replica::Message::Drain(_) => {
                self.ends.drain.send_replace(true);
            }
            to_replica::Message::Probe(probe) if talk.probes.len() < PROBES => {
                let taken = from_replica::Message::ProbeTaken(ProbeTaken { id: probe.id });
                talk.outbox.send(FromReplica { message: Some(taken) }).await.ok()?;
                talk.probes.spawn((self.probe)(probe));
            }
            to_replica::Message::Quotas(quotas) => {
                if let Some(state) = self.ends.held.pin() {
                    quotas::hear(&state.keyring, &quotas, self.now());
                }
            }
            // The second is a supervisor's.
            to_replica::Message::ControlPlanes(all) => self.settings.planes.learn(all.urls),
            to_replica::Message::Probe(_) | to_replica::Message::Host(_) => {}
            to_replica::Message::Beat(beat) => {
                if let Some(told) = beat.audit {
                    self.ends.status.lock().audit_is_at(told);
                }
                let serving = self.ends.held.pin().map(|state| state.snapshot.version);
                if serving.is_some() && beat.version.map(Version::from) == serving {
                    self.confirmed();
                }
            }
        }
        Some(())
    }

    /// A life sign, if there is room for it: a full outbox means that the stream stands, and what it would have told
    /// is told with the next.
    fn beat(&self, talk: &mut Talk) {
        if let Ok(place) = talk.outbox.try_reserve() {
            let message = Some(from_replica::Message::Beat(self.signs()));
            place.send(FromReplica { message });
        }
        talk.awaited = self.awaited().0;
    }

    /// What was learnt of providers' limits, if there is room for it: what is not told now is told with the next.
    fn tell_limits(&self, talk: &Talk) {
        let Some(state) = self.ends.held.pin() else { return };
        let Ok(place) = talk.outbox.try_reserve() else { return };
        if let Some(quotas) = quotas::news(&state.keyring, self.now()) {
            place.send(FromReplica { message: Some(from_replica::Message::Quotas(quotas)) });
        }
    }

    /// Milliseconds as limits are kept in.
    fn now(&self) -> u64 {
        u64::try_from(self.ends.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn look(&self, talk: &mut Talk) {
        match self.awaited() {
            (_, true) => self.beat(talk),
            (awaited, false) => talk.awaited = awaited,
        }
    }

    fn awaited(&self) -> (bool, bool) {
        self.ends.held.pin().map_or((false, false), |state| state.keyring.awaited())
    }

    /// What lies on disk. Nothing yet is version 0: what comes there first may be older than what is served by then, so
    /// that it is not the same as keeping nothing at all.
    fn kept(&self) -> Option<Version> {
        self.ends.keeper.as_ref().map(|_| (*self.kept.borrow()).unwrap_or_default())
    }

    fn signs(&self) -> Beat {
        let draining = *self.ends.drain.borrow();
        let audit = self.ends.status.lock().audit.clone();
        Beat { audit, ..report::beat(&self.ends.held, &self.ends.gauges, self.kept(), draining) }
    }

    async fn last_beat(&self, outbox: mpsc::Sender<FromReplica>) {
        if let Some(beat) = report::ended(self.signs()) {
            let message = Some(from_replica::Message::Beat(beat));
            // An error says that the stream is gone: the control plane learns of the end by its silence.
            let _ = outbox.send(FromReplica { message }).await;
        }
    }

    /// What the node was told when it joined or renewed last, else what is kept.
    fn trusted(&self) -> Trust {
        let identity = self.settings.badge.identity();
        let told = identity.filter(|one| !one.signing_keys().is_empty());
        told.map_or_else(|| self.trust.lock().clone(), |one| Trust::in_keys(one.signing_keys().to_vec()))
    }

    /// A state came to its end: it is served from now on, or refused. `None` once the stream is gone.
    async fn answer(&self, talk: &mut Talk, built: Result<Built, Nack>) -> Option<()> {
        let built = match built {
            Ok(built) => built,
            Err(nack) => {
                let message = Some(from_replica::Message::Nack(self.refuse(talk, nack)));
                return talk.outbox.send(FromReplica { message }).await.ok();
            }
        };
        let Built { snapshot, signature, whole, bytes } = built;
        self.ends.gauges.came(bytes, whole);
        talk.session.serves(&snapshot);
        self.trust.lock().keep(&signature.signer);
        let before = self.ends.held.pin();
        let before = before.as_deref().map(|state| &*state.snapshot);
        let applying = std::mem::take(&mut talk.applying);
        applying.holds(self.settings.tracer.as_ref(), before, &snapshot);
        let swapped = self.ends.held.swap(Arc::clone(&snapshot));
        applying.applied();
        let ack = self.applied(talk, &snapshot);
        talk.outbox.send(FromReplica { message: Some(from_replica::Message::Ack(ack)) }).await.ok()?;
        // How its keys are used at this version, at once; then what nobody waits for here.
        self.beat(talk);
        self.ends.held.cut_clients(&swapped);
        drop(swapped);
        self.ends.gauges.holds(self.ends.held.bury());
        if let Some(keeper) = &self.ends.keeper {
            keeper.keep(Kept { snapshot, signature, confirmed_at: clock::since_epoch().as_secs() });
        }
        Some(())
    }

    /// What is served is what the control plane means now. Only that opens secrets again whose lease had ended: by the first
    /// word after it, keys may have been rotated.
    fn confirmed(&self) {
        self.ends.status.lock().source = Source::ControlPlane;
        self.ends.held.lapse(false);
        if let Some(keeper) = &self.ends.keeper {
            keeper.confirm(clock::since_epoch().as_secs());
        }
    }

    fn applied(&self, talk: &Talk, snapshot: &Snapshot) -> Ack {
        self.ends.status.lock().refused = None;
        self.confirmed();
        let micros = u64::try_from(talk.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.ends.gauges.applied(micros);
        let version = Some(snapshot.version.into());
        Ack { version, state_hash: snapshot.hash.0.to_vec(), apply_micros: micros }
    }

    fn refuse(&self, talk: &mut Talk, nack: Nack) -> Nack {
        let Nack { field, reason, .. } = &nack;
        tracing::warn!(field, reason, "a state was refused; the last good one stays");
        std::mem::take(&mut talk.applying).refused(&nack);
        self.ends.gauges.refused();
        self.ends.status.lock().refused = Some(format!("{field}: {reason}"));
        nack
    }
}

impl<P> std::fmt::Debug for Link<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.settings.planes.current())
    }
}

#[cfg(test)]
mod tests;
