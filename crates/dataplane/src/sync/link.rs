//! The stream to the control plane: connects, applies what comes, says what it serves; comes back with jitter when it
//! breaks. Requests go on from what is held, whatever happens here.

use super::{Held, session::Session};
use crate::{
    observe::{Applying, Gauges, Tracer},
    random::Random,
};
use keyway_proto::{
    SCHEMA,
    fleet::v1::{
        Ack, Beat, Begin, FromReplica, Hello, Probe, ProbeResult, fleet_client::FleetClient, from_replica,
        to_replica,
    },
};
use keyway_snapshot::Secret;
use parking_lot::Mutex;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, metadata::MetadataValue, transport::Endpoint};

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const BEAT_EVERY: Duration = Duration::from_secs(1);
const KEEPALIVE: Duration = Duration::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(15);
/// Messages that wait for the stream.
const OUTBOX: usize = 64;
/// Bytes of one message: a chunk is at most 1 MiB of resources, with room for names.
const MESSAGE_LIMIT: usize = 4 << 20;
/// Probes under way at one time.
const PROBES: usize = 16;

/// Where the control plane is, and who this replica is.
#[derive(Debug, Clone)]
pub(crate) struct LinkSettings {
    pub(crate) url: String,
    pub(crate) token: Secret,
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) listen: String,
    pub(crate) ops_listen: String,
    /// `None` without a collector.
    pub(crate) tracer: Option<Tracer>,
}

/// What `/readyz` tells of the link.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkStatus {
    pub(crate) connected: bool,
    pub(crate) last_error: Option<String>,
    /// Of the last state that was refused.
    pub(crate) refused: Option<String>,
}

/// The link of one replica.
pub(crate) struct Link<P> {
    settings: LinkSettings,
    held: Arc<Held>,
    gauges: Arc<Gauges>,
    status: Arc<Mutex<LinkStatus>>,
    drain: watch::Sender<bool>,
    probe: P,
}

// === impl Link ===

impl<P, F> Link<P>
where
    P: Fn(Probe) -> F,
    F: Future<Output = ProbeResult> + Send + 'static,
{
    pub(crate) fn new(
        settings: LinkSettings,
        held: Arc<Held>,
        gauges: Arc<Gauges>,
        drain: watch::Sender<bool>,
        probe: P,
    ) -> Self {
        Self { settings, held, gauges, status: Arc::default(), drain, probe }
    }

    pub(crate) fn status(&self) -> Arc<Mutex<LinkStatus>> {
        Arc::clone(&self.status)
    }

    /// Runs until dropped.
    pub(crate) async fn run(&self) {
        let random = Random::new();
        let mut wait = RETRY_FIRST;
        loop {
            let began = Instant::now();
            let ended = self.stream().await;
            self.disconnected(ended);
            if began.elapsed() > RETRY_MOST {
                wait = RETRY_FIRST;
            }
            // Full jitter: a thousand replicas do not come back in one moment.
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            tokio::time::sleep(Duration::from_millis(random.next() % millis)).await;
            wait = (wait * 2).min(RETRY_MOST);
        }
    }

    fn disconnected(&self, why: Option<String>) {
        let mut status = self.status.lock();
        status.connected = false;
        status.last_error = Some(why.unwrap_or_else(|| "the control plane ended the stream".to_owned()));
    }

    /// One stream from Hello to its end; gives why it ended.
    async fn stream(&self) -> Option<String> {
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        let mut incoming = match self.open(&outbox, outgoing).await {
            Ok(incoming) => incoming,
            Err(why) => return Some(why),
        };
        self.status.lock().connected = true;
        let mut session = Session::new(self.held.pin().map(|state| state.snapshot.version));
        let mut began = Instant::now();
        let mut applying = Applying::default();
        let mut beat = tokio::time::interval(BEAT_EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut probes = JoinSet::new();
        loop {
            tokio::select! {
                message = incoming.message() => match message {
                    Ok(Some(message)) => match message.message {
                        Some(to_replica::Message::Begin(begin)) => {
                            began = Instant::now();
                            applying = self.applying(&begin);
                            session.begin(begin);
                        }
                        Some(to_replica::Message::Chunk(chunk)) => session.chunk(chunk),
                        Some(to_replica::Message::Commit(commit)) => {
                            let answer = self.apply(&mut session, &commit, (began, std::mem::take(&mut applying)));
                            outbox.send(FromReplica { message: Some(answer) }).await.ok()?;
                        }
                        Some(to_replica::Message::Drain(_)) => {
                            self.drain.send_replace(true);
                        }
                        Some(to_replica::Message::Probe(probe)) if probes.len() < PROBES => {
                            probes.spawn((self.probe)(probe));
                        }
                        Some(to_replica::Message::Probe(_) | to_replica::Message::Beat(_)) | None => {}
                    },
                    Ok(None) => return None,
                    Err(status) => return Some(format!("{}: {}", status.code(), status.message())),
                },
                Some(Ok(result)) = probes.join_next() => {
                    let message = Some(from_replica::Message::ProbeResult(result));
                    outbox.send(FromReplica { message }).await.ok()?;
                }
                _ = beat.tick() => {
                    // A full outbox means that the stream stands; the control plane notices the silence by itself.
                    let _ = outbox.try_send(self.beat());
                }
            }
        }
    }

    async fn open(
        &self,
        outbox: &mpsc::Sender<FromReplica>,
        outgoing: mpsc::Receiver<FromReplica>,
    ) -> Result<Streaming<keyway_proto::fleet::v1::ToReplica>, String> {
        let endpoint = Endpoint::from_shared(self.settings.url.clone()).map_err(|error| error.to_string())?;
        let channel = endpoint
            .connect_timeout(CONNECT_LIMIT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .connect()
            .await
            .map_err(|error| format!("{}: {error}", self.settings.url))?;
        let hello = FromReplica { message: Some(from_replica::Message::Hello(self.hello())) };
        outbox.try_send(hello).map_err(|error| error.to_string())?;
        let mut request = Request::new(ReceiverStream::new(outgoing));
        let token = format!(
            "Bearer {}",
            String::from_utf8(self.settings.token.expose().to_vec()).unwrap_or_default()
        );
        let mut token =
            MetadataValue::try_from(token).map_err(|_| "the fleet token is not a header value".to_owned())?;
        token.set_sensitive(true);
        request.metadata_mut().insert("authorization", token);
        let mut client = FleetClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
        client
            .sync(request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(|status| status.message().to_owned())
    }

    fn hello(&self) -> Hello {
        let settings = &self.settings;
        Hello {
            id: settings.id.clone(),
            host: settings.host.clone(),
            pid: std::process::id(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            schema: SCHEMA,
            serving: self.held.pin().map(|state| state.snapshot.version.into()),
            listen: settings.listen.clone(),
            ops_listen: settings.ops_listen.clone(),
            ..Hello::default()
        }
    }

    fn apply(
        &self,
        session: &mut Session,
        commit: &keyway_proto::fleet::v1::Commit,
        (began, applying): (Instant, Applying),
    ) -> from_replica::Message {
        match session.commit(commit) {
            Ok(snapshot) => {
                let (version, hash) = (snapshot.version, snapshot.hash);
                let before = self.held.pin();
                applying.holds(
                    self.settings.tracer.as_ref(),
                    before.as_deref().map(|state| &*state.snapshot),
                    &snapshot,
                );
                self.held.swap(snapshot);
                applying.applied();
                self.status.lock().refused = None;
                let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.gauges.applied(micros);
                from_replica::Message::Ack(Ack {
                    version: Some(version.into()),
                    state_hash: hash.0.to_vec(),
                    apply_micros: micros,
                })
            }
            Err(nack) => {
                tracing::warn!(
                    field = nack.field,
                    reason = nack.reason,
                    "a state was refused; the last good one stays"
                );
                applying.refused(&nack);
                self.gauges.refused();
                self.status.lock().refused = Some(format!("{}: {}", nack.field, nack.reason));
                from_replica::Message::Nack(nack)
            }
        }
    }

    fn applying(&self, begin: &Begin) -> Applying {
        Applying::begin(self.settings.tracer.as_ref(), begin, &self.settings.id)
    }

    fn beat(&self) -> FromReplica {
        let state = self.held.pin();
        let beat = Beat {
            version: state.as_ref().map(|state| state.snapshot.version.into()),
            state_hash: state.map(|state| state.snapshot.hash.0.to_vec()).unwrap_or_default(),
            requests_in_flight: self.gauges.in_flight(),
            requests_total: self.gauges.requests(),
            draining: *self.drain.borrow(),
            ..Beat::default()
        };
        FromReplica { message: Some(from_replica::Message::Beat(beat)) }
    }
}

impl<P> std::fmt::Debug for Link<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.settings.url)
    }
}
