//! A reply that is no stream: held back whole while it is small and its length known, so that its cost stands in the
//! headers and a cut one never reaches the caller; passed on as it comes otherwise.

use super::Failure;
use crate::{
    call::Call,
    meter::Seen,
    reply::{Answer, Source},
};
use http::{HeaderMap, response::Parts};
use keyway_dialect::{
    reply::{UsageScan, told},
    usage::characters,
};
use keyway_snapshot::Endpoint;
use tokio::time::Instant;

/// Bytes of a reply that are held back.
pub(crate) const WHOLE_LIMIT: u64 = 256 * 1024;

pub(super) async fn whole(
    call: &Call,
    head: Parts,
    mut source: Source,
    deadline: Instant,
) -> Result<Answer, Failure> {
    let usage = |headers: &HeaderMap| {
        let usage = UsageScan::new(call.dialect, call.endpoint);
        match call.endpoint {
            Endpoint::AudioSpeech => usage.speaking(characters(&call.body).unwrap_or_default()),
            Endpoint::Invoke => usage.heralded(|name| headers.get(name)?.to_str().ok()),
            _ => usage,
        }
    };
    match source.length() {
        Some(0) => Err(Failure::broken("upstream_bad_content_type")),
        Some(length) if length <= WHOLE_LIMIT => {
            let body = source.collect(WHOLE_LIMIT as usize).await.map_err(Failure::uncollected)?;
            if let Some(told) = told(call.dialect, call.endpoint, &body) {
                return Ok(Answer::Whole { head, body, seen: Seen::told(told) });
            }
            let mut usage = usage(&head.headers);
            // Audio and the like cannot hold an object; the scan ends at their first byte.
            usage.push(&body);
            Ok(Answer::Whole { head, body, seen: Seen::whole(usage) })
        }
        length => {
            // Some send an empty page in chunks; what is cut so early can still be had from another target.
            if length.is_none() && !source.begins().await.map_err(|_| Failure::passing("upstream_cut"))? {
                return Err(Failure::broken("upstream_bad_content_type"));
            }
            let usage = Box::new(usage(&head.headers));
            Ok(Answer::Passing { head, source, usage, deadline })
        }
    }
}
