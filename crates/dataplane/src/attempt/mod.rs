//! One try at one target with one key: from the request on the wire to the first bytes of an answer that may go out.
//! Until then every fault is a `Failure`, and another target may be tried.

mod failure;
mod first;
mod send;
mod whole;

pub(crate) use failure::{Failure, NO_ROOM, Passed};

use crate::{
    call::{Call, Waits},
    lease::Lease,
    open::Place,
    reply::Answer,
    route::Step,
    worker::Worker,
};
use http::{HeaderMap, StatusCode, header, response::Parts};
use keyway_snapshot::{Endpoint, Surface};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

/// Waits below this have a timer of their own; longer ones end when somebody looks.
const SHORT: Duration = Duration::from_secs(2);

/// Tries.
///
/// # Errors
/// What went wrong, and what may be tried next.
pub(crate) async fn attempt(
    worker: &Rc<Worker>,
    call: &Call,
    step: &Step,
    (lease, place): (&Lease, &Place),
) -> Result<Answer, Failure> {
    let provider = &step.target.provider;
    if provider.built_in {
        return sandbox(worker, call, step);
    }
    let surface = provider.surface(call.dialect).ok_or_else(|| Failure::broken("dialect"))?;
    let waits = call.waits(provider.timeouts, step.timeouts);
    let deadline = call.started + waits.answer;
    let mut alarm = (waits.answer < SHORT).then(|| Box::pin(tokio::time::sleep_until(deadline)));
    place.due(Some(deadline));
    let mut answered = pin!(answer(worker, call, step, (surface, waits), lease));
    // Not a future of its own around the other: that would be moved with every request.
    let answered = poll_fn(|cx| {
        if let Some(cut) = place.is_cut() {
            return Poll::Ready(Err(Failure::cut(cut, call.stream)));
        }
        if let Poll::Ready(answered) = answered.as_mut().poll(cx) {
            return Poll::Ready(answered);
        }
        if alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(Failure::too_slow(call.stream)));
        }
        place.wait(cx);
        Poll::Pending
    })
    .await;
    place.due(None);
    answered
}

fn sandbox(worker: &Worker, call: &Call, step: &Step) -> Result<Answer, Failure> {
    let id = worker.request_id(call.started).to_string();
    let created = worker.since_epoch(call.started).as_secs();
    let place = (call.dialect, call.endpoint);
    crate::sandbox::answer(place, &call.body, (&id, &step.target.label), call.stream, created)
        .map(Answer::Made)
        .ok_or_else(|| Failure::broken("endpoint"))
}

async fn answer(
    worker: &Rc<Worker>,
    call: &Call,
    step: &Step,
    (surface, waits): (&Surface, Waits),
    lease: &Lease,
) -> Result<Answer, Failure> {
    let url = surface.url(call.endpoint, call.stream).ok_or_else(|| Failure::broken("endpoint"))?;
    let sent = send::send(worker, call, step, (surface, url), (waits, lease)).await?;
    let (mut parts, source) = (sent.head, sent.source);
    let status = parts.status;
    if !status.is_success() {
        return Err(Box::pin(failure::refused(worker, parts, source, lease, &step.target.model)).await);
    }
    check(&parts, call.endpoint)?;
    let events = is_events(&parts.headers);
    crate::translate::reply_headers(&mut parts.headers, lease);
    if events {
        let relay = keyway_dialect::stream::Relay::new(
            call.dialect,
            call.endpoint,
            surface.stream_end,
            sent.withhold_usage,
        );
        // Boxed, as all that is rare: what a request sets aside for it would be moved with every request.
        return Box::pin(first::first_event(parts, source, relay, waits.idle)).await;
    }
    let whole = whole::whole(call, parts, source).await;
    crate::turn::others_first(worker).await;
    whole
}

/// What a provider must not answer with: 200 and another coding than asked for, or a page of a portal on the way.
fn check(parts: &Parts, endpoint: Endpoint) -> Result<(), Failure> {
    let encoded = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    if encoded {
        return Err(Failure::broken("upstream_bad_encoding"));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    if kind.starts_with(b"application/json") || kind.starts_with(b"text/event-stream") {
        return Ok(());
    }
    let kind = kind.to_ascii_lowercase();
    let free = matches!(
        endpoint,
        Endpoint::AudioSpeech | Endpoint::AudioTranscriptions | Endpoint::AudioTranslations
    );
    let has = |word: &str| memchr::memmem::find(&kind, word.as_bytes()).is_some();
    let right = if free { !has("text/html") } else { has("json") || has("text/event-stream") };
    if right && parts.status != StatusCode::NO_CONTENT {
        Ok(())
    } else {
        Err(Failure::broken("upstream_bad_content_type"))
    }
}

fn is_events(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes().get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
    })
}
