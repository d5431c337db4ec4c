//! Runs the control plane: one thread, one current-thread runtime, both listeners. The listeners are bound by the
//! caller, so that a taken port is its own error line.

mod accept;
mod files;
mod leading;
mod storage;
mod tls;

pub use tls::{Tls, TlsError};

use crate::{
    Lookup, Outcome, Plane, Token,
    api::{self, Api},
    authority::{self, Authority, Certificates},
    fleet::{self, Fort},
    members, peer,
    resource::{Apply, Author, Refusal, Way, file_proposal},
    rotation::Counts,
    store::{Address, IndexCheck, Shared, StoreError},
    usage::{self, UsageError},
    vault::VaultError,
};
use keyway_config::{Problem, Secret};
use keyway_proto::fleet::v1::Enrolled;
use keyway_telemetry::Tracer;
use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};
use storage::Opened;
use tokio::{runtime::Handle, sync::watch};

/// Connections get this long to finish what they answer when the control plane stops.
pub const STOP_GRACE: Duration = Duration::from_secs(2);

/// A start waits so long for a leader: an older one's lease ends within it.
const LEADER_LIMIT: Duration = Duration::from_secs(6);

/// What to serve, and where.
#[derive(Debug)]
pub struct Settings {
    /// Bound; answers the admin API.
    pub admin: TcpListener,
    /// Bound; answers replicas.
    pub fleet: TcpListener,
    /// What operators show.
    pub admin_token: Secret,
    /// Of nodes' certificates.
    pub certificates: Certificates,
    /// Certificate of the admin listener.
    pub tls: Option<Tls>,
    /// Where data lies.
    pub storage: Storage,
    /// In force before anything is answered, in this order.
    pub initial: Vec<Initial>,
    /// Makes spans of changes; the default makes none.
    pub tracer: Tracer,
    /// Gives keys whose source is a variable their secrets; absent: they have none.
    pub environment: Option<Lookup>,
}

/// Where data lies, and what opens it.
#[derive(Debug, Clone)]
pub struct Storage {
    /// The data directory: `store`, `vault`, and the root key unless it is elsewhere.
    pub home: PathBuf,
    /// The root key's file, if it is not `root.key` in the data directory.
    pub root_key_file: Option<PathBuf>,
    /// systemd's `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// Opens the index in another process first.
    pub index_check: Option<IndexCheck>,
    /// With other control planes in an etcd, in place of `store` and `vault`.
    pub shared: Option<SharedStore>,
}

/// A store that several control planes have, and who this one is to the others.
#[derive(Debug, Clone)]
pub struct SharedStore {
    /// Where it is.
    pub address: Address,
    /// The same after each start; absent = the host's name and what was made at the first start.
    pub name: Option<String>,
    /// Where replicas and other control planes reach the fleet port, `http://HOST:PORT`; absent = where it listens.
    pub advertise_fleet: Option<String>,
    /// The same of the admin API.
    pub advertise_admin: Option<String>,
    /// Keeps the books from now on, whoever did.
    pub take_books: bool,
}

/// A file that is there from the start.
#[derive(Debug)]
pub struct Initial {
    /// What it says.
    pub apply: Apply,
    /// What is made by hand is never deleted by a later `--prune`; `prune` of such an [`Apply`] means nothing.
    pub by: Way,
}

/// A control plane that answers.
#[derive(Debug)]
pub struct Running {
    /// In-process access to everything that the API does; absent while the vault is sealed.
    pub plane: Option<Arc<Plane>>,
    authority: Option<Arc<Authority>>,
    /// What the initial files did, in their order: tokens that were made are shown here only.
    pub initial: Vec<Outcome>,
    /// Where the admin API answers.
    pub admin: SocketAddr,
    /// Where replicas are answered.
    pub fleet: SocketAddr,
    runtime: Handle,
    stop: watch::Sender<bool>,
    thread: JoinHandle<io::Result<()>>,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The admin API must not be in clear where others can reach it.
    #[error(
        "{address} is not loopback and the admin API has no TLS: give --tls-cert and --tls-key, \
         or listen on 127.0.0.1"
    )]
    InClear {
        /// Where it was to listen.
        address: SocketAddr,
    },
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The books.
    #[error("{0}")]
    Usage(#[from] UsageError),
    /// The vault does not open: nothing can be served without its keys.
    #[error("{0}")]
    Vault(#[from] VaultError),
    /// An initial file does not hold.
    #[error("{origin}: {refusal}")]
    Initial {
        /// Its name.
        origin: String,
        /// Why.
        refusal: Refusal,
    },
    /// The first state could not be made.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The system refused a thread, a socket or randomness.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// Starts it. Once this returns, the initial files are in force and both listeners answer.
///
/// # Errors
/// Why it cannot start; nothing runs then.
pub fn serve(settings: Settings) -> Result<Running, ServeError> {
    let (admin, fleet) = (settings.admin.local_addr()?, settings.fleet.local_addr()?);
    if settings.tls.is_none() && !admin.ip().is_loopback() {
        return Err(ServeError::InClear { address: admin });
    }
    files::raise_limit();
    let (stop, stopped) = watch::channel(false);
    let (ready, started) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("keyway-control".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let handle = Handle::current();
            match start(settings, stopped).await {
                Ok((plane, authority, initial, serving)) => {
                    // The caller waits for exactly this message.
                    let _ = ready.send(Ok((plane, authority, initial, handle)));
                    serving.await
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                    Ok(())
                }
            }
        })
    })?;
    let Ok(started) = started.recv() else {
        let ended =
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the control plane's thread failed")));
        return Err(ended
            .err()
            .unwrap_or_else(|| io::Error::other("the control plane's thread ended"))
            .into());
    };
    let (plane, authority, initial, runtime) = started?;
    Ok(Running { plane, authority, initial, admin, fleet, runtime, stop, thread })
}

type Started = (
    Option<Arc<Plane>>,
    Option<Arc<Authority>>,
    Vec<Outcome>,
    std::pin::Pin<Box<dyn Future<Output = io::Result<()>>>>,
);

/// Puts the first files into force, one after the other, where this control plane leads.
async fn applied(plane: &Plane, files: Vec<Initial>) -> Result<Vec<Outcome>, ServeError> {
    let mut outcomes = Vec::with_capacity(files.len());
    for Initial { apply, by } in files {
        if !plane.leads() {
            tracing::info!(
                origin = apply.origin,
                "not applied: another control plane leads, and holds what is in force"
            );
            continue;
        }
        let origin = apply.origin.clone();
        match initial(plane, apply, by).await {
            Ok(outcome) => outcomes.push(outcome),
            // What is in force goes on: a full disk or a rotation under way is no reason not to serve.
            Err(refusal) if may_wait(&refusal) && plane.state().has_settings() => {
                tracing::error!(origin, %refusal, "not applied at this start");
                let warning = Problem::new("", format!("{origin} was not applied: {refusal}"));
                let (changes, tokens) = (Vec::new(), Vec::new());
                outcomes.push(Outcome {
                    version: plane.version(),
                    changes,
                    warnings: vec![warning],
                    tokens,
                    pair: None,
                });
            }
            Err(refusal) => return Err(ServeError::Initial { origin, refusal }),
        }
    }
    Ok(outcomes)
}

async fn start(settings: Settings, stopped: watch::Receiver<bool>) -> Result<Started, ServeError> {
    let tls = settings.tls.as_ref().map(Tls::acceptor).transpose()?;
    let admin_token = Token::new(settings.admin_token.expose()).map_err(io::Error::other)?;
    let at = storage::At {
        admin: settings.admin.local_addr()?,
        fleet: settings.fleet.local_addr()?,
        tls: tls.is_some(),
    };
    let take_books = settings.storage.shared.as_ref().is_some_and(|shared| shared.take_books);
    let opened = storage::open(settings.storage, at).await?;
    let (store, vault, books, backup) = match opened {
        Opened::Ready { store, vault, books, backup } => (store, vault, books, backup),
        Opened::Sealed { why } => {
            tracing::error!("{why}");
            let router = api::sealed(admin_token, why.to_string());
            let admin = accept::serve(settings.admin, tls, router, wait(stopped))?;
            // Nothing listens there: replicas are told so at once and serve what they have.
            drop(settings.fleet);
            return Ok((None, None, Vec::new(), Box::pin(admin)));
        }
    };
    let plane = Plane::open(store, *vault).await?;
    let plane = Arc::new(plane.traced(settings.tracer).with_environment(settings.environment));
    if let Some(shared) = plane.store().shared() {
        shared.keep_books(take_books).await?;
        begin(&plane, shared).await?;
    }
    let following = tokio::spawn(Arc::clone(&plane).follow(stopped.clone()));
    let authority = Arc::new(Authority::open(&plane, settings.certificates).await?);
    let outcomes = applied(&plane, settings.initial).await?;
    let counts = Arc::new(Counts::default());
    let api = Api::new(Arc::clone(&plane), Arc::clone(&counts), Arc::clone(&books), admin_token);
    let api = api.backing_up(backup).issuing(Arc::clone(&authority));
    let peers = Arc::clone(api.peers());
    let router = api::router(api);
    let leading = tokio::spawn(leading::run(Arc::clone(&plane), counts, stopped.clone()));
    let tidying = tokio::spawn(usage::run(Arc::clone(&books), Arc::clone(&plane), stopped.clone()));
    let admin = accept::serve(settings.admin, tls, router.clone(), wait(stopped.clone()))?;
    let renewing = tokio::spawn(authority::run(Arc::clone(&authority), Arc::clone(&plane), stopped.clone()));
    let relaying = tokio::spawn(peer::run(Arc::clone(&peers), stopped.clone()));
    let fort = Fort {
        plane: Arc::clone(&plane),
        authority: Arc::clone(&authority),
        books: Arc::clone(&books),
        peers,
        admin: router,
    };
    let fleet = fleet::serve(fort, settings.fleet, wait(stopped));
    let served = Arc::clone(&plane);
    let serving = Box::pin(async move {
        let (admin, fleet, ..) = tokio::join!(admin, fleet, following, leading, tidying, renewing, relaying);
        members::close(&served).await;
        // Last: whoever could report is gone.
        let closed = tokio::task::spawn_blocking(move || books.close()).await.map_err(io::Error::other);
        admin.and(fleet).and(closed)
    });
    Ok((Some(plane), Some(authority), outcomes, serving))
}

/// Waits until it is known who leads, and begins to where it is this one: what is in force from the start is its to write.
async fn begin(plane: &Plane, shared: &dyn Shared) -> Result<(), Refusal> {
    let mut standing = shared.standing();
    let known = standing.wait_for(|standing| standing.leader.is_some());
    // Without an answer it is served what there is.
    let _ = tokio::time::timeout(LEADER_LIMIT, known).await;
    let term = standing.borrow().term;
    match term {
        Some(term) => plane.lead(term).await,
        None => Ok(()),
    }
}

/// Whether a file that was refused so may be applied later, by hand.
fn may_wait(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Barred { .. } => true,
        Refusal::Store(error) => {
            matches!(
                error,
                StoreError::Full
                    | StoreError::Failed(_)
                    | StoreError::ReadOnly(_)
                    | StoreError::NotLeader { .. }
                    | StoreError::Unavailable(_)
            )
        }
        Refusal::Vault(error) => {
            matches!(error, VaultError::Full { .. } | VaultError::Io { .. } | VaultError::Store { .. })
        }
        _ => false,
    }
}

async fn initial(plane: &Plane, apply: Apply, by: Way) -> Result<Outcome, Refusal> {
    let author = Author { by, origin: apply.origin.clone(), ..Author::system("apply", "") };
    match by {
        Way::File => plane.apply(&author, apply).await,
        Way::Hand => {
            plane.check(&apply.file)?;
            plane.change(&author, |proposal| file_proposal(proposal, apply.file, false)).await
        }
    }
}

async fn wait(mut stop: watch::Receiver<bool>) {
    stopped(&mut stop).await;
}

/// Ends with the control plane.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could stop it being gone is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Gives certificates to nodes of this process.
#[derive(Debug, Clone)]
pub struct Issuing {
    plane: Arc<Plane>,
    authority: Arc<Authority>,
}

// === impl Issuing ===

impl Issuing {
    /// For a key of that node, without a token: who asks is who is asked. The request is PKCS #10.
    ///
    /// # Errors
    /// When the request is none, or no certificate can be made.
    pub fn enroll(&self, node: &str, csr: &[u8]) -> Result<Enrolled, Refusal> {
        self.authority.enroll_own(&self.plane, node, csr)
    }
}

// === impl Running ===

impl Running {
    /// Where to wait for what `plane` gives, from a thread without a runtime of its own.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// What gives certificates to nodes of this process; `None` while the vault is sealed.
    #[must_use]
    pub fn issuing(&self) -> Option<Issuing> {
        let (plane, authority) = self.plane.clone().zip(self.authority.clone())?;
        Some(Issuing { plane, authority })
    }

    /// Stops answering: open answers get [`STOP_GRACE`], replicas keep what they serve.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it has ended; call [`Self::stop`] first.
    ///
    /// # Errors
    /// When a listener failed.
    pub fn join(self) -> io::Result<()> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the control plane's thread failed")))
    }
}
