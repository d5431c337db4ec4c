//! A replica under a supervisor, from its own side: gets its orders, serves, ends when its supervisor says so or is gone.

use super::{SuperviseError, pass};
use crate::{Running, Settings, StateDir, identity::Identity, start, tls_config};
use std::{
    io::{self, Read},
    net::TcpListener,
    os::fd::{AsFd, OwnedFd},
    os::unix::net::UnixStream,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// A replica of an earlier run may still finish what it does: its state is its own until then.
const LOCK_WAIT: Duration = Duration::from_secs(25);
/// What a supervisor writes on the socket to have a replica drain; its end of the socket closed says stop.
pub(super) const DRAIN: u8 = b'd';

/// Runs one replica on the socket that is stdin, until its supervisor, its control plane or a signal ends it.
///
/// # Errors
/// It was not started by a supervisor, or could not serve.
pub fn replica() -> Result<(), SuperviseError> {
    let not_ours = |_| SuperviseError::NotOurs;
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(not_ours)?;
    let supervisor = UnixStream::from(stdin);
    let (orders, files) = pass::receive::<pass::Orders>(&supervisor).map_err(not_ours)?;
    let [listener, ops, lock] = <[OwnedFd; 3]>::try_from(files).map_err(|_| SuperviseError::NotOurs)?;
    keyway_harden::log(&orders.serving.log)?;
    keyway_harden::harden();
    let running = start(settings(orders, listener.into(), ops.into())?)?;
    let ended = wait(&running, supervisor);
    if ended.is_err() {
        running.stop_now();
    }
    running.join();
    // Held to the last: it says that this name is in use.
    drop(lock);
    ended.map_err(|error| SuperviseError::System("cannot wait for signals", error))
}

fn settings(
    orders: pass::Orders,
    listener: TcpListener,
    ops: TcpListener,
) -> Result<Settings, SuperviseError> {
    let pass::Orders { fleet_url, identity, id, supervisor, host, state_dir, threads, serving, hold_back } =
        orders;
    let tls = serving.tls.as_ref().map(|files| tls_config(&files.cert, &files.key)).transpose()?;
    let state = state_dir.map(|dir| {
        let at = StateDir::at(dir);
        StateDir { lock_wait: LOCK_WAIT, usage_limit: serving.usage_limit.unwrap_or(at.usage_limit), ..at }
    });
    Ok(Settings {
        node: id.split('~').next().unwrap_or_default().to_owned(),
        id,
        host,
        supervisor,
        hold_back,
        listener,
        ops,
        fleet_url: Some(fleet_url),
        identity: std::str::from_utf8(identity.expose()).ok().and_then(Identity::from_text),
        token: None,
        threads: Some(threads),
        tls,
        upstream_ca: serving.upstream_ca,
        drain_grace: serving.grace,
        memory_limit: serving.memory_limit,
        otlp: serving.otlp,
        state,
    })
}

fn wait(running: &Running, supervisor: UnixStream) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut drains = listen(supervisor)?;
    runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut is_stopping = false;
        loop {
            tokio::select! {
                () = running.ending() => return Ok(()),
                drain = drains.recv(), if !is_stopping => match drain {
                    Some(()) => running.drain(),
                    None => {
                        running.stop();
                        is_stopping = true;
                    }
                },
                () = either(&mut term, &mut int) => {
                    if is_stopping {
                        running.stop_now();
                        return Ok(());
                    }
                    running.stop();
                    is_stopping = true;
                }
            }
        }
    })
}

async fn either(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Gives each order to drain, and ends with the socket: by design or by the supervisor's death. A thread waits, since the
/// socket is a blocking one.
fn listen(mut supervisor: UnixStream) -> io::Result<mpsc::Receiver<()>> {
    let (tell, drains) = mpsc::channel(1);
    let wait = move || {
        let mut byte = [0_u8];
        while supervisor.read_exact(&mut byte).is_ok() {
            if byte == [DRAIN] && tell.blocking_send(()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("keyway-parent".to_owned()).spawn(wait)?;
    Ok(drains)
}
