//! What other control planes ask of this one, on the fleet port: to answer a call of the admin API, to hear its replicas.

use super::{Peers, TOKEN, Whose, home::Home, relayed};
use crate::authority::PublicKey;
use axum::Router;
use http::HeaderMap;
use keyway_proto::fleet::v1::{FromPeer, ToPeer, peers_server};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService, StreamingService},
};
use tonic_prost::ProstCodec;
use tower::{Service, ServiceExt};

/// What stands before the path of a forwarded call.
pub(super) const ADMIN: &str = "/keyway.fleet.v1.Peers/Admin";
const RELAY: &str = "/keyway.fleet.v1.Peers/Relay";
/// Names the node, in what is brought for one.
const NODE: &str = "x-keyway-peer-node";
/// Bytes that one relayed message may have: a beat of a replica, and what stands round it.
const MESSAGE_LIMIT: usize = 128 * 1024;
/// Orders that wait for a peer.
const ORDERS: usize = 64;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A call came from another control plane: it is not sent on once more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forwarded;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct PeerDoor {
    peers: Arc<Peers>,
    admin: Router,
}

struct Relay {
    peers: Arc<Peers>,
}

/// Where a replica's usage is booked.
pub(crate) enum Reported {
    /// Here: the call, to be answered.
    Here(http::Request<Body>),
    /// At another control plane, which answered.
    There(http::Response<Body>),
}

// === impl PeerDoor ===

impl PeerDoor {
    pub(crate) fn new(peers: Arc<Peers>, admin: Router) -> Self {
        Self { peers, admin }
    }
}

impl NamedService for PeerDoor {
    const NAME: &'static str = peers_server::SERVICE_NAME;
}

impl Service<http::Request<Body>> for PeerDoor {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let (peers, admin) = (Arc::clone(&self.peers), self.admin.clone());
        Box::pin(async move {
            if !peers.admits(request.headers()) {
                return Ok(Status::unauthenticated("only for control planes of this cluster").into_http());
            }
            request.headers_mut().remove(TOKEN);
            if request.uri().path() == RELAY {
                let codec = ProstCodec::<ToPeer, FromPeer>::default();
                let mut grpc = Grpc::new(codec).apply_max_message_size_config(Some(MESSAGE_LIMIT), None);
                return Ok(grpc.streaming(Relay { peers }, request).await);
            }
            let path = request.uri().path_and_query().map(|path| path.as_str().to_owned());
            let below =
                path.as_deref().and_then(|path| path.strip_prefix(ADMIN)).and_then(|path| path.parse().ok());
            let Some(uri) = below else {
                return Ok(Status::unimplemented("there are only Relay and Admin").into_http());
            };
            *request.uri_mut() = uri;
            request.extensions_mut().insert(Forwarded);
            let answer = admin.oneshot(request.map(axum::body::Body::new)).await;
            Ok(answer.unwrap_or_else(|never| match never {}).map(Body::new))
        })
    }
}

// === impl Relay ===

impl StreamingService<FromPeer> for Relay {
    type Response = ToPeer;
    type ResponseStream = ReceiverStream<Result<ToPeer, Status>>;
    type Future = Boxed<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<FromPeer>>) -> Self::Future {
        let (out, orders) = mpsc::channel(ORDERS);
        let plane = Arc::clone(&self.peers.plane);
        Box::pin(async move {
            if !plane.leads() {
                return Err(Status::unavailable("this control plane does not lead"));
            }
            tokio::spawn(relayed::run(plane, request.into_inner(), out));
            Ok(Response::new(ReceiverStream::new(orders)))
        })
    }
}

/// The node whose certificate another control plane saw, and its key.
pub(crate) fn brought(peers: &Peers, headers: &HeaderMap) -> Option<(String, PublicKey)> {
    let shown = headers.get(NODE).filter(|_| peers.admits(headers))?.to_str().ok()?;
    let (node, point) = shown.split_once(':')?;
    let byte = |at: usize| u8::from_str_radix(point.get(at..at + 2)?, 16).ok();
    let point: Vec<u8> = (0..point.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    Some((node.to_owned(), PublicKey::from_point(&point)?))
}

/// Takes a replica's usage to whoever keeps the books, if that is not this control plane: the replica is told that it is booked
/// by who booked it, and by nobody else.
pub(crate) async fn report_elsewhere(
    peers: &Peers,
    (node, key): (&str, &PublicKey),
    request: http::Request<Body>,
) -> Reported {
    if peers.admits(request.headers()) {
        // It was sent on once already.
        return Reported::Here(request);
    }
    let unavailable = |text: String| Reported::There(Status::unavailable(text).into_http());
    match peers.whose(Home::Books).await {
        Whose::Ours => Reported::Here(request),
        Whose::Nobody => unavailable("no control plane keeps the books".to_owned()),
        Whose::Away(name) => unavailable(format!("`{name}` keeps the books and is not there")),
        Whose::Others(member) => {
            let mut channel = match peers.connect(&member).await {
                Ok(channel) => channel,
                Err(why) => return unavailable(format!("`{}` keeps the books: {why}", member.name)),
            };
            let (mut parts, body) = request.into_parts();
            parts.uri = http::Uri::from_static(crate::fleet::REPORT);
            let Ok(token) = peers.token.parse() else { return unavailable("the token".to_owned()) };
            parts.headers.insert(TOKEN, token);
            let point = crate::hex::hex(key.point());
            let Ok(shown) = format!("{node}:{point}").parse() else {
                return unavailable("the node".to_owned());
            };
            parts.headers.insert(NODE, shown);
            let onward = http::Request::from_parts(parts, body);
            let answer = match ServiceExt::<http::Request<Body>>::ready(&mut channel).await {
                Ok(ready) => ready.call(onward).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => Reported::There(answer.map(Body::new)),
                Err(error) => unavailable(format!("`{}` keeps the books: {error}", member.name)),
            }
        }
    }
}
