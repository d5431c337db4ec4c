//! The leading end of a relay: replicas that another control plane serves stand in the same registry as our own, and take orders
//! by way of it.

use crate::{
    Plane,
    fleet::{Order, Orders, RelayedRows},
};
use bytes::Bytes;
use keyway_proto::fleet::v1::{Drain, FromPeer, HostOrder, ToPeer, ToReplica, to_replica};
use prost::Message;
use std::sync::Arc;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tonic::{Status, Streaming};

type Out = mpsc::Sender<Result<ToPeer, Status>>;

/// Until the peer is gone, or this control plane leads no more.
pub(super) async fn run(plane: Arc<Plane>, mut from: Streaming<FromPeer>, out: Out) {
    let Some(mut standing) = plane.store().shared().map(|shared| shared.standing()) else { return };
    let mut rows = RelayedRows::new(Arc::clone(plane.fleet()));
    let mut pumps = JoinSet::new();
    pumps.spawn(pump_words(plane.fleet().words(), out.clone()));
    loop {
        let message = tokio::select! {
            _ = standing.wait_for(|standing| standing.term.is_none()) => break,
            Some(_) = pumps.join_next() => continue,
            message = from.message() => match message {
                Ok(Some(message)) => message,
                Ok(None) | Err(_) => break,
            },
        };
        match rows.hear(message) {
            Some((replica, Orders::Replica(orders))) => {
                pumps.spawn(pump(replica, orders, rows.asking(), out.clone()));
            }
            Some((host, Orders::Host(orders))) => {
                pumps.spawn(pump_host(host, orders, out.clone()));
            }
            None => {}
        }
    }
    rows.end();
}

/// What all replicas are to know of limits: the peer tells its own.
async fn pump_words(mut words: watch::Receiver<Option<Bytes>>, out: Out) {
    loop {
        let word = words.borrow_and_update().clone();
        let order = word.and_then(|word| ToReplica::decode(word).ok());
        if order.is_some() && out.send(Ok(ToPeer { replica: String::new(), order })).await.is_err() {
            return;
        }
        if words.changed().await.is_err() {
            return;
        }
    }
}

/// Orders for one supervisor, until it has another stream.
async fn pump_host(host: String, mut orders: mpsc::Receiver<HostOrder>, out: Out) {
    while let Some(order) = orders.recv().await {
        let order = Some(ToReplica { message: Some(to_replica::Message::Host(order)) });
        if out.send(Ok(ToPeer { replica: host.clone(), order })).await.is_err() {
            return;
        }
    }
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
