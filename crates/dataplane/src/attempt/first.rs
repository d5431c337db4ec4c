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
    let mut broken = None;
    loop {
        match (flow.opening(), broken) {
            // What broke it may have come with its first event, which has arrived all the same.
            (Opening::Content, broken) => {
                return Ok(Answer::Events(Box::new(Begun { head, source, flow, gathered, idle, broken })));
            }
            (Opening::Error(status), _) => return Err(Failure::in_stream(status, &head.headers)),
            // A stream that cannot be read from its first bytes on is the target's fault, not the caller's.
            (Opening::Pending, Some(_)) => return Err(Failure::broken("upstream_malformed")),
            (Opening::Pending, None) => {}
        }
        match source.piece().await {
            Some(Ok(_)) if gathered.len() > BEFORE_FIRST => {
                return Err(Failure::broken("upstream_malformed"));
            }
            Some(Ok(piece)) => broken = flow.push(piece, Some(lease), &mut gathered).err(),
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
