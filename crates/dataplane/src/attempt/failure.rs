//! Why an attempt brought no answer, what that says of the key, and what the caller gets if nothing else works.

use crate::{
    clock::since_epoch,
    lease::{Lease, Trouble},
    oauth::NoToken,
    open::Cut,
    quota,
    reply::{Source, Uncollected},
    route::{Step, Verdict},
    translate::Crossing,
    worker::Worker,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header, response::Parts};
use std::{rc::Rc, time::Duration};
use tokio::time::Instant;

/// Bytes of a refusal's body that are passed on.
const BODY_LIMIT: usize = 256 * 1024;
/// Until a key whose account cannot pay is tried again.
const UNPAID: Duration = Duration::from_secs(60);

/// Of a failure that is the gateway's own.
pub(crate) const NO_ROOM: &str = "out_of_descriptors";
pub(super) const TOO_LARGE: &str = "upstream_reply_too_large";
/// Of an error that came inside a stream.
const IN_STREAM: &str = "upstream_stream_error";

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What may be tried next; `None` = nothing.
    pub(crate) verdict: Option<Verdict>,
    /// What the provider answered.
    pub(crate) status: Option<StatusCode>,
    pub(crate) reason: &'static str,
    /// For how long the provider asked not to be asked.
    pub(crate) wait: Option<Duration>,
    /// The provider's own refusal, where the caller can use it.
    pub(crate) passed: Option<Box<Passed>>,
}

/// A refusal of the provider's, secrets redacted.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

// === impl Failure ===

impl Failure {
    /// The target does what no provider should: others may be tried, this one not again.
    #[cold]
    pub(crate) fn broken(reason: &'static str) -> Self {
        Self::of(Some(Verdict::Broken), None, reason)
    }

    /// May pass by itself.
    #[cold]
    pub(crate) fn passing(reason: &'static str) -> Self {
        Self::of(Some(Verdict::Passing), None, reason)
    }

    /// A reply that has to be had whole was not.
    #[cold]
    pub(super) fn uncollected(why: Uncollected) -> Self {
        match why {
            Uncollected::Cut => Self::passing("upstream_cut"),
            Uncollected::TooLarge => Self::broken(TOO_LARGE),
        }
    }

    /// It took too long; `own`: for its target, and the request has time left for another one.
    #[cold]
    pub(crate) fn late(stream: bool, own: bool) -> Self {
        let reason = if stream { "first_token_timeout" } else { "upstream_timeout" };
        Self::of(own.then_some(Verdict::Broken), None, reason)
    }

    /// Its key or its client was revoked under way, and the key will not be chosen again; or it waited for too long.
    #[cold]
    pub(crate) fn cut(why: Cut, (stream, own): (bool, bool)) -> Self {
        if why == Cut::Late {
            return Self::late(stream, own);
        }
        Self::of(Some(Verdict::Refused), None, why.reason())
    }

    /// This machine cannot open another connection: no other target would fare better.
    #[cold]
    pub(crate) fn no_room() -> Self {
        Self::of(None, None, NO_ROOM)
    }

    /// An error that came as the first event of a stream with status 200, under these headers.
    #[cold]
    pub(crate) fn in_stream(status: u16, headers: &HeaderMap) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let verdict = match status.as_u16() {
            401..=403 => Verdict::Refused,
            429 => Verdict::Throttled,
            // The request itself does not please this target, and will not the next time.
            400 | 404 | 409 | 413 | 422 => Verdict::Broken,
            _ => Verdict::Passing,
        };
        Self { wait: quota::wait(headers, since_epoch), ..Self::of(Some(verdict), Some(status), IN_STREAM) }
    }

    fn of(verdict: Option<Verdict>, status: Option<StatusCode>, reason: &'static str) -> Self {
        Self { verdict, status, reason, wait: None, passed: None }
    }

    /// An error inside a stream marks the key as the same status does that comes before one.
    pub(crate) fn mark_if_in_stream(&self, worker: &Worker, lease: &Lease, step: Option<&Step>) {
        if let (IN_STREAM, Some(status), Some(step)) = (self.reason, self.status, step) {
            mark(worker, lease, &step.target.model, (status, self.wait));
        }
    }

    /// What it counts as against the key; none where the request, this machine or an operator was the cause.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let refused = self.verdict == Some(Verdict::Refused);
        match self.status.map(|status| status.as_u16()) {
            Some(401 | 403) if refused => Some(Trouble::Refused),
            Some(402) => Some(Trouble::Fault),
            Some(429) => Some(Trouble::Throttled),
            _ if self.is_timeout() => Some(Trouble::Timeout),
            Some(408 | 500..=599) => Some(Trouble::Fault),
            // Reasons of ours that are the provider's doing say so.
            None if self.verdict == Some(Verdict::Passing) || self.reason.starts_with("upstream") => {
                Some(Trouble::Fault)
            }
            _ => None,
        }
    }

    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self.reason, "first_token_timeout" | "upstream_timeout" | "connect_timeout")
    }

    /// What the caller gets if this was the last attempt.
    pub(crate) fn answer_status(&self) -> StatusCode {
        match self.status {
            Some(status)
                if matches!(status.as_u16(), 400 | 404 | 408 | 409 | 413 | 422 | 429 | 500..=599) =>
            {
                status
            }
            _ if self.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

/// No token was to be had with this key.
pub(super) fn tokenless(worker: &Worker, lease: &Lease, why: NoToken) -> Failure {
    match why {
        NoToken::Refused => {
            lease.key().health.bench(worker.millis(Instant::now()));
            Failure::of(Some(Verdict::Refused), Some(StatusCode::UNAUTHORIZED), "upstream_auth_failed")
        }
        NoToken::Unreachable => Failure::passing("token_unavailable"),
    }
}

/// What a status says of the key, and of the limits that it shares with others. Whether only its token is to blame.
fn mark(worker: &Worker, lease: &Lease, model: &str, (status, wait): (StatusCode, Option<Duration>)) -> bool {
    let now = worker.millis(Instant::now());
    let key = lease.key();
    match status.as_u16() {
        401 if lease.forget_tokens(worker) => {
            tracing::info!(key = &*key.id, "a provider refused a token before its end; another is fetched");
            return true;
        }
        401 => {
            key.health.bench(now);
            tracing::warn!(key = &*key.id, "a provider refused a key with 401; benched here");
        }
        403 => {
            key.health.bench_for(model, now);
            tracing::warn!(
                key = &*key.id,
                model,
                "a provider refused a key with 403; benched here for the model"
            );
        }
        402 => key.health.cool(model, now, Some(UNPAID)),
        429 => {
            key.health.cool(model, now, wait);
            if key.quota.cool(model, now, wait) {
                // No key of that domain is any help now, on whichever replica.
                worker.news.notify_one();
            }
        }
        // The caller's ring, and no fault of the key.
        508 => {}
        408 | 500..=599 => key.health.cool(model, now, wait),
        _ => {}
    }
    false
}

/// A reply that is not a success: marks the key, and says what may be tried next.
pub(super) async fn refused(
    worker: &Rc<Worker>,
    mut parts: Parts,
    source: Source,
    lease: &Lease,
    (model, crossing): (&str, Option<&Crossing>),
) -> Failure {
    let status = parts.status;
    let wait = quota::wait(&parts.headers, since_epoch);
    let is_stale = mark(worker, lease, model, (status, wait));
    let failed = |verdict, reason| Failure::of(verdict, Some(status), reason);
    match status.as_u16() {
        401 if is_stale => failed(Some(Verdict::Passing), "upstream_auth_failed"),
        401 | 403 => failed(Some(Verdict::Refused), "upstream_auth_failed"),
        402 => failed(Some(Verdict::Refused), "upstream_payment_required"),
        429 => {
            crate::translate::reply_headers(&mut parts.headers, lease);
            let passed = passed(parts, source, lease, crossing).await;
            Failure { wait, passed, ..failed(Some(Verdict::Throttled), "upstream_rate_limited") }
        }
        400 | 404 | 409 | 413 | 422 => {
            crate::translate::reply_headers(&mut parts.headers, lease);
            let passed = passed(parts, source, lease, crossing).await;
            let verdict = passed.is_none().then_some(Verdict::Broken);
            Failure { passed, ..failed(verdict, "upstream_refused") }
        }
        // It came round to where it had been: whatever is tried next goes round too, and would multiply at each hop.
        508 => failed(None, "loop_detected"),
        408 | 500..=599 => Failure { wait, ..failed(Some(Verdict::Passing), "upstream_status") },
        300..=399 => failed(Some(Verdict::Broken), "upstream_redirect"),
        _ => failed(Some(Verdict::Broken), "upstream_status"),
    }
}

/// The body of a refusal, if it is within bounds, whole, not encoded; the credential in it is blotted out. Of a target of
/// another dialect it is translated.
async fn passed(
    mut parts: Parts,
    source: Source,
    lease: &Lease,
    crossing: Option<&Crossing>,
) -> Option<Box<Passed>> {
    let encoded = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    let body = source.collect(BODY_LIMIT).await.ok().filter(|_| !encoded)?;
    let body = if lease.is_in(&body) { lease.redact(&body) } else { body };
    if let Some(crossing) = crossing.filter(|crossing| crossing.is_translated()) {
        return Some(Box::new(crossing.refusal(parts.status, &parts.headers, &body, lease)));
    }
    if let Some(crossing) = crossing {
        crossing.name_dropped(&mut parts.headers);
    }
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Some(Box::new(Passed { status: parts.status, headers: parts.headers, body }))
}
