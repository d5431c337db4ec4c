//! A provider's reply headers as the caller gets them: all but cookies, what belongs to one hop, and any value that
//! holds the credential.

use crate::lease::Lease;
use http::{HeaderMap, header};

/// Strips in place.
pub(crate) fn reply_headers(headers: &mut HeaderMap, lease: &Lease) {
    if let Some(named) = headers.remove(header::CONNECTION) {
        for name in named.to_str().unwrap_or_default().split(',').map(str::trim) {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    let echoes = headers.iter().any(|(_, value)| lease.is_in(value.as_bytes()));
    if echoes {
        let names: Vec<_> = headers
            .iter()
            .filter(|(_, value)| lease.is_in(value.as_bytes()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            headers.remove(name);
        }
        tracing::warn!(key = &*lease.key().id, "a provider echoed a credential in a header; stripped");
    }
}

const HOP_BY_HOP: [header::HeaderName; 9] = [
    header::TRANSFER_ENCODING,
    header::SET_COOKIE,
    header::HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::HeaderName::from_static("set-cookie2"),
    header::HeaderName::from_static("proxy-connection"),
];
