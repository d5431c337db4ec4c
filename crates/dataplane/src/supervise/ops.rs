//! The ops port of a host: asks each replica's own and answers for all.

use super::{fetch::fetch, prometheus};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use std::{convert::Infallible, io, net::SocketAddr, time::Duration};
use tokio::{sync::watch, task::JoinSet};

/// Connections at one time.
const CONNECTIONS: usize = 64;
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);
const JSON: &str = "application/json";

/// Running replicas: id and ops port.
pub(super) type Running = Vec<(String, SocketAddr)>;

/// One replica's answer; no status if there was none.
struct Answer {
    id: String,
    status: Option<StatusCode>,
    body: String,
}

/// Answers until the task is dropped.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    running: watch::Receiver<Running>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < CONNECTIONS => {
                let Ok((tcp, _)) = accepted else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let running = running.clone();
                open.spawn(async move {
                    let service = service_fn(|request| {
                        let running = running.borrow().clone();
                        async move { Ok::<_, Infallible>(answer(&request, running).await) }
                    });
                    let mut server = http1::Builder::new();
                    server.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
                    // An error says that the caller is gone.
                    let _ = server.serve_connection(TokioIo::new(tcp), service).await;
                });
            }
        }
    }
}

async fn answer(request: &Request<Incoming>, running: Running) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return reply(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/healthz" => reply(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => readyz(&ask(running, "/readyz").await),
        "/metrics" => metrics(ask(running, "/metrics").await),
        "/snapshot" => snapshot(&ask(running, "/snapshot").await),
        "/totals" => totals(&ask(running, "/totals").await),
        _ => {
            let text = "try /healthz /readyz /metrics /snapshot /totals\n".to_owned();
            reply(StatusCode::NOT_FOUND, "text/plain", text)
        }
    }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Asks all replicas at once.
async fn ask(running: Running, path: &'static str) -> Vec<Answer> {
    let mut asked = JoinSet::new();
    for (id, at) in running {
        asked.spawn(async move {
            let got = fetch(at, path).await;
            let (status, body) = got.map_or((None, String::new()), |(status, body)| (Some(status), body));
            Answer { id, status, body }
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by(|a, b| a.id.cmp(&b.id));
    answers
}

/// Ready while one replica is: callers are answered then.
fn readyz(answers: &[Answer]) -> Response<Full<Bytes>> {
    let ready = answers.iter().any(Answer::is_ok);
    let replica =
        |answer: &Answer| json!({ "id": answer.id, "ready": answer.is_ok(), "detail": answer.value() });
    let replicas: Vec<Value> = answers.iter().map(replica).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply(status, JSON, json!({ "ready": ready, "replicas": replicas }).to_string())
}

fn metrics(answers: Vec<Answer>) -> Response<Full<Bytes>> {
    let up = answers.iter().map(|answer| {
        format!("keyway_replica_up{{replica=\"{}\"}} {}\n", answer.id, u8::from(answer.is_ok()))
    });
    let head = "# HELP keyway_replica_up 1 while the replica answers on its operations port.\n# TYPE keyway_replica_up gauge\n";
    let up: String = up.collect();
    let texts: Vec<(String, String)> =
        answers.into_iter().filter(Answer::is_ok).map(|answer| (answer.id, answer.body)).collect();
    let text = format!("{head}{up}{}", prometheus::merge(&texts));
    reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
}

/// The newest version that a replica serves, and what each does.
fn snapshot(answers: &[Answer]) -> Response<Full<Bytes>> {
    let version = answers.iter().filter_map(Answer::version).max();
    let version = version.map(|(epoch, counter)| format!("{epoch}.{counter}"));
    let replicas: Map<String, Value> =
        answers.iter().map(|answer| (answer.id.clone(), answer.value())).collect();
    reply(StatusCode::OK, JSON, json!({ "version": version, "replicas": replicas }).to_string())
}

fn totals(answers: &[Answer]) -> Response<Full<Bytes>> {
    let replicas: Map<String, Value> =
        answers.iter().map(|answer| (answer.id.clone(), answer.value())).collect();
    reply(StatusCode::OK, JSON, Value::Object(replicas).to_string())
}

// === impl Answer ===

impl Answer {
    fn is_ok(&self) -> bool {
        self.status == Some(StatusCode::OK)
    }

    /// Its body as JSON, or as text if it is none.
    fn value(&self) -> Value {
        if self.status.is_none() {
            return json!("does not answer");
        }
        serde_json::from_str(&self.body).unwrap_or_else(|_| json!(self.body.trim()))
    }

    /// What it serves, `epoch.counter`.
    fn version(&self) -> Option<(u64, u64)> {
        let value = self.value();
        let (epoch, counter) = value.get("version")?.as_str()?.split_once('.')?;
        Some((epoch.parse().ok()?, counter.parse().ok()?))
    }
}
