//! Sampling, thinking, the answer's form, and what the dialect has no word for.

use super::super::wire::DIALECT;
use super::messages;
use crate::canon::{Effort, Format, Part, Request, Role, Thinking, ThinkingMode, ToolChoice};
use crate::codec::Target;
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};

/// The least that a budget of thinking may be, by the type's documentation.
const LEAST_BUDGET: u64 = 1024;

pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    max_tokens: u64,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    unsaid(request, losses)?;
    let thinks = thinking(json, request, target, max_tokens, losses)?;
    sampling(json, request, target, thinks, losses)?;
    if !request.stop.is_empty() {
        json.key("stop_sequences").open_list();
        request.stop.iter().for_each(|text| {
            json.text(text);
        });
        json.close_list();
    }
    if request.user.is_some() || request.extra.iter().any(|extra| extra.within == "metadata") {
        json.key("metadata").open_object().maybe("user_id", request.user.as_deref());
        losses.nested(&request.extra, "metadata", json);
        json.close_object();
    }
    // Tiers are the provider's own words: another dialect's mean something else.
    let foreign = !losses.is_same();
    losses.report_if(foreign && request.service_tier.is_some(), Thing::ServiceTier, Spot::Request)?;
    json.maybe("service_tier", request.service_tier.as_deref().filter(|_| !foreign));
    Ok(())
}

/// What the dialect has no word for, where it would matter.
fn unsaid(request: &Request, losses: &mut Losses) -> Result<(), Unsupported> {
    let drawn = &request.sampling;
    let matters = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    let noted = matches!(&request.format, Format::Schema { description: Some(_), .. });
    for (there, thing) in [
        (drawn.seed.is_some(), Thing::Seed),
        (matters(drawn.presence_penalty), Thing::PresencePenalty),
        (matters(drawn.frequency_penalty), Thing::FrequencyPenalty),
        (drawn.logit_bias.as_ref().is_some_and(|bias| bias.as_str() != "{}"), Thing::LogitBias),
        (request.choices.is_some_and(|choices| choices > 1), Thing::Choices),
        (request.logprobs.is_some(), Thing::Logprobs),
        (noted, Thing::SchemaNote),
        (request.verbosity.is_some(), Thing::Verbosity),
        (request.sound.is_some(), Thing::Sound),
        (request.metadata.is_some(), Thing::Metadata),
        (request.store == Some(true), Thing::Store),
        (request.cache_key.is_some(), Thing::CacheKey),
    ] {
        losses.report_if(there, thing, Spot::Request)?;
    }
    Ok(())
}

/// Thinking models take no temperature of their own. Temperatures end at 1 here.
fn sampling(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    thinks: bool,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let drawn = &request.sampling;
    if !losses.is_same() && (target.quirks.no_sampling || thinks) {
        losses.report_if(drawn.temperature.is_some(), Thing::Temperature, Spot::Request)?;
        losses.report_if(drawn.top_p.is_some(), Thing::TopP, Spot::Request)?;
        return losses.report_if(drawn.top_k.is_some(), Thing::TopK, Spot::Request);
    }
    let hot = !losses.is_same() && drawn.temperature.is_some_and(|temperature| temperature > 1.0);
    losses.report_if(hot, Thing::Temperature, Spot::Request)?;
    json.maybe_number("temperature", drawn.temperature.map(|warm| if hot { 1.0 } else { warm }));
    json.maybe_number("top_p", drawn.top_p).maybe_number("top_k", drawn.top_k);
    Ok(())
}

/// Writes `thinking` and `output_config`; true if the model will think.
fn thinking(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    max_tokens: u64,
    losses: &mut Losses,
) -> Result<bool, Unsupported> {
    let asked = &request.thinking;
    let wanted = if losses.is_same() {
        asked.clone()
    } else {
        let wanted = fitted(request, target, max_tokens);
        let off = asked.mode == Some(ThinkingMode::Off) || asked.effort == Some(Effort::None);
        let unmet = wanted.is_none() && !off && (asked.mode.is_some() || asked.effort.is_some());
        losses.report_if(unmet, Thing::Thinking, Spot::Request)?;
        losses.report_if(asked.shown.is_some(), Thing::ThinkingShown, Spot::Request)?;
        wanted.unwrap_or_default()
    };
    if let Some(mode) = wanted.mode {
        json.key("thinking").open_object();
        match mode {
            ThinkingMode::Off => json.member("type", "disabled"),
            ThinkingMode::Adaptive => json.member("type", "adaptive"),
            ThinkingMode::Budget(budget) => json.member("type", "enabled").key("budget_tokens").count(budget),
        };
        json.maybe("display", wanted.shown.as_deref());
        losses.nested(&request.extra, "thinking", json);
        json.close_object();
    }
    output(json, request, target, wanted.effort, losses)?;
    Ok(matches!(wanted.mode, Some(ThinkingMode::Adaptive | ThinkingMode::Budget(_))))
}

/// Thinking as this target takes it; none where it cannot think about this request.
fn fitted(request: &Request, target: &Target<'_>, max_tokens: u64) -> Option<Thinking> {
    let asked = &request.thinking;
    let off = asked.mode == Some(ThinkingMode::Off) || asked.effort == Some(Effort::None);
    let unasked = asked.mode.is_none() && asked.effort.is_none();
    let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
    if unasked || off || target.quirks.no_thinking || forced || lacks_thoughts(request, target) {
        return None;
    }
    let effort = asked.effort.map(|effort| target.quirks.efforts.nearest(effort.max(Effort::Low)));
    if target.quirks.adaptive_thinking {
        return Some(Thinking { mode: Some(ThinkingMode::Adaptive), effort, shown: None, sealed: false });
    }
    let budget = match (asked.mode, asked.effort) {
        (Some(ThinkingMode::Budget(budget)), _) => budget,
        (_, Some(Effort::None | Effort::Minimal)) => LEAST_BUDGET,
        (_, Some(Effort::Low)) => 2 * LEAST_BUDGET,
        (_, Some(Effort::Medium) | None) => 8 * LEAST_BUDGET,
        (_, Some(Effort::High)) => 16 * LEAST_BUDGET,
        (_, Some(Effort::Xhigh | Effort::Max)) => 32 * LEAST_BUDGET,
    };
    // Half of the limit stays for the answer.
    let budget = budget.min(max_tokens / 2);
    let mode = Some(ThinkingMode::Budget(budget));
    (budget >= LEAST_BUDGET).then_some(Thinking { mode, effort: None, shown: None, sealed: false })
}

/// True if tools are being called and the thoughts before the calls are not this target's: it would refuse to think.
fn lacks_thoughts(request: &Request, target: &Target<'_>) -> bool {
    let last = request.turns.iter().rfind(|turn| turn.role == Role::Assistant);
    let Some(last) = last else { return false };
    let calls = last.blocks.iter().any(|block| matches!(block.part, Part::Call(_)));
    let own = last.blocks.iter().any(|block| match &block.part {
        Part::Reasoning(thought) => messages::goes_back(thought, target, false),
        _ => false,
    });
    calls && !own
}

fn output(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    effort: Option<Effort>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let schema = match &request.format {
        Format::Schema { schema, .. } => Some(schema),
        Format::Text | Format::Object => None,
    };
    let unmet = schema.is_some() && target.quirks.no_json_schema;
    losses.report_if(unmet, Thing::JsonSchema, Spot::Request)?;
    let more = request.extra.iter().any(|extra| extra.within == "output_config") && request.origin == DIALECT;
    if effort.is_none() && schema.is_none() && !more {
        return Ok(());
    }
    json.key("output_config").open_object().maybe("effort", effort.map(Effort::as_str));
    if let Some(schema) = schema {
        json.key("format").open_object().member("type", "json_schema").key("schema").raw(schema);
        losses.nested(&request.extra, "output_config.format", json);
        json.close_object();
    }
    losses.nested(&request.extra, "output_config", json);
    json.close_object();
    Ok(())
}
