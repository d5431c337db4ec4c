//! The request as a target gets it: the caller's bytes but for the model name, the caller's headers but for those that
//! are the gateway's business, and the provider's credential.

use super::Crossing;
use crate::{
    call::Call,
    clock,
    lease::{Lease, Presented},
    upstream::Connector,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header,
    uri::{Parts, PathAndQuery},
};
use keyway_dialect::{
    rewrite::{self, Segments},
    scan,
};
use keyway_snapshot::{Auth, Dialect, Endpoint, EndpointUrl, Misplaced, Surface, Target};

/// Why a call cannot be put into a request for this target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// Its credential does not fit into a header or URL, or its scheme is not signed yet.
    Credential,
    /// Path and query together are not a URI.
    Path,
}

/// What is said to a target, before it is addressed.
struct Said<'a> {
    headers: HeaderMap,
    query: Option<&'a str>,
    body: Segments,
}

/// The version of the messages API whose form the codec writes.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
/// Asks Gemini for a stream of events, and not for one long JSON array.
const SSE: &str = "?alt=sse";
/// Names the gateway to private upstreams, so that a loop is seen.
const VIA: HeaderValue = HeaderValue::from_static("1.1 keyway");

/// The request for one attempt, and whether the extra usage chunk of its stream must be withheld.
///
/// # Errors
/// What of it cannot be sent.
pub(crate) fn request(
    call: &Call,
    target: &Target,
    surface: &Surface,
    url: &EndpointUrl,
    lease: &Lease,
) -> Result<(Request<Segments>, bool), Unsendable> {
    let merge_usage = adds_usage(call, surface);
    let body = match version(surface, url) {
        None => call.shape.rewritten(call.body.clone(), &target.model, merge_usage),
        Some(version) => call.shape.versioned(call.body.clone(), version),
    };
    let said = Said { headers: forwarded(&call.headers), query: call.query.as_deref(), body };
    Ok((addressed(call, target, (surface, url), lease, said)?, merge_usage))
}

/// The request for a target of another dialect, or for one whose body had to be put together anew.
///
/// # Errors
/// What of it cannot be sent.
pub(crate) fn crossed_request(
    call: &Call,
    target: &Target,
    crossing: &Crossing,
    at: (&Surface, &EndpointUrl),
    lease: &Lease,
) -> Result<(Request<Segments>, bool), Unsendable> {
    let (headers, query, withhold_usage) = if crossing.is_translated() {
        (crossed_headers(&call.headers, crossing.dialect(), crossing.is_stream()), None, false)
    } else {
        (forwarded(&call.headers), call.query.as_deref(), adds_usage(call, at.0))
    };
    let body = match version(at.0, at.1) {
        None => crossing.body().into(),
        Some(version) => {
            let scan = scan::request(&crossing.body()).map_err(|_| Unsendable::Path)?;
            rewrite::versioned(crossing.body(), &scan, version)
        }
    };
    let said = Said { headers, query, body };
    Ok((addressed(call, target, at, lease, said)?, withhold_usage))
}

/// Whether usage is asked for that the caller did not ask for.
fn adds_usage(call: &Call, surface: &Surface) -> bool {
    call.stream
        && call.dialect == Dialect::OpenaiChat
        && matches!(call.endpoint, Endpoint::ChatCompletions | Endpoint::Completions)
        && !surface.no_stream_options
        && !call.shape.wants_usage()
}

/// What stands in the body in place of the model.
fn version<'a>(surface: &'a Surface, url: &EndpointUrl) -> Option<&'a str> {
    surface.body_version.as_deref().filter(|_| url.holds_model())
}

fn addressed(
    call: &Call,
    target: &Target,
    (surface, url): (&Surface, &EndpointUrl),
    lease: &Lease,
    said: Said<'_>,
) -> Result<Request<Segments>, Unsendable> {
    let mut headers = said.headers;
    headers.insert(header::HOST, url.origin.authority.clone());
    headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    if Connector::leads_inside(&url.origin) {
        headers.insert(header::VIA, VIA);
        (0..call.hops).for_each(|_| {
            headers.append(header::VIA, VIA);
        });
    }
    for (name, value) in &target.provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    let uri = uri((call, said.query), target, (surface, url), lease)?;
    let (auth, presented) = (target.provider.auth_of(surface), lease.presented(surface));
    present(&mut headers, auth, presented, (&uri, said.body.parts()))?;
    let mut request = Request::new(said.body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The last step, since a signature is over all the others.
fn present(
    headers: &mut HeaderMap,
    auth: &Auth,
    presented: &Presented,
    (uri, body): (&Uri, &[Bytes]),
) -> Result<(), Unsendable> {
    match (auth, presented) {
        (_, Presented::Header(name, value)) => {
            headers.insert(name.clone(), value.clone());
            Ok(())
        }
        (_, Presented::SigV4(signer)) => {
            let hash = keyway_sigv4::hash(body.iter().map(AsRef::as_ref));
            let place = (Method::POST.as_str(), uri.path(), uri.query().unwrap_or_default());
            let signed = signer.sign(place, headers, hash, clock::since_epoch().as_secs());
            signed.ok_or(Unsendable::Credential)
        }
        (_, Presented::Token(tokens)) => {
            let (name, value) = tokens.shown().ok_or(Unsendable::Credential)?;
            headers.insert(name, value);
            Ok(())
        }
        (Auth::None, _) | (_, Presented::Query(_)) => Ok(()),
        (_, Presented::Nothing) => Err(Unsendable::Credential),
    }
}

fn uri(
    (call, query): (&Call, Option<&str>),
    target: &Target,
    (surface, url): (&Surface, &EndpointUrl),
    lease: &Lease,
) -> Result<Uri, Unsendable> {
    let path = url.path_for(&target.model).map_err(|Misplaced| Unsendable::Path)?;
    // Who speaks Gemini says by this word itself in which form a stream is to come.
    let own_form = surface.dialect == Dialect::Gemini && call.dialect == Dialect::Gemini;
    let bare = path.as_str().strip_suffix(SSE).filter(|_| own_form);
    let query = query.map(without_key).filter(|query| !query.is_empty());
    let presented = lease.presented(surface);
    if query.is_none() && bare.is_none() && !matches!(presented, Presented::Query(_)) {
        return Ok(origin_form(path));
    }
    let mut whole = bare.unwrap_or(path.as_str()).to_owned();
    let mut add = |pair: &str| {
        whole.push(if whole.contains('?') { '&' } else { '?' });
        whole.push_str(pair);
    };
    if let Some(query) = query {
        add(&query);
    }
    if let Presented::Query(name) = presented {
        let secret = std::str::from_utf8(lease.secret()).map_err(|_| Unsendable::Credential)?;
        add(&format!("{name}={secret}"));
    }
    whole.parse().map(origin_form).map_err(|_| Unsendable::Path)
}

fn origin_form(path: PathAndQuery) -> Uri {
    let mut parts = Parts::default();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).unwrap_or_default()
}

fn without_key(query: &str) -> String {
    let kept: Vec<&str> =
        query.split('&').filter(|pair| !pair.starts_with("key=") && !pair.is_empty()).collect();
    kept.join("&")
}

/// The headers of a request in another dialect: the caller's are about its own.
fn crossed_headers(from: &HeaderMap, dialect: Dialect, stream: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.extend(from.get(header::USER_AGENT).map(|agent| (header::USER_AGENT, agent.clone())));
    headers.insert(header::CONTENT_TYPE, JSON);
    let accept = match dialect {
        _ if !stream => JSON,
        Dialect::BedrockConverse => HeaderValue::from_static("application/vnd.amazon.eventstream"),
        _ => HeaderValue::from_static("text/event-stream"),
    };
    headers.insert(header::ACCEPT, accept);
    if dialect == Dialect::AnthropicMessages {
        headers.insert(HeaderName::from_static("anthropic-version"), ANTHROPIC_VERSION);
    }
    headers
}

/// The caller's headers that go on: all end-to-end ones but credentials, cookies, and what is between caller and gateway.
fn forwarded(from: &HeaderMap) -> HeaderMap {
    let named = connection_named(from);
    let mut headers = HeaderMap::with_capacity(from.len() + 4);
    for (name, value) in from {
        if goes_on(name) && !named.contains(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

fn goes_on(name: &HeaderName) -> bool {
    let withheld = matches!(
        name.as_str(),
        "accept-encoding"
            | "api-key"
            | "authorization"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "cookie"
            | "expect"
            | "forwarded"
            | "host"
            | "keep-alive"
            | "openai-organization"
            | "openai-project"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "traceparent"
            | "tracestate"
            | "transfer-encoding"
            | "upgrade"
            | "via"
            | "x-api-key"
            | "x-goog-api-key"
            | "x-real-ip"
    );
    // A caller's signature and what belongs to it are over the request that came, not over the one that goes.
    const FAMILIES: [&str; 4] = ["x-keyway-", "x-forwarded-", "x-amz-", "amz-sdk-"];
    !withheld && !FAMILIES.iter().any(|family| name.as_str().starts_with(family))
}

/// Headers that `connection` names are of this hop alone (RFC 9110, 7.6.1).
fn connection_named(from: &HeaderMap) -> Vec<HeaderName> {
    let values = from.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    names
        .filter(|name| !name.eq_ignore_ascii_case("keep-alive") && !name.eq_ignore_ascii_case("close"))
        .filter_map(|name| name.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_providers_business_goes_on() {
        let from: HeaderMap = [
            ("user-agent", "sdk/1"),
            ("anthropic-beta", "b1"),
            ("authorization", "Bearer kw_x"),
            ("x-api-key", "kw_x"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-keyway-tags", "a=b"),
            ("traceparent", "00-x"),
            ("cookie", "a=b"),
            ("openai-organization", "org"),
            ("connection", "keep-alive, x-hop"),
            ("connection", "x-other-hop"),
            ("x-hop", "1"),
            ("x-other-hop", "1"),
            ("x-stainless-lang", "python"),
            ("x-amz-date", "20150830T123600Z"),
            ("x-amz-security-token", "t"),
            ("amz-sdk-invocation-id", "i"),
            ("x-amzn-bedrock-trace", "enabled"),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value)))
        .collect();
        let headers = forwarded(&from);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["anthropic-beta", "user-agent", "x-amzn-bedrock-trace", "x-stainless-lang"]);
    }

    #[test]
    fn another_dialect_gets_its_own_headers() {
        let from: HeaderMap =
            [("user-agent", "sdk/1"), ("anthropic-beta", "b1"), ("x-stainless-lang", "python")]
                .into_iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
        let told = |dialect, stream| {
            let headers = crossed_headers(&from, dialect, stream);
            let mut told: Vec<String> =
                headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            told.sort();
            told
        };
        let (agent, kind) = ("user-agent: sdk/1", "content-type: application/json");
        let events = "accept: text/event-stream";
        assert_eq!(told(Dialect::OpenaiChat, false), ["accept: application/json", kind, agent]);
        assert_eq!(told(Dialect::Gemini, true), [events, kind, agent]);
        let version = "anthropic-version: 2023-06-01";
        assert_eq!(told(Dialect::AnthropicMessages, true), [events, version, kind, agent]);
        let frames = "accept: application/vnd.amazon.eventstream";
        assert_eq!(told(Dialect::BedrockConverse, true), [frames, kind, agent]);
    }

    #[test]
    fn the_callers_key_leaves_the_query() {
        assert_eq!(without_key("beta=true&key=kw_x&a=b"), "beta=true&a=b");
        assert_eq!(without_key("key=kw_x"), "");
    }
}
