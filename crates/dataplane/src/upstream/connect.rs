//! Opens connections: name, address check, TCP, TLS; each within one deadline.

use super::{Link, address};
use keyway_snapshot::Origin;
use rustls::pki_types::ServerName;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Time for one address of a name, where there are more.
const ONE_ADDRESS: Duration = Duration::from_secs(2);

/// Opens connections to providers.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
}

/// A byte stream to a provider.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    #[error("its name could not be looked up")]
    Name(#[source] io::Error),
    #[error("its address is one that providers may not have")]
    AddressRefused,
    #[error("the connection was refused or broke")]
    Connect(#[source] io::Error),
    /// Of this machine: no descriptor, port or memory left. Says nothing of the provider.
    #[error("this machine has no room for another connection")]
    NoRoom(#[source] io::Error),
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    #[error("no connection in time")]
    TimedOut,
}

// === impl Connector ===

impl Connector {
    pub(crate) fn new(tls: Arc<rustls::ClientConfig>) -> Self {
        Self { tls: TlsConnector::from(tls) }
    }

    /// A fresh connection, within `limit`.
    ///
    /// # Errors
    /// Where it failed.
    pub(crate) async fn connect(&self, origin: &Origin, limit: Duration) -> Result<Link, Unreachable> {
        let open = async {
            let tcp = connect_tcp(origin).await?;
            let stream = if origin.tls { self.secure(origin, tcp).await? } else { Stream::Plain(tcp) };
            Ok(Link::new(origin.id, stream))
        };
        tokio::time::timeout(limit, open).await.unwrap_or(Err(Unreachable::TimedOut))
    }

    async fn secure(&self, origin: &Origin, tcp: TcpStream) -> Result<Stream, Unreachable> {
        let name = ServerName::try_from(String::from(&*origin.host))
            .map_err(|error| Unreachable::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let tls = self.tls.connect(name, tcp).await.map_err(Unreachable::Tls)?;
        Ok(Stream::Tls(Box::new(tls)))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

async fn connect_tcp(origin: &Origin) -> Result<TcpStream, Unreachable> {
    let addresses = match origin.host.parse::<IpAddr>() {
        Ok(literal) => vec![SocketAddr::new(literal, origin.port)],
        Err(_) => {
            let found =
                tokio::net::lookup_host((&*origin.host, origin.port)).await.map_err(Unreachable::Name)?;
            found.collect()
        }
    };
    let mut last = Unreachable::Name(io::Error::from(io::ErrorKind::NotFound));
    for address in addresses {
        if !address::allowed(origin, address.ip()) {
            last = Unreachable::AddressRefused;
            continue;
        }
        match tokio::time::timeout(ONE_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Without it, small writes of a stream wait 40 ms for an acknowledgement.
                tcp.set_nodelay(true).map_err(Unreachable::Connect)?;
                return Ok(tcp);
            }
            Ok(Err(error)) if is_ours(&error) => return Err(Unreachable::NoRoom(error)),
            Ok(Err(error)) => last = Unreachable::Connect(error),
            Err(_) => last = Unreachable::TimedOut,
        }
    }
    Err(last)
}

fn is_ours(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| ours.contains(&errno))
}

// === impl Stream ===

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}
