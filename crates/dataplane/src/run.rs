//! Threads of a replica: how it starts, drains and ends.

use crate::{
    control,
    identity::{Badge, Identity, IdentityError, JoinToken, Joining, prepare},
    ingress::BodyBudget,
    listen::{Accept, Pulses, Strangers},
    meter::{Bell, Budget, DISK_LIMIT, Ends, Spool, SpoolCounts, Spooling, Totals, Tray},
    observe::{Core, Faults, ROUND, Tracer},
    random::Random,
    route::RetryBudget,
    sync::{Disk, Held, Keeper, LinkStatus, StateDir, StateDirError, Trust},
    upstream::{Connector, Pool, SWEEP_EVERY, client_tls},
    worker::Worker,
};
use keyway_telemetry::{Exporting, Spans, Unusable};
use parking_lot::Mutex;
use std::{
    cell::Cell,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;

/// Of its traces.
const SERVICE: &str = "keyway-dataplane";
/// Steps of a core's tasks between two looks at its sockets. A request takes some five, and what many requests write in a
/// row wakes their peers once.
const STEPS: u32 = 256;

/// What a replica is started with.
#[derive(Debug)]
pub struct Settings {
    /// Unique among running replicas.
    pub id: String,
    /// The machine's name.
    pub host: String,
    /// Who started it and reaps it; empty = nobody.
    pub supervisor: String,
    /// API traffic; bound already, perhaps shared with other replicas.
    pub listener: TcpListener,
    /// So long callers are left to other replicas on that socket, until this one has a state; zero = not at all.
    pub hold_back: Duration,
    /// Health, metrics.
    pub ops: TcpListener,
    /// `https://host:port` of the control plane's fleet port; `None` = as the join token or the identity says.
    pub fleet_url: Option<String>,
    /// Given by whoever started this replica, who also keeps it; `None` = it is in the state directory, or comes by the token.
    pub identity: Option<Identity>,
    /// With what to join, where there is no identity yet.
    pub token: Option<JoinToken>,
    /// The node's name to join as; `id` is this or this with `~N`.
    pub node: String,
    /// Serving threads; `None` = one a core.
    pub threads: Option<usize>,
    /// TLS towards callers.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// More certificates to trust towards providers, PEM.
    pub upstream_ca: Option<PathBuf>,
    /// What running requests get when the replica drains.
    pub drain_grace: Duration,
    /// Bytes of memory that this process may use; `None` = as many as its group of processes may.
    pub memory_limit: Option<u64>,
    /// Collector for traces, OTLP over gRPC; `None` = no traces. See `keyway_telemetry::Otlp`.
    pub otlp: Option<String>,
    /// Where the last good state is kept, for a start without the control plane; `None` = nowhere.
    pub state: Option<StateDir>,
}

/// Why a replica could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system refused something.
    #[error("cannot start the data plane: {0}")]
    System(#[from] io::Error),
    /// The certificates to trust cannot be used.
    #[error("--upstream-ca {0}: {1}; give a PEM file with certificates")]
    UpstreamCa(String, String),
    /// Spans cannot be sent there.
    #[error(transparent)]
    Otlp(#[from] Unusable),
    /// The last good state cannot be kept there.
    #[error("{0}")]
    StateDir(#[from] StateDirError),
    /// Who this node is.
    #[error("{0}")]
    Identity(#[from] IdentityError),
}

/// A running replica.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<()>>,
    drain: watch::Sender<bool>,
    hurry: watch::Sender<bool>,
    end: watch::Sender<bool>,
    listen: SocketAddr,
    ops: SocketAddr,
}

/// Signals of a replica's life; each goes from false to true once.
pub(crate) struct Signals {
    pub(crate) drain: watch::Sender<bool>,
    /// Idle connections need not be waited for.
    pub(crate) hurry: watch::Sender<bool>,
    pub(crate) cut: watch::Sender<bool>,
    pub(crate) end: watch::Sender<bool>,
    /// Each core holds one until its last task is gone.
    pub(crate) alive: mpsc::Sender<()>,
}

/// Starts a replica; it answers once its control plane has told it what to serve.
///
/// # Errors
/// What the system refused.
pub fn start(settings: Settings) -> Result<Running, StartError> {
    let (alive, gone) = mpsc::channel(1);
    let signals = Signals {
        drain: watch::channel(false).0,
        hurry: watch::channel(false).0,
        cut: watch::channel(false).0,
        end: watch::channel(false).0,
        alive,
    };
    let connector = connector(&settings)?;
    let (badge, joining) = identity(&settings)?;
    let (listen, ops_address) = (settings.listener.local_addr()?, settings.ops.local_addr()?);
    settings.listener.set_nonblocking(true)?;
    settings.ops.set_nonblocking(true)?;
    let count =
        settings.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)).max(1);
    let exporting = settings.otlp.as_deref();
    let exporting =
        exporting.map(|endpoint| Exporting::start(endpoint, SERVICE, &settings.id)).transpose()?;
    let (budget, bell) = (Arc::<Budget>::default(), Arc::<Bell>::default());
    let shared = Shared {
        tracer: exporting.as_ref().map(Tracer::new),
        spans: exporting.as_ref().map(Exporting::spans),
        held: Arc::new(Held::of_replica(&settings.id)),
        status: Arc::default(),
        budget: Arc::new(BodyBudget::default()),
        cores: (0..count).map(|_| Arc::new(Core::default())).collect(),
        faults: (0..count).map(|_| Arc::new(Faults::default())).collect(),
        trays: (0..count).map(|_| Arc::new(Tray::new(Arc::clone(&budget), Arc::clone(&bell)))).collect(),
        totals: Arc::default(),
        usage: Arc::default(),
        news: Arc::default(),
        epoch: std::time::Instant::now(),
        connections: (crate::listen::room() / count).max(1),
    };
    let identity = badge.identity();
    let mut trust = Trust::in_keys(identity.map(|one| one.signing_keys().to_vec()).unwrap_or_default());
    let disk = settings.state.as_ref().map(|at| last_good(at, &shared, &mut trust)).transpose()?.flatten();
    let mut threads = Vec::with_capacity(count + 3);
    for number in 0..count {
        let accept = (settings.listener.try_clone()?, settings.tls.clone(), settings.hold_back);
        threads.push(serving_thread(number, accept, &shared, &connector, &signals)?);
    }
    let (drain, hurry, end) = (signals.drain.clone(), signals.hurry.clone(), signals.end.clone());
    let keeper = disk.map(|disk| Keeper::start(disk, Arc::clone(&shared.status))).transpose()?;
    let (keeper, disk_thread) = keeper.unzip();
    threads.extend(disk_thread);
    let incarnation = control::incarnation();
    // Where the last good state cannot be kept, nothing is.
    let state = settings.state.as_ref().filter(|_| keeper.is_some());
    let limit = state.map_or(DISK_LIMIT, |at| at.usage_limit);
    let dir = state.map(|at| at.dir.as_path());
    let spool = Spool::open(dir, &incarnation, limit, Arc::clone(&shared.usage));
    let ends = Ends {
        trays: shared.trays.clone(),
        budget,
        bell,
        totals: Arc::clone(&shared.totals),
        counts: Arc::clone(&shared.usage),
        replica: settings.id.clone(),
    };
    let (spooling, spool_thread) = Spooling::start(spool, ends)?;
    threads.push(spool_thread);
    let places = (listen, ops_address);
    let hands = control::Hands { connector, keeper, trust, spooling, incarnation, badge, joining };
    threads.push(control::thread(settings, shared, hands, (signals, gone), places)?);
    if let Some(exporting) = exporting {
        threads = vec![last_spans(threads, exporting)?];
    }
    Ok(Running { threads, drain, hurry, end, listen, ops: ops_address })
}

/// A thread that ends once all others have and their spans were sent.
fn last_spans(threads: Vec<JoinHandle<()>>, exporting: Exporting) -> io::Result<JoinHandle<()>> {
    let run = move || {
        for thread in threads {
            // A panic in a core has been reported by its hook; the others still end in order.
            let _ = thread.join();
        }
        exporting.flush();
    };
    thread::Builder::new().name("keyway-last".to_owned()).spawn(run)
}

/// Serves from the last good state until the control plane is heard. A node key that others may read, or that is none,
/// is a fault which is shown; it does not keep a replica from serving what its control plane says.
fn last_good(at: &StateDir, shared: &Shared, trust: &mut Trust) -> Result<Option<Disk>, StateDirError> {
    let mut disk = match Disk::open(at) {
        Ok(disk) => disk,
        Err(fault @ (StateDirError::Exposed(_) | StateDirError::NotAKey(_))) => {
            tracing::error!("{fault}; nothing is kept on disk");
            shared.status.lock().last_good_error = Some(fault.to_string());
            return Ok(None);
        }
        Err(fault) => return Err(fault),
    };
    let (loaded, fault) = disk.load(trust);
    let mut status = shared.status.lock();
    if let Some(why) = &fault {
        tracing::warn!(why, "not all that was kept on disk is used");
    }
    status.last_good_torn = disk.torn();
    status.last_good_error = fault;
    if let Some(loaded) = loaded {
        let (now, lease) = (std::time::Instant::now(), loaded.snapshot.settings.lease);
        status.begin_from_disk(loaded.confirmed_at, crate::clock::since_epoch().as_secs(), now);
        tracing::info!(version = %loaded.snapshot.version, "serving from the last good state on disk");
        trust.keep(&loaded.signature.signer);
        shared.held.swap(loaded.snapshot);
        shared.held.lapse(status.is_lapsed(lease, now));
    }
    Ok(Some(disk))
}

/// What this node shows, and how it comes by more.
fn identity(settings: &Settings) -> Result<(Arc<Badge>, Joining), IdentityError> {
    let file = settings.state.as_ref().map(|at| at.identity_file.clone());
    let way = (settings.token.clone(), settings.fleet_url.clone());
    prepare(settings.identity.clone(), file, way, (settings.node.clone(), settings.host.clone()))
}

fn connector(settings: &Settings) -> Result<Connector, StartError> {
    let shown = || settings.upstream_ca.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let tls =
        client_tls(settings.upstream_ca.as_deref()).map_err(|why| StartError::UpstreamCa(shown(), why))?;
    Ok(Connector::new(tls))
}

/// What cores share, or what is read of each.
pub(crate) struct Shared {
    pub(crate) tracer: Option<Tracer>,
    pub(crate) spans: Option<Arc<Spans>>,
    pub(crate) held: Arc<Held>,
    pub(crate) status: Arc<Mutex<LinkStatus>>,
    pub(crate) budget: Arc<BodyBudget>,
    pub(crate) cores: Vec<Arc<Core>>,
    pub(crate) faults: Vec<Arc<Faults>>,
    pub(crate) trays: Vec<Arc<Tray>>,
    pub(crate) totals: Arc<Mutex<Totals>>,
    pub(crate) usage: Arc<SpoolCounts>,
    pub(crate) news: Arc<Notify>,
    pub(crate) epoch: std::time::Instant,
    connections: usize,
}

fn serving_thread(
    number: usize,
    (listener, tls, hold_back): (TcpListener, Option<Arc<rustls::ServerConfig>>, Duration),
    shared: &Shared,
    connector: &Connector,
    signals: &Signals,
) -> Result<JoinHandle<()>, StartError> {
    let at = |what: &'static str| io::Error::other(format!("no {what} for core {number}"));
    let core = Arc::clone(shared.cores.get(number).ok_or_else(|| at("counters"))?);
    let tray = Arc::clone(shared.trays.get(number).ok_or_else(|| at("tray"))?);
    let faults = Arc::clone(shared.faults.get(number).ok_or_else(|| at("faults"))?);
    let tracer = shared.tracer.clone();
    let (held, budget, connector) = (Arc::clone(&shared.held), Arc::clone(&shared.budget), connector.clone());
    let (usage, news) = (Arc::clone(&shared.usage), Arc::clone(&shared.news));
    let (draining, cutting) = (signals.drain.subscribe(), signals.cut.subscribe());
    let (end, epoch, connections) = (signals.end.subscribe(), shared.epoch, shared.connections);
    let alive = signals.alive.clone();
    let runtime = move || {
        // Dropped last of all, after the runtime with its tasks.
        let _alive = alive;
        let worker = Rc::new(Worker {
            held,
            pool: Pool::default(),
            connector,
            random: Random::new(),
            core,
            tray,
            usage,
            faults,
            news,
            budget,
            tracer,
            draining,
            cutting,
            is_cutting: Cell::new(false),
            retries: RetryBudget::default(),
            strangers: Strangers::default(),
            pulses: Pulses::default(),
            epoch: Instant::from_std(epoch),
            anchor: Cell::new((Instant::now(), crate::clock::since_epoch())),
            open: Rc::default(),
            in_flight: Cell::new(0),
            requests: Cell::new(0),
        });
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(STEPS)
            .build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a core could not start"),
        };
        runtime.block_on(async move {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(%error, "a core could not listen"),
            };
            let accept = Accept { listener, tls: tls.map(TlsAcceptor::from), connections, hold_back };
            let (sweep, cutter) = (sweep(Rc::clone(&worker)), Rc::clone(&worker));
            let (round, shrink) = (round(Rc::clone(&worker)), shrink(Rc::clone(&worker)));
            let open = Rc::clone(&worker.open);
            let cutting = async move {
                cutter.cut_revoked().await;
                std::future::pending::<()>().await
            };
            tokio::select! {
                () = crate::listen::serve(worker, accept, end) => {}
                () = sweep => {}
                () = round => {}
                () = shrink => {}
                () = cutting => {}
                () = open.cut_late() => {}
            }
        });
    };
    Ok(thread::Builder::new().name(format!("keyway-core-{number}")).spawn(runtime)?)
}

/// Says that this core is not held up.
async fn round(worker: Rc<Worker>) {
    loop {
        let due = Instant::now() + ROUND;
        tokio::time::sleep_until(due).await;
        let now = Instant::now();
        worker.core.round(worker.millis(now), now.saturating_duration_since(due));
    }
}

async fn sweep(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let now = Instant::now();
        worker.anchor.set((now, crate::clock::since_epoch()));
        worker.pool.sweep();
        worker.pulses.look(now);
    }
}

/// Gives back what rests, with each look that finds memory scarce: a connection to a provider that is not used within some of
/// them goes, one that is stays.
async fn shrink(worker: Rc<Worker>) {
    loop {
        worker.budget.scarce().await;
        worker.pool.sweep();
        worker.pulses.shrink(Instant::now());
    }
}

// === impl Running ===

impl Running {
    /// Where API traffic is taken.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where health and metrics are.
    #[must_use]
    pub fn ops(&self) -> SocketAddr {
        self.ops
    }

    /// Takes nothing new, keeps idle connections for a last answer each, ends when none is left or the grace is over.
    pub fn drain(&self) {
        self.drain.send_replace(true);
    }

    /// Drains, but waits only for requests in flight: for the end of the whole product.
    pub fn stop(&self) {
        self.hurry.send_replace(true);
        self.drain.send_replace(true);
    }

    /// Ends now; what is in flight is cut.
    pub fn stop_now(&self) {
        self.end.send_replace(true);
    }

    /// Waits until the replica ends; what is left then is to `join` it.
    pub fn ending(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut end = self.end.subscribe();
        async move {
            // An error says that the control thread is gone, which is an end too.
            let _ = end.wait_for(|end| *end).await;
        }
    }

    /// Waits for the end.
    pub fn join(self) {
        for thread in self.threads {
            // A panic in a core has been reported by its hook; the others still end in order.
            let _ = thread.join();
        }
    }
}
