//! A provider's reply headers as the caller gets them: all but cookies, what belongs to one hop, and any value that
//! holds the credential.

use crate::lease::Lease;
use http::{HeaderMap, HeaderName, header};

/// Strips in place. Most replies have nothing to strip, so one look over all of them comes first.
pub(crate) fn reply_headers(headers: &mut HeaderMap, lease: &Lease) {
    let mut withheld: Vec<HeaderName> = Vec::new();
    for (name, value) in &*headers {
        if is_of_this_hop(name) {
            withheld.push(name.clone());
        } else if lease.is_in(value.as_bytes()) {
            tracing::warn!(key = &*lease.key().id, "a provider echoed a credential in a header; stripped");
            withheld.push(name.clone());
        }
    }
    if let Some(named) = headers.get(header::CONNECTION).and_then(|named| named.to_str().ok()) {
        withheld.extend(named.split(',').filter_map(|name| name.trim().parse::<HeaderName>().ok()));
    }
    for name in withheld {
        headers.remove(name);
    }
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
