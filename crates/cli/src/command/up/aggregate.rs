//! The operations port when replicas are processes: asks each one's own and answers for all.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use keyway_controlplane::fleet::{Fleet, ReplicaState};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::prometheus;
use crate::failure::Failure;

/// A replica that does not answer in this time is reported as not answering.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Bytes of one replica's answer at most.
const BODY_LIMIT: usize = 16 << 20;

#[derive(Clone)]
struct Ops {
    fleet: Arc<Fleet>,
    http: reqwest::Client,
}

/// One replica's answer; no status if there was none.
struct Answer {
    id: String,
    status: Option<StatusCode>,
    body: String,
}

/// Answers on `listener` until the task is dropped.
pub(super) async fn serve(listener: TcpListener, fleet: Arc<Fleet>) -> Result<(), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Other(format!("the operations port failed: {error}"));
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(ANSWER_LIMIT)
        .build()
        .map_err(|error| failed(&error))?;
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/snapshot", get(snapshot))
        .with_state(Ops { fleet, http });
    listener.set_nonblocking(true).map_err(|error| failed(&error))?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| failed(&error))?;
    axum::serve(listener, router).await.map_err(|error| failed(&error))
}

/// Ready while one replica is: callers are answered then.
async fn readyz(State(ops): State<Ops>) -> Response {
    let answers = ops.ask("/readyz").await;
    let ready = answers.iter().any(Answer::is_ok);
    let replicas: Vec<Value> = answers
        .iter()
        .map(|answer| json!({ "id": answer.id, "ready": answer.is_ok(), "detail": answer.value() }))
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "replicas": replicas }))).into_response()
}

async fn metrics(State(ops): State<Ops>) -> Response {
    let answers = ops.ask("/metrics").await;
    let up = answers.iter().map(|answer| {
        format!("keyway_replica_up{{replica=\"{}\"}} {}\n", answer.id, u8::from(answer.is_ok()))
    });
    let head = "# HELP keyway_replica_up 1 while the replica answers on its operations port.\n# TYPE keyway_replica_up gauge\n";
    let up: String = up.collect();
    let texts: Vec<(String, String)> =
        answers.into_iter().filter(Answer::is_ok).map(|answer| (answer.id, answer.body)).collect();
    let text = format!("{head}{up}{}", prometheus::merge(&texts));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// The newest version there is, and what each replica serves.
async fn snapshot(State(ops): State<Ops>) -> Response {
    let answers = ops.ask("/snapshot").await;
    let replicas: Map<String, Value> =
        answers.iter().map(|answer| (answer.id.clone(), answer.value())).collect();
    let version = ops.fleet.version().to_string();
    Json(json!({ "version": version, "replicas": replicas })).into_response()
}

// === impl Ops ===

impl Ops {
    /// Asks all connected replicas at once.
    async fn ask(&self, path: &'static str) -> Vec<Answer> {
        let mut asked = JoinSet::new();
        for replica in self.fleet.list().into_iter().filter(|replica| replica.state != ReplicaState::Lost) {
            let http = self.http.clone();
            asked.spawn(async move {
                let got = fetch(&http, &format!("http://{}{path}", replica.ops_listen)).await;
                let (status, body) = got.map_or((None, String::new()), |(status, body)| (Some(status), body));
                Answer { id: replica.id, status, body }
            });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by(|a, b| a.id.cmp(&b.id));
        answers
    }
}

async fn fetch(http: &reqwest::Client, url: &str) -> Option<(StatusCode, String)> {
    let mut answer = http.get(url).send().await.ok()?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_LIMIT {
            return None;
        }
    }
    Some((status, String::from_utf8(body).ok()?))
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
}
