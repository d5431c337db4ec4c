//! The gRPC door: token, method, bounds. Written by hand beside the generated service because frames go out as the
//! bytes that were encoded once, not as messages that each stream encodes again.

use super::{Fleet, codec::Frames, report::Report, stream};
use crate::{
    peer::{PeerDoor, Peers, report_elsewhere},
    serve::STOP_GRACE,
    usage::Books,
};
use bytes::Bytes;
use keyway_proto::{
    BATCH_LIMIT,
    fleet::v1::{Accepted, Batch, FromReplica, fleet_server},
};
use std::{
    convert::Infallible,
    future::Future,
    net::TcpListener,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService, StreamingService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

const SYNC: &str = "/keyway.fleet.v1.Fleet/Sync";
pub(crate) const REPORT: &str = "/keyway.fleet.v1.Fleet/Report";
/// Frames between a stream's task and its socket: two chunks keep the socket busy, more would only be held.
const FRAME_QUEUE: usize = 2;
/// Bytes that one message of a replica may have.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// Bytes that a message with a batch of frames may have: the frames, and what stands round them.
const BATCH_MESSAGE_LIMIT: usize = BATCH_LIMIT + MESSAGE_LIMIT;
/// After a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// Streams on one connection: a replica needs two, and two more while the first are being given up.
const STREAM_LIMIT: u32 = 4;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Answers replicas until `stop` is ready; open streams end with it.
///
/// # Errors
/// When the listener cannot be used.
pub(crate) async fn serve(
    fleet: Arc<Fleet>,
    books: Arc<Books>,
    peers: (Arc<Peers>, axum::Router),
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let (stopped, mut grace) = watch::channel(false);
    let ending = Arc::clone(&fleet);
    let stop = async move {
        stop.await;
        ending.end_streams();
        stopped.send_replace(true);
    };
    let grace = async move {
        // Whoever would send it being gone is a stop too.
        let _ = grace.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(listener)?).with_nodelay(Some(true));
    let incoming = incoming.then(|accepted| async {
        if accepted.is_err() {
            // No descriptor is left: asked again at once it would say so again, as fast as this core can ask.
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
        accepted
    });
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .max_concurrent_streams(STREAM_LIMIT)
        .add_service(Door { fleet, books, peers: Arc::clone(&peers.0) })
        .add_service(PeerDoor::new(peers.0, peers.1))
        .serve_with_incoming_shutdown(incoming, stop);
    tokio::select! {
        ended = serving => ended.map_err(std::io::Error::other),
        // A frozen replica does not hold up the end.
        () = grace => Ok(()),
    }
}

#[derive(Debug, Clone)]
struct Door {
    fleet: Arc<Fleet>,
    books: Arc<Books>,
    peers: Arc<Peers>,
}

struct Sync {
    fleet: Arc<Fleet>,
}

// === impl Door ===

impl NamedService for Door {
    const NAME: &'static str = fleet_server::SERVICE_NAME;
}

impl tower::Service<http::Request<Body>> for Door {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (fleet, books) = (Arc::clone(&self.fleet), Arc::clone(&self.books));
        let peers = Arc::clone(&self.peers);
        Box::pin(async move {
            if !fleet.token.admits(request.headers()) {
                return Ok(Status::unauthenticated("wrong or no fleet token").into_http());
            }
            let path = request.uri().path().to_owned();
            Ok(match path.as_str() {
                SYNC => {
                    let mut grpc = Grpc::new(Frames).apply_max_message_size_config(Some(MESSAGE_LIMIT), None);
                    grpc.streaming(Sync { fleet }, request).await
                }
                REPORT => {
                    let request = match report_elsewhere(&peers, request).await {
                        Ok(answer) => return Ok(answer),
                        Err(request) => request,
                    };
                    let codec = ProstCodec::<Accepted, Batch>::default();
                    let mut grpc =
                        Grpc::new(codec).apply_max_message_size_config(Some(BATCH_MESSAGE_LIMIT), None);
                    let stopping = fleet.stopping.subscribe();
                    grpc.streaming(Report { books, stopping }, request).await
                }
                _ => Status::unimplemented("there are only Sync and Report").into_http(),
            })
        })
    }
}

// === impl Sync ===

impl StreamingService<FromReplica> for Sync {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future = Boxed<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<FromReplica>>) -> Self::Future {
        let (out, frames) = mpsc::channel(FRAME_QUEUE);
        tokio::spawn(stream::run(Arc::clone(&self.fleet), request.into_inner(), out));
        Box::pin(async { Ok(Response::new(ReceiverStream::new(frames))) })
    }
}
