//! Plays an OpenAI provider: `POST …/chat/completions`, whole or as a stream, always with the same words.
//!
//! `GET /ctl?delay=MS&chunks=N&chunk_ms=MS` changes it while it runs. It checks nothing: that is the strict
//! provider's work. One thread, so that it fits on a core with the load.

mod script;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use script::{Play, Script};
use std::{cell::RefCell, convert::Infallible, error::Error, net::SocketAddr, rc::Rc, time::Duration};
use tokio::{net::TcpListener, task::LocalSet};

#[derive(Parser)]
struct Args {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
}

type Reply = Response<BoxBody<Bytes, Infallible>>;
type Shared = Rc<RefCell<Script>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(Args::parse().listen).await?;
    LocalSet::new().run_until(accept(listener, Shared::default())).await
}

async fn accept(listener: TcpListener, script: Shared) -> Result<(), Box<dyn Error>> {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true)?;
        let script = script.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer(script.clone(), request));
            // A proxy that breaks off is the load's finding, not ours.
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(script: Shared, request: Request<Incoming>) -> Result<Reply, hyper::Error> {
    let path = request.uri().path();
    if path == "/ctl" {
        script.borrow_mut().change(request.uri().query().unwrap_or_default());
        return Ok(json(StatusCode::OK, "{}"));
    }
    if !path.ends_with("/chat/completions") {
        return Ok(json(StatusCode::NOT_FOUND, r#"{"error":{"message":"not found"}}"#));
    }
    let body = request.into_body().collect().await?.to_bytes();
    let delay = script.borrow().delay_ms;
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if !says_true(&body, b"\"stream\":") {
        return Ok(json(StatusCode::OK, script::CHAT));
    }
    let with_usage = says_true(&body, b"\"include_usage\":");
    Ok(stream(script.borrow().play(with_usage)))
}

fn json(status: StatusCode, body: &'static str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from_static(body.as_bytes())).boxed());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply.headers_mut().insert("x-request-id", HeaderValue::from_static("req_bench"));
    reply
}

fn stream(play: Play) -> Reply {
    let mut reply = Response::new(play.boxed());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

/// Whether the body has `field` (a quoted name and its colon) followed by `true`. Looking for the bytes is enough
/// here, and cheap: the bench's own bodies hold the words nowhere else.
fn says_true(body: &[u8], field: &[u8]) -> bool {
    let Some(at) = memmem::rfind(body, field) else { return false };
    body.get(at + field.len()..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"true"))
}
