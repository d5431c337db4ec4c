//! One request's count, from its first byte to its last. It closes once: where it ends in order, or when it is dropped
//! because the caller left.

use crate::{
    attempt::Failure,
    call::Call,
    lease::Lease,
    listen::Caller,
    observe::{End, Trace},
    open::{Cut, Place},
    refusal::{Attempted, Refusal},
    route::Step,
    worker::{InFlight, Worker},
};
use http::StatusCode;
use keyway_dialect::{fault::Fault, usage::Usage};
use keyway_snapshot::{Client, NanoDollars, Target, Used};
use std::{rc::Rc, sync::Arc, task::Context};
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
    pub(crate) caller: Caller,
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
    /// While it uses a key: where it is found when it must be cut.
    pub(crate) place: Option<Place>,
    /// `None` without a collector, and where the sampler leaves the request out.
    pub(crate) trace: Option<Box<Trace>>,
    tries: u32,
    begun: bool,
    usage: Option<Usage>,
    closed: bool,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn open(worker: &Rc<Worker>, caller: Caller) -> Self {
        let started = Instant::now();
        Self {
            _in_flight: worker.begin(),
            caller,
            unread: false,
            id: worker.request_id(started),
            worker: Rc::clone(worker),
            started,
            client: None,
            served_by: None,
            status: StatusCode::OK,
            attempts: Vec::new(),
            lease: None,
            place: None,
            trace: None,
            tries: 0,
            begun: false,
            usage: None,
            closed: false,
        }
    }

    /// Whether anything of a stream has gone out.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether its answer must end now. Counted for the key that is the reason.
    pub(crate) fn is_cut(&self) -> Option<Cut> {
        let cut = self.place.as_ref()?.is_cut()?;
        if let (Cut::Credential, Some(lease)) = (cut, &self.lease) {
            lease.key().failed();
        }
        Some(cut)
    }

    /// To be woken when it must end.
    pub(crate) fn wait_for_cut(&self, cx: &Context<'_>) {
        if let Some(place) = &self.place {
            place.wait(cx);
        }
    }

    /// The first event of a stream goes out.
    pub(crate) fn first_token(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        self.worker.faults.first_token(self.started.elapsed());
        if let Some(trace) = &mut self.trace {
            trace.first_token();
        }
    }

    /// An attempt begins, with the key of this id.
    pub(crate) fn attempt_begins(&mut self, call: &Call, step: &Step, key: &str) {
        if self.tries > 0 {
            self.worker.faults.tries.again();
        }
        self.tries += 1;
        if let Some(trace) = &mut self.trace {
            trace.attempt(call, step, key);
        }
    }

    /// It brought an answer (`None`) or failed.
    pub(crate) fn attempt_ended(&mut self, failure: Option<&Failure>) {
        self.worker.faults.tries.ended(failure.map(|failure| failure.reason));
        if let (Some(trace), Some(failure)) = (&mut self.trace, failure) {
            trace.attempt_failed(failure);
        }
    }

    /// What the provider says was used.
    pub(crate) fn usage(&mut self, usage: Option<Usage>) {
        self.usage = usage.or(self.usage);
    }

    /// What this request costs, if its usage and price are known.
    pub(crate) fn cost(&self) -> Option<NanoDollars> {
        let (target, key) = self.served_by.as_ref()?;
        let usage = self.usage.as_ref()?;
        let used = Used {
            counts: usage.counts(),
            reasoning: usage.reasoning(),
            service_tier: usage.service_tier(),
            at_unix_seconds: self.id.timestamp_ms() / 1000,
        };
        target.bill(key, &used).map(|bill| bill.cost)
    }

    /// The fault that a refusal is, with this request's id.
    pub(crate) fn fault(&mut self, refusal: Refusal) -> Fault {
        let fault = refusal.into_fault(&self.id);
        self.worker.faults.tries.refused(fault.code);
        if let Some(trace) = &mut self.trace {
            trace.refused(fault.reason.unwrap_or(fault.code.as_str()));
        }
        fault
    }

    /// Ends the count. Later calls change nothing.
    pub(crate) fn close(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        // Only an answer that is under way holds a lease here.
        let answered = self.lease.take().is_some() || outcome != Outcome::Cancelled;
        self.place = None;
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
        if let Some(trace) = self.trace.take() {
            trace.end(&End {
                client: self.client.as_deref(),
                outcome,
                status: answered.then_some(self.status),
                usage: self.usage.as_ref(),
                cost: self.cost(),
            });
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.close(Outcome::Cancelled);
    }
}
