//! The parent's side: starts replicas, starts them again when they fail, ends them.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keyway_controlplane::{Issuing, fleet::Fleet};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{VERB, pass};
use crate::command::up::{identity, settings::Serving};
use crate::failure::Failure;
use crate::print;

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(10);
/// A replica that ran so long was well; its next failure is a new story.
const WELL_AFTER: Duration = Duration::from_secs(30);
/// What a replica gets beyond its own grace to end, before it is killed.
const KILL_AFTER: Duration = Duration::from_secs(5);
/// Variables that a replica may see: telemetry, backtraces, trusted certificates, time zone. None holds a provider's key.
const KEPT: &[&str] = &["OTEL_", "RUST_BACKTRACE", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ"];

/// What all replicas have in common.
pub(crate) struct Common {
    /// Absent while the vault is sealed.
    pub(crate) fleet: Option<Arc<Fleet>>,
    pub(crate) fleet_url: String,
    /// Absent likewise.
    pub(crate) issuing: Option<Issuing>,
    pub(crate) serving: Serving,
    /// Below it each replica keeps its last good state.
    pub(crate) states: PathBuf,
}

impl Common {
    /// Its process was reaped: nobody there holds a key any more.
    fn forget(&self, id: &str) {
        if let Some(fleet) = &self.fleet {
            fleet.forget(id);
        }
    }
}

/// What the replicas are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Run,
    /// Finish what is in flight.
    Stop,
    /// End now.
    Kill,
}

/// All replicas of this process.
pub(crate) struct Children {
    keepers: JoinSet<()>,
    wish: watch::Sender<Wish>,
}

// === impl Children ===

impl Children {
    /// Starts `count` replicas. They share one listening socket: a connection waits in one queue for whoever is free.
    pub(crate) fn start(count: u32, listener: &TcpListener, common: Common) -> Result<Self, Failure> {
        let common = Arc::new(common);
        let (wish, _) = watch::channel(Wish::Run);
        let mut keepers = JoinSet::new();
        for slot in 1..=count {
            let failed = |error| Failure::Other(format!("cannot start data plane {slot}: {error}"));
            let listener = listener.try_clone().map_err(failed)?;
            let first = Replica::start(&common, &listener, slot).map_err(failed)?;
            keepers.spawn(keep(Arc::clone(&common), listener, slot, first, wish.subscribe()));
        }
        Ok(Self { keepers, wish })
    }

    /// Asks all to finish what is in flight and end.
    pub(crate) fn stop(&self) {
        self.wish.send_replace(Wish::Stop);
    }

    /// Ends all at once.
    pub(crate) fn kill(&self) {
        self.wish.send_replace(Wish::Kill);
    }

    /// Waits until all have ended and been reaped.
    pub(crate) async fn ended(&mut self) {
        while self.keepers.join_next().await.is_some() {}
    }
}

/// One running child.
struct Replica {
    id: String,
    child: Child,
    /// Closing it tells the child to finish and end.
    pipe: Option<UnixStream>,
    since: Instant,
}

// === impl Replica ===

impl Replica {
    fn start(common: &Common, listener: &TcpListener, slot: u32) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        // The same in every life: a new process under an old name proves that the one before is gone.
        let id = format!("replica-{slot}");
        let kept = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            KEPT.iter().any(|kept| name.starts_with(kept))
        });
        let child = Command::new(std::env::current_exe()?)
            .arg(VERB)
            .env_clear()
            .envs(kept)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // Ctrl-C in a terminal goes to its whole group; a replica ends when its parent says so.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let identity = identity::make(common.issuing.as_ref(), &id).map_err(io::Error::other)?;
        let fleet_url = common.fleet_url.clone();
        let state_dir = common.states.join(&id);
        let orders =
            pass::Orders { fleet_url, identity, id: id.clone(), state_dir, serving: common.serving.clone() };
        pass::send(&ours, &orders, listener)?;
        Ok(Self { id, child, pipe: Some(ours), since: Instant::now() })
    }

    async fn stop(&mut self, grace: Duration) {
        self.pipe = None;
        if timeout(grace + KILL_AFTER, self.child.wait()).await.is_err() {
            print::note(&format!("keyway: data plane {} did not end in time and is killed", self.id));
            self.kill().await;
        }
    }

    async fn kill(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill().await;
    }
}

/// Keeps one replica running until it is told otherwise, or until it was drained by an operator.
async fn keep(
    common: Arc<Common>,
    listener: TcpListener,
    slot: u32,
    first: Replica,
    mut wish: watch::Receiver<Wish>,
) {
    let mut replica = first;
    let mut wait = BACKOFF_FIRST;
    loop {
        let ended = tokio::select! {
            status = replica.child.wait() => status,
            wanted = wanted(&mut wish) => {
                // Else the system goes on taking connections that nobody will accept.
                drop(listener);
                end(&mut replica, wanted, &common, &mut wish).await;
                common.forget(&replica.id);
                return;
            }
        };
        common.forget(&replica.id);
        if ended.as_ref().is_ok_and(ExitStatus::success) {
            print::note(&format!("keyway: data plane {} was drained and has ended", replica.id));
            return;
        }
        if replica.since.elapsed() >= WELL_AFTER {
            wait = BACKOFF_FIRST;
        }
        loop {
            let how = ended.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            print::note(&format!(
                "keyway: data plane {} ended ({how}); starting again in {} ms",
                replica.id,
                wait.as_millis()
            ));
            tokio::select! {
                () = sleep(wait) => {}
                _ = wanted(&mut wish) => return,
            }
            wait = (wait * 2).min(BACKOFF_MOST);
            match Replica::start(&common, &listener, slot) {
                Ok(next) => {
                    replica = next;
                    break;
                }
                Err(error) => print::note(&format!("keyway: cannot start data plane {slot}: {error}")),
            }
        }
    }
}

/// Ends when something else than running is wanted.
async fn wanted(wish: &mut watch::Receiver<Wish>) -> Wish {
    match wish.wait_for(|wish| *wish != Wish::Run).await {
        Ok(wish) => *wish,
        Err(_) => Wish::Kill,
    }
}

async fn end(replica: &mut Replica, wanted: Wish, common: &Common, wish: &mut watch::Receiver<Wish>) {
    if wanted == Wish::Stop {
        let killed = async { wish.wait_for(|wish| *wish == Wish::Kill).await.map(drop) };
        tokio::select! {
            () = replica.stop(common.serving.grace) => return,
            _ = killed => {}
        }
    }
    replica.kill().await;
}
