//! A request on the wire, and the head of its reply.

use super::{Failure, failure};
use crate::{
    call::{Call, Waits},
    lease::Lease,
    reply::Source,
    route::{Step, Verdict},
    translate::Unsendable,
    upstream::{Link, RequestBody, SendError, Unreachable},
    worker::Worker,
};
use http::{Request, response::Parts};
use keyway_snapshot::{EndpointUrl, Origin, Surface};
use std::{rc::Rc, time::Duration};
use tokio::time::Instant;

/// A reply whose body has not been read.
pub(super) struct Sent {
    pub(super) head: Parts,
    pub(super) source: Source,
    pub(super) withhold_usage: bool,
}

/// Sends what `request` makes; it is made again where a resting connection had died.
pub(super) async fn send(
    worker: &Rc<Worker>,
    call: &Call,
    (step, surface, url): (&Step, &Surface, &EndpointUrl),
    (waits, lease): (Waits, &Lease),
    request: impl Fn() -> Result<(Request<RequestBody>, bool), Unsendable>,
) -> Result<Sent, Failure> {
    if let Some(tokens) = lease.tokens(surface).filter(|tokens| !tokens.are_fresh()) {
        // Boxed, as it is rare: once an hour.
        let ready = Box::pin(tokens.ready(&worker.connector)).await;
        ready.map_err(|why| failure::tokenless(worker, lease, why))?;
    }
    let request = || request().map_err(|_| Failure::broken("credential_unusable"));
    let (first, withhold_usage) = request()?;
    if !call.stream {
        // A stream's caller waits for its first byte, and its own events are gathered anyway.
        crate::turn::others_first(worker).await;
    }

    let sent = match rested(worker, &url.origin, first).await {
        Rested::Answered(reply, link) => Ok((reply, link)),
        Rested::None(request) => Box::pin(fresh(worker, &url.origin, *request, waits.connect)).await,
        // It had died while it rested: that says nothing of the provider.
        Rested::Died => Box::pin(fresh(worker, &url.origin, request()?.0, waits.connect)).await,
    };
    let (reply, link) = sent.inspect_err(|failure| {
        if failure.verdict == Some(Verdict::Passing) {
            lease.key().health.cool(&step.target.model, worker.millis(Instant::now()), None);
        }
    })?;
    let (head, body) = reply.into_parts();
    lease.learn(worker, &step.target, &head.headers);
    Ok(Sent { head, source: Source::new(Rc::clone(worker), link, body), withhold_usage })
}

/// What came of trying a resting connection.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and moved once")]
enum Rested {
    Answered(Reply, Link),
    /// There is none that takes the request.
    None(Box<Request<RequestBody>>),
    /// One took it and broke before any byte of an answer.
    Died,
}

type Reply = http::Response<hyper::body::Incoming>;

async fn rested(worker: &Worker, origin: &Origin, mut request: Request<RequestBody>) -> Rested {
    while let Some(mut link) = worker.pool.take(origin.id) {
        match link.send(request).await {
            Ok(reply) => return Rested::Answered(reply, link),
            Err(SendError::NotSent(unsent)) => request = *unsent,
            Err(SendError::Broken(error)) => {
                tracing::debug!(%error, "a resting connection broke under a request");
                return Rested::Died;
            }
        }
    }
    Rested::None(Box::new(request))
}

async fn fresh(
    worker: &Worker,
    origin: &Origin,
    request: Request<RequestBody>,
    connect: Duration,
) -> Result<(Reply, Link), Failure> {
    let connecting = worker.connector.connect(origin, connect);
    let mut link = connecting.await.map_err(|error| unreachable(origin, &error))?;
    match link.send(request).await {
        Ok(reply) => Ok((reply, link)),
        Err(SendError::NotSent(_)) => Err(Failure::passing("upstream_unreachable")),
        Err(SendError::Broken(error)) => Err(broken(&error)),
    }
}

fn broken(error: &hyper::Error) -> Failure {
    tracing::debug!(%error, "a provider's reply broke before its head");
    if error.is_parse() { Failure::broken("upstream_bad_framing") } else { Failure::passing("upstream_cut") }
}

fn unreachable(origin: &Origin, error: &Unreachable) -> Failure {
    tracing::debug!(host = &*origin.host, %error, "a provider could not be reached");
    match error {
        Unreachable::AddressRefused => Failure::broken("upstream_address_refused"),
        Unreachable::TimedOut => Failure::passing("connect_timeout"),
        Unreachable::NoRoom(_) => Failure::no_room(),
        // A certificate does not become right by trying again.
        Unreachable::Tls(_) => Failure::broken("upstream_tls_failed"),
        Unreachable::Name(_) | Unreachable::Connect(_) => Failure::passing("upstream_unreachable"),
    }
}
