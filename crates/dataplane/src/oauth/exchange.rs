//! One call to a token server.

use super::{Account, Fetched, NoToken, assertion::assertion};
use crate::upstream::{Connector, Link};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header, uri::Parts};
use keyway_dialect::rewrite::Segments;
use serde_json::value::RawValue;
use std::{collections::HashMap, time::Duration};
use zeroize::Zeroizing;

/// For the whole call.
const LIMIT: Duration = Duration::from_secs(10);
/// To connect.
const CONNECT: Duration = Duration::from_secs(3);
/// Bytes of an answer that are read.
const BODY_LIMIT: usize = 64 * 1024;
/// Seconds that a token lives that does not say how long.
const LIVES: u64 = 3600;
/// Seconds after which one is renewed, whatever it says.
const LIVES_AT_MOST: u64 = 24 * 3600;
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("keyway/", env!("CARGO_PKG_VERSION")));
const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";

/// A token for the account.
pub(super) async fn exchange(
    account: &Account,
    connector: &Connector,
    now_unix: u64,
) -> Result<Fetched, NoToken> {
    tokio::time::timeout(LIMIT, asked(account, connector, now_unix))
        .await
        .unwrap_or(Err(NoToken::Unreachable))
}

async fn asked(account: &Account, connector: &Connector, now_unix: u64) -> Result<Fetched, NoToken> {
    let request = request(account, now_unix).ok_or(NoToken::Refused)?;
    let mut link = connector.connect(&account.origin, CONNECT).await.map_err(|_| NoToken::Unreachable)?;
    let reply = link.send(request).await.map_err(|_| NoToken::Unreachable)?;
    match reply.status {
        StatusCode::OK => {}
        // `invalid_grant` and its kind: the account or this key of it is gone.
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(NoToken::Refused);
        }
        _ => return Err(NoToken::Unreachable),
    }
    let body = read(&mut link).await.ok_or(NoToken::Unreachable)?;
    token(&body).ok_or(NoToken::Unreachable)
}

fn request(account: &Account, now_unix: u64) -> Option<Request<Segments>> {
    let form = format!("{GRANT}{}", assertion(account, now_unix)?);
    let mut request = Request::new(Segments::from(bytes::Bytes::from(form)));
    *request.method_mut() = Method::POST;
    let mut parts = Parts::default();
    parts.path_and_query = Some(account.path.clone());
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, account.origin.authority.clone());
    headers.insert(header::CONTENT_TYPE, FORM);
    headers.insert(header::ACCEPT, JSON);
    headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    headers.insert(header::USER_AGENT, AGENT);
    Some(request)
}

/// `None` if it breaks or is too long.
async fn read(link: &mut Link) -> Option<Zeroizing<Vec<u8>>> {
    // Never grown: that would leave a copy behind.
    let mut whole = Zeroizing::new(Vec::with_capacity(BODY_LIMIT));
    while let Some(piece) = std::future::poll_fn(|cx| link.poll_piece(cx)).await {
        let piece = piece.ok()?;
        if whole.len() + piece.len() > BODY_LIMIT {
            return None;
        }
        whole.extend_from_slice(&piece);
    }
    Some(whole)
}

/// The token in an answer, and its life.
pub(super) fn token(body: &[u8]) -> Option<Fetched> {
    let fields: HashMap<&str, &RawValue> = serde_json::from_slice(body).ok()?;
    let raw = fields.get("access_token")?.get().strip_prefix('"')?.strip_suffix('"')?;
    // What needs an escape cannot stand in a header either.
    let token = Some(raw.as_bytes()).filter(|raw| !raw.is_empty() && !raw.contains(&b'\\'))?;
    let lives = match fields.get("expires_in") {
        Some(seconds) => seconds.get().trim_matches('"').parse().ok()?,
        None => LIVES,
    };
    Some((Zeroizing::new(token.to_vec()), Duration::from_secs(lives.min(LIVES_AT_MOST))))
}
