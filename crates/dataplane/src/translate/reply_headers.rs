//! A provider's reply headers as the caller gets them: all but cookies, what belongs to one hop, what only the gateway says,
//! and any value that holds the credential. Of a translated reply only what SDKs read.

use crate::lease::Lease;
use http::{HeaderMap, HeaderName, header};

/// What a provider says under these names would be taken for the gateway's word.
const OURS: &str = "x-keyway-";

/// Strips in place. Most replies have nothing to strip, so one look over all of them comes first.
pub(crate) fn reply_headers(headers: &mut HeaderMap, lease: &Lease) {
    let mut withheld: Vec<HeaderName> = Vec::new();
    for (name, value) in &*headers {
        if is_of_this_hop(name) || name.as_str().starts_with(OURS) {
            withheld.push(name.clone());
        } else if lease.is_in(value.as_bytes()) {
            tracing::warn!(key = &*lease.key().id, "a provider echoed a credential in a header; stripped");
            withheld.push(name.clone());
        }
    }
    for named in headers.get_all(header::CONNECTION).iter().filter_map(|named| named.to_str().ok()) {
        withheld.extend(named.split(',').filter_map(|name| name.trim().parse::<HeaderName>().ok()));
    }
    for name in withheld {
        headers.remove(name);
    }
}

/// What of the headers goes on with a reply that is translated: they told of another body.
pub(crate) fn crossed_reply(from: &HeaderMap, lease: &Lease) -> HeaderMap {
    let goes_on = |name: &HeaderName, value: &[u8]| is_read_by_sdks(name.as_str()) && !lease.is_in(value);
    let kept = from.iter().filter(|(name, value)| goes_on(name, value.as_bytes()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_read_by_sdks(name: &str) -> bool {
    matches!(name, "retry-after" | "retry-after-ms" | "request-id" | "x-request-id" | "x-should-retry")
        || name.starts_with("x-ratelimit-")
        || name.starts_with("anthropic-ratelimit-")
}

fn is_of_this_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-connection"
            | "set-cookie"
            | "set-cookie2"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}
