//! One request's count, from its first byte to its last. It closes once: where it ends in order, or when it is dropped
//! because the caller left.

use super::{Ended, Seen, Story, Try, Used, used};
use crate::{
    attempt::Failure,
    call::Call,
    lease::{Lease, Trouble},
    listen::Caller,
    observe::{End, Trace},
    open::{Cut, Place},
    refusal::Refusal,
    route::Step,
    worker::{InFlight, Worker},
};
use http::StatusCode;
use keyway_dialect::fault::Fault;
use keyway_snapshot::{Endpoint, NanoDollars};
use std::{rc::Rc, sync::Arc, task::Context, time::Duration};
use tokio::time::Instant;
use ulid::Ulid;

/// Of a request whose caller left before anything came, as other servers log it.
const LEFT: u16 = 499;
/// Why it ended then.
const CANCELLED: &str = "client_cancelled";

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
    pub(crate) story: Story,
    pub(crate) status: StatusCode,
    /// Held until the reply has ended.
    pub(crate) lease: Option<Lease>,
    /// While it uses a key: where it is found when it must be cut.
    pub(crate) place: Option<Place>,
    /// `None` without a collector, and where the sampler leaves the request out.
    pub(crate) trace: Option<Box<Trace>>,
    /// When the first event of a stream went out, after the start.
    first_token: Option<Duration>,
    seen: Seen,
    /// Why the gateway ended it.
    reason: &'static str,
    used: Option<Used>,
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
            story: Story::default(),
            status: StatusCode::OK,
            lease: None,
            place: None,
            trace: None,
            first_token: None,
            seen: Seen::default(),
            reason: "",
            used: None,
            closed: false,
        }
    }

    /// Whether anything of a stream has gone out.
    pub(crate) fn has_begun(&self) -> bool {
        self.first_token.is_some()
    }

    /// Whether its answer must end now. Counted for the key that is the reason.
    pub(crate) fn is_cut(&self) -> Option<Cut> {
        let cut = self.place.as_ref()?.is_cut()?;
        if let (Cut::Credential, Some(lease)) = (cut, &self.lease) {
            lease.key().failed();
        }
        Some(cut)
    }

    /// Part of its answer came; the next may take so long.
    pub(crate) fn goes_on(&self, idle: Duration) {
        if let Some(place) = &self.place {
            place.goes_on(idle);
        }
    }

    /// Part of its answer goes to whoever writes it.
    pub(crate) fn gives(&self) {
        if let Some(place) = &self.place {
            place.gives();
        }
    }

    /// Who writes it can take more.
    pub(crate) fn is_asked(&self) {
        if let Some(place) = &self.place {
            place.is_asked();
        }
    }

    /// To be woken when it must end.
    pub(crate) fn wait_for_cut(&self, cx: &Context<'_>) {
        if let Some(place) = &self.place {
            place.wait(cx);
        }
    }

    /// The first event of a stream goes out.
    pub(crate) fn first_token(&mut self) {
        if self.has_begun() {
            return;
        }
        let after = self.started.elapsed();
        self.first_token = Some(after);
        self.worker.faults.first_token(after);
        if let Some(trace) = &mut self.trace {
            trace.first_token();
        }
    }

    /// An attempt begins, with the key of this id.
    pub(crate) fn attempt_begins(&mut self, call: &Call, step: &Step, key: &str) {
        if !self.story.failed.is_empty() {
            self.worker.faults.tries.again();
        }
        if let Some(trace) = &mut self.trace {
            trace.attempt(call, step, key);
        }
    }

    /// It brought an answer (`None`) or failed, after so long.
    pub(crate) fn attempt_ended(
        &mut self,
        step: Step,
        key: &Arc<str>,
        failure: Option<&Failure>,
        after: Duration,
    ) {
        self.worker.faults.tries.ended(failure.map(|failure| failure.reason));
        if let (Some(trace), Some(failure)) = (&mut self.trace, failure) {
            trace.attempt_failed(failure);
        }
        let answered = failure.is_none();
        let status = failure.map_or(Some(StatusCode::OK), |failure| failure.status);
        let one = Try {
            target: step.target,
            key: Arc::clone(key),
            status: status.map_or(0, |status| status.as_u16()),
            reason: failure.map_or("", |failure| failure.reason),
            micros: micros(after),
        };
        if answered {
            self.story.answered = Some(one);
        } else {
            self.story.failed.push(one);
        }
    }

    /// What was seen of its answer.
    pub(crate) fn saw(&mut self, seen: Seen) {
        self.seen = seen;
    }

    /// What this request costs, if its usage and price are known. Of an answer that is whole.
    pub(crate) fn cost(&mut self) -> Option<NanoDollars> {
        self.settle(Outcome::Served).cost
    }

    /// Reckons what was used, once: after everything was seen.
    fn settle(&mut self, outcome: Outcome) -> &Used {
        let at = self.id.timestamp_ms() / 1000;
        self.used.get_or_insert_with(|| used_by(&self.story, &self.seen, outcome, at))
    }

    /// The fault that a refusal is, with this request's id.
    pub(crate) fn fault(&mut self, refusal: Refusal) -> Fault {
        let fault = refusal.into_fault(&self.id);
        self.worker.faults.tries.refused(fault.code);
        self.reason = fault.reason.unwrap_or(fault.code.as_str());
        if let Some(trace) = &mut self.trace {
            trace.refused(self.reason);
        }
        fault
    }

    /// Ends the count. Later calls change nothing.
    pub(crate) fn close(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        // Only an answer that is under way holds a lease here.
        let lease = self.lease.take();
        if let (Outcome::Broken(reason), Some(lease)) = (outcome, &lease) {
            // A version on trial is not better for breaking late.
            Trouble::of_broken(reason).into_iter().for_each(|trouble| lease.key().trouble(trouble));
        }
        let answered = lease.is_some() || outcome != Outcome::Cancelled;
        drop(lease);
        let cut = self.place.take().and_then(|place| place.is_cut());
        let took = self.started.elapsed();
        self.worker.faults.ended(self.status, outcome, took);
        let used = self.settle(outcome).clone();
        if let Some(trace) = self.trace.take() {
            trace.end(&End {
                client: self.story.client.as_deref(),
                outcome,
                status: answered.then_some(self.status),
                usage: self.seen.usage.as_ref(),
                cost: used.cost,
            });
        }
        // Strangers are counted above; who looks at the list of models has used nothing.
        if self.story.client.is_none() || self.story.endpoint == Endpoint::Models {
            return;
        }
        let reason = if cut == Some(Cut::Unread) { Cut::Unread.reason() } else { self.why(outcome) };
        self.worker.tray.end(Ended {
            id: self.id,
            story: std::mem::take(&mut self.story),
            status: if answered { self.status.as_u16() } else { LEFT },
            outcome,
            reason,
            total_micros: micros(took),
            first_token_micros: self.first_token.map_or(0, |after| micros(after).max(1)),
            used,
        });
    }

    fn why(&self, outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::Served => "",
            Outcome::Cancelled => CANCELLED,
            Outcome::Broken(reason) => reason,
            // A provider's own refusal, passed on.
            Outcome::Refused if self.reason.is_empty() => {
                self.story.failed.last().map_or("", |last| last.reason)
            }
            Outcome::Refused => self.reason,
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.close(Outcome::Cancelled);
    }
}

/// What a request used, by what was seen of its answer. `at`: when it began, in seconds since 1970.
fn used_by(story: &Story, seen: &Seen, outcome: Outcome, at: u64) -> Used {
    let Some(answered) = &story.answered else { return Used::nothing() };
    let (counts, source) = used::counts(seen, story.endpoint, story.request_bytes);
    let nothing = counts.iter().all(|count| *count == 0);
    let bill = answered.target.bill(&answered.key, &used::priced(&counts, seen.service_tier, at));
    let bill = bill.map(|bill| (bill.cost, Some(bill.rules)));
    let bill = match &seen.usage {
        // What nobody counted is not free.
        None if nothing => None,
        _ => bill.or(nothing.then_some((NanoDollars(0), None))),
    };
    let ended_early = matches!(outcome, Outcome::Broken(_) | Outcome::Cancelled);
    let delivered = (ended_early && story.stream).then(|| used::tokens(seen.text_bytes));
    let (cost, rules) = bill.map_or((None, None), |(cost, rules)| (Some(cost), rules));
    Used { counts, source, cost, rules, delivered }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
