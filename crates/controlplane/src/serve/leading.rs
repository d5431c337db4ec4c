//! What only one control plane does at a time: rotations, and writing down who holds secrets. Where nobody else writes that is
//! this one, always; else it begins with each term of leadership and ends with it.

use super::stopped;
use crate::{
    Plane, attest, members, rekey,
    rotation::{self, Counts},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// After a term that could not be begun.
const AGAIN: Duration = Duration::from_millis(300);

/// Runs until `stop` says so.
pub(super) async fn run(plane: Arc<Plane>, counts: Arc<Counts>, mut stop: watch::Receiver<bool>) {
    let standing = plane.store().shared().map(|shared| shared.standing());
    let Some(mut standing) = standing else { return Box::pin(background(plane, counts, stop)).await };
    loop {
        let term = tokio::select! {
            () = stopped(&mut stop) => return,
            won = standing.wait_for(|standing| standing.term.is_some()) => match won {
                Ok(standing) => standing.term,
                Err(_) => return,
            },
        };
        let Some(term) = term else { continue };
        if let Err(refusal) = plane.lead(term).await {
            tracing::warn!(%refusal, "this control plane does not lead yet");
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = sleep(AGAIN) => continue,
            }
        }
        let (end, ended) = watch::channel(false);
        let work = background(Arc::clone(&plane), Arc::clone(&counts), ended);
        let over = async {
            tokio::select! {
                () = stopped(&mut stop) => {}
                // Whoever would say so being gone is an end too.
                _ = standing.wait_for(|standing| standing.term != Some(term)) => {}
            }
            end.send_replace(true);
        };
        tokio::join!(work, over);
        if *stop.borrow() {
            return;
        }
        tracing::info!("leads no more");
    }
}

/// Everything that is done without being asked for, until `stop` says so.
async fn background(plane: Arc<Plane>, counts: Arc<Counts>, stop: watch::Receiver<bool>) {
    let rotating = rotation::run(Arc::clone(&plane), counts, stop.clone());
    let supplying = rotation::supply::run(Arc::clone(&plane), stop.clone());
    let rekeying = rekey::run(Arc::clone(&plane), stop.clone());
    let attesting = attest::run(Arc::clone(&plane), stop.clone());
    tokio::join!(rotating, supplying, rekeying, attesting, members::run(plane, stop));
}
