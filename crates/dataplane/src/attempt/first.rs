//! A stream's first event: it decides whether headers go out or another target is tried.

use super::Failure;
use crate::{
    lease::Lease,
    reply::{Answer, Begun, Flow, Gathered, Opening, Source},
};
use http::response::Parts;
use std::time::Duration;

/// Bytes of comments and pings that are held until the first event that counts.
const BEFORE_FIRST: usize = 1 << 20;

pub(super) async fn first_event(
    head: Parts,
    mut source: Source,
    (mut flow, lease): (Flow, &Lease),
    idle: Duration,
) -> Result<Answer, Failure> {
    let mut gathered = Gathered::default();
    loop {
        match flow.opening() {
            Opening::Content => {
                return Ok(Answer::Events(Box::new(Begun { head, source, flow, gathered, idle })));
            }
            Opening::Error(status) => return Err(Failure::in_stream(status)),
            Opening::Pending => {}
        }
        match source.piece().await {
            Some(Ok(_)) if gathered.len() > BEFORE_FIRST => {
                return Err(Failure::broken("upstream_malformed"));
            }
            Some(Ok(piece)) => {
                // A stream that cannot be read from its first bytes on is the target's fault, not the caller's.
                flow.push(piece, Some(lease), &mut gathered)
                    .map_err(|_| Failure::broken("upstream_malformed"))?;
            }
            Some(Err(_)) => return Err(Failure::passing("upstream_stream_cut")),
            None => {
                flow.finish(Some(lease), &mut gathered);
                if flow.opening() == Opening::Pending {
                    return Err(Failure::passing("upstream_stream_cut"));
                }
            }
        }
    }
}
