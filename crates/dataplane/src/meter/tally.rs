//! One request's count, from its first byte to its last. It closes once: where it ends in order, or when it is dropped
//! because the caller left.

use crate::{
    lease::Lease,
    listen::Caller,
    refusal::{Attempted, Refusal},
    worker::{InFlight, Worker},
};
use http::StatusCode;
use keyway_dialect::{fault::Fault, usage::Usage};
use keyway_snapshot::{Client, NanoDollars, Target};
use std::{rc::Rc, sync::Arc};
use tokio::time::Instant;
use ulid::Ulid;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// To its end.
    Served,
    /// With a refusal of ours or the provider's.
    Refused,
    /// Its answer broke after it began.
    Broken(&'static str),
    /// The caller left.
    Cancelled,
}

/// What is known of a request so far.
#[derive(Debug)]
pub(crate) struct Tally {
    worker: Rc<Worker>,
    _in_flight: InFlight,
    _caller: Caller,
    /// Part of the request's body has not been read: the connection cannot be used again.
    pub(crate) unread: bool,
    pub(crate) id: Ulid,
    pub(crate) started: Instant,
    pub(crate) client: Option<Arc<Client>>,
    pub(crate) served_by: Option<(Arc<Target>, Arc<str>)>,
    pub(crate) status: StatusCode,
    pub(crate) attempts: Vec<Attempted>,
    /// Held until the reply has ended.
    pub(crate) lease: Option<Lease>,
    first_byte: Option<Instant>,
    usage: Option<Usage>,
    closed: bool,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn open(worker: &Rc<Worker>, caller: Caller) -> Self {
        let started = Instant::now();
        Self {
            _in_flight: worker.begin(),
            _caller: caller,
            unread: false,
            id: worker.request_id(started),
            worker: Rc::clone(worker),
            started,
            client: None,
            served_by: None,
            status: StatusCode::OK,
            attempts: Vec::new(),
            lease: None,
            first_byte: None,
            usage: None,
            closed: false,
        }
    }

    /// A byte of the answer goes out.
    pub(crate) fn first_byte(&mut self) {
        self.first_byte.get_or_insert_with(Instant::now);
    }

    /// What the provider says was used.
    pub(crate) fn usage(&mut self, usage: Option<Usage>) {
        self.usage = usage.or(self.usage);
    }

    /// What this request costs, if its usage and price are known.
    pub(crate) fn cost(&self) -> Option<NanoDollars> {
        let (target, _) = self.served_by.as_ref()?;
        target.price.as_ref()?.cost(self.usage.as_ref()?.counts())
    }

    /// The fault that a refusal is, with this request's id.
    pub(crate) fn fault(&self, refusal: Refusal) -> Fault {
        refusal.into_fault(&self.id)
    }

    /// Ends the count. Later calls change nothing.
    pub(crate) fn close(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.lease = None;
        self.worker.faults.ended(self.status, outcome, self.started.elapsed());
        if let (Some(client), Some((target, key))) = (&self.client, &self.served_by) {
            let cost = self.cost();
            self.worker.totals.lock().add(&client.name, key, &target.label, |row| {
                row.requests += 1;
                row.errors += u64::from(matches!(outcome, Outcome::Refused | Outcome::Broken(_)));
                row.cancelled += u64::from(outcome == Outcome::Cancelled);
                row.add_usage(self.usage.as_ref().map(Usage::counts), cost);
            });
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.close(Outcome::Cancelled);
    }
}
