//! How a replica reaches its control plane.

use crate::{identity::Badge, observe::Tracer};
use hyper_util::rt::TokioIo;
use keyway_proto::fleet::v1::{FromReplica, ToReplica, fleet_client::FleetClient};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{error::Error, io, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Response, Status, Streaming,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// What a control plane that is there takes to answer Hello.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Bytes of one message: a chunk is at most 1 MiB of resources, with room for names.
const MESSAGE_LIMIT: usize = 4 << 20;

/// Where the control plane is, and who this replica is.
#[derive(Debug, Clone)]
pub(crate) struct LinkSettings {
    pub(crate) url: String,
    /// Shown at every connection.
    pub(crate) badge: Arc<Badge>,
    pub(crate) id: String,
    pub(crate) host: String,
    /// Who started and reaps it; empty = nobody.
    pub(crate) supervisor: String,
    pub(crate) listen: String,
    pub(crate) ops_listen: String,
    /// Of this process alone.
    pub(crate) incarnation: String,
    /// Absent: nothing is traced.
    pub(crate) tracer: Option<Tracer>,
}

/// An open stream, with Hello on its way.
///
/// # Errors
/// Why there is none.
pub(crate) async fn dial(
    settings: &LinkSettings,
    hello: FromReplica,
    (outbox, outgoing): (&mpsc::Sender<FromReplica>, mpsc::Receiver<FromReplica>),
) -> Result<Streaming<ToReplica>, Status> {
    let mut client = connect(settings).await?;
    outbox.try_send(hello).map_err(|error| Status::unknown(error.to_string()))?;
    opened(client.sync(ReceiverStream::new(outgoing))).await.map_err(|why| unanswered(settings, why))
}

/// A connection that shows this node's certificate.
///
/// # Errors
/// Why there is none.
pub(super) async fn connect(settings: &LinkSettings) -> Result<FleetClient<Channel>, Status> {
    let tls = settings.badge.tls().ok_or_else(|| Status::unknown("this node has not joined yet"))?;
    let channel = channel(&settings.url, tls).await?;
    Ok(FleetClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT))
}

/// Why a call was not answered. TLS 1.3 tells a client only once the connection stands that its certificate was not taken, and
/// HTTP/2 hides why it broke: whatever breaks before an answer is taken for that, and the certificate is renewed.
pub(super) fn unanswered(settings: &LinkSettings, why: Status) -> Status {
    let reason = why.source().map(|source| innermost(source).to_string());
    let Some(reason) = reason else { return why };
    settings.badge.doubt();
    Status::unknown(format!("{}: {reason}", settings.url))
}

/// A connection to the fleet port, over this TLS.
///
/// # Errors
/// Why there is none.
pub(crate) async fn channel(url: &str, tls: Arc<ClientConfig>) -> Result<Channel, Status> {
    // To tonic it is a plain connection: TLS is below it, and https it would want to do itself.
    let plain = format!("http://{}", url.trim_start_matches("https://"));
    let endpoint =
        Endpoint::from_shared(plain).map_err(|error| Status::unknown(format!("{url}: {error}")))?;
    let connector = TlsConnector::from(tls);
    let connect = service_fn(move |uri: Uri| {
        let connector = connector.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(secured(&connector, &uri).await?)) }
    });
    let connected = endpoint
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .connect_with_connector(connect)
        .await;
    connected.map_err(|error| Status::unknown(format!("{url}: {}", innermost(&error))))
}

async fn secured(connector: &TlsConnector, uri: &Uri) -> io::Result<TlsStream<TcpStream>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let host = uri.host().ok_or_else(|| invalid("the address names no host"))?;
    let port = uri.port_u16().ok_or_else(|| invalid("the address names no port"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| invalid("the address names no host"))?;
    connector.connect(name, stream).await
}

/// The stream that a call opens.
///
/// # Errors
/// It was refused, or there was no answer in time.
pub(super) async fn opened<T>(
    call: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
) -> Result<Streaming<T>, Status> {
    let opened = tokio::time::timeout(OPEN_LIMIT, call).await;
    opened.map_err(|_| Status::unknown("the control plane is silent"))?.map(Response::into_inner)
}

/// The reason itself: what wraps it only says "transport error".
fn innermost(error: &dyn Error) -> &dyn Error {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason
}
