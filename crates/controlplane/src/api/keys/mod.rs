//! Provider keys: list, show, and every change of their versions. A secret comes in and never goes out.

mod report;
mod shown;

pub(super) use report::{PublicKey, Report, exposed, public_key, report};
pub(super) use shown::{History, KeyDetail, rollout_of};

use super::{
    answer::{Answer, Fault},
    call::Call,
};
use crate::{
    resource::{Body, How, Kind, Proposal, Refusal, Step, SupplyOutcome, Verdict},
    rotation::RolloutView,
};
use http::StatusCode;
use keyway_config::{RotationStrategy, Secret, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use shown::{detail, find, history_of, names, subject};
use std::time::{Duration, Instant};
use tokio::{sync::watch, time::timeout};

/// A change answers once it is in use or has failed; probing takes a few seconds at most.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// A source answers within its own limit, which others before it may have used up too.
const SOURCE_LIMIT: Duration = Duration::from_secs(150);

/// A new secret, and how it comes into use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSecret {
    /// What the provider is shown.
    secret: Secret,
    /// `false`: the provider is not asked first.
    verify: Option<bool>,
    /// Ends once it is verified; `promote` takes it into use.
    #[serde(default)]
    hold: bool,
    /// How long old versions stay as standby.
    overlap: Option<Span>,
    /// After this a replica that has not acknowledged is silent.
    ack_timeout: Option<Span>,
    /// `staged`: on one replica first, then on 10 %, on 50 %, on all.
    strategy: Option<RotationStrategy>,
    /// How long each stage of `staged` is watched.
    step_time: Option<Span>,
    /// Requests on the new version without which a stage of `staged` proves nothing.
    step_requests: Option<u64>,
    /// Share of the requests, for a new key.
    weight: Option<u32>,
}

/// Which version, and how it comes or goes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    /// Absent: the one that the verb means by itself.
    version: Option<u32>,
    /// Revoke only: attempts that use it may finish.
    graceful: bool,
    /// `false`: the provider is not asked first.
    verify: Option<bool>,
    /// How long old versions stay as standby.
    overlap: Option<Span>,
    /// After this a replica that has not acknowledged is silent.
    ack_timeout: Option<Span>,
    /// `staged`: on one replica first, then on 10 %, on 50 %, on all.
    strategy: Option<RotationStrategy>,
    /// How long each stage of `staged` is watched.
    step_time: Option<Span>,
    /// Requests on the new version without which a stage of `staged` proves nothing.
    step_requests: Option<u64>,
}

/// How a key that may be in wrong hands goes out of use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Compromise {
    /// Attempts that use it are cut; else they may finish.
    cut: bool,
    /// After this a replica that has not acknowledged is silent.
    ack_timeout: Option<Span>,
}

/// Where a key may go too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrigin {
    /// `https://api.example.com`.
    origin: String,
}

pub(super) async fn list(call: Call) -> Result<Answer, Fault> {
    let state = call.plane().state();
    let mut all = Vec::new();
    for (provider, held) in state.each(Kind::Provider) {
        let Body::Provider { keys, .. } = &held.document.body else { continue };
        all.extend(keys.iter().map(|key| detail(&call, provider, key)));
    }
    Answer::json(&all)
}

pub(super) async fn show(call: Call) -> Result<Answer, Fault> {
    Answer::json(&detail(&call, call.param("provider"), &find(&call)?))
}

pub(super) async fn rollout(call: Call) -> Result<Answer, Fault> {
    Answer::json(&rollout_of(&call)?)
}

pub(super) async fn history(call: Call) -> Result<Answer, Fault> {
    Answer::json(&history_of(&call).await?)
}

pub(super) async fn add(call: Call) -> Result<Answer, Fault> {
    let new: NewSecret = body(&call)?;
    let (provider, key) = names(&call);
    changed(&call, |proposal| proposal.add_key(provider, key, new.secret.expose(), &new.how())).await
}

pub(super) async fn rotate(call: Call) -> Result<Answer, Fault> {
    let new: NewSecret = body(&call)?;
    let (provider, key) = names(&call);
    changed(&call, |proposal| proposal.rotate_key(provider, key, new.secret.expose(), &new.how())).await
}

/// Has the key's source asked at once, and answers as `rotate` once what it gave is in use.
pub(super) async fn fetch(call: Call) -> Result<Answer, Fault> {
    let mut keys = call.plane().key_changes();
    let (provider, key) = names(&call);
    let author = call.author(&subject(&call));
    call.plane().change(&author, |proposal| proposal.ask_source(provider, key)).await?;
    let answered = async {
        while find(&call)?.supply.asked > 0 {
            if keys.changed().await.is_err() {
                return Err(Fault::internal("the control plane stops"));
            }
        }
        Ok(())
    };
    let late = || {
        let words = "its source has not answered yet; the control plane goes on by itself: keyway key show";
        Fault::new(StatusCode::GATEWAY_TIMEOUT, "source_failed", words)
    };
    timeout(SOURCE_LIMIT, answered).await.map_err(|_| late())??;
    let last = find(&call)?.supply.last;
    match last.as_ref().map(|last| (last.outcome, last.words.as_str())) {
        Some((SupplyOutcome::Rotated, _)) => settled(&call, keys).await,
        Some((SupplyOutcome::Unchanged, words)) => {
            let words = format!("the source of {provider}/{key} has nothing new: {words}");
            Err(Fault::new(StatusCode::CONFLICT, "source_unchanged", words))
        }
        Some((SupplyOutcome::Failed, words)) => {
            let words = format!("the source of {provider}/{key} gave no new secret: {words}");
            Err(Fault::new(StatusCode::BAD_GATEWAY, "source_failed", words))
        }
        None => Err(Fault::internal("a source that said nothing")),
    }
}

pub(super) async fn promote(call: Call) -> Result<Answer, Fault> {
    let which: Which = body(&call)?;
    let (provider, key) = names(&call);
    changed(&call, |proposal| proposal.promote_key(provider, key, which.version, &which.how())).await
}

pub(super) async fn rollback(call: Call) -> Result<Answer, Fault> {
    let which: Which = body(&call)?;
    let (provider, key) = names(&call);
    changed(&call, |proposal| proposal.rollback_key(provider, key, which.version, &which.how())).await
}

pub(super) async fn revoke(call: Call) -> Result<Answer, Fault> {
    let which: Which = body(&call)?;
    let (provider, key) = names(&call);
    changed(&call, |proposal| proposal.revoke_key(provider, key, which.version, &which.how())).await
}

/// A key that may be in wrong hands: all of it goes out of use, and what runs on it ends by itself unless it is to be cut.
pub(super) async fn compromise(call: Call) -> Result<Answer, Fault> {
    let Compromise { cut, ack_timeout } = body(&call)?;
    let how = How { graceful: !cut, ack_timeout_ms: ack_timeout.map(Span::millis), ..How::default() };
    let (provider, key) = names(&call);
    changed(&call, |proposal| proposal.revoke_key(provider, key, None, &how)).await
}

pub(super) async fn destroy(call: Call) -> Result<Answer, Fault> {
    let Which { version, .. } = body(&call)?;
    let version = version.ok_or_else(|| Fault::malformed("`version` is missing"))?;
    let (provider, key) = names(&call);
    let author = call.author(&subject(&call));
    call.plane().change(&author, |proposal| proposal.destroy_key(provider, key, version)).await?;
    Answer::json(&detail(&call, provider, &find(&call)?))
}

pub(super) async fn allow_origin(call: Call) -> Result<Answer, Fault> {
    let NewOrigin { origin } = body(&call)?;
    let (provider, key) = names(&call);
    let author = call.author(&subject(&call));
    call.plane().change(&author, |proposal| proposal.allow_origin(provider, key, &origin)).await?;
    Answer::json(&detail(&call, provider, &find(&call)?))
}

/// Makes a change and answers once it is in use, held back, or has failed.
async fn changed(
    call: &Call,
    propose: impl FnOnce(&mut Proposal<'_>) -> Result<(), Refusal>,
) -> Result<Answer, Fault> {
    let keys = call.plane().key_changes();
    let (before, began) = (call.plane().fleet().evidence(), Instant::now());
    call.plane().change(&call.author(&subject(call)), propose).await?;
    let (provider, key) = names(call);
    call.api.counts.committed(&(provider.to_owned(), key.to_owned()), &find(call)?, &before, began);
    settled(call, keys).await
}

/// Answers once the newest change is in use, held back, or has failed.
async fn settled(call: &Call, mut keys: watch::Receiver<u64>) -> Result<Answer, Fault> {
    let settled = async {
        loop {
            let view = rollout_of(call)?;
            if view.step >= Step::Trial {
                return Ok(view);
            }
            if keys.changed().await.is_err() {
                return Err(Fault::internal("the control plane stops"));
            }
        }
    };
    // Beyond the limit it goes on by itself: the view says how far it is.
    let view = match timeout(ANSWER_LIMIT, settled).await {
        Ok(view) => view?,
        Err(_) => rollout_of(call)?,
    };
    match view.probe.as_ref().map(|probe| probe.verdict) {
        Some(Verdict::Rejected) if view.step == Step::Failed => {
            Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "key_probe_failed", failure(&view)))
        }
        Some(Verdict::Unreachable) if view.step == Step::Failed => {
            Err(Fault::new(StatusCode::BAD_GATEWAY, "provider_unreachable", failure(&view)))
        }
        _ => Answer::json(&view),
    }
}

fn failure(view: &RolloutView) -> String {
    let why = view.failure.as_deref().unwrap_or("the provider was not reached");
    format!("{why}; the version in use stays, and nothing else has to be done")
}

fn body<T: serde::de::DeserializeOwned>(call: &Call) -> Result<T, Fault> {
    let value = if call.body.is_empty() { Value::Object(serde_json::Map::new()) } else { call.value()? };
    // The parser's words may repeat a value, and that may be a secret.
    let told = |error: serde_json::Error| Fault::malformed(words(&error.to_string()));
    serde_json::from_value(value).map_err(told)
}

/// What is wrong, without what was sent.
fn words(error: &str) -> String {
    let known = ["missing field", "unknown field", "invalid type", "invalid value"];
    let kind = known.into_iter().find(|kind| error.starts_with(kind)).unwrap_or("it does not fit");
    let field = error.split('`').nth(1).filter(|_| kind.ends_with("field")).unwrap_or_default();
    format!("the body does not fit: {kind} {field}; GET /api/v1/openapi.json describes it")
}

// === impl NewSecret, Which ===

impl NewSecret {
    fn how(&self) -> How {
        How {
            unverified: self.verify == Some(false),
            hold: self.hold,
            overlap_ms: self.overlap.map(Span::millis),
            ack_timeout_ms: self.ack_timeout.map(Span::millis),
            strategy: self.strategy,
            step_ms: self.step_time.map(Span::millis),
            step_requests: self.step_requests,
            weight: self.weight,
            ..How::default()
        }
    }
}

impl Which {
    fn how(&self) -> How {
        How {
            unverified: self.verify == Some(false),
            overlap_ms: self.overlap.map(Span::millis),
            ack_timeout_ms: self.ack_timeout.map(Span::millis),
            strategy: self.strategy,
            step_ms: self.step_time.map(Span::millis),
            step_requests: self.step_requests,
            graceful: self.graceful,
            ..How::default()
        }
    }
}
