//! `GET /logs/follow`: requests as they are booked, as server-sent events, until the reader is gone or the control plane ends.

use super::{query::Query, shown::RecordView};
use crate::{
    api::{
        answer::{Answer, Fault},
        call::Call,
    },
    usage::{Entry, Filter, Outcomes, UsageError},
};
use axum::body::Body;
use bytes::Bytes;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc,
    },
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;

/// Events that wait for a slow reader; beyond them it misses some, and is told how many.
const QUEUE: usize = 64;
/// A comment is sent so often while nothing happens.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

type Out = mpsc::Sender<Result<Bytes, Infallible>>;

pub(in crate::api) async fn follow(call: Call) -> Result<Answer, Fault> {
    let query = Query::new(&call)?;
    let wanted = (query.filter(), query.outcomes()?);
    let entries = call.api.books.follow().ok_or(UsageError::Ended)?;
    let (out, events) = mpsc::channel(QUEUE);
    tokio::spawn(send(entries, wanted, out));
    Ok(Answer::stream("text/event-stream", Body::from_stream(ReceiverStream::new(events))))
}

async fn send(
    mut entries: broadcast::Receiver<Arc<Entry>>,
    (filter, outcomes): (Filter, Outcomes),
    out: Out,
) {
    // At once, so that whoever waits for the answer's beginning has it.
    if out.send(Ok(Bytes::from_static(b": following\n\n"))).await.is_err() {
        return;
    }
    loop {
        let event = match timeout(SIGN_OF_LIFE, entries.recv()).await {
            Ok(Ok(entry)) => {
                let spender = entry.record.spender.clone().unwrap_or_default();
                if !filter.fits(&spender) || !outcomes.fit(&entry.record) {
                    continue;
                }
                let Ok(json) = serde_json::to_string(&RecordView::from(&*entry)) else { return };
                format!("event: record\ndata: {json}\n\n").into()
            }
            // Of all that was booked; whether they would have fitted is not known any more.
            Ok(Err(RecvError::Lagged(missed))) => format!("event: missed\ndata: {missed}\n\n").into(),
            Ok(Err(RecvError::Closed)) => return,
            Err(_) => Bytes::from_static(b":\n\n"),
        };
        if out.send(Ok(event)).await.is_err() {
            return;
        }
    }
}
