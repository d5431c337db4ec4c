//! One small real call to a provider with one version of one of its keys: what `provider test` and rotation ask for.

use crate::{
    lease::{Lease, Presented, Take},
    sync::Held,
    upstream::{Connector, RequestBody},
};
use http::{HeaderValue, Method, Request, Uri, header};
use keyway_dialect::rewrite::Segments;
use keyway_proto::fleet::v1::{Probe, ProbeResult};
use keyway_snapshot::{Dialect, Endpoint, Provider};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// What the control plane waits for an answer.
const LIMIT: Duration = Duration::from_secs(3);
/// Anthropic's API wants a version with every call.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Calls, and says what came.
pub(crate) async fn probe(held: Arc<Held>, connector: Connector, probe: Probe) -> ProbeResult {
    let began = Instant::now();
    let answered = tokio::time::timeout(LIMIT, call(&held, &connector, &probe)).await;
    let (status, reason) = match answered {
        Ok(Ok(status)) => (status, String::new()),
        Ok(Err(reason)) => (0, reason),
        Err(_) => (0, "no answer in time".to_owned()),
    };
    let latency_micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    ProbeResult { id: probe.id, status, latency_micros, reason, key_invalid: false }
}

async fn call(held: &Held, connector: &Connector, probe: &Probe) -> Result<u32, String> {
    let state = held.pin().ok_or("this replica has no configuration yet")?;
    let provider = state.snapshot.providers.get(probe.provider.as_str()).ok_or("no such provider here")?;
    if provider.built_in {
        return Ok(200);
    }
    let id = format!("{}/{}/{}", probe.provider, probe.key, probe.version);
    let key = state.keyring.find(&probe.provider, &id).ok_or("no such key version here")?;
    let lease = key.lease(Take::Probe).ok_or("the key version was withdrawn")?;
    let (request, origin) = request(provider, &lease)?;
    let mut link = connector.connect(&origin, LIMIT).await.map_err(|error| error.to_string())?;
    let reply = link.send(request).await.map_err(|_| "the connection broke".to_owned())?;
    Ok(u32::from(reply.status().as_u16()))
}

type Ready = (Request<RequestBody>, Arc<keyway_snapshot::Origin>);

fn request(provider: &Provider, lease: &Lease) -> Result<Ready, String> {
    let url = provider.surfaces.iter().find_map(|surface| surface.url(Endpoint::Models));
    let url = url.ok_or("this provider has no list of models to ask for")?;
    let mut path = url.path.as_str().to_owned();
    let mut request = Request::new(RequestBody::from(Segments::default()));
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::HOST, url.origin.authority.clone());
    headers
        .insert(header::USER_AGENT, HeaderValue::from_static(concat!("keyway/", env!("CARGO_PKG_VERSION"))));
    if provider.surfaces.iter().any(|surface| surface.dialect == Dialect::AnthropicMessages) {
        headers.insert("anthropic-version", ANTHROPIC_VERSION);
    }
    for (name, value) in &provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    match lease.presented() {
        Presented::Nothing => {}
        Presented::Header(name, value) => {
            headers.insert(name.clone(), value.clone());
        }
        Presented::Query(name) => {
            let secret = std::str::from_utf8(lease.secret()).map_err(|_| "the secret is not text")?;
            path.push_str(&format!("?{name}={secret}"));
        }
    }
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| "the secret does not fit into a URL")?;
    Ok((request, Arc::clone(&url.origin)))
}
