//! One request, understood and admitted, on its way to a provider.

use crate::{
    ingress::{self, Shape},
    sync::State,
};
use bytes::Bytes;
use http::HeaderMap;
use keyway_snapshot::{Dialect, Endpoint, Timeouts, TokenDigest};
use std::{sync::Arc, time::Duration};
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
    /// With which it came.
    pub(crate) token: TokenDigest,
    pub(crate) endpoint: Endpoint,
    pub(crate) dialect: Dialect,
    /// As the caller sent them.
    pub(crate) headers: HeaderMap,
    /// As the caller sent it, without `?`.
    pub(crate) query: Option<Box<str>>,
    pub(crate) body: Bytes,
    /// The body's share of what all cores may hold.
    pub(crate) _held: ingress::Held,
    pub(crate) shape: Shape,
    pub(crate) stream: bool,
    /// Gateways of this kind that it has passed already.
    pub(crate) hops: usize,
    /// The caller's own limit.
    pub(crate) patience: Option<Duration>,
}

/// The waits of one attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    pub(crate) connect: Duration,
    /// From the request's start to the whole reply (no stream) or to the first event (stream).
    pub(crate) answer: Duration,
    /// Between two events.
    pub(crate) idle: Duration,
}

// === impl Call ===

impl Call {
    /// The waits towards a target: the tightest of data plane, provider, alias and caller.
    pub(crate) fn waits(&self, provider: Timeouts, alias: Timeouts) -> Waits {
        let set = self.state.snapshot.settings.timeouts.tightened_by(provider).tightened_by(alias);
        let answer =
            if self.stream { set.first_token.unwrap_or(FIRST_TOKEN) } else { set.total.unwrap_or(TOTAL) };
        let answer = self.patience.map_or(answer, |patience| answer.min(patience));
        Waits { connect: set.connect.unwrap_or(CONNECT).min(answer), answer, idle: set.idle.unwrap_or(IDLE) }
    }
}
