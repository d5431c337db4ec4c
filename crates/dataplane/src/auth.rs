//! Who calls. A token is looked up by keyed digest of its whole text; before it is known, nothing else is read. Who signs
//! instead names a key pair; the signature is over the body too, and so is looked at once that is there.

use crate::refusal::Refusal;
use http::{HeaderMap, HeaderName, Uri, header, request::Parts};
use keyway_sigv4::{Claim, Message};
use keyway_snapshot::{Client, ClientState, Snapshot, TokenDigest};
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, sync::Arc};

/// Headers whose whole value is a token.
static TOKEN_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("api-key"),
];
/// Longer than any token that is made or may be set; bounds what is digested.
const TOKEN_LIMIT: usize = 512;

/// Who calls, and by what that is known.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) client: Arc<Client>,
    pub(crate) token: TokenDigest,
    /// A signature that is still to be checked with the body.
    pub(crate) claim: Option<Box<Claim>>,
}

/// The client whose token the request carries, or whose key pair it names.
///
/// # Errors
/// One and the same refusal for no, malformed, unknown and differing tokens; another for a disabled client.
pub(crate) fn client(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    uri: &Uri,
    now_unix: u64,
) -> Result<Admitted, Refusal> {
    if Claim::is_made(headers) {
        return signer(snapshot, headers, uri, now_unix);
    }
    // Digested even when it cannot be right, so that all three wrong cases take as long.
    let token = token(headers, uri).unwrap_or_default();
    let digest = snapshot.settings.digest_key.digest(token.get(..TOKEN_LIMIT).unwrap_or(&token));
    let client = admitted(snapshot, digest, now_unix)?;
    Ok(Admitted { client, token: digest, claim: None })
}

/// By what stands in the head alone: a known access key, and a time that is near.
fn signer(snapshot: &Snapshot, headers: &HeaderMap, uri: &Uri, now_unix: u64) -> Result<Admitted, Refusal> {
    let beside =
        TOKEN_HEADERS.iter().any(|name| headers.contains_key(name)) || query_keys(uri).next().is_some();
    if beside {
        return Err(Refusal::unknown_client());
    }
    let claim = Claim::read(headers, now_unix).map_err(|_| Refusal::unknown_client())?;
    let pair = snapshot.clients.by_access_key(&claim.access_key_id).ok_or_else(Refusal::unknown_client)?;
    let client = admitted(snapshot, pair.digest, now_unix)?;
    Ok(Admitted { client, token: pair.digest, claim: Some(Box::new(claim)) })
}

/// Whether the signature is that of the pair it names, over this request and this body.
///
/// # Errors
/// The refusal of an unknown token.
pub(crate) fn signature(
    snapshot: &Snapshot,
    claim: &Claim,
    head: &Parts,
    body: &[u8],
) -> Result<(), Refusal> {
    if head.headers.contains_key(header::CONTENT_ENCODING) {
        // It would be over bytes that are not there any more.
        return Err(Refusal::unsupported("a signed request cannot have a content-encoding", None));
    }
    let message = Message {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        authority: head.uri.authority().map_or("", http::uri::Authority::as_str),
        body: keyway_sigv4::hash([body]),
    };
    let pair = snapshot.clients.by_access_key(&claim.access_key_id).ok_or_else(Refusal::unknown_client)?;
    claim.check(pair.secret.expose(), &message).map_err(|why| {
        tracing::debug!(access_key_id = &*claim.access_key_id, ?why, "a signature that is not right");
        Refusal::unknown_client()
    })
}

/// The client of a token that was read before.
///
/// # Errors
/// As `client`.
pub(crate) fn admitted(
    snapshot: &Snapshot,
    digest: TokenDigest,
    now_unix: u64,
) -> Result<Arc<Client>, Refusal> {
    let client = snapshot.clients.by_digest(&digest).ok_or_else(Refusal::unknown_client)?;
    let expired = client.expires_at != 0 && client.expires_at <= now_unix;
    if client.state != ClientState::Enabled || expired {
        return Err(Refusal::client_disabled());
    }
    Ok(Arc::clone(client))
}

/// The one token that the request carries; none if there is none or if two differ.
fn token<'a>(headers: &'a HeaderMap, uri: &Uri) -> Option<Cow<'a, [u8]>> {
    let mut found: Option<Cow<'a, [u8]>> = None;
    let bearer =
        headers.get_all(header::AUTHORIZATION).iter().map(|value| Cow::Borrowed(bearer(value.as_bytes())));
    let plain = TOKEN_HEADERS.iter().flat_map(|name| headers.get_all(name).iter());
    let plain = plain.map(|value| Cow::Borrowed(value.as_bytes()));
    for token in bearer.chain(plain).chain(query_keys(uri).map(Cow::Owned)) {
        match &found {
            None => found = Some(token),
            Some(known) if *known == token => {}
            Some(_) => return None,
        }
    }
    found
}

/// Another scheme's whole value can never be a token, and must not pass beside one.
fn bearer(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        _ => value,
    }
}

fn query_keys(uri: &Uri) -> impl Iterator<Item = Vec<u8>> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.filter_map(|pair| pair.strip_prefix("key=")).map(|raw| percent_decode_str(raw).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&str, &str)], uri: &str) -> Option<String> {
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        token(&map, &uri.parse().unwrap()).map(|token| String::from_utf8(token.into_owned()).unwrap())
    }

    #[test]
    fn every_form_of_every_sdk() {
        for headers in [
            &[("authorization", "Bearer kw_a")][..],
            &[("authorization", "bearer  kw_a")],
            &[("x-api-key", "kw_a")],
            &[("x-goog-api-key", "kw_a")],
            &[("api-key", "kw_a")],
            &[("x-api-key", "kw_a"), ("authorization", "Bearer kw_a")],
        ] {
            assert_eq!(found(headers, "/v1/models").as_deref(), Some("kw_a"), "{headers:?}");
        }
        assert_eq!(found(&[], "/v1/models?alt=sse&key=kw%5Fa").as_deref(), Some("kw_a"));
        assert_eq!(found(&[], "/v1/models"), None);
        assert_eq!(found(&[("x-api-key", "kw_a"), ("authorization", "Bearer kw_b")], "/"), None);
        assert_eq!(found(&[("x-api-key", "kw_a"), ("authorization", "Basic abc")], "/"), None);
        assert_eq!(found(&[("x-api-key", "kw_a")], "/?key=kw_b"), None);
        assert_eq!(found(&[], "/?key=kw_a&key=kw_b"), None);
    }
}
