//! Looks after roots and nodes: roots come and go in time, and what is long over is forgotten.

use super::Authority;
use crate::{
    Plane,
    plane::unix_millis,
    resource::{Author, Body, JoinDocument, Kind, Proposal, Refusal, State},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// Nothing here is in a hurry, but short lives in tests want it looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// A node whose certificate has expired for so long, in seconds, has to join again, evicted or not: 90 days.
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
    let now = unix_millis() / 1000;
    if Over::of(&plane.state(), now).is_nothing() {
        return Ok(());
    }
    // What is over by then: who has renewed meanwhile stays.
    let forget = |proposal: &mut Proposal<'_>| Over::of(proposal.state, now).forget(proposal);
    plane.change(&Author::system("node.forget", ""), forget).await.map(drop)
}

/// What is long over.
struct Over {
    nodes: BTreeSet<String>,
    joins: Vec<String>,
    /// Tokens that go on, without the nodes that are forgotten.
    used: Vec<(String, JoinDocument)>,
}

// === impl Over ===

impl Over {
    fn of(state: &State, now: u64) -> Self {
        let nodes = state.nodes().filter(|(_, node)| node.expires.saturating_add(FORGOTTEN_AFTER) < now);
        let nodes: BTreeSet<String> = nodes.map(|(name, _)| name.to_owned()).collect();
        let is_over = |join: &JoinDocument| join.expires.saturating_add(SHOWN_AFTER) < now;
        let joins = state.joins().filter(|(_, join)| is_over(join)).map(|(id, _)| id.to_owned()).collect();
        let stay = state.joins().filter(|(_, join)| !is_over(join));
        let used = stay.filter_map(|(id, join)| Some((id.to_owned(), without(join, &nodes)?))).collect();
        Self { nodes, joins, used }
    }

    fn is_nothing(&self) -> bool {
        self.nodes.is_empty() && self.joins.is_empty()
    }

    fn forget(self, proposal: &mut Proposal<'_>) -> Result<(), Refusal> {
        self.nodes.iter().try_for_each(|name| proposal.delete(Kind::Node, name))?;
        self.joins.iter().try_for_each(|id| proposal.delete(Kind::Join, id))?;
        self.used.into_iter().try_for_each(|(id, join)| proposal.put(Kind::Join, &id, Body::Join(join)))
    }
}

/// The token without these nodes; `None` = none of them came with it.
fn without(join: &JoinDocument, nodes: &BTreeSet<String>) -> Option<JoinDocument> {
    let mut left = join.clone();
    left.used_by.retain(|name| !nodes.contains(name));
    (left.used_by.len() < join.used_by.len()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        resource::NodeDocument,
        store::{Memory, Store},
        vault::Vault,
    };

    fn node(expires: u64, evicted: bool) -> Body {
        let text = String::new;
        Body::Node(NodeDocument { key: text(), host: text(), token: text(), root: 1, expires, evicted })
    }

    #[tokio::test]
    async fn evicted_nodes_are_forgotten_too_and_leave_room_with_their_token() {
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let plane = Plane::open(store, Vault::ephemeral().unwrap()).await.unwrap();
        let now = 2 * FORGOTTEN_AFTER;
        let used_by = ["old", "evicted", "young"].map(str::to_owned).to_vec();
        let join =
            JoinDocument { digest: "d".to_owned(), expires: now + 1, max_nodes: 3, node: None, used_by };
        let made = |proposal: &mut Proposal<'_>| {
            proposal.put(Kind::Node, "old", node(1, false))?;
            proposal.put(Kind::Node, "evicted", node(1, true))?;
            proposal.put(Kind::Node, "young", node(now - FORGOTTEN_AFTER, true))?;
            proposal.put(Kind::Join, "j", Body::Join(join.clone()))
        };
        let author = Author::system("test", "");
        plane.change(&author, made).await.unwrap();
        let forget = |proposal: &mut Proposal<'_>| Over::of(proposal.state, now).forget(proposal);
        plane.change(&author, forget).await.unwrap();
        let state = plane.state();
        assert_eq!(state.nodes().map(|(name, _)| name).collect::<Vec<_>>(), ["young"]);
        assert_eq!(state.joins().next().unwrap().1.used_by, ["young"]);
        assert!(Over::of(&state, now).is_nothing());
    }
}
