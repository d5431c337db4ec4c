//! `GET /logs/follow`: requests as they are booked, as server-sent events, until the reader is gone or the control plane ends.

use super::{query::Query, shown::RecordView};
use crate::{
    Plane,
    api::{
        admission::{Identity, holds},
        answer::{Answer, Fault},
        call::Call,
    },
    usage::{Entry, Filter, Outcomes, UsageError},
};
use axum::body::Body;
use bytes::Bytes;
use std::{convert::Infallible, ops::ControlFlow, sync::Arc, time::Duration};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc,
    },
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_stream::wrappers::ReceiverStream;

/// Events that wait for a slow reader; beyond them it misses some, and is told how many.
const QUEUE: usize = 64;
/// A comment is sent so often, and whoever reads is looked at again.
const SIGN_OF_LIFE: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 15_000 });

type Out = mpsc::Sender<Result<Bytes, Infallible>>;

pub(in crate::api) async fn follow(call: Call) -> Result<Answer, Fault> {
    let query = Query::new(&call)?;
    let wanted = (query.filter(), query.outcomes()?);
    let entries = call.api.books.follow().ok_or(UsageError::Ended)?;
    let (out, events) = mpsc::channel(QUEUE);
    tokio::spawn(send(entries, wanted, (Arc::clone(&call.api.plane), call.who.clone()), out));
    Ok(Answer::stream("text/event-stream", Body::from_stream(ReceiverStream::new(events))))
}

/// Ends when nothing is booked any more, when the reader is gone, and when its token is not good any more.
async fn send(
    mut entries: broadcast::Receiver<Arc<Entry>>,
    wanted: (Filter, Outcomes),
    (plane, who): (Arc<Plane>, Identity),
    out: Out,
) {
    // At once, so that whoever waits for the answer's beginning has it.
    if out.send(Ok(Bytes::from_static(b": following\n\n"))).await.is_err() {
        return;
    }
    let mut life = interval_at(Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
    life.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = tokio::select! {
            // In this order, so that no amount of requests keeps a token from being looked at.
            biased;
            () = out.closed() => return,
            _ = life.tick() => {
                if !holds(&plane, &who) {
                    return;
                }
                ControlFlow::Continue(Some(Bytes::from_static(b":\n\n")))
            }
            received = entries.recv() => event(received, &wanted),
        };
        let ControlFlow::Continue(event) = next else { return };
        let Some(event) = event else { continue };
        if out.send(Ok(event)).await.is_err() {
            return;
        }
    }
}

/// What is to be sent of what came, if anything; or the end.
fn event(
    received: Result<Arc<Entry>, RecvError>,
    (filter, outcomes): &(Filter, Outcomes),
) -> ControlFlow<(), Option<Bytes>> {
    let entry = match received {
        Ok(entry) => entry,
        // Of all that was booked; whether they would have fitted is not known any more.
        Err(RecvError::Lagged(missed)) => {
            return ControlFlow::Continue(Some(format!("event: missed\ndata: {missed}\n\n").into()));
        }
        Err(RecvError::Closed) => return ControlFlow::Break(()),
    };
    let spender = entry.record.spender.clone().unwrap_or_default();
    if !filter.fits(&spender) || !outcomes.fit(&entry.record) {
        return ControlFlow::Continue(None);
    }
    match serde_json::to_string(&RecordView::from(&*entry)) {
        Ok(json) => ControlFlow::Continue(Some(format!("event: record\ndata: {json}\n\n").into())),
        Err(_) => ControlFlow::Break(()),
    }
}
