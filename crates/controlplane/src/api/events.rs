//! Progress of a rollout as server-sent events: its view whenever it changed, until it has ended.

use super::{
    answer::{Answer, Fault},
    call::Call,
};
use crate::{
    Plane,
    rotation::{Counts, RolloutView},
};
use axum::body::Body;
use bytes::Bytes;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

/// Events that wait for a slow reader.
const QUEUE: usize = 4;
/// Views are at least so far apart.
const PACE: Duration = Duration::from_millis(10);
/// A comment is sent so often while nothing changes.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

type Out = mpsc::Sender<Result<Bytes, Infallible>>;

pub(super) async fn follow(call: Call) -> Result<Answer, Fault> {
    let view = super::keys::rollout_of(&call)?;
    let (out, events) = mpsc::channel(QUEUE);
    let (provider, key) = (call.param("provider").to_owned(), call.param("key").to_owned());
    let (plane, counts) = (Arc::clone(&call.api.plane), Arc::clone(&call.api.counts));
    tokio::spawn(send(plane, counts, (provider, key, view.id), out));
    Ok(Answer::stream("text/event-stream", Body::from_stream(ReceiverStream::new(events))))
}

/// Ends with the rollout, with another one in its place, or when the reader is gone.
async fn send(
    plane: Arc<Plane>,
    counts: Arc<Counts>,
    (provider, key, id): (String, String, String),
    out: Out,
) {
    let (mut keys, mut fleet) = (plane.key_changes(), plane.fleet().changes());
    let mut before = None;
    while let Some(view) = RolloutView::of(&plane, &counts, &provider, &key).filter(|view| view.id == id) {
        let ended = view.step.is_end();
        if before.as_ref() != Some(&view) {
            let Ok(json) = serde_json::to_string(&view) else { return };
            if out.send(Ok(format!("data: {json}\n\n").into())).await.is_err() {
                return;
            }
            before = Some(view);
        }
        if ended {
            return;
        }
        sleep(PACE).await;
        let change = async {
            tokio::select! { changed = keys.changed() => changed, changed = fleet.changed() => changed }
        };
        match timeout(SIGN_OF_LIFE, change).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) if out.send(Ok(Bytes::from_static(b":\n\n"))).await.is_err() => return,
            Err(_) => {}
        }
    }
}
