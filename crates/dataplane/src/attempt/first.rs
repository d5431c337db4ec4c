//! A stream's first event: it decides whether headers go out or another target is tried.

use super::Failure;
use crate::reply::{Answer, Begun, Gathered, Source};
use http::response::Parts;
use keyway_dialect::stream::{First, Relay};
use std::time::Duration;

/// Bytes of comments and pings that are held until the first event that counts.
const BEFORE_FIRST: usize = 1 << 20;

pub(super) async fn first_event(
    head: Parts,
    mut source: Source,
    mut relay: Relay,
    idle: Duration,
) -> Result<Answer, Failure> {
    let mut gathered = Gathered::default();
    loop {
        match relay.first() {
            First::Content => {
                return Ok(Answer::Events(Box::new(Begun { head, source, relay, gathered, idle })));
            }
            First::Error(refused) => return Err(Failure::in_stream(refused.status)),
            First::Pending => {}
        }
        match source.piece().await {
            Some(Ok(_)) if gathered.len() > BEFORE_FIRST => {
                return Err(Failure::broken("upstream_malformed"));
            }
            Some(Ok(piece)) => {
                // A stream that cannot be read from its first bytes on is the target's fault, not the caller's.
                relay
                    .push(piece, &mut |bytes| gathered.add(bytes))
                    .map_err(|_| Failure::broken("upstream_malformed"))?;
            }
            Some(Err(_)) => return Err(Failure::passing("upstream_stream_cut")),
            None => {
                relay.finish(&mut |bytes| gathered.add(bytes));
                if matches!(relay.first(), First::Pending) {
                    return Err(Failure::passing("upstream_stream_cut"));
                }
            }
        }
    }
}
