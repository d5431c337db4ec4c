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
                let node = asked.node.clone();
                let enrolled = self.authority.enroll(&self.plane, asked).await;
                enrolled.map(Response::new).map_err(|turned| told(&self.authority, &node, &turned))
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
        let enrolled = self.authority.renew(&self.plane, &asked).await;
        enrolled.map(Response::new).map_err(|turned| told(&self.authority, &asked.node, &turned))
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
