//! Takes connections of the fleet port and makes TLS of them. Bounded in number and time, and one that is slow holds up no
//! other: whoever reaches the port may come without a certificate.

use super::tls::{Peer, peer};
use crate::authority::Authority;
use rustls::ServerConfig;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

/// Handshakes under way at one time; more wait in the listener's queue. A fleet comes back all at once.
const HANDSHAKES: usize = 1024;
/// Until TLS stands.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that stand and wait for the server to take them.
pub(super) const READY: usize = 16;

/// A connection with TLS.
#[derive(Debug)]
pub(super) struct Secured {
    stream: TlsStream<TcpStream>,
    peer: Option<Peer>,
}

/// Who is at the other end; absent: whoever showed no certificate.
#[derive(Debug, Clone)]
pub(super) struct From(pub(super) Option<Peer>);

/// Until nobody takes connections any more.
pub(super) async fn accept(
    listener: TcpListener,
    authority: Arc<Authority>,
    config: watch::Receiver<Arc<ServerConfig>>,
    ready: mpsc::Sender<io::Result<Secured>>,
) {
    let mut shaking = JoinSet::new();
    loop {
        tokio::select! {
            () = ready.closed() => return,
            Some(_) = shaking.join_next() => {}
            accepted = listener.accept(), if shaking.len() < HANDSHAKES => match accepted {
                Ok((stream, _)) => {
                    let acceptor = TlsAcceptor::from(Arc::clone(&config.borrow()));
                    shaking.spawn(shake(stream, acceptor, Arc::clone(&authority), ready.clone()));
                }
                Err(error) => {
                    // No descriptor is left: asked again at once it would say so again, as fast as this core can ask.
                    tracing::warn!(%error, "cannot accept on the fleet port");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn shake(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    authority: Arc<Authority>,
    ready: mpsc::Sender<io::Result<Secured>>,
) {
    // Without it only the latency suffers.
    let _ = stream.set_nodelay(true);
    let stream = match timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed on the fleet port"),
        Err(_) => return tracing::debug!("TLS handshake took too long on the fleet port"),
    };
    let peer = peer(&authority, stream.get_ref().1.peer_certificates());
    // An error says that the server has ended.
    let _ = ready.send(Ok(Secured { stream, peer })).await;
}

// === impl Secured ===

impl Connected for Secured {
    type ConnectInfo = From;

    fn connect_info(&self) -> From {
        From(self.peer.clone())
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
