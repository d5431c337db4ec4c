//! Progress of a rollout as server-sent events: its view whenever it changed, until it has ended.

use super::{
    admission::{Identity, holds},
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
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tokio_stream::wrappers::ReceiverStream;

/// Events that wait for a slow reader.
const QUEUE: usize = 4;
/// Views are at least so far apart.
const PACE: Duration = Duration::from_millis(10);
/// A comment is sent so often, and whoever reads is looked at again.
const SIGN_OF_LIFE: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 5_000 });

type Out = mpsc::Sender<Result<Bytes, Infallible>>;

pub(super) async fn follow(call: Call) -> Result<Answer, Fault> {
    let view = super::keys::rollout_of(&call)?;
    let (out, events) = mpsc::channel(QUEUE);
    let (provider, key) = (call.param("provider").to_owned(), call.param("key").to_owned());
    let (plane, counts) = (Arc::clone(&call.api.plane), Arc::clone(&call.api.counts));
    tokio::spawn(send(plane, counts, (provider, key, view.id), (call.who.clone(), out)));
    Ok(Answer::stream("text/event-stream", Body::from_stream(ReceiverStream::new(events))))
}

/// Ends with the rollout, with another one in its place, when the reader is gone or its token is not good any more.
async fn send(
    plane: Arc<Plane>,
    counts: Arc<Counts>,
    (provider, key, id): (String, String, String),
    (who, out): (Identity, Out),
) {
    let (mut keys, mut fleet) = (plane.key_changes(), plane.fleet().changes());
    let mut life = interval_at(Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
    life.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    while let Some(view) = RolloutView::of(&plane, &counts, &provider, &key).filter(|view| view.id == id) {
        let ended = view.step.is_end();
        if before.as_ref() != Some(&view) {
            let Ok(json) = serde_json::to_string(&view) else { return };
            if !holds(&plane, &who) || out.send(Ok(format!("data: {json}\n\n").into())).await.is_err() {
                return;
            }
            before = Some(view);
        }
        if ended {
            return;
        }
        sleep(PACE).await;
        let goes_on = tokio::select! {
            biased;
            () = out.closed() => false,
            _ = life.tick() => holds(&plane, &who) && out.send(Ok(Bytes::from_static(b":\n\n"))).await.is_ok(),
            changed = keys.changed() => changed.is_ok(),
            changed = fleet.changed() => changed.is_ok(),
        };
        if !goes_on {
            return;
        }
    }
}
