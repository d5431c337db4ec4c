//! Roots, nodes and tokens as the admin API shows them. No secret is in any of them.

use crate::resource::{JoinDocument, NodeDocument, RootDocument, State};
use keyway_config::Expiry;
use schemars::JsonSchema;
use serde::Serialize;

/// The roots of certificates, and who is on which.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct AuthorityView {
    pub(crate) cluster: String,
    /// The newest last: it issues, all are trusted.
    pub(crate) roots: Vec<RootView>,
    /// How long a node's certificate lasts, seconds.
    pub(crate) node_life_seconds: u64,
}

/// One root.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct RootView {
    pub(crate) generation: u32,
    /// `issues`, or `trusted` while a newer one issues.
    pub(crate) state: &'static str,
    pub(crate) made: String,
    pub(crate) expires: String,
    /// From then on it is trusted no longer, if no node is on it; absent = it issues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drop_at: Option<String>,
    /// Nodes whose newest certificate is under it and has not expired.
    pub(crate) nodes: Vec<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct NodeView {
    pub(crate) name: String,
    pub(crate) host: String,
    /// `joined`, `expired` or `evicted`.
    pub(crate) state: &'static str,
    /// When its certificate ends.
    pub(crate) expires: String,
    /// Which root that is under.
    pub(crate) root: u32,
    /// The token that it joined with.
    pub(crate) token: String,
}

/// A join token, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct JoinView {
    pub(crate) id: String,
    /// `open`, `used` or `expired`.
    pub(crate) state: &'static str,
    pub(crate) expires: String,
    pub(crate) max_nodes: u32,
    /// The only name that may join with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    /// Who joined with it.
    pub(crate) used_by: Vec<String>,
}

fn moment(unix: u64) -> String {
    Expiry::from_unix(unix).to_string()
}

// === impl RootView ===

impl RootView {
    /// `now`: seconds since 1970.
    pub(crate) fn new(root: &RootDocument, state: &State, now: u64) -> Self {
        let on = |(_, node): &(&str, &NodeDocument)| {
            node.root == root.generation && !node.evicted && node.expires > now
        };
        Self {
            generation: root.generation,
            state: if root.drop_at.is_none() { "issues" } else { "trusted" },
            made: moment(root.made_at),
            expires: moment(root.expires),
            drop_at: root.drop_at.map(moment),
            nodes: state.nodes().filter(on).map(|(name, _)| name.to_owned()).collect(),
        }
    }
}

// === impl NodeView ===

impl NodeView {
    /// `now`: seconds since 1970.
    pub(crate) fn new(name: &str, node: &NodeDocument, now: u64) -> Self {
        Self {
            name: name.to_owned(),
            host: node.host.clone(),
            state: match (node.evicted, node.expires <= now) {
                (true, _) => "evicted",
                (false, true) => "expired",
                (false, false) => "joined",
            },
            expires: moment(node.expires),
            root: node.root,
            token: node.token.clone(),
        }
    }
}

// === impl JoinView ===

impl JoinView {
    /// `now`: seconds since 1970.
    pub(crate) fn new(id: &str, join: &JoinDocument, now: u64) -> Self {
        let used = u32::try_from(join.used_by.len()).unwrap_or(u32::MAX) >= join.max_nodes;
        Self {
            id: id.to_owned(),
            state: match (used, join.expires <= now) {
                (true, _) => "used",
                (false, true) => "expired",
                (false, false) => "open",
            },
            expires: moment(join.expires),
            max_nodes: join.max_nodes,
            node: join.node.clone(),
            used_by: join.used_by.clone(),
        }
    }
}
