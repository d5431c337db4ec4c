//! From a request to a route's function and back. Denies first: nothing of a request is read before its token is good.

use super::{
    Api, PREFIX,
    answer::{Answer, Fault},
    call::Call,
    idempotency::{KEY_LIMIT, RequestKey, Turn},
    route::Route,
};
use crate::observe;
use axum::{
    RequestPartsExt,
    body::Body,
    extract::{Query, RawPathParams, Request},
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use keyway_telemetry::Span;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// Until the whole body is there.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Answers one request to one route.
pub(super) async fn dispatch(
    api: Arc<Api>,
    route: &'static Route,
    request: Request,
) -> Result<Answer, Fault> {
    admit(&api, request.headers())?;
    let span = span(&api, route, &request);
    let answer = answer(api, route, request, span.clone()).await;
    observe::answered(&span, answer.as_ref().map_or_else(|fault| fault.status, |answer| answer.status));
    answer
}

async fn answer(api: Arc<Api>, route: &'static Route, request: Request, span: Span) -> Result<Answer, Fault> {
    let (mut parts, body) = request.into_parts();
    let body = whole(body, route.body_limit).await?;
    let key = request_key(&parts)?;
    let call = Call { span, ..call(api, &mut parts, body, route).await? };
    // A change that has begun is finished whether or not the caller stays.
    let running = tokio::spawn(once(key, call, route));
    running.await.unwrap_or_else(|_| Err(Fault::internal("the request failed")))
}

/// Only changes are traced: whoever looks, looks often.
fn span(api: &Api, route: &Route, request: &Request) -> Span {
    if route.action.is_empty() {
        return Span::default();
    }
    let path = format!("{PREFIX}{}", route.path);
    observe::called(api.plane.tracer(), request.method(), path, request.headers())
}

async fn whole(body: Body, limit: usize) -> Result<Bytes, Fault> {
    match timeout(BODY_DEADLINE, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("the body has more than {limit} bytes");
            Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message))
        }
        Ok(Err(_)) => Err(Fault::malformed("the body broke off")),
        Err(_) => {
            let message = "the body did not arrive in time";
            Err(Fault::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message))
        }
    }
}

/// Whether the caller may be here at all.
pub(super) fn admit(api: &Api, headers: &HeaderMap) -> Result<(), Fault> {
    if api.token.admits(headers) { Ok(()) } else { Err(Fault::unauthorized()) }
}

async fn once(key: Option<RequestKey>, call: Call, route: &'static Route) -> Result<Answer, Fault> {
    let Some(key) = key else { return (route.answer)(call).await };
    match call.api.kept.begin(key, &call.body, Instant::now())? {
        Turn::Done(answer) => Ok(answer),
        Turn::New(under_way) => {
            let answer = (route.answer)(call).await;
            under_way.finish(&answer, Instant::now());
            answer
        }
    }
}

async fn call(api: Arc<Api>, parts: &mut Parts, body: Bytes, route: &'static Route) -> Result<Call, Fault> {
    let params =
        parts.extract::<RawPathParams>().await.map_err(|error| Fault::malformed(error.to_string()))?;
    let path = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let Query(query) = parts
        .extract::<Query<BTreeMap<String, String>>>()
        .await
        .map_err(|error| Fault::malformed(error.to_string()))?;
    let if_match = if_match(&parts.headers)?;
    Ok(Call { api, path, query, if_match, body, span: Span::default(), action: route.action })
}

fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let version = value.to_str().ok().and_then(|text| text.trim_matches('"').parse().ok());
    version.map(Some).ok_or_else(|| Fault::malformed("`if-match` holds one version, as `etag` gave it"))
}

fn request_key(parts: &Parts) -> Result<Option<RequestKey>, Fault> {
    let Some(key) = parts.headers.get(IDEMPOTENCY_KEY).filter(|_| parts.method != Method::GET) else {
        return Ok(None);
    };
    if key.is_empty() || key.len() > KEY_LIMIT {
        return Err(Fault::malformed(format!("`{IDEMPOTENCY_KEY}` has 1 to {KEY_LIMIT} bytes")));
    }
    let mut hasher = blake3::Hasher::new();
    for part in [parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), key.as_bytes()] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    Ok(Some(hasher.finalize()))
}
