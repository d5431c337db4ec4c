//! One core's part of the shared listening socket. A core that has its share of connections, or a process without file
//! descriptors left, pauses and goes on: nothing that callers do ends the loop.

use super::conn;
use crate::worker::Worker;
use std::{
    fs::File,
    io,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// Pause after the system could not accept.
const PAUSE: Duration = Duration::from_millis(75);

/// What one core accepts from.
pub(crate) struct Accept {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Connections that this core may hold.
    pub(crate) connections: usize,
    /// So long callers are left to others on this socket, until there is a state to serve them from.
    pub(crate) hold_back: Duration,
}

/// Accepts until told to drain, then waits for what is open; ends at once when `end` says so.
pub(crate) async fn serve(worker: Rc<Worker>, accept: Accept, mut end: watch::Receiver<bool>) {
    let mut open = JoinSet::new();
    let mut draining = worker.draining.clone();
    let places = Arc::new(Semaphore::new(accept.connections));
    let mut reserve = File::open("/dev/null").ok();
    if !accept.hold_back.is_zero() {
        tokio::select! {
            _ = timeout(accept.hold_back, worker.held.configured()) => {}
            _ = draining.wait_for(|draining| *draining) => {}
            _ = end.wait_for(|end| *end) => {}
        }
    }
    loop {
        tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => break,
            _ = end.wait_for(|end| *end) => break,
            Some(_) = open.join_next() => count(&worker, &open),
            accepted = one(&accept.listener, &places) => match accepted {
                Ok((tcp, peer, place)) => {
                    let (worker, tls) = (Rc::clone(&worker), accept.tls.clone());
                    open.spawn_local(async move {
                        conn::serve(worker, tcp, peer, tls).await;
                        drop(place);
                    });
                }
                Err(error) => pause(&accept.listener, &mut reserve, &error).await,
            }
        }
        count(&worker, &open);
    }
    drop(accept);
    tokio::select! {
        _ = async { while open.join_next().await.is_some() {} } => {}
        _ = end.wait_for(|end| *end) => {}
    }
    open.shutdown().await;
    worker.core.connections.store(0, Relaxed);
}

type Accepted = (TcpStream, std::net::IpAddr, tokio::sync::OwnedSemaphorePermit);

async fn one(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (tcp, peer) = listener.accept().await?;
    // Without it, small writes of a stream wait 40 ms for an acknowledgement.
    let _ = tcp.set_nodelay(true);
    Ok((tcp, peer.ip(), place))
}

/// Out of descriptors, the spare one is given up to accept one caller and close it, so that it learns at once.
async fn pause(listener: &TcpListener, reserve: &mut Option<File>, error: &io::Error) {
    let errno = rustix::io::Errno::from_io_error(error);
    if matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) && reserve.take().is_some()
    {
        tracing::warn!("no file descriptor left for another connection; raise the limit (ulimit -n)");
        let turned_away = tokio::time::timeout(PAUSE, listener.accept()).await;
        drop(turned_away);
        *reserve = File::open("/dev/null").ok();
    }
    tokio::time::sleep(PAUSE).await;
}

fn count(worker: &Worker, open: &JoinSet<()>) {
    worker.core.connections.store(open.len() as u64, Relaxed);
}
