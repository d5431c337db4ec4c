//! The yardstick of every ratio: a reverse proxy that does nothing but pass bytes on.
//!
//! hyper's server, hyper-util's pooled client, tokio's default runtime. No auth, no routing, no look at the body.
//! It stays as plain as it is: a bare proxy that is tuned is no yardstick.

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    header,
    http::uri::{self, Authority, Scheme},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use std::{convert::Infallible, error::Error, net::SocketAddr};
use tokio::net::TcpListener;

#[derive(Parser)]
struct Args {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// Host and port to pass requests on to
    #[arg(long)]
    upstream: Authority,
}

type Upstream = Client<HttpConnector, Incoming>;
type Reply = Response<BoxBody<Bytes, hyper::Error>>;

/// Idle connections that are kept; more than any load opens.
const IDLE_CONNECTIONS: usize = 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Upstream = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_timer(TokioTimer::new())
        .build(connector);
    let listener = TcpListener::bind(args.listen).await?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without it a small write waits 40 ms for the other side's acknowledgement.
        stream.set_nodelay(true)?;
        let (client, upstream) = (client.clone(), args.upstream.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| forward(client.clone(), upstream.clone(), request));
            // A caller that breaks off is no fault of the proxy.
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn forward(
    client: Upstream,
    upstream: Authority,
    mut request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let Ok(target) = at_upstream(std::mem::take(request.uri_mut()), upstream) else {
        return Ok(bad_gateway());
    };
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    headers.remove(header::HOST);
    headers.remove(header::CONNECTION);
    headers.remove("keep-alive");
    let Ok(mut reply) = client.request(request).await else { return Ok(bad_gateway()) };
    reply.headers_mut().remove(header::CONNECTION);
    Ok(reply.map(BodyExt::boxed))
}

fn at_upstream(asked: Uri, upstream: Authority) -> Result<Uri, uri::InvalidUriParts> {
    let mut parts = asked.into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream);
    Uri::from_parts(parts)
}

fn bad_gateway() -> Reply {
    let mut reply = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *reply.status_mut() = StatusCode::BAD_GATEWAY;
    reply
}
