//! Which targets a request would try, in which order, and every rule that decides it. Uses the data plane's own
//! resolution over the state in force. Health is each replica's own; what rests there is shown as of its last beat.

mod rests;

use rests::{Rests, rest};

use super::{
    answer::{Answer, Fault},
    call::Call,
    price::{Counts, Estimate, Simple, estimate},
    view::Head,
};
use crate::{
    Plane,
    fleet::Fleet,
    plane::unix_millis,
    quota::QuotaView,
    resource::{Body, Held, Kind, State, not_found},
};
use keyway_snapshot::{
    Auth, Client, ClientState, CredentialState, Pattern, Price, Refused, Resolved, ServiceTier, Snapshot,
    Strategy, Target,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, sync::Arc};

/// Tokens that a cost is estimated for, if nothing is said.
const INPUT_TOKENS: u64 = 1000;
const OUTPUT_TOKENS: u64 = 500;

/// A question.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// Who would ask.
    client: String,
    /// For what.
    model: String,
    /// What the cost is estimated for; 1000 if absent.
    input_tokens: Option<u64>,
    /// What the cost is estimated for; 500 if absent.
    output_tokens: Option<u64>,
}

/// What would happen.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Explained {
    client: String,
    /// As asked.
    asked: String,
    /// What it stands for; absent = nothing.
    model: Option<String>,
    /// Whether the client may ask for it. Whether it would be served is each target's `state`.
    allowed: bool,
    /// The status that is answered whatever the targets do; absent = none.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<u16>,
    /// In the order in which they would be tried.
    targets: Vec<Tried>,
    /// Every rule that decided it.
    rules: Vec<String>,
    /// The state that was asked, `epoch.counter`.
    snapshot: String,
}

/// One target.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Tried {
    /// From 1; those of a weighted choice have the same.
    order: usize,
    provider: String,
    /// What goes upstream as the model's name.
    model: String,
    weight: u32,
    priority: u32,
    state: TargetState,
    /// Why it has this state and place.
    why: String,
    /// US dollars per million tokens by what is counted, or `free`; absent = unknown, which is not free.
    price: Option<Simple>,
    /// What a request of the size that was asked about would cost at list price.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<Estimate>,
    /// What is known of the provider's limits for this model, by quota domain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limits: Vec<QuotaView>,
    /// Keys of the provider that some replicas do not take for this model now, or only last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rests: Vec<Rests>,
    /// What the estimate is made by: price and discount.
    #[serde(skip)]
    priced: (Option<Arc<Price>>, u32),
}

/// What stands in the way of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TargetState {
    /// Nothing.
    Ready,
    /// Its provider wants a key and none is active.
    NoKey,
    /// Its provider wants a way of signing that data planes do not have yet.
    UnsupportedAuth,
}

/// An alias with the state of its targets.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Alias {
    #[serde(flatten)]
    head: Head,
    strategy: keyway_config::Strategy,
    /// In the order in which they would be tried.
    targets: Vec<Tried>,
    /// Tried when every target failed.
    fallback: Vec<String>,
    /// Attempts after the first; absent = the data plane's default.
    retries: Option<u32>,
    /// Bounds in time for one attempt.
    timeouts: keyway_config::Timeouts,
}

pub(super) async fn explain(call: Call) -> Result<Answer, Fault> {
    let Question { client: name, model: asked, input_tokens, output_tokens } = call.spec("")?;
    let size = Counts::tokens(input_tokens.unwrap_or(INPUT_TOKENS), output_tokens.unwrap_or(OUTPUT_TOKENS));
    let snapshot = call.plane().snapshot();
    let state = call.plane().state();
    let client =
        snapshot.clients.by_name(&name).ok_or_else(|| Fault::from(not_found(&state, Kind::Client, &name)))?;
    let mut rules = Vec::new();
    let mut allowed = admission(client, unix_millis() / 1000, &mut rules);
    let mut refused = (!allowed).then_some(401);
    let (mut model, mut targets) = (None, Vec::new());
    match snapshot.resolve(client, &asked) {
        Ok(resolved) => {
            rules.push(meaning(&asked, &resolved));
            rules.push(permission(patterns(&state, &name), &asked, &resolved));
            model = Some(full_name(&resolved).to_owned());
            targets = tried(&snapshot, &resolved, &mut rules);
            limit(call.plane().fleet(), &mut targets);
            rest(&snapshot, call.plane().fleet(), &mut targets);
            rules.extend(targets.iter().flat_map(|target| &target.rests).map(ToString::to_string));
            let limits = targets.iter().flat_map(|target| &target.limits);
            rules.extend(limits.map(ToString::to_string));
            for target in &mut targets {
                let priced = (target.priced.0.as_deref(), target.priced.1);
                let now = unix_millis() / 1000;
                target.estimate = Some(estimate(priced, size, ServiceTier::Unspecified, now)?);
            }
        }
        Err(why) => {
            allowed = false;
            let status = if matches!(why, Refused::NotAllowed { .. }) { 403 } else { 404 };
            rules.push(format!("{why}: {status}"));
            refused.get_or_insert(status);
        }
    }
    let snapshot = snapshot.version.to_string();
    Answer::json(&Explained { client: name, asked, model, allowed, refused, targets, rules, snapshot })
}

/// What is known of the limits of targets: keys whose limits have room are taken first.
fn limit(fleet: &Fleet, targets: &mut [Tried]) {
    for target in targets {
        target.limits = fleet.limits(&target.provider, Some(&target.model));
    }
}

/// Whether its token is taken at all.
fn admission(client: &Client, now: u64, rules: &mut Vec<String>) -> bool {
    let disabled = client.state == ClientState::Disabled;
    let expired = client.expires_at != 0 && client.expires_at <= now;
    rules.push(match (disabled, expired) {
        (true, _) => "the client is disabled: every request is refused with 401".to_owned(),
        (false, true) => "the client has expired: every request is refused with 401".to_owned(),
        (false, false) => "the client is enabled".to_owned(),
    });
    !disabled && !expired
}

fn meaning(asked: &str, resolved: &Resolved) -> String {
    match resolved {
        Resolved::Alias(_) => format!("`{asked}` is an alias"),
        Resolved::Target(target) if *target.label == *asked => {
            let known =
                if target.price.is_some() { "with a known price" } else { "whose price is not known" };
            format!(
                "`{}` is a configured provider; `{}` goes upstream as it stands, {known}",
                target.provider.name, target.model
            )
        }
        Resolved::Target(target) => format!("`{asked}` is offered by `{}` alone", target.provider.name),
    }
}

/// The client's patterns as they were written.
fn patterns<'a>(state: &'a State, client: &str) -> Option<&'a [String]> {
    match &state.get(Kind::Client, client)?.document.body {
        Body::Client { spec, .. } => spec.models.as_deref(),
        Body::Provider { .. }
        | Body::Model(_)
        | Body::Team(_)
        | Body::Section(_)
        | Body::Operator(_)
        | Body::Replica(_)
        | Body::Host(_)
        | Body::Node(_)
        | Body::Join(_)
        | Body::Authority(_)
        | Body::Kek(_)
        | Body::Answer(_) => None,
    }
}

/// Why a client that may use it may.
fn permission(patterns: Option<&[String]>, asked: &str, resolved: &Resolved) -> String {
    let Some(patterns) = patterns else {
        return "the client has no list of models: all are allowed".to_owned();
    };
    let full = full_name(resolved);
    let fits = |text: &&String| {
        let pattern = Pattern::new(text);
        pattern.matches(asked) || pattern.matches(full)
    };
    let by = patterns.iter().find(fits);
    by.map_or_else(|| "not allowed".to_owned(), |text| format!("the client may use `{text}`"))
}

fn full_name(resolved: &Resolved) -> &str {
    match resolved {
        Resolved::Alias(alias) => &alias.name,
        Resolved::Target(target) => &target.label,
    }
}

/// Every target of every group: the name's own first, then its fallbacks'.
fn tried(snapshot: &Snapshot, resolved: &Resolved, rules: &mut Vec<String>) -> Vec<Tried> {
    let mut all: Vec<Tried> = Vec::new();
    for (place, group) in snapshot.groups(resolved).iter().enumerate() {
        if place > 0 {
            rules.push(format!("`{}` is a fallback; it needs no permission of its own", full_name(group)));
        }
        let first = all.last().map_or(1, |last| last.order + 1);
        match group {
            Resolved::Target(target) => all.push(one(snapshot, target, (first, 1, 0), String::new())),
            Resolved::Alias(alias) => {
                if let Some(retries) = alias.retries.filter(|_| place == 0) {
                    rules.push(format!("`{}` allows {retries} attempts after the first", alias.name));
                }
                let (targets, rule) = of_alias(snapshot, alias, first);
                rules.push(rule);
                all.extend(targets);
            }
        }
    }
    all
}

fn of_alias(snapshot: &Snapshot, alias: &keyway_snapshot::Alias, first: usize) -> (Vec<Tried>, String) {
    let mut targets: Vec<&(Arc<Target>, u32, u32)> = alias.targets.iter().collect();
    if alias.strategy == Strategy::Priority {
        targets.sort_by_key(|(_, _, priority)| *priority);
        let placed = targets.iter().enumerate();
        let shown = placed.map(|(place, (target, weight, priority))| {
            let why = format!("priority {priority}");
            Tried { priority: *priority, ..one(snapshot, target, (first + place, *weight, *priority), why) }
        });
        return (shown.collect(), format!("`{}` tries its targets by priority, lowest first", alias.name));
    }
    targets.sort_by_key(|(_, weight, _)| Reverse(*weight));
    let total: u64 = targets.iter().map(|(_, weight, _)| u64::from(*weight)).sum();
    let shown = targets.iter().map(|(target, weight, priority)| {
        one(snapshot, target, (first, *weight, *priority), format!("weight {weight} of {total}"))
    });
    let rule =
        format!("`{}` chooses by weight; what fails is followed by another of its targets", alias.name);
    (shown.collect(), rule)
}

fn one(snapshot: &Snapshot, target: &Target, place: (usize, u32, u32), why: String) -> Tried {
    let (order, weight, priority) = place;
    let provider = &target.provider;
    let active = snapshot.credentials.get(&provider.name).into_iter().flatten();
    let active = active.filter(|credential| credential.state == CredentialState::Active).count();
    let (state, because) = match &provider.auth {
        Auth::Unsupported(scheme) => {
            (TargetState::UnsupportedAuth, format!("its tokens ({}) cannot be had", scheme.as_str_name()))
        }
        Auth::None => (TargetState::Ready, "needs no key".to_owned()),
        _ if provider.built_in => (TargetState::Ready, "built in".to_owned()),
        Auth::Header(..) | Auth::Query(_) | Auth::SigV4(_) | Auth::OAuth(_) => match active {
            0 => (TargetState::NoKey, "no active key".to_owned()),
            1 => (TargetState::Ready, "1 active key".to_owned()),
            more => (TargetState::Ready, format!("{more} active keys")),
        },
    };
    let key = only_key(snapshot, &provider.name).unwrap_or_default();
    let (price, discount) = target.price_for(&key);
    let why = if why.is_empty() { because } else { format!("{why}; {because}") };
    Tried {
        order,
        provider: provider.name.as_ref().into(),
        model: target.model.as_ref().into(),
        weight,
        priority,
        state,
        why,
        price: price.map(|price| Simple::of(price)),
        estimate: None,
        limits: Vec::new(),
        rests: Vec::new(),
        priced: (price.cloned(), discount),
    }
}

/// The key that serves a target, where all its active versions are one key's; else none.
fn only_key(snapshot: &Snapshot, provider: &str) -> Option<String> {
    let all = snapshot.credentials.get(provider)?.iter();
    let mut active = all.filter(|credential| credential.state == CredentialState::Active);
    let first = active.next()?;
    active.all(|other| other.key == first.key).then(|| first.id())
}

// === impl Alias ===

impl Alias {
    pub(super) fn new(held: &Held, plane: &Plane, name: &str) -> Result<Self, Fault> {
        let Body::Model(spec) = &held.document.body else {
            return Err(Fault::internal("a model of another kind"));
        };
        let snapshot = plane.snapshot();
        let mut targets = match snapshot.lookup(name) {
            Ok(Resolved::Alias(alias)) => of_alias(&snapshot, &alias, 1).0,
            Ok(Resolved::Target(_)) | Err(_) => Vec::new(),
        };
        limit(plane.fleet(), &mut targets);
        Ok(Self {
            head: Head::new(name, held),
            strategy: spec.strategy.unwrap_or_default(),
            targets,
            fallback: spec.fallback.clone(),
            retries: spec.retries,
            timeouts: spec.bounds(),
        })
    }
}
