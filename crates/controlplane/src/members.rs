//! Writes down which replicas may hold secrets, so that a restart of the control plane does not forget them, and takes
//! those off whose books are closed.

use crate::{
    Plane,
    fleet::Member,
    resource::{Author, Body, Kind, Refusal, ReplicaDocument},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// A store that took no write is asked again after this.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// Books may be closed by time alone: looked at so often at least.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Runs until `stop` says so.
pub(crate) async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    let mut members = plane.fleet().membership();
    loop {
        members.mark_unchanged();
        let wait = match settle(&plane).await {
            Ok(()) => LOOK_AGAIN,
            Err(refusal) => {
                tracing::error!(%refusal, "it cannot be written down which replicas hold secrets");
                TRY_AGAIN
            }
        };
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => return,
            changed = members.changed() => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
    }
}

/// Writes down who ended last, once nobody is connected any more: `keyway up` stops its data planes just before. Where others
/// lead on they do it.
pub(crate) async fn close(plane: &Plane) {
    if plane.store().shared().is_some() {
        return;
    }
    if let Err(refusal) = settle(plane).await {
        tracing::warn!(%refusal, "it cannot be written down which replicas have ended");
    }
}

/// Makes the documents say what the fleet's list says.
async fn settle(plane: &Plane) -> Result<(), Refusal> {
    let members = plane.fleet().members();
    let state = plane.state();
    let known = |name: &str| match state.get(Kind::Replica, name).map(|held| &held.document.body) {
        Some(Body::Replica(replica)) => !replica.evicted,
        _ => false,
    };
    let ids: BTreeSet<&str> = members.iter().map(|member| member.id.as_str()).collect();
    let gone: Vec<String> = state
        .each(Kind::Replica)
        .map(|(name, _)| name.to_owned())
        .filter(|name| known(name) && !ids.contains(name.as_str()))
        .collect();
    let fresh: Vec<&Member> = members.iter().filter(|member| !known(&member.id)).collect();
    if !gone.is_empty() || !fresh.is_empty() {
        let author = Author::system("fleet.members", "fleet");
        plane
            .change(&author, |proposal| {
                for Member { id, host, supervisor, .. } in &fresh {
                    let (host, supervisor) = (host.clone(), supervisor.clone());
                    let replica = ReplicaDocument { host, supervisor, evicted: false };
                    proposal.put(Kind::Replica, id, Body::Replica(replica))?;
                }
                gone.iter().try_for_each(|id| match proposal.state.get(Kind::Replica, id) {
                    Some(_) => proposal.delete(Kind::Replica, id),
                    None => Ok(()),
                })
            })
            .await?;
    }
    let unrecorded: Vec<String> =
        members.iter().filter(|member| !member.recorded).map(|member| member.id.clone()).collect();
    if !unrecorded.is_empty() {
        plane.fleet().recorded(&unrecorded);
    }
    Ok(())
}
