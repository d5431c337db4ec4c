//! Limits, sampling, thinking, and what a provider keeps beside the conversation.

use crate::canon::{Effort, Request, ThinkingMode};
use crate::codec::Target;
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};
use crate::quirk::Quirks;

/// Budgets of thinking up to which an effort is named, in tokens; more is high.
const LOW_BUDGET: u64 = 2048;
const MEDIUM_BUDGET: u64 = 8192;

pub(super) fn limits(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let quirks = target.quirks;
    let name = if quirks.old_max_tokens { "max_tokens" } else { "max_completion_tokens" };
    json.maybe_number(name, request.max_tokens);
    match request.stop.as_slice() {
        [] => {}
        _ if quirks.no_stop => losses.report(Thing::StopSequences, Spot::Request)?,
        [one] => {
            json.member("stop", one);
        }
        several => {
            json.key("stop").open_list();
            several.iter().for_each(|text| {
                json.text(text);
            });
            json.close_list();
        }
    }
    let drawn = &request.sampling;
    if quirks.no_sampling {
        losses.report_if(drawn.temperature.is_some(), Thing::Temperature, Spot::Request)?;
        losses.report_if(drawn.top_p.is_some(), Thing::TopP, Spot::Request)?;
    } else {
        json.maybe_number("temperature", drawn.temperature).maybe_number("top_p", drawn.top_p);
    }
    if losses.is_same() {
        json.maybe_number("top_k", drawn.top_k);
    } else {
        losses.report_if(drawn.top_k.is_some(), Thing::TopK, Spot::Request)?;
    }
    json.maybe_number(if quirks.random_seed { "random_seed" } else { "seed" }, drawn.seed);
    penalties(json, request, quirks, losses)?;
    match request.choices {
        Some(2..) if quirks.no_choices => losses.report(Thing::Choices, Spot::Request)?,
        choices => drop(json.maybe_number("n", choices.filter(|_| !quirks.no_choices))),
    }
    match request.logprobs {
        Some(_) if quirks.no_logprobs => losses.report(Thing::Logprobs, Spot::Request)?,
        Some(logprobs) => {
            json.key("logprobs").flag(true).key("top_logprobs").count(logprobs.top.into());
        }
        None => {}
    }
    Ok(())
}

fn penalties(
    json: &mut Json<'_>,
    request: &Request,
    quirks: &Quirks,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let drawn = &request.sampling;
    if quirks.no_penalties {
        let matters = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
        losses.report_if(matters(drawn.presence_penalty), Thing::PresencePenalty, Spot::Request)?;
        losses.report_if(matters(drawn.frequency_penalty), Thing::FrequencyPenalty, Spot::Request)?;
    } else {
        json.maybe_number("presence_penalty", drawn.presence_penalty);
        json.maybe_number("frequency_penalty", drawn.frequency_penalty);
    }
    if quirks.no_logit_bias {
        let biased = drawn.logit_bias.as_ref().is_some_and(|bias| bias.as_str() != "{}");
        return losses.report_if(biased, Thing::LogitBias, Spot::Request);
    }
    json.maybe_raw("logit_bias", drawn.logit_bias.as_ref());
    Ok(())
}

/// What a provider keeps or tells apart beside the conversation.
pub(super) fn kept(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    if target.quirks.no_user {
        losses.report_if(request.user.is_some(), Thing::User, Spot::Request)?;
    } else {
        json.maybe("user", request.user.as_deref());
    }
    if target.quirks.no_cache_key {
        losses.report_if(request.cache_key.is_some(), Thing::CacheKey, Spot::Request)?;
    } else {
        json.maybe("prompt_cache_key", request.cache_key.as_deref());
    }
    if target.quirks.no_extras {
        losses.report_if(request.metadata.is_some(), Thing::Metadata, Spot::Request)?;
        losses.report_if(request.store == Some(true), Thing::Store, Spot::Request)?;
        return losses.report_if(request.verbosity.is_some(), Thing::Verbosity, Spot::Request);
    }
    json.maybe_raw("metadata", request.metadata.as_ref()).maybe_flag("store", request.store);
    json.maybe("verbosity", request.verbosity.as_deref());
    Ok(())
}

/// A budget is said as the effort that comes nearest.
pub(super) fn thinking(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let thinking = &request.thinking;
    let effort = thinking.effort.or_else(|| {
        thinking.mode.and_then(|mode| match mode {
            ThinkingMode::Off => Some(Effort::None),
            ThinkingMode::Adaptive => None,
            ThinkingMode::Budget(..=LOW_BUDGET) => Some(Effort::Low),
            ThinkingMode::Budget(..=MEDIUM_BUDGET) => Some(Effort::Medium),
            ThinkingMode::Budget(_) => Some(Effort::High),
        })
    });
    losses.report_if(thinking.shown.is_some(), Thing::ThinkingShown, Spot::Request)?;
    let quirks = target.quirks;
    if quirks.no_thinking {
        let thinks = effort.is_some() || thinking.mode.is_some();
        return losses.report_if(thinks, Thing::Thinking, Spot::Request);
    }
    if losses.is_same() {
        json.maybe("reasoning_effort", effort.map(Effort::as_str));
        return Ok(());
    }
    let off = effort == Some(Effort::None);
    if quirks.thinking_switch
        && (effort.is_some() || thinking.mode.is_some())
        && !(off && quirks.thinking_always)
    {
        let state = if off { "disabled" } else { "enabled" };
        json.key("thinking").open_object().member("type", state).close_object();
    }
    // Where efforts are not said, one is sent only to those that have no switch, and none is what needs no saying.
    let unsaid = quirks.efforts.is_empty() && (off || quirks.thinking_switch);
    let effort = effort.filter(|_| !(unsaid || off && quirks.thinking_switch));
    json.maybe("reasoning_effort", effort.map(|effort| quirks.efforts.nearest(effort).as_str()));
    Ok(())
}
