//! One connection from a caller: HTTP/1.1, or HTTP/2 where TLS agreed on it.

mod stream;

use self::stream::{Stream, Watched};
use super::pulse::Beat;
use crate::{pipeline, worker::Worker};
use http::Request;
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, future::Future, net::IpAddr, pin::pin, rc::Rc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, sink},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

/// A TLS handshake that is not done by then closes the connection.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a head, and of a body that is read at once.
const BUFFER_LIMIT: usize = 400 * 1024;
const STREAMS: u32 = 256;
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Streams that a caller opened and reset before they were looked at; more of them are a flood (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that we reset because the caller broke a rule, too many streams at once among them; then the connection ends.
const ERROR_RESETS: usize = 1024;
/// Bytes of a request's headers, names and values, which also bounds CONTINUATION frames (CVE-2024-27316).
const HEADERS_LIMIT: u32 = 16 * 1024;

/// A caller whose body was left unread may still be sending it. A connection that is closed with bytes unread is reset
/// by the system, and the answer is lost with it (RFC 9112, 9.6); so they are read and dropped, for so long and so many.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 128 << 20;

/// Who sent a request, and that its connection is in use.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) peer: IpAddr,
    pub(crate) beat: Beat,
}

/// Serves one connection to its end.
pub(super) async fn serve(worker: Rc<Worker>, tcp: TcpStream, peer: IpAddr, tls: Option<TlsAcceptor>) {
    match tls {
        None => http1(worker, Stream::Clear(tcp), peer).await,
        // Boxed: its state is eight times that of a connection without TLS, which would set aside as much.
        Some(acceptor) => Box::pin(serve_tls(worker, tcp, peer, acceptor)).await,
    }
}

async fn serve_tls(worker: Rc<Worker>, tcp: TcpStream, peer: IpAddr, acceptor: TlsAcceptor) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(tcp)).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = Stream::Tls(Box::new(stream));
    if is_http2 {
        http2(worker, stream, peer).await;
    } else {
        http1(worker, stream, peer).await;
    }
}

async fn http1(worker: Rc<Worker>, stream: Stream, peer: IpAddr) {
    let pulse = worker.pulses.begin();
    let service = service_fn(|request: Request<Incoming>| {
        let caller = Caller { peer, beat: pulse.beat() };
        let worker = Rc::clone(&worker);
        async move { Ok::<_, Infallible>(pipeline::serve(worker, caller, request).await) }
    });
    // Kept while draining: its next request is answered with `connection: close`, which ends it.
    let stream = TokioIo::new(Watched { stream, pulse: Rc::clone(&pulse) });
    let connection = http1::Builder::new().max_buf_size(BUFFER_LIMIT).serve_connection(stream, service);
    let ended = tokio::select! {
        biased;
        ended = connection.without_shutdown() => ended,
        () = pulse.stopped() => return,
    };
    let Ok(parts) = ended else { return };
    let _ = tokio::time::timeout(LINGER, close(parts.io.into_inner().stream, pulse.is_unread())).await;
}

/// Ends our side; an error says that the connection is gone already.
async fn close(mut stream: Stream, unread: bool) -> std::io::Result<()> {
    stream.shutdown().await?;
    if unread {
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut sink()).await?;
    }
    Ok(())
}

async fn http2(worker: Rc<Worker>, stream: Stream, peer: IpAddr) {
    let mut draining = worker.draining.clone();
    let pulse = worker.pulses.begin();
    let service = service_fn(|request: Request<Incoming>| {
        let caller = Caller { peer, beat: pulse.beat() };
        let worker = Rc::clone(&worker);
        async move { Ok::<_, Infallible>(pipeline::serve(worker, caller, request).await) }
    });
    let stream = TokioIo::new(Watched { stream, pulse: Rc::clone(&pulse) });
    let mut connection = pin!(http2_bounds().timer(TokioTimer::new()).serve_connection(stream, service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = pulse.stopped() => return,
        _ = draining.wait_for(|draining| *draining) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = pulse.stopped() => {}
    }
}

/// What one connection may cost, whatever its caller sends. The rest is flow control's.
fn http2_bounds() -> http2::Builder<OnThisThread> {
    let mut bounds = http2::Builder::new(OnThisThread);
    bounds
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .max_header_list_size(HEADERS_LIMIT)
        .max_send_buf_size(BUFFER_LIMIT)
        .keep_alive_interval(KEEPALIVE);
    bounds
}

/// Streams of one connection stay on its core.
#[derive(Debug, Clone, Copy)]
struct OnThisThread;

impl<F: Future<Output = ()> + 'static> Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

#[cfg(test)]
mod tests;
