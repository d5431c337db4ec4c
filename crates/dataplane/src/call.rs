//! One request, understood and admitted, on its way to a provider.

use crate::{
    ingress::{self, Shape},
    quota::Ask,
    refusal::Refusal,
    sync::State,
    translate::Asks,
    worker::Worker,
};
use bytes::Bytes;
use http::HeaderMap;
use keyway_dialect::{Malformed, codec::Envelope};
use keyway_snapshot::{Dialect, Endpoint, Timeouts, TokenDigest};
use std::{borrow::Cow, cell::OnceCell, sync::Arc, time::Duration};
use tokio::time::Instant;

const TOTAL: Duration = Duration::from_secs(600);
const FIRST_TOKEN: Duration = Duration::from_secs(300);
const IDLE: Duration = Duration::from_secs(300);
const CONNECT: Duration = Duration::from_secs(3);

/// A request between the two doors.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) started: Instant,
    /// Pinned from the first byte to the last.
    pub(crate) state: Arc<State>,
    /// What it takes of limits, and for whom.
    pub(crate) ask: Ask,
    /// With which it came.
    pub(crate) token: TokenDigest,
    pub(crate) endpoint: Endpoint,
    pub(crate) dialect: Dialect,
    /// As the caller sent them.
    pub(crate) headers: HeaderMap,
    /// As the caller sent it, without `?`.
    pub(crate) query: Option<Box<str>>,
    pub(crate) body: Bytes,
    /// What the body means, once a target needs it that speaks another dialect.
    pub(crate) decoded: OnceCell<Box<Decoded>>,
    /// The body's share of what all cores may hold.
    pub(crate) _held: ingress::Held,
    pub(crate) shape: Shape,
    pub(crate) stream: bool,
    /// The model that the path names, where it does and not the body.
    pub(crate) named: Option<Box<str>>,
    /// Gateways of this kind that it has passed already.
    pub(crate) hops: usize,
    /// The caller's own limit.
    pub(crate) patience: Option<Duration>,
}

/// A body decoded.
#[derive(Debug)]
pub(crate) struct Decoded {
    asks: Result<Asks, Malformed>,
    _held: ingress::Held,
}

/// The waits of one attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    pub(crate) connect: Duration,
    /// The shortest limit of the whole reply (no stream) or of the first event (stream).
    pub(crate) answer: Duration,
    /// When that must have come: limits of all targets begin with the request, a provider's own with the attempt.
    pub(crate) answer_by: Instant,
    /// It is the provider's own, so that another target may still be in time.
    pub(crate) own: bool,
    /// When a reply that turns out to be no stream must have ended.
    pub(crate) whole_by: Instant,
    /// Between two events.
    pub(crate) idle: Duration,
}

// === impl Call ===

impl Call {
    /// The model as asked for.
    pub(crate) fn model(&self) -> Cow<'_, str> {
        let in_body = || self.shape.model(&self.body).unwrap_or_default();
        self.named.as_deref().map_or_else(in_body, Cow::Borrowed)
    }

    /// What the caller asks for, decoded once.
    ///
    /// # Errors
    /// Its dialect does not allow it; or no more bodies may be held now.
    pub(crate) fn asks(&self, worker: &Worker) -> Result<&Asks, Refusal> {
        if self.decoded.get().is_none() {
            let held = self.share(worker, self.body.len())?;
            let envelope = Envelope { model: &self.model(), stream: self.stream };
            let asks = Asks::decode((self.dialect, self.endpoint), &self.body, &envelope);
            let _ = self.decoded.set(Box::new(Decoded { asks, _held: held }));
        }
        let decoded = self.decoded.get().ok_or_else(|| Refusal::overloaded("bodies_in_flight"))?;
        decoded.asks.as_ref().map_err(Refusal::malformed)
    }

    /// Room for a copy of the body, in whatever form.
    ///
    /// # Errors
    /// All cores together hold as much as they may.
    pub(crate) fn share(&self, worker: &Worker, bytes: usize) -> Result<ingress::Held, Refusal> {
        let mut held = worker.budget.open(self.state.snapshot.settings.bodies_in_flight_limit);
        held.grow_to(bytes)?;
        Ok(held)
    }

    /// The waits towards a target whose attempt begins: the tightest of data plane, provider, alias and caller.
    pub(crate) fn waits(&self, provider: Timeouts, alias: Timeouts) -> Waits {
        let all = self.state.snapshot.settings.timeouts.tightened_by(alias);
        let (whole, whole_by, whole_own) = self.limit(all.total.unwrap_or(TOTAL), provider.total);
        let (answer, answer_by, own) = if self.stream {
            self.limit(all.first_token.unwrap_or(FIRST_TOKEN), provider.first_token)
        } else {
            (whole, whole_by, whole_own)
        };
        let set = all.tightened_by(provider);
        let connect = set.connect.unwrap_or(CONNECT).min(answer);
        Waits { connect, answer, answer_by, own, whole_by, idle: set.idle.unwrap_or(IDLE) }
    }

    /// The shortest of what holds for all attempts together and what holds for this one, and when the first of them is
    /// over: a target must not lose its time to those that were tried before it. And whether that is the attempt's.
    fn limit(&self, all: Duration, own: Option<Duration>) -> (Duration, Instant, bool) {
        let all = self.patience.map_or(all, |patience| all.min(patience));
        let by = self.started + all;
        let Some(own) = own else { return (all, by, false) };
        let own_by = Instant::now() + own;
        (all.min(own), by.min(own_by), own_by < by)
    }
}
