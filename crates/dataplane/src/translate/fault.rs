//! A provider's own words about a failure, as a caller of another dialect may read them.

use super::{Crossing, crossed_reply};
use crate::{attempt::Passed, lease::Lease};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use keyway_dialect::fault::Fault;

/// In the place of texts that are no business of the caller's.
const WITHHELD: &str = "the provider failed";

/// Makes a provider's fault fit to be shown: its key is blotted out, what it says of keys, funds and its own failures is
/// withheld, and the request has our id.
pub(super) fn presentable(fault: &mut Fault, lease: Option<&Lease>, id: &str) {
    if matches!(fault.status, 401..=403 | 500..) {
        WITHHELD.clone_into(&mut fault.message);
        fault.param = None;
    }
    if let Some(lease) = lease {
        for text in std::iter::once(&mut fault.message).chain(&mut fault.param) {
            if lease.is_in(text.as_bytes()) {
                let clean = String::from_utf8(lease.redact(text.as_bytes()).into());
                *text = clean.unwrap_or_else(|_| WITHHELD.to_owned());
            }
        }
    }
    id.clone_into(&mut fault.request_id);
}

/// Whole seconds of `retry-after`; a date is left to the header.
fn seconds(headers: &HeaderMap) -> Option<u32> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

// === impl Crossing ===

impl Crossing {
    /// A refusal that the caller can use, in its dialect.
    pub(crate) fn refusal(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
        lease: &Lease,
    ) -> Passed {
        let mut fault = self.target.fault(status.as_u16(), body);
        presentable(&mut fault, Some(lease), &self.asked.id);
        fault.retry_after = fault.retry_after.or_else(|| seconds(headers));
        let body = self.caller.encode_fault(&fault);
        let mut headers = crossed_reply(headers, lease);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let (Some(seconds), false) = (fault.retry_after, headers.contains_key(header::RETRY_AFTER)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some((name, value)) = keyway_dialect::fault::header(&fault, self.caller.dialect()) {
            headers.insert(name, HeaderValue::from_static(value));
        }
        self.name_dropped(&mut headers);
        Passed { status, headers, body }
    }
}
