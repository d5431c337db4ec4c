//! The request as a target gets it: the caller's bytes but for the model name, the caller's headers but for those that
//! are the gateway's business, and the provider's credential.

use crate::{
    call::Call,
    clock,
    lease::{Lease, Presented},
    sigv4,
    upstream::RequestBody,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header,
    uri::{Parts, PathAndQuery},
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
) -> Result<(Request<RequestBody>, bool), Unsendable> {
    let merge_usage = call.stream
        && matches!(call.endpoint, Endpoint::ChatCompletions | Endpoint::Completions)
        && !surface.no_stream_options
        && !call.shape.wants_usage();
    let segments = call.shape.rewritten(call.body.clone(), &target.model, merge_usage);
    let mut headers = forwarded(&call.headers);
    headers.insert(header::HOST, url.origin.authority.clone());
    headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    if url.origin.private_network || is_loopback(&url.origin.host) {
        headers.insert(header::VIA, VIA);
        (0..call.hops).for_each(|_| {
            headers.append(header::VIA, VIA);
        });
    }
    for (name, value) in &target.provider.headers {
        headers.insert(name.clone(), value.clone());
    }
    let uri = uri(call, target, (surface, url), lease)?;
    present(
        &mut headers,
        target.provider.auth_of(surface),
        lease.presented(surface),
        (&uri, segments.parts()),
    )?;
    let mut request = Request::new(RequestBody::from(segments));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok((request, merge_usage))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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
            let hash = sigv4::hash(body.iter().map(AsRef::as_ref));
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
    call: &Call,
    target: &Target,
    (surface, url): (&Surface, &EndpointUrl),
    lease: &Lease,
) -> Result<Uri, Unsendable> {
    let path = url.path_for(&target.model).map_err(|Misplaced| Unsendable::Path)?;
    // Who speaks Gemini says by this word itself in which form a stream is to come.
    let own_form = surface.dialect == Dialect::Gemini && call.dialect == Dialect::Gemini;
    let bare = path.as_str().strip_suffix(SSE).filter(|_| own_form);
    let query = call.query.as_deref().map(without_key).filter(|query| !query.is_empty());
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
    let Some(value) = from.get(header::CONNECTION) else { return Vec::new() };
    let names = value.to_str().unwrap_or_default().split(',').map(str::trim);
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
            ("x-hop", "1"),
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
    fn the_callers_key_leaves_the_query() {
        assert_eq!(without_key("beta=true&key=kw_x&a=b"), "beta=true&a=b");
        assert_eq!(without_key("key=kw_x"), "");
    }
}
