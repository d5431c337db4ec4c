//! The calls by which a node joins and renews. Each is a connection of its own that shows no certificate.

use super::{Identity, JoinToken, Request, tls};
use crate::sync::channel;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use keyway_proto::fleet::v1::{
    ChallengeRequest, EnrollRequest, Enrolled, RenewRequest, enroll_client::EnrollClient,
};
use std::{sync::Arc, time::Duration};
use tonic::{Code, Response, Status};

/// What a control plane that is there takes to answer.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// What is signed begins so: such a signature is good for nothing else.
const RENEWAL: &[u8] = b"keyway renew 1\0";
/// Bytes of an answer.
const ANSWER_LIMIT: usize = 64 << 10;

/// What to join as.
pub(super) struct Joiner<'a> {
    pub(super) token: &'a JoinToken,
    pub(super) node: &'a str,
    pub(super) host: &'a str,
    /// Of the fleet port, `https://HOST:PORT`; tried in this order.
    pub(super) urls: &'a [String],
}

/// Joins.
///
/// # Errors
/// What the last control plane that was asked said, or why none was reached.
pub(super) async fn join(joiner: &Joiner<'_>) -> Result<Identity, Status> {
    let mut last = Status::unavailable("no address of a control plane is known: give --fleet-url");
    for url in joiner.urls {
        match join_at(joiner, url).await {
            // Another would not say so of a token that is in every store.
            Err(why) if why.code() == Code::PermissionDenied => return Err(why),
            Err(why) => last = why,
            Ok(identity) => return Ok(identity),
        }
    }
    Err(last)
}

async fn join_at(joiner: &Joiner<'_>, url: &str) -> Result<Identity, Status> {
    let Joiner { token, node, host, .. } = joiner;
    let request = Request::make(node).map_err(unexpected)?;
    let config = Arc::new(tls::pinned(token).map_err(unexpected)?);
    let mut client = EnrollClient::new(channel(url, config).await?).max_decoding_message_size(ANSWER_LIMIT);
    let call = EnrollRequest {
        secret: token.secret.expose().to_vec(),
        node: (*node).to_owned(),
        csr: request.csr.clone(),
        host: (*host).to_owned(),
    };
    let enrolled = answer(client.enroll(call)).await?;
    Ok(request.accept(enrolled, token.addresses.clone()))
}

/// A new certificate for the same key.
///
/// # Errors
/// What the control plane said, or why it was not reached.
pub(super) async fn renew(identity: &Identity, url: &str) -> Result<Identity, Status> {
    let config = Arc::new(tls::without_certificate(identity).map_err(unexpected)?);
    let mut client = EnrollClient::new(channel(url, config).await?).max_decoding_message_size(ANSWER_LIMIT);
    let node = identity.node().to_owned();
    let challenge = answer(client.challenge(ChallengeRequest { node: node.clone() })).await?.challenge;
    let damaged = || Status::unknown("this node's key is damaged: join again with a new token");
    let request = Request::over(identity.key_pair().ok_or_else(damaged)?, &node).map_err(unexpected)?;
    let signature = sign(identity, &challenge).ok_or_else(damaged)?;
    let call = RenewRequest { node, csr: request.csr.clone(), challenge, signature };
    let enrolled: Enrolled = answer(client.renew(call)).await?;
    Ok(request.accept(enrolled, identity.addresses.clone()))
}

fn sign(identity: &Identity, challenge: &[u8]) -> Option<Vec<u8>> {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, identity.key.expose()).ok()?;
    let signature = pair.sign(&SystemRandom::new(), &[RENEWAL, challenge].concat()).ok()?;
    Some(signature.as_ref().to_vec())
}

async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
    let answered = tokio::time::timeout(CALL_LIMIT, call).await;
    answered.map_err(|_| Status::unknown("the control plane is silent"))?.map(Response::into_inner)
}

fn unexpected(error: impl std::fmt::Display) -> Status {
    Status::unknown(error.to_string())
}
