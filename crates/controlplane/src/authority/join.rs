//! Join tokens: how they are made. What is shown once holds everything that a node needs; what is kept is a digest.

use super::{Authority, issue::certificate};
use crate::{
    Plane,
    plane::unix_millis,
    resource::{Body, JoinDocument, Kind, Proposal, Refusal, TokenText},
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use keyway_proto::fleet::v1::JoinToken;
use prost::Message;
use zeroize::{Zeroize, Zeroizing};

/// How a token begins.
const PREFIX: &str = "kwj_";
/// Bytes of its secret.
const SECRET: usize = 32;
/// Seconds for which a token is good that may be used once.
pub(super) const LASTS: u64 = 600;
/// Tokens that there may be.
const TOKEN_LIMIT: usize = 1_000;
/// Nodes that one token may bring.
const NODES_LIMIT: u32 = 4_096;
/// Random bytes of a token's name.
const NAME: usize = 5;

/// A token to be made.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewJoin {
    /// Seconds since 1970; absent = in ten minutes.
    pub(crate) expires: Option<u64>,
    /// How many nodes may join; absent = one.
    pub(crate) max_nodes: Option<u32>,
    /// The only name that may.
    pub(crate) node: Option<String>,
}

/// A token that was made: shown once.
#[derive(Debug)]
pub(crate) struct MadeJoin {
    pub(crate) id: String,
    pub(crate) token: TokenText,
}

// === impl Authority ===

impl Authority {
    /// Makes a token. One that may be used once lasts at most ten minutes.
    ///
    /// # Errors
    /// When what is asked for makes no sense.
    pub(crate) fn make_join(
        &self,
        plane: &Plane,
        proposal: &mut Proposal<'_>,
        new: NewJoin,
    ) -> Result<MadeJoin, Refusal> {
        let now = unix_millis() / 1000;
        let (max_nodes, expires) = (new.max_nodes.unwrap_or(1), new.expires.unwrap_or(now + LASTS));
        check(&new, max_nodes, expires, now)?;
        if proposal.state.joins().count() >= TOKEN_LIMIT {
            return Err(Refusal::field("", format!("there are {TOKEN_LIMIT} join tokens; revoke some")));
        }
        let secret = random::<SECRET>()?;
        let id = crate::hex::hex(random::<NAME>()?.as_slice());
        let text = Zeroizing::new(STANDARD.encode(secret.as_slice()));
        let (digest, node, used_by) = (plane.digest(&text), new.node, Vec::new());
        let join = JoinDocument { digest, expires, max_nodes, node, used_by };
        proposal.put(Kind::Join, &id, Body::Join(join))?;
        Ok(MadeJoin { id, token: self.text(plane, secret.as_slice())? })
    }

    fn text(&self, plane: &Plane, secret: &[u8]) -> Result<TokenText, Refusal> {
        let state = plane.state();
        let newest = state.authority().and_then(|all| all.roots.last()).and_then(certificate);
        let newest = newest.ok_or(Refusal::Internal("there is no root of certificates"))?;
        let addresses = self.certificates.addresses.clone();
        let root_sha256 = digest(&SHA256, &newest).as_ref().to_vec();
        let mut token = JoinToken { root_sha256, secret: secret.to_vec(), addresses };
        let bytes = Zeroizing::new(token.encode_to_vec());
        token.secret.zeroize();
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Ok(TokenText::of(format!("{PREFIX}{}", body.as_str())))
    }
}

fn check(new: &NewJoin, max_nodes: u32, expires: u64, now: u64) -> Result<(), Refusal> {
    if max_nodes == 0 || max_nodes > NODES_LIMIT {
        return Err(Refusal::field("max_nodes", format!("is from 1 to {NODES_LIMIT}")));
    }
    if expires <= now {
        return Err(Refusal::field("expires", "is over already"));
    }
    if max_nodes == 1 && expires > now + LASTS {
        let reason = "a token that is used once lasts ten minutes at most; a reusable one may last longer";
        return Err(Refusal::field("expires", reason));
    }
    if max_nodes > 1 && new.node.is_some() {
        return Err(Refusal::field("node", "names one node, and this token may bring more"));
    }
    new.node.as_deref().map_or(Ok(()), keyway_config::check_name).map_err(|why| Refusal::field("node", why))
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Refusal> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).map_err(|_| Refusal::Internal("the system gives no randomness"))?;
    Ok(bytes)
}
