//! The calls by which nodes join and renew: the only ones that need no certificate.

use crate::{
    Plane,
    authority::{Authority, Turned},
    peer::{Asked, Peers},
    resource::Refusal,
};
use bytes::Bytes;
use keyway_proto::{
    EVICTED,
    fleet::v1::{ChallengeRequest, Challenged, EnrollRequest, Enrolled, RenewRequest, enroll_server::Enroll},
};
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// Answers them.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) authority: Arc<Authority>,
    pub(super) plane: Arc<Plane>,
    pub(super) peers: Arc<Peers>,
}

#[tonic::async_trait]
impl Enroll for Desk {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<Enrolled>, Status> {
        match self.peers.asked(request).await {
            Asked::There(mut leader, onward) => leader.enroll(onward).await,
            Asked::Nobody(_, why) => Err(why),
            Asked::Here(asked) => {
                let (node, authority, plane) =
                    (asked.node.clone(), Arc::clone(&self.authority), Arc::clone(&self.plane));
                self.given(&node, async move { authority.enroll(&plane, asked).await }).await
            }
        }
    }

    // Answered anywhere: all control planes know each other's.
    async fn challenge(&self, request: Request<ChallengeRequest>) -> Result<Response<Challenged>, Status> {
        let node = request.into_inner().node;
        let challenge =
            self.authority.challenge(&node).map_err(|turned| told(&self.authority, &node, &turned))?;
        Ok(Response::new(Challenged { challenge }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Enrolled>, Status> {
        let asked = match self.peers.asked(request).await {
            Asked::There(mut leader, onward) => {
                let again = onward.get_ref().clone();
                match leader.renew(onward).await {
                    // It has just gone: no certificate ends for want of a leader.
                    Err(why) if why.code() == Code::Unavailable => again,
                    answered => return answered,
                }
            }
            Asked::Here(asked) | Asked::Nobody(asked, _) => asked,
        };
        let (node, authority, plane) =
            (asked.node.clone(), Arc::clone(&self.authority), Arc::clone(&self.plane));
        self.given(&node, async move { authority.renew(&plane, &asked).await }).await
    }
}

// === impl Desk ===

impl Desk {
    /// What a node is answered. What has begun is finished whether or not it stays: dropped in the middle, it would be
    /// committed and never come into force.
    async fn given(
        &self,
        node: &str,
        giving: impl Future<Output = Result<Enrolled, Turned>> + Send + 'static,
    ) -> Result<Response<Enrolled>, Status> {
        match tokio::spawn(giving).await {
            Ok(enrolled) => {
                enrolled.map(Response::new).map_err(|turned| told(&self.authority, node, &turned))
            }
            Err(_) => Err(Status::internal("the request failed")),
        }
    }
}

/// What sends an evicted replica away, and has it forget what it holds.
pub(super) fn evicted() -> Status {
    Status::with_details(Code::FailedPrecondition, Turned::Evicted.to_string(), Bytes::from_static(EVICTED))
}

/// In words for the node's operator; what is ours is said in our log alone.
pub(super) fn told(authority: &Authority, node: &str, turned: &Turned) -> Status {
    authority.tell(node, turned);
    let text = turned.to_string();
    match turned {
        Turned::Evicted => evicted(),
        Turned::Unknown => Status::failed_precondition(text),
        Turned::Unsigned => Status::unauthenticated(text),
        Turned::Request(_) => Status::invalid_argument(text),
        Turned::Refused(Refusal::Forbidden(_)) => Status::permission_denied(text),
        Turned::Refused(Refusal::Invalid(_)) => Status::invalid_argument(text),
        Turned::Refused(_) => Status::unavailable("the control plane can give no certificate now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authority::{Certificates, PublicKey},
        resource::{Author, Body, JoinDocument, Kind},
        store::{
            Batch, Changes, Condition, Identity, Key, Listing, Memory, Pending, Record, Revision, Store,
            Verified, Versioned,
        },
        vault::Vault,
    };
    use base64::{Engine, engine::general_purpose::STANDARD};
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
    use std::time::Duration;
    use tokio::{
        sync::{Notify, watch},
        time::timeout,
    };

    /// Commits, and answers once it is let.
    #[derive(Debug)]
    struct Slow {
        below: Memory,
        held: watch::Sender<bool>,
        committed: Notify,
    }

    impl Store for Slow {
        fn get<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Versioned>> {
            self.below.get(key)
        }

        fn list<'a>(&'a self, prefix: &'a str) -> Pending<'a, Listing> {
            self.below.list(prefix)
        }

        fn commit(&self, batch: Batch) -> Pending<'_, Revision> {
            Box::pin(async move {
                let revision = self.below.commit(batch).await?;
                let mut held = self.held.subscribe();
                if *held.borrow() {
                    self.committed.notify_one();
                }
                let _ = held.wait_for(|held| !held).await;
                Ok(revision)
            })
        }

        fn watch(&self) -> Changes {
            self.below.watch()
        }

        fn identity(&self) -> Identity {
            self.below.identity()
        }

        fn head(&self) -> (Revision, [u8; 32]) {
            self.below.head()
        }

        fn audit(&self, after: Revision, limit: usize) -> Pending<'_, Vec<Record>> {
            self.below.audit(after, limit)
        }

        fn verify(&self) -> Pending<'_, Verified> {
            self.below.verify()
        }

        fn condition(&self) -> Condition {
            self.below.condition()
        }
    }

    async fn desk() -> (Arc<Slow>, Desk) {
        let slow =
            Slow { below: Memory::default(), held: watch::Sender::new(false), committed: Notify::new() };
        let store = Arc::new(slow);
        let below: Arc<dyn Store> = Arc::clone(&store) as _;
        let plane = Arc::new(Plane::open(below, Vault::ephemeral().unwrap()).await.unwrap());
        let authority = Arc::new(Authority::open(&plane, Certificates::at(Vec::new())).await.unwrap());
        let digest = plane.digest(&STANDARD.encode(b"secret"));
        let join = JoinDocument { digest, expires: u64::MAX, max_nodes: 1, node: None, used_by: Vec::new() };
        let author = Author::system("join_token.create", "join/one");
        plane.change(&author, |proposal| proposal.put(Kind::Join, "one", Body::Join(join))).await.unwrap();
        let peers = Arc::new(Peers::new(Arc::clone(&plane)));
        (store, Desk { authority, plane, peers })
    }

    #[tokio::test]
    async fn a_node_that_goes_away_in_the_middle_has_joined() {
        let (store, desk) = desk().await;
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let csr = CertificateParams::default().serialize_request(&pair).unwrap().der().to_vec();
        let key = PublicKey::of_request(&csr).unwrap();
        let request =
            EnrollRequest { secret: b"secret".to_vec(), node: "n".to_owned(), csr, host: String::new() };
        let mut changes = desk.plane.key_changes();
        store.held.send_replace(true);
        tokio::select! {
            answer = desk.enroll(Request::new(request)) => panic!("nothing is answered yet: {answer:?}"),
            () = store.committed.notified() => {}
        }
        assert!(desk.authority.welcome(&desk.plane, "n", &key).is_err(), "not in force");
        store.held.send_replace(false);
        timeout(Duration::from_secs(10), changes.changed()).await.unwrap().unwrap();
        desk.authority.welcome(&desk.plane, "n", &key).unwrap();
    }
}
