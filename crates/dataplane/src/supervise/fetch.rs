//! One small question to a replica's ops port.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// A replica that does not answer in this time is taken for one that does not answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Bytes of one answer at most.
const BODY_LIMIT: usize = 16 << 20;

/// Status and body; `None` if there was no answer in time.
pub(super) async fn fetch(at: SocketAddr, path: &'static str) -> Option<(StatusCode, String)> {
    timeout(ANSWER_LIMIT, ask(at, path)).await.ok().flatten()
}

async fn ask(at: SocketAddr, path: &'static str) -> Option<(StatusCode, String)> {
    let tcp = TcpStream::connect(at).await.ok()?;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.ok()?;
    let request = Request::get(path).header(header::HOST, at.to_string()).body(Empty::<Bytes>::new()).ok()?;
    let answered = async {
        let (head, body) = send.send_request(request).await.ok()?.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await.ok()?.to_bytes();
        Some((head.status, String::from_utf8(body.to_vec()).ok()?))
    };
    tokio::select! {
        answer = answered => answer,
        // It ends when the answer is whole, or broke off.
        _ = async { let _ = connection.await; std::future::pending::<()>().await } => None,
    }
}
