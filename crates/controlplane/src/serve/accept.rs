//! Accepts connections of the admin API: plain on loopback, TLS elsewhere. Bounded in number and in the time that a
//! connection may take to say what it wants.

use super::STOP_GRACE;
use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{io, net::TcpListener, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// Connections at one time; more wait in the listener's queue.
const CONNECTION_LIMIT: usize = 512;
/// Until the request's headers are there.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// Until TLS stands.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// After a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Streams of one HTTP/2 connection.
const STREAM_LIMIT: u32 = 64;

/// Answers until `stop` is ready, then lets open answers end.
pub(super) fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: impl Future<Output = ()>,
) -> io::Result<impl Future<Output = io::Result<()>>> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(async move {
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(CONNECTION_LIMIT));
        tokio::pin!(stop);
        loop {
            let accepted = async {
                // Never closed, so it is only ever waited for.
                let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
                listener.accept().await.map(|(stream, _)| (stream, permit))
            };
            let accepted = tokio::select! {
                accepted = accepted => accepted,
                () = &mut stop => break,
            };
            let (stream, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (tls, router, watcher) = (tls.clone(), router.clone(), graceful.watcher());
            tokio::spawn(async move {
                connection(stream, tls, router, watcher).await;
                drop(permit);
            });
        }
        drop(listener);
        // Who is not done by then is cut off.
        let _ = timeout(STOP_GRACE, graceful.shutdown()).await;
        Ok(())
    })
}

type Watcher = hyper_util::server::graceful::Watcher;

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router, watcher: Watcher) {
    // Without it only the latency suffers.
    let _ = stream.set_nodelay(true);
    match tls {
        None => answer(stream, router, watcher).await,
        Some(tls) => match timeout(HANDSHAKE_DEADLINE, tls.accept(stream)).await {
            Ok(Ok(stream)) => answer(stream, router, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        },
    }
}

async fn answer(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router, watcher: Watcher) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAM_LIMIT);
    let connection = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%error, "an admin connection broke");
    }
}
