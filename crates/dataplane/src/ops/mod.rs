//! The ops port: `/healthz`, `/readyz`, `/metrics`, `/snapshot`, `/totals`.

mod metrics;

use crate::{
    clock,
    identity::Badge,
    ingress::BodyBudget,
    lease::{self, Keyring},
    meter::{SpoolCounts, Totals},
    observe::{Faults, Gauges},
    sync::{Held, LinkStatus},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use keyway_proto::fleet::v1::KeyUse;
use keyway_snapshot::{CredentialState, Meter};
use keyway_telemetry::Spans;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{convert::Infallible, net::TcpListener, rc::Rc, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};
use tower::ServiceBuilder;

/// Connections to the ops port at one time.
const CONNECTIONS: usize = 64;
/// Answers that are being made at one time: a scrape reads every counter, and the control thread has other work too.
const ANSWERS: usize = 4;
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// What the ops port reads.
pub(crate) struct Ops {
    pub(crate) id: String,
    pub(crate) held: Arc<Held>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) faults: Vec<Arc<Faults>>,
    pub(crate) totals: Arc<Mutex<Totals>>,
    pub(crate) usage: Arc<SpoolCounts>,
    pub(crate) budget: Arc<BodyBudget>,
    /// Only with a collector.
    pub(crate) spans: Option<Arc<Spans>>,
    pub(crate) link: Arc<Mutex<LinkStatus>>,
    pub(crate) badge: Arc<Badge>,
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) epoch: std::time::Instant,
}

/// Serves until dropped.
pub(crate) async fn serve(listener: TcpListener, ops: Rc<Ops>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the ops port could not be opened"),
    };
    let service = ServiceBuilder::new().concurrency_limit(ANSWERS).service_fn(move |request| {
        let response = answer(&ops, &request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < CONNECTIONS => {
                let Ok((tcp, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let service = TowerToHyperService::new(service.clone());
                open.spawn_local(async move {
                    let mut server = http1::Builder::new();
                    server.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
                    let _ = server.serve_connection(TokioIo::new(tcp), service).await;
                });
            }
        }
    }
}

fn answer(ops: &Ops, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return reply(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/healthz" => reply(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => {
            let (ready, detail) = ops.ready();
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            reply(status, "application/json", detail.to_string())
        }
        "/metrics" => reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics::text(ops)),
        "/snapshot" => reply(StatusCode::OK, "application/json", ops.snapshot().to_string()),
        "/totals" => reply(StatusCode::OK, "application/json", ops.totals().to_string()),
        _ => reply(
            StatusCode::NOT_FOUND,
            "text/plain",
            "try /healthz /readyz /metrics /snapshot /totals\n".to_owned(),
        ),
    }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Why traffic should not come here.
fn reason(configured: bool, draining: bool, blocked: bool) -> Option<&'static str> {
    match (configured, draining, blocked) {
        (_, true, _) => Some("draining"),
        (false, false, _) => Some("no configuration yet: waiting for the control plane"),
        (true, false, true) => Some("a serving thread is blocked; the others serve"),
        (true, false, false) => None,
    }
}

/// One key version, without its secret.
fn of_key(key: &KeyUse, keyring: &Keyring, now: u64) -> Value {
    json!({
        "id": key.id,
        "state": lease::word(key.state()),
        "active": key.state() == CredentialState::Active,
        "benched": keyring.named(&key.id).is_some_and(|key| key.health.is_benched(now)),
        "in_flight": key.in_flight,
        "uses": key.started,
        "standby": key.standby,
        "refused": key.refused,
        "failed": key.failed,
        "last_use_unix_millis": key.last_use_unix_millis,
    })
}

// === impl Ops ===

impl Ops {
    /// Whether traffic should come here, and what to know about it. A control plane that is away does not make a
    /// replica unready: it goes on with what it has.
    fn ready(&self) -> (bool, Value) {
        let state = self.held.pin();
        let draining = *self.draining.borrow();
        let link = self.link.lock().clone();
        let blocked = self.gauges.is_blocked(self.millis());
        let ready = state.is_some() && !draining && !blocked;
        let age = link.age(std::time::Instant::now());
        let detail = json!({
            "ready": ready,
            "reason": reason(state.is_some(), draining, blocked),
            "replica": self.id,
            "snapshot": state.as_ref().map(|state| state.snapshot.version.to_string()),
            "draining": draining,
            "config_source": link.source.word(),
            "config_age_seconds": age.filter(|_| state.is_some()).map(|age| age.as_secs()),
            "last_good_error": link.last_good_error,
            "secrets_unavailable": state.is_some_and(|state| state.keyring.is_lapsed()),
            "control_plane": {
                "connected": link.connected,
                "last_error": link.last_error,
                "refused": link.refused,
                "rejected": link.rejected,
            },
            "node": self.badge.identity().map(|identity| json!({
                "name": identity.node(),
                "certificate_seconds_left": identity.left(clock::since_epoch().as_secs()).as_secs(),
            })),
            "node_error": link.identity_error,
        });
        (ready, detail)
    }

    /// Milliseconds since the start of the process.
    fn millis(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What was used since the start, by client, key version and model.
    fn totals(&self) -> Value {
        let totals = self.totals.lock();
        let rows = totals.rows().map(|row| {
            let count = |meter: Meter| row.counts.get(meter as usize).copied().unwrap_or_default();
            json!({
                "client": row.client,
                "key": &*row.key,
                "model": row.model,
                "requests": row.requests,
                "errors": row.errors,
                "cancelled": row.cancelled,
                "input_tokens": count(Meter::Input),
                "cache_read_tokens": count(Meter::CacheRead),
                "output_tokens": count(Meter::Output),
                "cost_nanodollars": row.nano_dollars,
                "unpriced": row.unpriced,
                "unmetered": row.unmetered,
            })
        });
        rows.collect()
    }

    /// What is served, without secrets.
    fn snapshot(&self) -> Value {
        let Some(state) = self.held.pin() else { return json!({ "version": null }) };
        let mut providers: Vec<&str> = state.snapshot.providers.keys().map(AsRef::as_ref).collect();
        providers.sort_unstable();
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        let keys: Vec<Value> =
            state.keyring.uses().iter().map(|key| of_key(key, &state.keyring, now)).collect();
        json!({
            "version": state.snapshot.version.to_string(),
            "hash": state.snapshot.hash.to_string(),
            "clients": state.snapshot.clients.len(),
            "providers": providers,
            "keys": keys,
        })
    }
}
