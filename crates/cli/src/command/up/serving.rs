//! Data planes beside the control plane: start, wait until ready, wait for the end, stop in order.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyway_controlplane::Running;
use tokio::time::timeout;

use super::aggregate;
use super::data_plane::DataPlane;
use super::identity;
use super::reachable;
use super::replica::children::{Children, Common};
use super::replica::pass::Orders;
use super::settings::Serving;
use super::signals::Signals;
use crate::command::block_on;
use crate::failure::Failure;
use crate::print;

/// The data plane in this process.
const INSIDE: &str = "replica-0";
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
}

/// One inside, or several outside.
enum Started {
    Inside(Box<DataPlane>),
    Outside(Children),
}

// === impl Planes ===

impl Planes {
    /// Calls `ready` once all data planes serve; returns when everything has ended.
    pub(super) fn run(self, ready: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        let Self { api, ops, control, replicas, serving, states } = self;
        let fleet_url = format!("https://{}", reachable(control.fleet));
        let Some(count) = replicas else {
            let (id, state_dir) = (INSIDE.to_owned(), states.join(INSIDE));
            let identity = identity::make(control.issuing().as_ref(), &id)?;
            let orders = Orders { fleet_url, identity, id, state_dir, serving };
            let started = Started::Inside(Box::new(DataPlane::start(api, ops, orders)?));
            return block_on(serve(started, 1, control, std::future::pending(), ready));
        };
        let fleet = control.plane.as_ref().map(|plane| Arc::clone(plane.fleet()));
        fleet.iter().for_each(|fleet| fleet.supervise());
        let issuing = control.issuing();
        let common = Common { fleet: fleet.clone(), fleet_url, issuing, serving, states };
        block_on(async {
            let started = Started::Outside(Children::start(count, &api, common)?);
            // Whoever keeps a replica keeps a copy, for the next life and not beyond the end of serving.
            drop(api);
            let count = usize::try_from(count).unwrap_or(1);
            let aggregate = async {
                match fleet {
                    Some(fleet) => aggregate::serve(ops, fleet).await,
                    None => std::future::pending().await,
                }
            };
            serve(started, count, control, aggregate, ready).await
        })
    }
}

/// From the start of `count` data planes to the end of all.
async fn serve(
    mut started: Started,
    count: usize,
    control: Running,
    aggregate: impl Future<Output = Result<(), Failure>>,
    ready: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut signals =
        Signals::new().map_err(|error| Failure::Other(format!("cannot catch signals: {error}")))?;
    let Some(plane) = control.plane.clone() else {
        return sealed(started, control, signals).await;
    };
    let (fleet, first) = (Arc::clone(plane.fleet()), plane.version());
    tokio::pin!(aggregate);
    let acknowledged = timeout(READY_LIMIT, fleet.acknowledged(count, first));
    let result = tokio::select! {
        in_time = acknowledged => match in_time {
            Ok(()) => ready(),
            Err(_) => Err(Failure::TimedOut(format!(
                "{} of {count} data plane(s) serve the first state after {} s; see the messages above",
                fleet.serving(first), READY_LIMIT.as_secs(),
            ))),
        },
        failed = &mut aggregate => failed,
        () = started.ended() => Err(Failure::Other("the data plane ended before it was ready".into())),
        () = signals.next() => return stop(started, control, signals).await,
    };
    let failed = match result {
        Err(failure) => Some(failure),
        Ok(()) => tokio::select! {
            () = signals.next() => None,
            () = started.ended() => {
                print::note("keyway: every data plane was drained and has ended; stopping");
                None
            }
            failed = &mut aggregate => failed.err(),
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
        () = started.ended() => {}
    }
    stop(started, control, signals).await
}

/// Data planes first, so that whatever they still do finds its control plane; a second signal ends at once.
async fn stop(mut started: Started, control: Running, mut signals: Signals) -> Result<(), Failure> {
    print::note("keyway: stopping; requests in flight are finished first, Ctrl-C again ends at once");
    started.stop();
    let second = tokio::select! {
        () = started.ended() => false,
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
            children.ended().await;
        }
    }

    async fn ended(&mut self) {
        match self {
            Self::Inside(plane) => plane.ended().await,
            Self::Outside(children) => children.ended().await,
        }
    }
}
