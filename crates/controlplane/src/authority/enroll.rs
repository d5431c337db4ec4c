//! Certificates for nodes: for a token, for a challenge that the node's key signed, or for who runs in this process.

use super::{Authority, PublicKey, challenge::signed};
use crate::{
    Plane,
    plane::unix_millis,
    resource::{Author, Body, JoinDocument, Kind, NodeDocument, Proposal, Refusal, State, Way},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use keyway_proto::fleet::v1::{EnrollRequest, Enrolled, RenewRequest};

/// Nodes that may have a certificate at a time.
const NODE_LIMIT: usize = 8_192;
/// Bytes of a host's name that are kept.
const HOST_LIMIT: usize = 255;

/// Why a node gets no certificate, or may not connect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Turned {
    /// Nothing is known of it: it never joined, or joined again with another key.
    #[error("this node has not joined here: give it a new join token")]
    Unknown,
    /// An operator evicted it.
    #[error("evicted: start it under another name")]
    Evicted,
    /// It does not hold the key that it joined with, or answered too late.
    #[error("the challenge was not signed by this node's key in time")]
    Unsigned,
    /// What it sent is no request for a certificate.
    #[error(transparent)]
    Request(#[from] super::csr::BadRequest),
    /// The token, the name, the store.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The key of a node.
pub(super) fn key_of(node: &NodeDocument) -> Option<PublicKey> {
    PublicKey::from_point(&STANDARD.decode(&node.key).ok()?)
}

// === impl Authority ===

impl Authority {
    /// Joins a node. The token is used up by the commit that makes the node known.
    ///
    /// # Errors
    /// When the token or the name does not hold.
    pub(crate) async fn enroll(&self, plane: &Plane, request: EnrollRequest) -> Result<Enrolled, Turned> {
        let key = PublicKey::of_request(&request.csr)?;
        let digest = plane.digest(&STANDARD.encode(&request.secret));
        let (name, mut host, now) = (request.node, request.host, unix_millis() / 1000);
        host.truncate((0..=HOST_LIMIT.min(host.len())).rfind(|end| host.is_char_boundary(*end)).unwrap_or(0));
        // The joint name is told in the audit log only once it is known to be one.
        keyway_config::check_name(&name).map_err(|why| Refusal::field("node", why))?;
        let author = Author {
            by: Way::Hand,
            origin: "join".to_owned(),
            actor: format!("node/{name}"),
            ..Author::system("node.join", &format!("node/{name}"))
        };
        let mut enrolled = None;
        let join = |proposal: &mut Proposal<'_>| {
            let (id, mut join) = admitted(proposal.state, &digest, &name, now)?;
            let trust = self.trust();
            let node = NodeDocument {
                key: STANDARD.encode(key.point()),
                host,
                token: id.clone(),
                root: trust.generation(),
                expires: now + self.life(),
                evicted: false,
            };
            enrolled = Some(self.enrolled(plane, &name, &key, now)?);
            proposal.put(Kind::Node, &name, Body::Node(node))?;
            if !join.used_by.contains(&name) {
                join.used_by.push(name.clone());
            }
            proposal.put(Kind::Join, &id, Body::Join(join))
        };
        plane.change(&author, join).await?;
        tracing::info!(node = name, "a node joined");
        enrolled.ok_or(Turned::Unknown)
    }

    /// What a node is to sign.
    ///
    /// # Errors
    /// Without randomness. Whether there is such a node is not told.
    pub(crate) fn challenge(&self, node: &str) -> Result<Vec<u8>, Turned> {
        Ok(self.challenges.make(node, unix_millis() / 1000)?)
    }

    /// A new certificate for a node that holds its key still, however long the last one has expired.
    ///
    /// # Errors
    /// When it is not known, was evicted, or does not hold its key.
    pub(crate) async fn renew(&self, plane: &Plane, request: &RenewRequest) -> Result<Enrolled, Turned> {
        let RenewRequest { node: name, csr, challenge, signature } = request;
        let (key, now) = (PublicKey::of_request(csr)?, unix_millis() / 1000);
        if !self.challenges.knows(challenge, name, now) || !key.verifies(&signed(challenge), signature) {
            return Err(Turned::Unsigned);
        }
        self.welcome(plane, name, &key)?;
        let enrolled = self.enrolled(plane, name, &key, now)?;
        // Who does not lead writes nothing down: what a node asks of it must not wait for who does.
        if self.own.lock().contains_key(name) || !plane.leads() {
            return Ok(enrolled);
        }
        let generation = self.trust().generation();
        let renewed = |proposal: &mut Proposal<'_>| {
            let there = proposal.state.node(name).filter(|node| !node.evicted).cloned();
            let there = there.ok_or_else(|| Refusal::Forbidden(Turned::Evicted.to_string()))?;
            let node = NodeDocument { root: generation, expires: now + self.life(), ..there };
            proposal.put(Kind::Node, name, Body::Node(node))
        };
        plane.change(&Author::system("node.renew", &format!("node/{name}")), renewed).await?;
        Ok(enrolled)
    }

    /// A certificate for a node of this process: who asks is who is asked, so that no token is needed.
    ///
    /// # Errors
    /// When the request is none, or no certificate can be made.
    pub(crate) fn enroll_own(&self, plane: &Plane, name: &str, csr: &[u8]) -> Result<Enrolled, Refusal> {
        let bad = |_| Refusal::Internal("a request for a certificate that is none");
        let key = PublicKey::of_request(csr).map_err(bad)?;
        let enrolled = self.enrolled(plane, name, &key, unix_millis() / 1000)?;
        self.own.lock().insert(name.to_owned(), key);
        Ok(enrolled)
    }

    /// How long a node's certificate lasts, seconds.
    pub(crate) fn node_life_seconds(&self) -> u64 {
        self.life()
    }

    fn life(&self) -> u64 {
        self.certificates.node_life.as_secs()
    }

    fn enrolled(&self, plane: &Plane, name: &str, key: &PublicKey, now: u64) -> Result<Enrolled, Refusal> {
        let trust = self.trust();
        let own = trust.issuing.node(&self.name(&format!("node/{name}")), key, now, self.life())?;
        Ok(Enrolled {
            cluster: self.cluster.clone(),
            node: name.to_owned(),
            chain: vec![own],
            roots: trust.roots.iter().map(|root| root.to_vec()).collect(),
            signing_keys: vec![plane.vault().public_key()],
            life_seconds: self.life(),
        })
    }
}

/// The token, and whether this node may join with it.
fn admitted(state: &State, digest: &str, name: &str, now: u64) -> Result<(String, JoinDocument), Refusal> {
    let forbidden = |why: &str| Err(Refusal::Forbidden(why.to_owned()));
    // Digests are keyed: how long it takes to find one says nothing of a token.
    let Some((id, join)) = state.joins().find(|(_, join)| join.digest == digest) else {
        return forbidden("there is no such join token: it was used up, has expired or was revoked");
    };
    let came_before = join.used_by.iter().any(|used| used == name);
    let room = usize::try_from(join.max_nodes).unwrap_or(usize::MAX);
    if join.expires <= now {
        return forbidden("this join token has expired: make another with `keyway join-token create`");
    }
    if join.node.as_ref().is_some_and(|node| node != name) {
        return forbidden("this join token is for a node of another name");
    }
    // Once means once: only who may bring many may come again, as what keeps nothing on its disk does.
    if join.used_by.len() >= room && !(came_before && join.max_nodes > 1) {
        return forbidden("this join token is used up: make another with `keyway join-token create`");
    }
    if let Some(there) = state.node(name) {
        if there.evicted {
            return Err(Refusal::Forbidden(Turned::Evicted.to_string()));
        }
        let may_replace = join.node.is_some() || (came_before && there.token == id);
        if !may_replace {
            return forbidden(
                "a node of this name has joined: give this one another --node, or make a token for that name: \
                 keyway join-token create --node NAME",
            );
        }
    } else if in_force(state, now) >= NODE_LIMIT {
        return forbidden("there are too many nodes: remove some with `keyway fleet evict`");
    }
    Ok((id.to_owned(), join.clone()))
}

/// How many nodes can show a certificate: who was evicted or has expired keeps nobody out.
fn in_force(state: &State, now: u64) -> usize {
    state.nodes().filter(|(_, node)| !node.evicted && node.expires > now).count()
}

// === impl Trust ===

impl super::Trust {
    /// Of the root that issues.
    pub(crate) fn generation(&self) -> u32 {
        self.issuing.generation
    }
}
