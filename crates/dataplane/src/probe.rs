//! One small real call to a provider with one version of one of its keys: what `provider test` and rotation ask for.

use crate::{
    clock,
    lease::{Presented, Take, Ways},
    sync::Held,
    upstream::{Connector, Link},
};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use keyway_dialect::rewrite::Segments;
use keyway_proto::fleet::v1::{Probe, ProbeResult};
use keyway_snapshot::{Dialect, Endpoint, Provider, Secret, Surface};
use memchr::memmem;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// What the control plane waits for an answer.
const LIMIT: Duration = Duration::from_secs(3);
/// Bytes of a refusal that are read.
const BODY_LIMIT: usize = 64 * 1024;
/// Google's word for a key that it does not know.
const KEY_INVALID: &[u8] = b"API_KEY_INVALID";
/// Anthropic's API wants a version with every call.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Calls, and says what came.
pub(crate) async fn probe(held: Arc<Held>, connector: Connector, mut probe: Probe) -> ProbeResult {
    let began = Instant::now();
    // Wiped when the call is over; no part of it is in a text that is made here.
    let secret = Some(std::mem::take(&mut probe.secret)).filter(|secret| !secret.is_empty());
    let secret = secret.map(Secret::new);
    let answered = tokio::time::timeout(LIMIT, call(&held, &connector, &probe, secret)).await;
    let (status, key_invalid, reason) = match answered {
        Ok(Ok((status, key_invalid))) => (u32::from(status.as_u16()), key_invalid, String::new()),
        Ok(Err(reason)) => (0, false, reason),
        Err(_) => (0, false, "no answer in time".to_owned()),
    };
    let latency_micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    ProbeResult { id: probe.id, status, latency_micros, reason, key_invalid }
}

/// The status, and whether the body names the key as the fault.
async fn call(
    held: &Held,
    connector: &Connector,
    probe: &Probe,
    secret: Option<Secret>,
) -> Result<(StatusCode, bool), String> {
    let state = held.pin().ok_or("this replica has no configuration yet")?;
    let provider = state.snapshot.providers.get(probe.provider.as_str()).ok_or("no such provider here")?;
    if provider.built_in {
        return Ok((StatusCode::OK, false));
    }
    let (request, origin, _lease) = match secret {
        Some(secret) => {
            let ways = Ways::of(provider, &secret);
            ways.ready(connector).await.map_err(|why| why.to_string())?;
            let (request, origin) = request(provider, |surface| ways.at(surface), secret.expose())?;
            (request, origin, None)
        }
        None => {
            let id = format!("{}/{}/{}", probe.provider, probe.key, probe.version);
            let key = state.keyring.find(&probe.provider, &id).ok_or("no such key version here")?;
            let lease = key.lease(Take::Probe).ok_or("the key version was withdrawn")?;
            lease.ready(connector).await.map_err(|why| why.to_string())?;
            let (request, origin) = request(provider, |surface| lease.presented(surface), lease.secret())?;
            (request, origin, Some(lease))
        }
    };
    let mut link = connector.connect(&origin, LIMIT).await.map_err(|error| error.to_string())?;
    let reply = link.send(request).await.map_err(|_| "the connection broke".to_owned())?;
    let status = reply.status;
    // Gemini answers 400 where others answer 401.
    let key_invalid = status == StatusCode::BAD_REQUEST && names_the_key(&mut link).await;
    Ok((status, key_invalid))
}

async fn names_the_key(link: &mut Link) -> bool {
    let mut read = Vec::new();
    while let Some(Ok(piece)) = std::future::poll_fn(|cx| link.poll_piece(cx)).await {
        let room = BODY_LIMIT.saturating_sub(read.len());
        read.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if read.len() >= BODY_LIMIT {
            break;
        }
    }
    memmem::find(&read, KEY_INVALID).is_some()
}

type Ready = (Request<Segments>, Arc<keyway_snapshot::Origin>);

fn request<'a>(
    provider: &Provider,
    presented: impl FnOnce(&Surface) -> &'a Presented,
    secret: &[u8],
) -> Result<Ready, String> {
    let at = |surface| Some((surface, Surface::url(surface, Endpoint::Models, false)?));
    let (surface, url) =
        provider.surfaces.iter().find_map(at).ok_or("this provider has no list of models to ask for")?;
    let mut path = url.path.as_str().to_owned();
    let mut request = Request::new(Segments::default());
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
    match presented(surface) {
        Presented::Nothing => {}
        Presented::Header(name, value) => {
            headers.insert(name.clone(), value.clone());
        }
        Presented::SigV4(signer) => {
            let now = clock::since_epoch().as_secs();
            let (path, query) = path.split_once('?').unwrap_or((&path, ""));
            let signed = signer.sign(("GET", path, query), headers, keyway_sigv4::hash([]), now);
            signed.ok_or("the secret does not fit into a header")?;
        }
        Presented::Token(tokens) => {
            let (name, value) = tokens.shown().ok_or("no token")?;
            headers.insert(name, value);
        }
        Presented::Query(name) => {
            let secret = std::str::from_utf8(secret).map_err(|_| "the secret is not text")?;
            path.push_str(&format!("?{name}={secret}"));
        }
    }
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| "the secret does not fit into a URL")?;
    Ok((request, Arc::clone(&url.origin)))
}
