//! From what was decided to the response that hyper writes: headers of the contract, body, and the end of the count.

use crate::{
    attempt::{Passed, WHOLE_LIMIT},
    call::Call,
    lease::Lease,
    meter::{Outcome, Seen, Tally},
    open::Place,
    pipeline::ending,
    refusal::Refusal,
    reply::{Answer, Begun, Events, Passing, ReplyBody},
    sandbox::Said,
    worker::Worker,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use keyway_dialect::{reply::UsageScan, stream::Relay};
use keyway_snapshot::{Dialect, Endpoint, StreamEnd};
use std::{io::Write, rc::Rc, sync::Arc, time::Duration};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-keyway-request-id");
const TARGET: HeaderName = HeaderName::from_static("x-keyway-target");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-keyway-attempts");
const CACHE: HeaderName = HeaderName::from_static("x-keyway-cache");
const SNAPSHOT: HeaderName = HeaderName::from_static("x-keyway-snapshot");
const COST: HeaderName = HeaderName::from_static("x-keyway-cost-usd");
const TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Headers that a reply gets here: room for them is made once.
const OWN_HEADERS: usize = 8;
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// All that an answer is made of.
pub(crate) struct Parts {
    answer: Answer,
    state: Arc<crate::sync::State>,
    /// Held until the reply has ended.
    lease: Option<Lease>,
    /// Where it is found when it must be cut.
    held: Option<Place>,
    attempts: usize,
    upstream: Duration,
    place: (Dialect, Endpoint),
    /// The target, where it is not the one that was asked last.
    label: Option<HeaderValue>,
}

// === impl Parts ===

impl Parts {
    pub(crate) fn new(
        call: &Call,
        answer: Answer,
        (lease, held): (Lease, Place),
        attempts: usize,
        upstream: Duration,
    ) -> Self {
        let place = (call.dialect, call.endpoint);
        let (lease, held) = (Some(lease), Some(held));
        Self { answer, state: Arc::clone(&call.state), lease, held, attempts, upstream, place, label: None }
    }

    /// A provider's refusal that the caller can use.
    pub(crate) fn passed(
        call: &Call,
        (passed, label): (Passed, Option<HeaderValue>),
        attempts: usize,
    ) -> Self {
        let mut response = Response::new(());
        *response.status_mut() = passed.status;
        *response.headers_mut() = passed.headers;
        let (head, ()) = response.into_parts();
        let answer = Answer::Whole { head, body: passed.body, seen: Seen::default() };
        let place = (call.dialect, call.endpoint);
        Self {
            answer,
            state: Arc::clone(&call.state),
            lease: None,
            held: None,
            attempts,
            upstream: Duration::ZERO,
            place,
            label,
        }
    }
}

/// A provider's answer.
pub(crate) fn answer(worker: &Rc<Worker>, parts: Parts, mut tally: Tally) -> Response<ReplyBody> {
    let ours = tally.started.elapsed().saturating_sub(parts.upstream);
    let (mut head, body) = match parts.answer {
        Answer::Made(said) => made(said, parts.place, &mut tally),
        Answer::Whole { head, body, seen } => {
            tally.saw(seen);
            tally.story.reply_bytes = body.len() as u64;
            tally.status = head.status;
            let mut head = head;
            // What was unfolded into a stream leaves at once, and streams do not tell what they cost.
            if tally.story.stream && head.status.is_success() {
                tally.first_token();
            } else if let Some(cost) = tally.cost().filter(|_| body.len() as u64 <= WHOLE_LIMIT) {
                head.headers.insert(COST, text(&cost.to_string()));
            }
            mark(&mut head.headers, &tally);
            tally.close(ending(head.status));
            (head, ReplyBody::Whole(body))
        }
        Answer::Passing { mut head, source, usage, deadline } => {
            tally.status = head.status;
            mark(&mut head.headers, &tally);
            (tally.lease, tally.place) = (parts.lease, parts.held);
            if let Some(place) = &tally.place {
                place.due(Some(deadline));
            }
            let length = source.length();
            (head, ReplyBody::Passing(Box::new(Passing { source, length, usage: Some(usage), tally })))
        }
        Answer::Events(begun) => {
            let Begun { mut head, source, flow, gathered, idle, broken } = *begun;
            tally.status = head.status;
            head.headers.remove(header::CONTENT_LENGTH);
            mark(&mut head.headers, &tally);
            (tally.lease, tally.place) = (parts.lease, parts.held);
            let mut events = Events::new(Rc::clone(worker), (source, flow, gathered), idle, tally);
            events.broken = broken;
            (head, ReplyBody::Events(Box::new(events)))
        }
    };
    if let Some(label) = parts.label {
        head.headers.insert(TARGET, label);
    }
    head.headers.insert(ATTEMPTS, attempts(parts.attempts));
    head.headers.insert(SNAPSHOT, parts.state.version.clone());
    head.headers.insert(TIMING, timing(ours));
    head.version = http::Version::HTTP_11;
    close_if_draining(worker, &mut head.headers);
    Response::from_parts(head, body)
}

/// What every reply that passed `auth` carries.
fn mark(headers: &mut HeaderMap, tally: &Tally) {
    headers.reserve(OWN_HEADERS);

    headers.insert(REQUEST_ID, request_id(tally));
    headers.insert(CACHE, HeaderValue::from_static("off"));
    if let Some(label) = tally.story.last().and_then(|last| last.target.label_header.clone()) {
        headers.insert(TARGET, label);
    }
}

fn request_id(tally: &Tally) -> HeaderValue {
    let mut room = [0; ulid::ULID_LEN];
    text(tally.id.array_to_str(&mut room))
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// Most answers come at the first attempt, whose number is made once.
fn attempts(count: usize) -> HeaderValue {
    if count == 1 { HeaderValue::from_static("1") } else { HeaderValue::from(count) }
}

const UNTIMED: HeaderValue = HeaderValue::from_static("keyway");

/// Milliseconds with three places, as server-timing has them.
fn timing(ours: Duration) -> HeaderValue {
    let micros = ours.as_micros();
    let mut room = std::io::Cursor::new([0; 48]);
    let fits = write!(room, "keyway;dur={}.{:03}", micros / 1000, micros % 1000);
    let written = usize::try_from(room.position()).ok().filter(|_| fits.is_ok());
    let written = written.and_then(|end| room.get_ref().get(..end));
    written.and_then(|text| HeaderValue::from_bytes(text).ok()).unwrap_or(UNTIMED)
}

fn close_if_draining(worker: &Worker, headers: &mut HeaderMap) {
    if worker.is_draining() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// An answer of the gateway's own.
pub(crate) fn own(
    worker: &Rc<Worker>,
    mut response: Response<ReplyBody>,
    mut tally: Tally,
) -> Response<ReplyBody> {
    mark(response.headers_mut(), &tally);
    told(worker, response.headers_mut(), &tally);
    close_if_draining(worker, response.headers_mut());
    tally.status = response.status();
    tally.close(ending(response.status()));
    response
}

/// What an answer of the gateway's own says of how it came to be.
fn told(worker: &Worker, headers: &mut HeaderMap, tally: &Tally) {
    let failed = &tally.story.failed;
    if !failed.is_empty() {
        headers.insert(ATTEMPTS, attempts(failed.len()));
    }
    if let Some(state) = worker.held.pin() {
        headers.insert(SNAPSHOT, state.version.clone());
    }
    let upstream = failed.iter().map(|one| Duration::from_micros(one.micros)).sum();
    headers.insert(TIMING, timing(tally.started.elapsed().saturating_sub(upstream)));
}

/// A refusal in the caller's dialect.
pub(crate) fn refusal(
    worker: &Rc<Worker>,
    refusal: Refusal,
    dialect: Dialect,
    mut tally: Tally,
) -> Response<ReplyBody> {
    let fault = tally.fault(refusal);
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = keyway_dialect::fault::encode(&fault, dialect);
    tally.story.reply_bytes = body.len() as u64;
    let mut response = Response::new(ReplyBody::Whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some((name, value)) = keyway_dialect::fault::header(&fault, dialect) {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Some(seconds) = fault.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if fault.should_retry == Some(false) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    mark(headers, &tally);
    if tally.unread {
        tally.caller.beat.leave_unread();

        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    told(worker, headers, &tally);
    close_if_draining(worker, headers);
    tally.status = status;
    tally.close(Outcome::Refused);
    response
}

/// The usage of what the sandbox said, read as any provider's would be.
fn seen_of(said: &Said, (dialect, endpoint): (Dialect, Endpoint)) -> Seen {
    match said {
        Said::Whole(body) => {
            let mut scan = UsageScan::new(dialect, endpoint);
            scan.push(body);
            Seen::whole(scan)
        }
        Said::Events(events, unheard) => {
            let mut relay = Relay::new(dialect, endpoint, StreamEnd::Unspecified, false);
            // Its own events are never too long and never junk.
            let _ = unheard.iter().chain(events).try_for_each(|event| relay.push(event.clone(), &mut |_| ()));
            Seen::so_far(&relay)
        }
    }
}

/// The sandbox's answer, with the headers that a provider would send.
fn made(said: Said, place: (Dialect, Endpoint), tally: &mut Tally) -> (http::response::Parts, ReplyBody) {
    tally.saw(seen_of(&said, place));
    tally.story.reply_bytes = said.bytes();
    let (kind, body) = match said {
        Said::Whole(body) => ("application/json", ReplyBody::Whole(body)),
        Said::Events(events, _) => ("text/event-stream; charset=utf-8", ReplyBody::Pieces(events)),
    };
    let (mut head, body) = Response::new(body).into_parts();
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let (Some(cost), ReplyBody::Whole(_)) = (tally.cost(), &body) {
        head.headers.insert(COST, text(&cost.to_string()));
    }
    mark(&mut head.headers, tally);
    tally.close(Outcome::Served);
    (head, body)
}
