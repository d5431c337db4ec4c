//! The life of a request, top to bottom. Each stage stands where it does for the reason beside it.

use crate::{
    answer,
    attempt::{Failure, NO_ROOM, attempt},
    auth,
    call::Call,
    caught::{Panicked, caught},
    ingress::{self, Asked, Called},
    lease::{Keyring, Take},
    listen::Caller,
    meter::{Asked as AskedModel, Outcome, Tally, Try, tags},
    models,
    open::Cut,
    quota::Ask,
    refusal::{Attempted, Refusal},
    reply::ReplyBody,
    route::{self, Choice, Moment, Step, Tried, choose},
    sync::State,
    translate::{self, Crossing},
    worker::Worker,
};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use hyper::body::Incoming;
use keyway_sigv4::Claim;
use keyway_snapshot::{Client, Endpoint, TokenDigest};
use std::{
    borrow::Cow,
    cell::OnceCell,
    net::IpAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;

/// Attempts of one request, whatever aliases and keys there are.
const ATTEMPTS: usize = 8;
/// Attempts after the first where an alias does not say.
const RETRIES: u32 = 2;

const ROUTE: HeaderName = HeaderName::from_static("x-keyway-route");
const PATIENCE: HeaderName = HeaderName::from_static("x-keyway-timeout-ms");
/// Of a call that is not served because its usage could not be kept by itself.
const SPOOL_FULL: &str = "usage_spool_full";
/// Gateways of this kind that a request may pass.
const HOPS: usize = 3;

/// Serves one request; whatever goes wrong becomes a refusal in the caller's dialect.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    caller: Caller,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    // First and last: every ending is counted once, refusals too.
    let peer = caller.peer;
    let mut tally = Tally::open(&worker, caller);
    let (head, body) = request.into_parts();
    tally.trace = worker.tracer.as_ref().and_then(|tracer| tracer.begin(&head, &tally.id));
    tally.unread = !body.is_end_stream();
    let dialect = ingress::dialect_by(head.uri.path(), &head.headers);
    let staged = caught(Box::pin(stages(&worker, peer, head, body, &mut tally)).as_mut()).await;
    match staged.unwrap_or_else(|Panicked| Err(Refusal::internal())) {
        Ok(Served::Answer(parts)) => answer::answer(&worker, *parts, tally),
        Ok(Served::Own(response)) => answer::own(&worker, response, tally),
        Err(refusal) => answer::refusal(&worker, refusal, dialect, tally),
    }
}

/// What the stages bring.
enum Served {
    Answer(Box<answer::Parts>),
    /// Made here: lists of models.
    Own(Response<ReplyBody>),
}

async fn stages(
    worker: &Rc<Worker>,
    peer: IpAddr,
    head: Parts,
    body: Incoming,
    tally: &mut Tally,
) -> Result<Served, Refusal> {
    let state = worker.held.pin().ok_or_else(Refusal::not_configured)?;
    if let Some(trace) = &mut tally.trace {
        trace.snapshot(&state.snapshot.version);
    }
    // Before the body is read: a stranger costs us a head.
    let now_unix = worker.since_epoch(tally.started).as_secs();
    let auth::Admitted { client, token, claim } =
        match auth::client(&state.snapshot, &head.headers, &head.uri, now_unix) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                worker.strangers.delay(peer, worker.millis(tally.started)).await;
                return Err(refusal);
            }
        };
    tally.story.snapshot = state.snapshot.version;
    claim.is_none().then(|| known(tally, &state, (&client, &token), peer));
    let called = match ingress::endpoint(&head.method, head.uri.path())? {
        Asked::Call(called) => room(worker, &state, tally).map(|()| called)?,
        Asked::Models(id) => {
            tally.story.endpoint = Endpoint::Models;
            if let Some(claim) = &claim {
                Box::pin(prove(worker, peer, (&state, claim, (&client, &token)), (&head, &[]), tally))
                    .await?;
            }
            return models::list(&state.snapshot, &client, &head, id.as_deref()).map(Served::Own);
        }
    };
    (tally.story.endpoint, tally.story.dialect) = (called.endpoint, called.dialect);
    tally.story.tags = tags(&head.headers)?;
    // Whole and bounded, since the model may stand last and an attempt may have to be made again.
    let mut held = worker.budget.open(state.snapshot.settings.bodies_in_flight_limit);
    let body = ingress::read(&head.headers, body, state.snapshot.settings.body_limit, &mut held).await?;
    tally.unread = false;
    if let Some(claim) = &claim {
        Box::pin(prove(worker, peer, (&state, claim, (&client, &token)), (&head, &body), tally)).await?;
    }
    tally.story.request_bytes = body.len() as u64;
    // Door 1: a shallow scan, so that a body in the target's own dialect is never decoded.
    let shape = ingress::shape(&head.headers, &body, &called)?;
    let model = asked_model(&head.headers, &called, &shape, &body)?;
    tally.story.stream = called.stream.unwrap_or_else(|| shape.is_stream());
    let resolved = state.snapshot.resolve(&client, &model).map_err(|refused| {
        tally.story.asked = AskedModel::text(&model);
        Refusal::model(&refused)
    })?;
    // Which targets, in which order.
    let (route, retries) = route::steps(&state.snapshot, &resolved, &worker.random);
    tally.story.route = route;
    tally.story.asked = AskedModel::resolved(resolved, &model);
    let call = Call {
        started: tally.started,
        dialect: called.dialect,
        endpoint: called.endpoint,
        stream: tally.story.stream,
        named: called.model,
        patience: patience(&head.headers)?,
        hops: hops(&head.headers)?,
        query: head.uri.query().map(Into::into),
        ask: Ask::new(&client.name, body.len(), state.snapshot.clients.len()),
        headers: head.headers,
        body,
        decoded: OnceCell::new(),
        _held: held,
        shape,
        state,
        token,
    };
    keep_servers(&call, &mut tally.story.route)?;
    worker.retries.request(worker.millis(tally.started));
    attempts(worker, &call, retries.unwrap_or(RETRIES), tally)
        .await
        .map(|parts| Served::Answer(Box::new(parts)))
}

/// Strict billing: a call is not served while its usage could not be kept by itself.
fn room(worker: &Worker, state: &State, tally: &mut Tally) -> Result<(), Refusal> {
    if state.snapshot.settings.refuse_when_spool_full && worker.usage.is_full.load(Relaxed) {
        // It used nothing, and there is no room to say so.
        tally.story.client = None;
        return Err(Refusal::overloaded(SPOOL_FULL));
    }
    Ok(())
}

/// A signature is over the body, so that who made it is known only with it.
async fn prove(
    worker: &Worker,
    peer: IpAddr,
    (state, claim, (client, token)): (&State, &Claim, (&Arc<Client>, &TokenDigest)),
    (head, body): (&Parts, &[u8]),
    tally: &mut Tally,
) -> Result<(), Refusal> {
    if let Err(refusal) = auth::signature(&state.snapshot, claim, head, body) {
        worker.strangers.delay(peer, worker.millis(tally.started)).await;
        return Err(refusal);
    }
    known(tally, state, (client, token), peer);
    Ok(())
}

/// Whose request it is has been shown.
fn known(tally: &mut Tally, state: &State, (client, token): (&Arc<Client>, &TokenDigest), peer: IpAddr) {
    state.handovers.used(client, token, peer);
    tally.story.client = Some(Arc::clone(client));
}

/// The failure that the caller is told of if nothing else works.
struct Failed {
    failure: Failure,
    /// Where in the route it was.
    step: usize,
}

impl Failed {
    /// The latest counts, but for one that the caller can use.
    fn replace(self, last: &mut Option<Self>) {
        let has_use = |failed: &Self| failed.failure.passed.is_some();
        if has_use(&self) || !last.as_ref().is_some_and(has_use) {
            *last = Some(self);
        }
    }
}

/// Tries until an answer comes. Nothing has gone out to the caller before.
async fn attempts(
    worker: &Rc<Worker>,
    call: &Call,
    retries: u32,
    tally: &mut Tally,
) -> Result<answer::Parts, Refusal> {
    let mut tried: Vec<Tried> = Vec::new();
    let mut last: Option<Failed> = None;
    let mut barred: Option<Refusal> = None;
    let mut left = retries;
    let place = worker.open.enter(call.token, std::rc::Rc::clone(tally.caller.beat.pulse()));
    while tried.len() < ATTEMPTS {
        // The newest keys, not the pinned ones: a key that was withdrawn meanwhile must not be used.
        let newer = match worker.held.is_newest(&call.state) {
            true => None,
            // Evicted meanwhile: there is nothing left to choose from, nor will there be.
            false => Some(worker.held.pin().ok_or_else(Refusal::not_configured)?),
        };
        let state = newer.as_ref().unwrap_or(&call.state);
        // A client that was revoked while its body came in, or between two attempts, gets no answer.
        if newer.is_some() || place.is_cut() == Some(Cut::Client) {
            auth::admitted(&state.snapshot, call.token, worker.since_epoch(tally.started).as_secs())?;
        }
        let sent = Instant::now();
        let now = worker.millis(sent);
        let steps = &tally.story.route;
        let moment = Moment { ask: &call.ask, now, random: worker.random.next() };
        let chosen = match choose(steps, &tried, &state.keyring, moment) {
            Choice::Attempt(chosen) => chosen,
            Choice::Wait(until) => return Err(Refusal::over_share(until.saturating_sub(now))),
            // Keys that a swap takes away in this moment are closed in the old state and replaced in the new one.
            Choice::Nothing if worker.held.is_newest(state) => break,
            Choice::Nothing => continue,
        };
        // By the last try, and not by the failure that is kept for the caller.
        let refused = tried.last().is_some_and(|one| one.verdict == route::Verdict::Refused);
        // What a version on trial could not do costs its caller none of the retries.
        let spared = chosen.take == Take::Standby && tried.last().is_some_and(|one| one.key.is_on_trial());
        let other_key = refused || spared;
        let is_retry = !tried.is_empty() && !other_key;
        if is_retry && (left == 0 || (chosen.again && !worker.retries.take(now))) {
            break;
        }
        let Some(crossing) = cross(worker, call, chosen.step, tally, &mut barred) else { continue };
        let steps = &tally.story.route;
        let (Some(step), Some(mut lease)) = (steps.get(chosen.step).cloned(), chosen.key.lease(chosen.take))
        else {
            // Taken away in this moment: that was no attempt.
            continue;
        };
        left -= u32::from(is_retry);
        lease.begin(&step.target.model, &call.ask, now);
        place.uses(chosen.key.number);
        tally.attempt_begins(call, &step, &chosen.key.id);
        let answered = attempt(worker, call, (&step, crossing.as_deref()), (&lease, &place)).await;
        let took = sent.elapsed();
        tally.attempt_ended(step, &chosen.key.id, answered.as_ref().err(), took);
        match answered {
            Ok(answer) => return Ok(answer::Parts::new(call, answer, (lease, place), tried.len() + 1, took)),
            Err(failure) => {
                let verdict = failure.verdict;
                if let Some(trouble) = failure.trouble() {
                    chosen.key.trouble(trouble);
                }
                failure.mark_if_in_stream(worker, &lease, tally.story.route.get(chosen.step));
                Failed { failure, step: chosen.step }.replace(&mut last);
                let Some(verdict) = verdict else { break };
                tried.push(Tried { step: chosen.step, key: chosen.key, verdict });
            }
        }
    }
    if let Some(Tried { key, verdict: route::Verdict::Refused, .. }) = tried.last() {
        key.failed();
    }
    match barred {
        // Nothing but what the caller sent stood in the way.
        Some(refusal) if tally.story.route.iter().all(|step| step.barred) => Err(refusal),
        _ => give_up(worker, call, (last, tried.len()), tally),
    }
}

/// The call for one step's target, which may want it in another dialect; none where that cannot be: the step is barred then.
fn cross(
    worker: &Worker,
    call: &Call,
    at: usize,
    tally: &mut Tally,
    barred: &mut Option<Refusal>,
) -> Option<Option<Box<Crossing>>> {
    let step = tally.story.route.get_mut(at)?;
    match translate::crossing(worker, (call, &tally.id), step) {
        Ok(crossing) => Some(crossing),
        Err(refusal) => {
            step.barred = true;
            barred.get_or_insert(refusal);
            None
        }
    }
}

/// Every target failed: the provider's own refusal where the caller can use it, else ours.
#[cold]
fn give_up(
    worker: &Worker,
    call: &Call,
    (last, tried): (Option<Failed>, usize),
    tally: &Tally,
) -> Result<answer::Parts, Refusal> {
    let attempts: Vec<Attempted> = tally.story.failed.iter().map(attempted).collect();
    match last {
        Some(Failed { failure: Failure { passed: Some(passed), .. }, step }) => {
            let label = tally.story.route.get(step).and_then(|step| step.target.label_header.clone());
            Ok(answer::Parts::passed(call, (*passed, label), tried.max(1)))
        }
        Some(Failed { failure, .. }) if failure.reason == NO_ROOM => Err(Refusal::overloaded(NO_ROOM)),
        Some(Failed { failure, .. }) => {
            let told = (failure.answer_status(), failure.wait);
            Err(Refusal::upstream(told, failure.reason, attempts))
        }
        None => {
            // Nothing was tried.
            let Some(now) = worker.held.pin() else { return Err(Refusal::not_configured()) };
            if now.keyring.is_lapsed() {
                return Err(Refusal::secrets_unavailable());
            }
            let (status, reason) = no_key(&now.keyring, &tally.story.route);
            let skipped = tally.story.route.iter().take(ATTEMPTS).map(|step| {
                let (_, reason) = no_key(&now.keyring, std::slice::from_ref(step));
                Attempted { target: step.target.label.to_string(), status: None, reason }
            });
            Err(Refusal::upstream((status, None), reason, skipped.collect()))
        }
    }
}

fn attempted(one: &Try) -> Attempted {
    Attempted {
        target: one.target.label.to_string(),
        status: (one.status > 0).then_some(one.status),
        reason: one.reason,
    }
}

/// Why no key of these targets may be used: each rests because its provider refused it, they are withheld, or there is
/// none.
fn no_key(keyring: &Keyring, steps: &[Step]) -> (StatusCode, &'static str) {
    if steps.iter().any(|step| !keyring.of(&step.target.provider.name).is_empty()) {
        return (StatusCode::BAD_GATEWAY, "upstream_auth_failed");
    }
    let withheld = steps.iter().find_map(|step| step.target.provider.withheld);
    withheld.map_or((StatusCode::SERVICE_UNAVAILABLE, "no_healthy_upstream"), |why| {
        (StatusCode::BAD_GATEWAY, why)
    })
}

/// Only targets that serve such calls, in whichever dialect.
fn keep_servers(call: &Call, steps: &mut Vec<Step>) -> Result<(), Refusal> {
    let named = steps.first().map(|step| Arc::clone(&step.target));
    let what = (call.endpoint, call.stream);
    steps.retain(|step| translate::surface(&step.target, call.dialect, what).is_some());
    match named {
        Some(named) if steps.is_empty() => {
            Err(Refusal::not_served(&named.label, call.dialect, call.endpoint))
        }
        _ => Ok(()),
    }
}

/// The name to resolve: a route that the caller chose by header, else what path or body ask for.
fn asked_model<'a>(
    headers: &'a HeaderMap,
    called: &'a Called,
    shape: &ingress::Shape,
    body: &'a [u8],
) -> Result<Cow<'a, str>, Refusal> {
    let model = match &called.model {
        Some(model) => Cow::Borrowed(&**model),
        None => shape.model(body)?,
    };
    let Some(route) = headers.get(ROUTE) else { return Ok(model) };
    let bad = |_| Refusal::invalid("x-keyway-route must name a model", "invalid_header", None);
    route.to_str().map(Cow::Borrowed).map_err(bad)
}

/// How often this request has passed a Keyway already; a few are a chain, more are a loop.
fn hops(headers: &HeaderMap) -> Result<usize, Refusal> {
    let vias = headers.get_all(header::VIA).iter().filter_map(|via| via.to_str().ok());
    let hops = vias.flat_map(|via| via.split(',')).filter(|via| via.trim() == "1.1 keyway").count();
    if hops < HOPS { Ok(hops) } else { Err(Refusal::loop_detected()) }
}

/// The caller's own limit of time.
fn patience(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get(PATIENCE) else { return Ok(None) };
    let millis =
        value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok()).filter(|millis| *millis > 0);
    let bad = || {
        Refusal::invalid("x-keyway-timeout-ms must be a whole number of milliseconds", "invalid_header", None)
    };
    millis.map(|millis| Some(Duration::from_millis(millis))).ok_or_else(bad)
}

/// For the count: a refusal is an ending too.
pub(crate) fn ending(status: StatusCode) -> Outcome {
    if status.is_success() { Outcome::Served } else { Outcome::Refused }
}
