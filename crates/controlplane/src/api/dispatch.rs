//! From a request to a route's function and back. Denies first: no body is read before its caller may be here.

use super::{
    Api, PREFIX,
    admission::{Denial, Identity, admit, owned, permit},
    answer::{Answer, Fault},
    call::Call,
    idempotency::{KEY_LIMIT, RequestKey, Turn},
    once,
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
    let (mut parts, body) = request.into_parts();
    let (who, path, query) = match enter(&api, route, &mut parts).await {
        Ok(entered) => entered,
        Err(denial) => {
            api.denied.note(&api.plane, route.action, &denial).await;
            return Err(denial.fault);
        }
    };
    let span = span(&api, route, &parts);
    let actor = who.name.clone();
    let call = Call {
        api: Arc::clone(&api),
        who,
        path,
        query,
        if_match: None,
        body: Bytes::new(),
        span: span.clone(),
        route,
        asked: None,
    };
    let answer = answer(call, &parts, body).await;
    if answer.is_ok() && !route.action.is_empty() {
        api.plane.fleet().in_effect().await;
    }
    observe::answered(&span, answer.as_ref().map_or_else(|fault| fault.status, |answer| answer.status));
    if let Err(fault) = &answer {
        api.denied.note(&api.plane, route.action, &Denial { actor, fault: fault.clone() }).await;
    }
    answer
}

async fn answer(mut call: Call, parts: &Parts, body: Body) -> Result<Answer, Fault> {
    let route = call.route;
    call.body = whole(body, route.body_limit).await?;
    call.if_match = if_match(&parts.headers, route)?;
    let key = request_key(parts, &call.who)?;
    // A change that has begun is finished whether or not the caller stays, and however long it takes.
    let running = tokio::spawn(in_turn(key, call, route));
    match timeout(route.deadline, running).await {
        Ok(ended) => ended.unwrap_or_else(|_| Err(Fault::internal("the request failed"))),
        Err(_) => Err(late(route)),
    }
}

fn late(route: &Route) -> Fault {
    let goes_on = match route.action {
        "" => "look at its machine and its disk",
        _ => {
            "the change goes on and may still come into force: look before you ask again, or ask with the same idempotency-key"
        }
    };
    let message = format!("no answer within {} s; {goes_on}", route.deadline.as_secs());
    Fault::new(StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded", message)
}

type Names = BTreeMap<String, String>;

/// Who calls and the names of path and query, once all that can be denied without the body was not.
async fn enter(api: &Api, route: &Route, parts: &mut Parts) -> Result<(Identity, Names, Names), Denial> {
    let who = admit(api, &parts.headers)?;
    let names = async {
        permit(&who, route)?;
        let (path, query) = names(parts).await?;
        owned(&who, route.owner, &api.plane.state(), path.get("name").map_or("", String::as_str))?;
        Ok((path, query))
    };
    match names.await {
        Ok((path, query)) => Ok((who, path, query)),
        Err(fault) => Err(Denial { actor: who.name, fault }),
    }
}

async fn names(parts: &mut Parts) -> Result<(Names, Names), Fault> {
    let params =
        parts.extract::<RawPathParams>().await.map_err(|error| Fault::malformed(error.to_string()))?;
    let path: Names = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let Query(query) =
        parts.extract::<Query<Names>>().await.map_err(|error| Fault::malformed(error.to_string()))?;
    for (name, value) in path.iter().chain(&query) {
        if let Some(pattern) = keyway_config::secret_pattern(value) {
            return Err(Fault::secret(name.clone(), pattern));
        }
    }
    Ok((path, query))
}

/// Only changes are traced: whoever looks, looks often.
fn span(api: &Api, route: &Route, parts: &Parts) -> Span {
    if route.action.is_empty() {
        return Span::default();
    }
    let path = format!("{PREFIX}{}", route.path);
    observe::called(api.plane.tracer(), &parts.method, path, &parts.headers)
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

async fn in_turn(key: Option<RequestKey>, call: Call, route: &'static Route) -> Result<Answer, Fault> {
    let Some(key) = key else { return (route.answer)(call).await };
    match call.api.kept.begin(key, &call.body, Instant::now())? {
        Turn::Done(answer) => Ok(answer),
        Turn::New(under_way) => {
            let answer = match route.action {
                "" => (route.answer)(call).await,
                _ => once::once(key, call).await,
            };
            under_way.finish(&answer, Instant::now());
            answer
        }
    }
}

fn if_match(headers: &HeaderMap, route: &Route) -> Result<Option<u64>, Fault> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    // Whoever sends it counts on it.
    if !route.action.is_empty() && !route.looks_at_version() {
        let message = "`if-match` is not looked at here: what this does is bound to no version; leave it out";
        return Err(Fault::malformed(message));
    }
    let version = value.to_str().ok().and_then(|text| text.trim_matches('"').parse().ok());
    version.map(Some).ok_or_else(|| Fault::malformed("`if-match` holds one version, as `etag` gave it"))
}

/// Of one caller: nobody gets the answer that another was given.
fn request_key(parts: &Parts, who: &Identity) -> Result<Option<RequestKey>, Fault> {
    let Some(key) = parts.headers.get(IDEMPOTENCY_KEY).filter(|_| parts.method != Method::GET) else {
        return Ok(None);
    };
    if key.is_empty() || key.len() > KEY_LIMIT {
        return Err(Fault::malformed(format!("`{IDEMPOTENCY_KEY}` has 1 to {KEY_LIMIT} bytes")));
    }
    let mut hasher = blake3::Hasher::new();
    // Not the whole URI: over HTTP/2 it has scheme and host, and forwarded to another control plane it has others or none.
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    for part in [who.name.as_bytes(), parts.method.as_str().as_bytes(), path.as_bytes(), key.as_bytes()] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    Ok(Some(hasher.finalize()))
}
