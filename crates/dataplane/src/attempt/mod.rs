//! One try at one target with one key: from the request on the wire to the first bytes of an answer that may go out.
//! Until then every fault is a `Failure`, and another target may be tried.

mod crossed;
mod failure;
mod first;
mod send;
mod whole;

pub(crate) use failure::{Failure, NO_ROOM, Passed};
pub(crate) use whole::WHOLE_LIMIT;

use crate::{
    call::{Call, Waits},
    lease::Lease,
    open::Place,
    reply::{Answer, Flow},
    route::Step,
    translate::{self, Crossing},
    worker::Worker,
};
use http::{HeaderMap, StatusCode, header, response::Parts};
use keyway_dialect::stream::{Framing, Relay};
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
    (step, crossing): (&Step, Option<&Crossing>),
    (lease, place): (&Lease, &Place),
) -> Result<Answer, Failure> {
    let provider = &step.target.provider;
    if provider.built_in {
        return sandbox(worker, call, step, crossing);
    }
    let dialect = crossing.map_or(call.dialect, Crossing::dialect);
    let surface = provider.surface(dialect).ok_or_else(|| Failure::broken("dialect"))?;
    let waits = call.waits(provider.timeouts, step.timeouts);
    let mut alarm = (waits.answer < SHORT).then(|| Box::pin(tokio::time::sleep_until(waits.answer_by)));
    place.due(Some(waits.answer_by));
    let mut answered = pin!(answer(worker, call, (step, crossing), (surface, waits), lease));
    // Not a future of its own around the other: that would be moved with every request.
    let answered = poll_fn(|cx| {
        if let Some(cut) = place.is_cut() {
            return Poll::Ready(Err(Failure::cut(cut, (call.stream, waits.own))));
        }
        if let Poll::Ready(answered) = answered.as_mut().poll(cx) {
            return Poll::Ready(answered);
        }
        if alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(Failure::late(call.stream, waits.own)));
        }
        place.wait(cx);
        Poll::Pending
    })
    .await;
    place.due(None);
    // Others are spared what this one waited for in vain.
    if answered.as_ref().is_err_and(|failure| waits.own && failure.is_timeout()) {
        lease.key().health.cool(&step.target.model, worker.millis(tokio::time::Instant::now()), None);
    }
    answered
}

fn sandbox(
    worker: &Worker,
    call: &Call,
    step: &Step,
    crossing: Option<&Crossing>,
) -> Result<Answer, Failure> {
    let id = worker.request_id(call.started).to_string();
    let created = worker.since_epoch(call.started).as_secs();
    let none = || Failure::broken("endpoint");
    let name = (&*id, &*step.target.label);
    if let Some(crossing) = crossing {
        let place = (crossing.dialect(), crossing.endpoint());
        let said = crate::sandbox::answer(place, &crossing.body(), name, crossing.is_stream(), created);
        return crossing.made(said.ok_or_else(none)?);
    }
    let place = (call.dialect, call.endpoint);
    crate::sandbox::answer(place, &call.body, name, call.stream, created).map(Answer::Made).ok_or_else(none)
}

async fn answer(
    worker: &Rc<Worker>,
    call: &Call,
    (step, crossing): (&Step, Option<&Crossing>),
    (surface, waits): (&Surface, Waits),
    lease: &Lease,
) -> Result<Answer, Failure> {
    if let Some(crossing) = crossing.filter(|crossing| crossing.is_translated()) {
        // Boxed, as all that is rare: what a request sets aside for it would be moved with every request.
        return Box::pin(crossed::answer(worker, call, (step, crossing), (surface, waits), lease)).await;
    }
    let url = surface.url(call.endpoint, call.stream).ok_or_else(|| Failure::broken("endpoint"))?;
    let request = || match crossing {
        None => translate::request(call, &step.target, surface, url, lease),
        Some(crossing) => translate::crossed_request(call, &step.target, crossing, (surface, url), lease),
    };
    let sent = send::send(worker, call, (step, surface, url), (waits, lease), request).await?;
    let (mut parts, source) = (sent.head, sent.source);
    let status = parts.status;
    if !status.is_success() {
        let place = (&*step.target.model, crossing);
        return Err(Box::pin(failure::refused(worker, parts, source, lease, place)).await);
    }
    check(&parts, call.endpoint)?;
    let framing = Framing::of(call.dialect, call.stream, content_type(&parts.headers));
    translate::reply_headers(&mut parts.headers, lease);
    if let Some(crossing) = crossing {
        crossing.name_dropped(&mut parts.headers);
    }
    if let Some(framing) = framing {
        let place = (call.dialect, call.endpoint);
        let relay = Relay::framed(framing, place, surface.stream_end, sent.withhold_usage);
        let flow = (Flow::Relay(relay), lease);
        return Box::pin(first::first_event(parts, source, flow, waits.idle)).await;
    }
    let whole = whole::whole(call, parts, source, waits.whole_by).await;
    crate::turn::others_first(worker).await;
    whole
}

/// What a provider must not answer with: 200 and another coding than asked for, or a page of a portal on the way.
fn check(parts: &Parts, endpoint: Endpoint) -> Result<(), Failure> {
    let encoded = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    if encoded {
        return Err(Failure::broken("upstream_bad_encoding"));
    }
    let kind = content_type(&parts.headers);
    if kind.starts_with(b"application/json") || kind.starts_with(b"text/event-stream") {
        return Ok(());
    }
    let kind = kind.to_ascii_lowercase();
    let free = matches!(
        endpoint,
        Endpoint::AudioSpeech | Endpoint::AudioTranscriptions | Endpoint::AudioTranslations
    );
    let has = |word: &str| memchr::memmem::find(&kind, word.as_bytes()).is_some();
    let frames = has("vnd.amazon.eventstream");
    let right = if free { !has("text/html") } else { frames || has("json") || has("text/event-stream") };
    if right && parts.status != StatusCode::NO_CONTENT {
        Ok(())
    } else {
        Err(Failure::broken("upstream_bad_content_type"))
    }
}

fn content_type(headers: &HeaderMap) -> &[u8] {
    headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes())
}

fn is_events(headers: &HeaderMap) -> bool {
    let kind = content_type(headers);
    let begins = |with: &[u8]| kind.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    begins(b"text/event-stream") || begins(b"application/vnd.amazon.eventstream")
}
