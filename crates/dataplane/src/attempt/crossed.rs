//! A try at a target that speaks another dialect. What it answers becomes what the caller asked for: a whole reply may
//! come of a stream, and a stream of a whole reply.

use super::{
    Failure, check,
    failure::{self, TOO_LARGE},
    first::first_event,
    is_events, send,
};
use crate::{
    call::{Call, Waits},
    lease::Lease,
    reply::{Answer, Flow, Source},
    route::Step,
    translate::{self, Crossing},
    worker::Worker,
};
use http::HeaderMap;
use keyway_dialect::canon::{Event, Fold};
use keyway_snapshot::Surface;
use std::rc::Rc;

/// Bytes of a reply that is translated whole: it is held until its end.
const REPLY_LIMIT: usize = 32 * 1024 * 1024;

pub(super) async fn answer(
    worker: &Rc<Worker>,
    call: &Call,
    (step, crossing): (&Step, &Crossing),
    (surface, waits): (&Surface, Waits),
    lease: &Lease,
) -> Result<Answer, Failure> {
    let url =
        surface.url(crossing.endpoint(), crossing.is_stream()).ok_or_else(|| Failure::broken("endpoint"))?;
    let request = || translate::crossed_request(call, &step.target, crossing, (surface, url), lease);
    let send::Sent { head, source, .. } =
        send::send(worker, call, (step, surface, url), (waits, lease), request).await?;
    if !head.status.is_success() {
        let place = (&*step.target.model, Some(crossing));
        return Err(failure::refused(worker, head, source, lease, place).await);
    }
    check(&head, crossing.endpoint())?;
    let headers = translate::crossed_reply(&head.headers, lease);
    let events = is_events(&head.headers);
    if events && !crossing.is_conversation() {
        return Err(Failure::broken("upstream_bad_content_type"));
    }
    if !events {
        let answer = crossing.whole((&head.headers, headers), &collect(source).await?);
        crate::turn::others_first(worker).await;
        return answer;
    }
    if crossing.is_stream() {
        let flow = Flow::Crossing(Box::new(crossing.open_stream()));
        return first_event(crossing.head(headers), source, (flow, lease), waits.idle).await;
    }
    fold(crossing, headers, source).await
}

async fn collect(source: Source) -> Result<bytes::Bytes, Failure> {
    if source.length().is_some_and(|length| length > REPLY_LIMIT as u64) {
        return Err(Failure::broken(TOO_LARGE));
    }
    source.collect(REPLY_LIMIT).await.map_err(Failure::uncollected)
}

/// A stream where the caller asked for a whole reply.
async fn fold(crossing: &Crossing, headers: HeaderMap, mut source: Source) -> Result<Answer, Failure> {
    let (mut reader, mut events, mut fold) = (crossing.reader(), Vec::new(), Fold::default());
    let mut length = 0;
    loop {
        let piece = source.piece().await;
        let read = match &piece {
            Some(Ok(piece)) => {
                length += piece.len();
                reader.push(piece, &mut events)
            }
            Some(Err(_)) => return Err(Failure::passing("upstream_stream_cut")),
            None => reader.end(&mut events),
        };
        for event in events.drain(..) {
            match event {
                Event::Fault(fault) => return Err(Failure::in_stream(fault.status, &headers)),
                Event::End => return Ok(crossing.answer(headers, &fold.finish())),
                event => fold.add(&event),
            }
        }
        read.map_err(|broken| Failure::broken(translate::reason(&broken)))?;
        if piece.is_none() {
            return Err(Failure::passing("upstream_stream_cut"));
        }
        if length > REPLY_LIMIT {
            return Err(Failure::broken(TOO_LARGE));
        }
    }
}
