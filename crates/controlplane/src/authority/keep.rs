//! Looks after roots and nodes: roots come and go in time, and what is long over is forgotten.

use super::Authority;
use crate::{
    Plane,
    plane::unix_millis,
    resource::{Author, Kind, Proposal, Refusal},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// Nothing here is in a hurry, but short lives in tests want it looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// A node whose certificate has expired for so long, in seconds, has to join again: 90 days.
const FORGOTTEN_AFTER: u64 = 90 * 86_400;
/// A token that has expired is shown for so long, in seconds.
const SHOWN_AFTER: u64 = 86_400;

/// Runs until `stop` says so.
pub(crate) async fn run(authority: Arc<Authority>, plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    // Twice in the shortest time that anything here may take.
    let wait = LOOK_AGAIN.min(authority.certificates.node_life / 2);
    let mut changes = plane.store().watch();
    loop {
        if let Err(refusal) = once(&authority, &plane).await {
            tracing::error!(%refusal, "roots and nodes could not be looked after");
        }
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => return,
            // Closed or missed: time alone brings it here too.
            _ = changes.recv(), if plane.store().shared().is_some() => {}
            () = sleep(wait) => {}
        }
    }
}

async fn once(authority: &Authority, plane: &Plane) -> Result<(), Refusal> {
    authority.follow(plane)?;
    if !plane.leads() {
        return Ok(());
    }
    while authority.step(plane).await? {}
    let (state, now) = (plane.state(), unix_millis() / 1000);
    let nodes = state.nodes().filter(|(_, node)| !node.evicted && node.expires + FORGOTTEN_AFTER < now);
    let joins = state.joins().filter(|(_, join)| join.expires + SHOWN_AFTER < now);
    let nodes = nodes.map(|(name, _)| (Kind::Node, name.to_owned()));
    let over: Vec<_> = nodes.chain(joins.map(|(name, _)| (Kind::Join, name.to_owned()))).collect();
    if over.is_empty() {
        return Ok(());
    }
    let forget = |proposal: &mut Proposal<'_>| {
        let there = |(kind, name): &&(Kind, String)| proposal.state.get(*kind, name).is_some();
        let there: Vec<_> = over.iter().filter(there).collect();
        there.into_iter().try_for_each(|(kind, name)| proposal.delete(*kind, name))
    };
    plane.change(&Author::system("node.forget", ""), forget).await.map(drop)
}
