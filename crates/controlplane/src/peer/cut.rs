//! A control plane that is cut from the store hears nothing of what is decided, so its replicas would not either: they are sent
//! away, once it is known that another one leads. Where nobody does, they stay and keep what was committed last.

use super::Peers;
use crate::{
    lead::{LEASE_SECONDS, Member},
    store::Shared,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// It has been cut off for so long, a lease, before the others are asked: by then none leads that lost the store in the same moment.
const LOST_FOR: Duration = Duration::from_secs(LEASE_SECONDS.unsigned_abs());
/// While it is cut off, between two questions to the others.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// For one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Runs until `stop` says so.
pub(super) async fn run(peers: &Arc<Peers>, mut stop: watch::Receiver<bool>) {
    let Some(shared) = peers.plane.store().shared() else { return };
    let mut standing = shared.standing();
    let (mut was_cut_off, mut lost) = (false, None);
    loop {
        let contact = standing.borrow_and_update().contact;
        lost = if contact { None } else { lost.or_else(|| Some(Instant::now())) };
        let leader = match lost {
            Some(since) if since.elapsed() >= LOST_FOR => leader(peers, shared).await,
            _ => None,
        };
        if let Some(leader) = leader.as_ref().filter(|_| !was_cut_off) {
            tracing::warn!(
                leader = leader.name,
                "cut from the store while another one leads: replicas are sent away"
            );
        }
        // By now it may be back.
        was_cut_off = leader.is_some() && !standing.borrow().contact;
        peers.plane.fleet().cut_off(was_cut_off);
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => return,
            changed = standing.changed() => if changed.is_err() { return },
            () = sleep(ASK_EVERY), if !contact => {}
        }
    }
}

/// Which of those that were there when the store was last heard leads now, by its own word.
async fn leader(peers: &Peers, shared: &dyn Shared) -> Option<Member> {
    for member in shared.members().into_iter().filter(|member| member.name != shared.me().name) {
        // Only who leads takes a relay; nothing goes over this one.
        let asked = timeout(ANSWER_LIMIT, peers.relay(&member, tokio_stream::pending())).await;
        if matches!(asked, Ok(Ok(_))) {
            return Some(member);
        }
    }
    None
}
