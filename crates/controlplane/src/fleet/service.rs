//! The gRPC door: certificate, method, bounds. Written by hand beside the generated service because frames go out as the
//! bytes that were encoded once, not as messages that each stream encodes again.

use super::{
    Fleet,
    accept::{From, READY, accept},
    codec::Frames,
    enroll::{Desk, told},
    report::Report,
    stream,
    tls::{self, Peer},
};
use crate::{
    Plane,
    authority::{Authority, PublicKey},
    peer::{self, PeerDoor, Peers, Reported, report_elsewhere},
    serve::STOP_GRACE,
    usage::Books,
};
use bytes::Bytes;
use keyway_proto::{
    BATCH_LIMIT,
    fleet::v1::{Accepted, Batch, FromReplica, enroll_server::EnrollServer, fleet_server},
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
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService, StreamingService},
    transport::Server,
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
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// Streams on one connection: a replica needs two, and two more while the first are being given up.
const STREAM_LIMIT: u32 = 4;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Whom the fleet port lets do what.
#[derive(Debug, Clone)]
pub(crate) struct Fort {
    pub(crate) plane: Arc<Plane>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) books: Arc<Books>,
    pub(crate) peers: Arc<Peers>,
    /// The admin API, for other control planes.
    pub(crate) admin: axum::Router,
}

/// Answers replicas until `stop` is ready; open streams end with it.
///
/// # Errors
/// When the listener cannot be used, or TLS cannot be set up.
pub(crate) async fn serve(
    fort: Fort,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (plane, authority) = (Arc::clone(&fort.plane), Arc::clone(&fort.authority));
    listener.set_nonblocking(true)?;
    let (stopped, mut grace) = watch::channel(false);
    let ending = Arc::clone(plane.fleet());
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
    let config = tls::config(&authority, &plane).map_err(std::io::Error::other)?;
    let (shown, config) = watch::channel(config);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (ready, incoming) = mpsc::channel(READY);
    let accepting = accept(listener, Arc::clone(&authority), config, ready);
    let renewing = tls::renew(Arc::clone(&authority), Arc::clone(&plane), shown);
    let desk = EnrollServer::new(Desk { authority, plane, peers: Arc::clone(&fort.peers) })
        .max_decoding_message_size(MESSAGE_LIMIT);
    let beside_door = PeerDoor::new(Arc::clone(&fort.peers), fort.admin.clone());
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .max_concurrent_streams(STREAM_LIMIT)
        .add_service(Door(fort))
        .add_service(desk)
        .add_service(beside_door)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), stop);
    let beside = async { tokio::join!(accepting, renewing) };
    let serving = async {
        tokio::select! {
            ended = serving => ended.map_err(std::io::Error::other),
            // Neither ends before the server.
            _ = beside => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = serving => ended,
        // A frozen replica does not hold up the end.
        () = grace => Ok(()),
    }
}

#[derive(Debug, Clone)]
struct Door(Fort);

struct Sync {
    fleet: Arc<Fleet>,
    welcome: Welcome,
}

/// A stream's right to go on.
#[derive(Debug, Clone)]
pub(in crate::fleet) struct Welcome {
    fort: Fort,
    peer: Peer,
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
        let fort = self.0.clone();
        Box::pin(async move {
            let (fleet, books) = (Arc::clone(fort.plane.fleet()), Arc::clone(&fort.books));
            let peer = request.extensions().get::<From>().and_then(|From(peer)| peer.clone());
            // Another control plane saw the certificate, and brings what this one books.
            let peer = peer.or_else(|| {
                let (name, key) = peer::brought(&fort.peers, request.headers())?;
                Some(Peer { name: name.into(), key })
            });
            let Some(peer) = peer else {
                return Ok(Status::unauthenticated("no certificate was shown: join first").into_http());
            };
            let peers = Arc::clone(&fort.peers);
            let welcome = Welcome { fort, peer };
            if let Err(status) = welcome.check() {
                return Ok(status.into_http());
            }
            let path = request.uri().path().to_owned();
            Ok(match path.as_str() {
                SYNC => {
                    let mut grpc = Grpc::new(Frames).apply_max_message_size_config(Some(MESSAGE_LIMIT), None);
                    grpc.streaming(Sync { fleet, welcome }, request).await
                }
                REPORT => {
                    let request = match report_elsewhere(&peers, welcome.shown(), request).await {
                        Reported::There(answer) => return Ok(answer),
                        Reported::Here(request) => request,
                    };
                    let codec = ProstCodec::<Accepted, Batch>::default();
                    let mut grpc =
                        Grpc::new(codec).apply_max_message_size_config(Some(BATCH_MESSAGE_LIMIT), None);
                    let stopping = fleet.stopping.subscribe();
                    grpc.streaming(Report { books, stopping, welcome }, request).await
                }
                _ => Status::unimplemented("there are only Sync and Report").into_http(),
            })
        })
    }
}

/// A certificate speaks for the replicas of its own node and for no other's.
pub(crate) fn is_of(id: &str, node: &str) -> bool {
    let rest = id.strip_prefix(node);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('~').is_some_and(|number| !number.is_empty())
    })
}

// === impl Welcome ===

impl Welcome {
    /// # Errors
    /// The node was evicted, or joined again with another key.
    pub(in crate::fleet) fn check(&self) -> Result<(), Status> {
        let Self { fort: Fort { plane, authority, .. }, peer: Peer { name, key } } = self;
        authority.welcome(plane, name, key).map_err(|turned| told(authority, name, &turned))
    }

    /// Whose certificate it is.
    fn shown(&self) -> (&str, &PublicKey) {
        (&self.peer.name, &self.peer.key)
    }

    /// The node's name.
    pub(super) fn node(&self) -> &str {
        &self.peer.name
    }

    /// Whether a replica of that id runs on that node. What runs in this very program may call itself as it likes.
    pub(super) fn speaks_for(&self, replica: &str) -> bool {
        is_of(replica, &self.peer.name) || self.is_own()
    }

    /// Whether a supervisor of that name, if any, is that node's.
    pub(super) fn is_under(&self, supervisor: &str) -> bool {
        supervisor.is_empty() || supervisor == self.node() || self.is_own()
    }

    fn is_own(&self) -> bool {
        let Peer { name, key } = &self.peer;
        self.fort.authority.is_own(name, key)
    }
}

// === impl Sync ===

impl StreamingService<FromReplica> for Sync {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future = Boxed<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<FromReplica>>) -> Self::Future {
        let (out, frames) = mpsc::channel(FRAME_QUEUE);
        tokio::spawn(stream::run(Arc::clone(&self.fleet), self.welcome.clone(), request.into_inner(), out));
        Box::pin(async { Ok(Response::new(ReceiverStream::new(frames))) })
    }
}
