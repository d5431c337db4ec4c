//! The leading end of a relay: replicas that another control plane serves stand in the same registry as our own, and take orders
//! by way of it.

use crate::{
    Plane,
    fleet::{Order, RelayedRows},
};
use keyway_proto::fleet::v1::{Drain, FromPeer, ToPeer, ToReplica, to_replica};
use std::sync::Arc;
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Status, Streaming};

type Out = mpsc::Sender<Result<ToPeer, Status>>;

/// Until the peer is gone, or this control plane leads no more.
pub(super) async fn run(plane: Arc<Plane>, mut from: Streaming<FromPeer>, out: Out) {
    let Some(mut standing) = plane.store().shared().map(|shared| shared.standing()) else { return };
    let mut rows = RelayedRows::new(Arc::clone(plane.fleet()));
    let mut pumps = JoinSet::new();
    loop {
        let message = tokio::select! {
            _ = standing.wait_for(|standing| standing.term.is_none()) => break,
            Some(_) = pumps.join_next() => continue,
            message = from.message() => match message {
                Ok(Some(message)) => message,
                Ok(None) | Err(_) => break,
            },
        };
        if let Some((replica, orders)) = rows.hear(message) {
            pumps.spawn(pump(replica, orders, rows.asking(), out.clone()));
        }
    }
    rows.end();
}

/// Orders for one replica, until it has another stream.
async fn pump(replica: String, mut orders: mpsc::Receiver<Order>, asking: crate::fleet::AskingAll, out: Out) {
    while let Some(order) = orders.recv().await {
        let message = match order {
            Order::Drain { reason } => to_replica::Message::Drain(Drain { reason }),
            Order::Probe { probe, taken, answer } => {
                asking.add(probe.id, taken, answer);
                to_replica::Message::Probe(probe)
            }
            Order::Relayed(message) => message,
        };
        let order = Some(ToReplica { message: Some(message) });
        if out.send(Ok(ToPeer { replica: replica.clone(), order })).await.is_err() {
            return;
        }
    }
}
