//! Nodes of these tests: of this very process, or joined with a token as any other.

use keyway_controlplane::Running;
use keyway_sim::stranger;
use tonic::{Status, transport::Channel};

/// A node that has joined.
#[derive(Clone)]
pub(crate) struct Node(keyway_sim::Node);

impl Node {
    /// One of this very process.
    pub(crate) fn of(running: &Running, name: &str) -> Self {
        let (key, csr) = keyway_sim::Node::request().unwrap();
        let enrolled = running.issuing().unwrap().enroll(name, &csr).unwrap();
        Self(keyway_sim::Node::enrolled(name, &key, enrolled.chain).unwrap())
    }

    /// One that joins with a token.
    pub(crate) async fn join(fleet: &str, token: &str, name: &str) -> Result<Self, Status> {
        keyway_sim::Node::join(fleet, token, name).await.map(Self)
    }

    /// A connection that shows its certificate.
    pub(crate) async fn connect(&self, fleet: &str) -> Channel {
        self.0.connect(fleet).await.unwrap()
    }
}

/// A token of a control plane in another process.
pub(crate) async fn join_token(admin_url: &str, admin_token: &str) -> String {
    let request = reqwest::Client::new().post(format!("{admin_url}/api/v1/join-tokens"));
    let answer = request.bearer_auth(admin_token).json(&serde_json::json!({})).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

/// A connection that shows none.
pub(crate) async fn strange(fleet: &str) -> Channel {
    stranger(fleet).await.unwrap()
}
