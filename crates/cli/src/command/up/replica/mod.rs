//! A data plane as a process of its own: what `keyway up --replicas N` runs N times, under a hidden verb.

pub(super) mod children;
pub(super) mod pass;

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use tokio::sync::oneshot;

use super::data_plane::DataPlane;
use super::logging;
use super::signals::Signals;
use crate::command::block_on;
use crate::failure::Failure;

/// The hidden verb.
pub(crate) const VERB: &str = "replica";

/// Runs until the parent is gone, a signal comes, or the control plane has drained it.
pub(crate) fn run() -> Result<(), Failure> {
    let not_ours = |_| Failure::Usage(format!("`keyway {VERB}` is started by `keyway up --replicas N` only"));
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(not_ours)?;
    let parent = UnixStream::from(stdin);
    let (orders, listener) = pass::receive(&parent).map_err(not_ours)?;
    logging::start(&orders.serving.log)?;
    keyway_harden::harden();
    let ops = std::net::TcpListener::bind("127.0.0.1:0")
        .map_err(|error| Failure::Other(format!("cannot listen for operations: {error}")))?;
    let mut plane = DataPlane::start(listener, ops, orders)?;
    block_on(async {
        let mut signals =
            Signals::new().map_err(|error| Failure::Other(format!("cannot catch signals: {error}")))?;
        let gone = parent_is_gone(parent)?;
        tokio::select! {
            () = plane.ended() => return Ok(()),
            () = signals.next() => {}
            _ = gone => {}
        }
        plane.stop();
        tokio::select! {
            () = plane.ended() => {}
            () = signals.next() => {}
        }
        Ok(())
    })
}

/// Ends when the parent closed its end, by design or by dying. A thread waits, since the socket is a blocking one.
fn parent_is_gone(mut parent: UnixStream) -> Result<oneshot::Receiver<()>, Failure> {
    let (tell, gone) = oneshot::channel();
    let wait = move || {
        let mut nothing = [0_u8; 64];
        while matches!(parent.read(&mut nothing), Ok(1..)) {}
        // The receiver is gone only if the process is ending already.
        let _ = tell.send(());
    };
    std::thread::Builder::new()
        .name("keyway-parent".into())
        .spawn(wait)
        .map_err(|error| Failure::Other(format!("cannot start a thread: {error}")))?;
    Ok(gone)
}
