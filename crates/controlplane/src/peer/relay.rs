//! The end that does not lead: tells the leader of every replica that is connected here, and passes its orders on. What the
//! queue does not take breaks the relay, and the next one begins with everything.

use super::{Peers, TOKEN};
use crate::lead::{Member, Standing};
use keyway_proto::fleet::v1::{FromPeer, ToPeer, peers_client::PeersClient};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Streaming, metadata::MetadataValue};

/// After a relay that ended.
const AGAIN: Duration = Duration::from_millis(100);

/// Runs until `stop` says so. Where nobody else writes there is nobody to tell.
pub(crate) async fn run(peers: Arc<Peers>, stop: watch::Receiver<bool>) {
    let cut = super::cut::run(&peers, stop.clone());
    tokio::join!(tell_replicas(&peers, stop.clone()), tell_leader(&peers, stop), cut);
}

/// Keeps replicas told of every control plane.
async fn tell_replicas(peers: &Peers, mut stop: watch::Receiver<bool>) {
    let Some(shared) = peers.plane.store().shared() else { return };
    let mut news = shared.news();
    loop {
        news.mark_unchanged();
        let urls = shared.members().into_iter().map(|member| member.fleet).collect();
        peers.plane.fleet().tell_planes(urls);
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => return,
            changed = news.changed() => if changed.is_err() { return },
        }
    }
}

async fn tell_leader(peers: &Peers, mut stop: watch::Receiver<bool>) {
    let Some(mut standing) = peers.plane.store().shared().map(|shared| shared.standing()) else { return };
    loop {
        let relaying = async {
            let now = standing.borrow_and_update().clone();
            let leader = now.leader.filter(|_| now.term.is_none());
            let Some(leader) = leader else {
                let _ = standing.changed().await;
                return;
            };
            tokio::select! {
                ended = once(peers, &leader) => {
                    if let Err(why) = ended {
                        tracing::debug!(leader = leader.name, why, "the relay to the leader ended");
                    }
                    peers.plane.fleet().end_relay();
                    sleep(AGAIN).await;
                }
                () = changed(&mut standing, &leader) => {
                    peers.plane.fleet().end_relay();
                }
            }
        };
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => return,
            () = relaying => {}
        }
    }
}

async fn once(peers: &Peers, leader: &Member) -> Result<(), String> {
    let (first, rest) = peers.plane.fleet().begin_relay();
    let mut orders = peers.relay(leader, tokio_stream::iter(first).chain(ReceiverStream::new(rest))).await?;
    while let Some(ToPeer { replica, order }) =
        orders.message().await.map_err(|status| status.message().to_owned())?
    {
        if let Some(message) = order.and_then(|order| order.message) {
            peers.plane.fleet().pass_on(&replica, message);
        }
    }
    Ok(())
}

// === impl Peers ===

impl Peers {
    /// Opens a relay; nobody but the leader takes it.
    pub(super) async fn relay(
        &self,
        to: &Member,
        told: impl Stream<Item = FromPeer> + Send + 'static,
    ) -> Result<Streaming<ToPeer>, String> {
        let channel = self.connect(to).await?;
        let mut request = Request::new(told);
        let token = MetadataValue::try_from(self.token.as_str()).map_err(|_| "the token".to_owned())?;
        request.metadata_mut().insert(TOKEN, token);
        let taken = PeersClient::new(channel).relay(request).await;
        taken.map(Response::into_inner).map_err(|status| status.message().to_owned())
    }
}

/// Ends once another one leads, or this one does.
async fn changed(standing: &mut watch::Receiver<Standing>, leader: &Member) {
    // Whoever would say so being gone is a change too.
    let _ = standing.wait_for(|now| now.leader.as_ref() != Some(leader) || now.term.is_some()).await;
}
