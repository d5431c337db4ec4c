//! Nodes, the tokens with which they join, and the roots of their certificates.

use super::{
    answer::{Answer, Fault},
    call::Call,
    view::{Done, OneTime},
};
use crate::{
    authority::{Authority, AuthorityView, JoinView, MadeJoin, NewJoin, NodeView, RootView},
    plane::unix_millis,
    resource::{AUTHORITY, Kind, Proposal, Refusal},
};
use http::StatusCode;
use keyway_config::{Expiry, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A join token to be made.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewToken {
    /// `10m`, or a day or moment in UTC; left out: ten minutes, which is also the most for a token that is used once.
    expires: Option<String>,
    /// How many nodes may join with it; left out: one.
    max_nodes: Option<u32>,
    /// The only name that may join with it; one that has joined before then gets a new key.
    node: Option<String>,
}

/// A join token with its text.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MadeToken {
    /// Shown here only.
    token: OneTime,
    #[serde(flatten)]
    join: JoinView,
}

pub(super) async fn list(call: Call) -> Result<Answer, Fault> {
    let (state, now) = (call.plane().state(), unix_millis() / 1000);
    Answer::json(&state.nodes().map(|(name, node)| NodeView::new(name, node, now)).collect::<Vec<_>>())
}

pub(super) async fn list_tokens(call: Call) -> Result<Answer, Fault> {
    let (state, now) = (call.plane().state(), unix_millis() / 1000);
    Answer::json(&state.joins().map(|(id, join)| JoinView::new(id, join, now)).collect::<Vec<_>>())
}

pub(super) async fn create_token(call: Call) -> Result<Answer, Fault> {
    let NewToken { expires, max_nodes, node } =
        if call.body.is_empty() { NewToken::default() } else { call.spec("")? };
    let expires = expires.as_deref().map(until).transpose()?;
    let authority = authority(&call)?;
    let new = NewJoin { expires, max_nodes, node };
    let mut made = None;
    let make = |proposal: &mut Proposal<'_>| {
        made = Some(authority.make_join(call.plane(), proposal, new)?);
        Ok(())
    };
    call.plane().change(&call.author(Kind::Join.word()), make).await?;
    let MadeJoin { id, token } = made.ok_or_else(|| Fault::internal("no token was made"))?;
    let (state, now) = (call.plane().state(), unix_millis() / 1000);
    let join = state.joins().find(|(name, _)| *name == id).map(|(id, join)| JoinView::new(id, join, now));
    let join = join.ok_or_else(|| Fault::internal("a join token that is not there"))?;
    Ok(Answer::json(&MadeToken { token: OneTime::from(&token), join })?.created())
}

pub(super) async fn revoke_token(call: Call) -> Result<Answer, Fault> {
    let id = call.name();
    let outcome = call.change(Kind::Join, id, |proposal| proposal.delete(Kind::Join, id)).await?;
    Answer::json(&Done::from(&outcome))
}

pub(super) async fn authority_view(call: Call) -> Result<Answer, Fault> {
    Answer::json(&view(&call)?)
}

pub(super) async fn rotate(call: Call) -> Result<Answer, Fault> {
    authority(&call)?.rotate(call.plane(), &call.author(AUTHORITY)).await?;
    Answer::json(&view(&call)?)
}

fn view(call: &Call) -> Result<AuthorityView, Fault> {
    let (state, now) = (call.plane().state(), unix_millis() / 1000);
    let roots = state.authority().map(|all| all.roots.as_slice()).unwrap_or_default();
    Ok(AuthorityView {
        cluster: call.plane().fleet().cluster().to_owned(),
        roots: roots.iter().map(|root| RootView::new(root, &state, now)).collect(),
        node_life_seconds: authority(call)?.node_life_seconds(),
    })
}

fn authority(call: &Call) -> Result<&Authority, Fault> {
    let none = || {
        Fault::new(
            StatusCode::CONFLICT,
            "no_authority",
            "this control plane gives no certificates".to_owned(),
        )
    };
    call.api.authority.as_deref().ok_or_else(none)
}

/// A moment, seconds since 1970.
fn until(said: &str) -> Result<u64, Refusal> {
    let span = |span: Span| unix_millis() / 1000 + span.millis() / 1000;
    let moment = Expiry::parse(said).map(|moment| moment.unix()).or_else(|| Span::parse(said).map(span));
    moment.ok_or_else(|| Refusal::field("expires", "is a span like 10m, or a day like 2027-01-31"))
}
