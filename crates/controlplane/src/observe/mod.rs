//! What is seen of a change from outside: its spans. A change is traced if whoever asked for it named a trace, or if a
//! collector is configured; their names and what they say stand in docs/traces.md.

use crate::{fleet::Fleet, push::Push};
use http::{HeaderMap, Method, StatusCode};
use keyway_snapshot::{StateHash, Version};
use keyway_telemetry::{Span, TRACEPARENT, TraceParent, Tracer};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Of the traces.
pub const SERVICE: &str = "keyway-controlplane";
/// A push that not every replica has answered by then is over all the same; who was missing is counted.
const ANSWERED: Duration = Duration::from_secs(2);

/// What the replicas made of one state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Replicas with a stream.
    pub(crate) connected: usize,
    /// Of these, who serves it or a later one.
    pub(crate) acked: usize,
    /// Of these, who refused it.
    pub(crate) refused: usize,
}

/// The answer to one call that changes something, below the caller's span if it named one.
pub(crate) fn called(tracer: &Tracer, method: &Method, route: String, headers: &HeaderMap) -> Span {
    let caller = headers.get(TRACEPARENT).and_then(|value| TraceParent::parse(value.to_str().ok()?));
    let span = tracer.server(format!("{method} {route}"), caller);
    span.set("http.request.method", method.to_string());
    span.set("http.route", route);
    span
}

/// It was answered. A caller's mistake is no fault of the server's (semantic conventions for HTTP).
pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail("failed");
    }
    span.end();
}

/// Gives a state to the replicas and names them the change that made it, whose span is `trace`, as `traceparent`.
pub(crate) fn publish(tracer: &Tracer, fleet: &Arc<Fleet>, trace: &str, push: Push) {
    let span = tracer.child(trace, "push");
    let push = push.traced(span.traceparent());
    let (version, hash) = (push.version, push.hash);
    fleet.publish(Arc::new(push));
    pushed(fleet, span, version, hash);
}

/// Ends the span of a push once every connected replica has answered, and no later than [`ANSWERED`].
fn pushed(fleet: &Arc<Fleet>, span: Span, version: Version, hash: StateHash) {
    if !span.is_recording() {
        return;
    }
    let fleet = Arc::clone(fleet);
    tokio::spawn(async move {
        let mut changes = fleet.changes();
        let all =
            async { while !fleet.answers(version, hash).are_all() && changes.changed().await.is_ok() {} };
        let in_time = timeout(ANSWERED, all).await.is_ok();
        let answers = fleet.answers(version, hash);
        span.set("keyway.snapshot", version.to_string());
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        span.set("keyway.replicas", count(answers.connected));
        span.set("keyway.acked", count(answers.acked));
        span.set("keyway.refused", count(answers.refused));
        if answers.refused > 0 {
            span.fail("nack");
        } else if !in_time {
            span.fail("unanswered");
        }
        span.end();
    });
}

// === impl Answers ===

impl Answers {
    fn are_all(self) -> bool {
        self.acked + self.refused >= self.connected
    }
}
