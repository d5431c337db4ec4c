//! A request on the wire, and the head of its reply.

use super::{Failure, failure};
use crate::{
    call::{Call, Waits},
    lease::Lease,
    reply::Source,
    route::{Step, Verdict},
    translate::Unsendable,
    upstream::{Broken, Link, Unreachable},
    worker::Worker,
};
use http::{Request, response::Parts};
use keyway_dialect::rewrite::Segments;
use keyway_snapshot::{EndpointUrl, Origin, Surface};
use std::{rc::Rc, time::Duration};
use tokio::time::Instant;

/// Until when the end of a resting connection is its own end, which shows within a round trip, and not the provider's
/// answer to the request.
const DEAD_ALREADY: Duration = Duration::from_millis(250);

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
    request: impl Fn() -> Result<(Request<Segments>, bool), Unsendable>,
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
        Rested::Answered(head, link) => Ok((head, link)),
        Rested::None(request) => Box::pin(fresh(worker, &url.origin, *request, waits.connect)).await,
        // It had died while it rested: that says nothing of the provider.
        Rested::Died => Box::pin(fresh(worker, &url.origin, request()?.0, waits.connect)).await,
        Rested::Failed(failure) => Err(failure),
    };
    let (head, link) = sent.inspect_err(|failure| {
        if failure.verdict == Some(Verdict::Passing) {
            lease.key().health.cool(&step.target.model, worker.millis(Instant::now()), None);
        }
    })?;
    lease.learn(worker, &step.target, &head.headers);
    Ok(Sent { head, source: Source::new(Rc::clone(worker), link), withhold_usage })
}

/// What came of trying a resting connection.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and moved once")]
enum Rested {
    Answered(Parts, Link),
    /// There is none.
    None(Box<Request<Segments>>),
    /// One had died before the request came to it.
    Died,
    /// The provider took it and answered badly or not at all: a try like any other.
    Failed(Failure),
}

async fn rested(worker: &Worker, origin: &Origin, request: Request<Segments>) -> Rested {
    let Some(mut link) = worker.pool.take(origin.id) else { return Rested::None(Box::new(request)) };
    let began = Instant::now();
    match link.send(request).await {
        Ok(head) => Rested::Answered(head, link),
        Err(error) if !link.was_heard() && had_died(&error, began.elapsed()) => {
            tracing::debug!(%error, "a resting connection had died before a request");
            Rested::Died
        }
        Err(error) => Rested::Failed(broken(&error)),
    }
}

/// Whether a resting connection broke so soon that the provider cannot have worked on the request.
fn had_died(error: &Broken, after: Duration) -> bool {
    matches!(error, Broken::Cut | Broken::Io(_)) && after < DEAD_ALREADY
}

async fn fresh(
    worker: &Worker,
    origin: &Origin,
    request: Request<Segments>,
    connect: Duration,
) -> Result<(Parts, Link), Failure> {
    let connecting = worker.connector.connect(origin, connect);
    let mut link = connecting.await.map_err(|error| unreachable(origin, &error))?;
    let head = link.send(request).await.map_err(|error| broken(&error))?;
    Ok((head, link))
}

fn broken(error: &Broken) -> Failure {
    tracing::debug!(%error, "a provider's reply broke before its head");
    match error {
        Broken::Framing(_) => Failure::broken("upstream_bad_framing"),
        Broken::Cut | Broken::Io(_) => Failure::passing("upstream_cut"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::BadReply;

    #[test]
    fn only_what_breaks_at_once_had_died_while_it_rested() {
        let reset = || Broken::Io(std::io::ErrorKind::ConnectionReset.into());
        let (soon, late) = (Duration::from_millis(5), Duration::from_secs(2));
        for (error, after, died) in [
            (Broken::Cut, soon, true),
            (reset(), soon, true),
            (Broken::Cut, late, false),
            (reset(), late, false),
            (Broken::Framing(BadReply("its head is not HTTP")), soon, false),
        ] {
            assert_eq!(had_died(&error, after), died, "{error} after {after:?}");
        }
    }
}
