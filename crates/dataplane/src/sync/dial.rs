//! How a replica reaches its control plane.

use super::Planes;
use crate::observe::Tracer;
use keyway_proto::fleet::v1::{FromReplica, ToReplica, fleet_client::FleetClient};
use keyway_snapshot::Secret;
use std::{error::Error, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// What a control plane that is there takes to answer Hello.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Bytes of one message: a chunk is at most 1 MiB of resources, with room for names.
const MESSAGE_LIMIT: usize = 4 << 20;

/// Where the control plane is, and who this replica is.
#[derive(Debug, Clone)]
pub(crate) struct LinkSettings {
    /// Where control planes are.
    pub(crate) planes: Planes,
    pub(crate) token: Secret,
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
    let request = request(settings, ReceiverStream::new(outgoing))?;
    opened(client.sync(request)).await
}

/// A connection.
///
/// # Errors
/// Why there is none.
pub(super) async fn connect(settings: &LinkSettings) -> Result<FleetClient<Channel>, Status> {
    let url = settings.planes.current();
    let endpoint = Endpoint::from_shared(url.clone()).map_err(|error| Status::unknown(error.to_string()))?;
    let channel = endpoint
        .connect_timeout(CONNECT_LIMIT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .connect()
        .await
        .map_err(|error| {
            settings.planes.leave(&url);
            Status::unknown(format!("{url}: {}", innermost(&error)))
        })?;
    Ok(FleetClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT))
}

/// With what the fleet port asks for.
///
/// # Errors
/// The fleet token cannot be sent.
pub(super) fn request<T>(settings: &LinkSettings, message: T) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let token = format!("Bearer {}", String::from_utf8(settings.token.expose().to_vec()).unwrap_or_default());
    let mut token = MetadataValue::try_from(token)
        .map_err(|_| Status::unknown("the fleet token is not a header value"))?;
    token.set_sensitive(true);
    request.metadata_mut().insert("authorization", token);
    Ok(request)
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
