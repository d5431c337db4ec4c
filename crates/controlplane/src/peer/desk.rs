//! Nodes join and renew at any control plane: the one that leads writes it down, so that the others have it answer. Nothing is
//! asked of it twice but a renewal, which a control plane can answer by itself.

use super::{Peers, TOKEN, Whose, home::Home};
use keyway_proto::fleet::v1::enroll_client::EnrollClient;
use tonic::{Request, Status, metadata::MetadataValue, transport::Channel};

/// Who answers a node.
pub(crate) enum Asked<T> {
    /// This control plane.
    Here(T),
    /// The leader, with this request.
    There(Box<EnrollClient<Channel>>, Request<T>),
    /// Nobody leads, or who does is not reached; what was asked, and why not.
    Nobody(T, Status),
}

// === impl Peers ===

impl Peers {
    /// Whose it is to answer what a node asked of this control plane.
    pub(crate) async fn asked<T>(&self, request: Request<T>) -> Asked<T> {
        if self.admits(&request.metadata().clone().into_headers()) {
            // It was sent on once already.
            return Asked::Here(request.into_inner());
        }
        let asked = request.into_inner();
        let member = match self.whose(Home::Leader).await {
            Whose::Ours => return Asked::Here(asked),
            Whose::Others(member) => member,
            Whose::Nobody | Whose::Away(_) => {
                let why = "no control plane leads at the moment; this one asks again";
                return Asked::Nobody(asked, Status::unavailable(why));
            }
        };
        let (channel, token) = (self.connect(&member).await, MetadataValue::try_from(self.token.as_str()));
        match (channel, token) {
            (Ok(channel), Ok(token)) => {
                let mut onward = Request::new(asked);
                onward.metadata_mut().insert(TOKEN, token);
                Asked::There(Box::new(EnrollClient::new(channel)), onward)
            }
            _ => Asked::Nobody(asked, Status::unavailable("the control plane that leads is not reached")),
        }
    }
}
