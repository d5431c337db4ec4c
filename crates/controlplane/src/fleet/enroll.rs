//! The calls by which nodes join and renew: the only ones that need no certificate.

use crate::{
    Plane,
    authority::{Authority, Turned},
    resource::Refusal,
};
use keyway_proto::fleet::v1::{
    ChallengeRequest, Challenged, EnrollRequest, Enrolled, RenewRequest, enroll_server::Enroll,
};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Answers them.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) authority: Arc<Authority>,
    pub(super) plane: Arc<Plane>,
}

#[tonic::async_trait]
impl Enroll for Desk {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<Enrolled>, Status> {
        let request = request.into_inner();
        let node = request.node.clone();
        let enrolled = self.authority.enroll(&self.plane, request).await;
        enrolled.map(Response::new).map_err(|turned| told(&node, &turned))
    }

    async fn challenge(&self, request: Request<ChallengeRequest>) -> Result<Response<Challenged>, Status> {
        let node = request.into_inner().node;
        let challenge = self.authority.challenge(&node).map_err(|turned| told(&node, &turned))?;
        Ok(Response::new(Challenged { challenge }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Enrolled>, Status> {
        let request = request.into_inner();
        let enrolled = self.authority.renew(&self.plane, &request).await;
        enrolled.map(Response::new).map_err(|turned| told(&request.node, &turned))
    }
}

/// In words for the node's operator; what is ours is said in our log alone.
pub(super) fn told(node: &str, turned: &Turned) -> Status {
    tracing::warn!(node = node.escape_debug().to_string(), %turned, "no certificate was given, or one was not taken");
    let text = turned.to_string();
    match turned {
        Turned::Unknown | Turned::Evicted => Status::failed_precondition(text),
        Turned::Unsigned => Status::unauthenticated(text),
        Turned::Request(_) => Status::invalid_argument(text),
        Turned::Refused(Refusal::Forbidden(_)) => Status::permission_denied(text),
        Turned::Refused(Refusal::Invalid(_)) => Status::invalid_argument(text),
        Turned::Refused(_) => Status::unavailable("the control plane can give no certificate now"),
    }
}
