//! Data planes beside the control plane: start, wait until ready, wait for the end, stop in order.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyway_controlplane::Running;
use keyway_dataplane::supervise::{Serving, Sockets, Supervise};
use tokio::time::timeout;

use super::data_plane::{DataPlane, Orders, host};
use super::outside::Outside;
use super::signals::Signals;
use super::{identity, reachable};
use crate::command::block_on;
use crate::failure::Failure;
use crate::print;

/// The data plane in this process.
const INSIDE: &str = "replica-0";
/// Before the number of one that is a process.
const PREFIX: &str = "replica-";
/// The hidden verb that starts one.
const VERB: &str = "replica";
/// By then every data plane serves its first state, or something is wrong.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// All that is needed to serve.
pub(super) struct Planes {
    pub(super) api: TcpListener,
    pub(super) ops: TcpListener,
    pub(super) control: Running,
    pub(super) replicas: Option<u32>,
    pub(super) serving: Serving,
    /// Below it each data plane keeps its last good state.
    pub(super) states: PathBuf,
    /// This program's own file.
    pub(super) program: PathBuf,
}

/// One inside, or several outside.
enum Started {
    Inside(Box<DataPlane>),
    Outside(Outside),
}

// === impl Planes ===

impl Planes {
    /// Calls `ready` once all data planes serve; returns when everything has ended.
    pub(super) fn run(self, ready: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        let Self { api, ops, control, replicas, serving, states, program } = self;
        let fleet_url = format!("https://{}", reachable(control.fleet));
        let identity = identity::make(control.issuing().as_ref())?;
        let Some(replicas) = replicas else {
            let (id, state_dir) = (INSIDE.to_owned(), states.join(INSIDE));
            let orders = Orders { fleet_url, identity, id, state_dir, serving };
            let started = Started::Inside(Box::new(DataPlane::start(api, ops, orders)?));
            return block_on(serve(started, control, ready));
        };
        let settings = Supervise {
            name: host(),
            prefix: PREFIX.to_owned(),
            host: host(),
            replicas,
            program,
            replica: vec![VERB.into()],
            again: None,
            fleet_url: Some(fleet_url),
            identity,
            token: None,
            dir: states,
            serving,
        };
        block_on(async {
            let started = Started::Outside(Outside::start(settings, Sockets { api, ops })?);
            serve(started, control, ready).await
        })
    }
}

/// From the start of data planes to the end of all.
async fn serve(
    mut started: Started,
    control: Running,
    ready: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut signals =
        Signals::new().map_err(|error| Failure::Other(format!("cannot catch signals: {error}")))?;
    let Some(plane) = control.plane.clone() else {
        return sealed(started, control, signals).await;
    };
    let (fleet, first) = (Arc::clone(plane.fleet()), plane.version());
    let count = started.count();
    let acknowledged = timeout(READY_LIMIT, fleet.acknowledged(count, first));
    let result = tokio::select! {
        in_time = acknowledged => match in_time {
            Ok(()) => ready(),
            Err(_) => Err(Failure::TimedOut(format!(
                "{} of {count} data plane(s) serve the first state after {} s; see the messages above",
                fleet.serving(first), READY_LIMIT.as_secs(),
            ))),
        },
        ended = started.ended() => {
            ended.and_then(|()| Err(Failure::Other("the data plane ended before it was ready".into())))
        }
        () = signals.next() => return stop(started, control, signals).await,
    };
    let failed = match result {
        Err(failure) => Some(failure),
        Ok(()) => tokio::select! {
            () = signals.next() => None,
            ended = started.ended() => match ended {
                Ok(()) => {
                    // Other hosts go on, and so does whoever changes their state here.
                    print::note(
                        "keyway: every data plane here was drained and has ended; the control plane goes on; Ctrl-C ends \
                         it, `keyway up` again starts both",
                    );
                    signals.next().await;
                    None
                }
                Err(failure) => Some(failure),
            }
        },
    };
    stop(started, control, signals).await?;
    failed.map_or(Ok(()), Err)
}

/// Without its keys the control plane changes nothing, and data planes serve what they keep on disk.
async fn sealed(mut started: Started, control: Running, mut signals: Signals) -> Result<(), Failure> {
    print::note(
        "keyway: the vault is sealed (see the message above): nothing can be changed, and data planes serve the last \
         state that they have; put the root key back and start again",
    );
    tokio::select! {
        () = signals.next() => {}
        _ = started.ended() => {}
    }
    stop(started, control, signals).await
}

/// Data planes first, so that whatever they still do finds its control plane; a second signal ends at once.
async fn stop(mut started: Started, control: Running, mut signals: Signals) -> Result<(), Failure> {
    print::note("keyway: stopping; requests in flight are finished first, Ctrl-C again ends at once");
    started.stop();
    let second = tokio::select! {
        _ = started.ended() => false,
        () = signals.next() => true,
    };
    if second {
        started.kill().await;
        return Ok(());
    }
    control.stop();
    let ended = tokio::task::spawn_blocking(move || control.join());
    tokio::select! {
        ended = ended => match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::Other(format!("the control plane failed: {error}"))),
            Err(_) => Err(Failure::Other("the control plane's thread failed".into())),
        },
        () = signals.next() => Ok(()),
    }
}

// === impl Started ===

impl Started {
    /// Data planes that are to serve.
    fn count(&self) -> usize {
        match self {
            Self::Inside(_) => 1,
            Self::Outside(outside) => outside.count(),
        }
    }

    fn stop(&self) {
        match self {
            Self::Inside(plane) => plane.stop(),
            Self::Outside(children) => children.stop(),
        }
    }

    /// Threads of this process end with it; processes are killed and reaped.
    async fn kill(&mut self) {
        if let Self::Outside(children) = self {
            children.kill();
            // What it could not do does not matter any more.
            let _ = children.ended().await;
        }
    }

    async fn ended(&mut self) -> Result<(), Failure> {
        match self {
            Self::Inside(plane) => {
                plane.ended().await;
                Ok(())
            }
            Self::Outside(children) => children.ended().await,
        }
    }
}
