//! A request for a target, and what of it this dialect cannot say.

use super::super::wire::{DIALECT, STOP_LIMIT};
use super::messages;
use crate::canon::{Effort, Format, Request, ThinkingMode, Tool, ToolBody, ToolChoice};
use crate::codec::{Encoded, Target};
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};

/// The schema of a tool without arguments: the dialect wants one.
const NOTHING: &str = "{\"type\":\"object\",\"properties\":{}}";
/// Tokens of thinking that the efforts are multiples of, as in the other dialects.
const BUDGET: u64 = 1024;

pub(crate) fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut losses = Losses::new(request.origin, DIALECT);
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    json.open_object().member("model", target.model).maybe_flag("stream", request.stream.then_some(true));
    unsaid(request, &mut losses)?;
    messages::write(json, request, target, &mut losses)?;
    tools(json, request, target, &mut losses)?;
    settings(json, request, target, &mut losses)?;
    format(json, request, target, &mut losses)?;
    thinking(json, request, target, &mut losses)?;
    losses.extras(&request.extra, Spot::Request, json)?;
    json.close_object();
    Ok(Encoded { body: body.into(), lost: losses.into_lost() })
}

/// What no field of this dialect says.
fn unsaid(request: &Request, losses: &mut Losses) -> Result<(), Unsupported> {
    let bias = request.sampling.logit_bias.as_ref();
    let noted = matches!(&request.format, Format::Schema { description: Some(_), .. });
    let alone = request.parallel_calls == Some(false) && !request.tools.is_empty();
    let things = [
        (bias.is_some_and(|bias| bias.as_str() != "{}"), Thing::LogitBias),
        (request.choices.is_some_and(|choices| choices > 1), Thing::Choices),
        (request.logprobs.is_some_and(|logprobs| logprobs.top > 0), Thing::Logprobs),
        (request.stop.len() > STOP_LIMIT, Thing::StopSequences),
        (noted, Thing::SchemaNote),
        (request.verbosity.is_some(), Thing::Verbosity),
        (request.sound.is_some(), Thing::Sound),
        (request.service_tier.is_some(), Thing::ServiceTier),
        (request.user.is_some(), Thing::User),
        (request.metadata.is_some(), Thing::Metadata),
        (request.store == Some(true), Thing::Store),
        (request.cache_key.is_some(), Thing::CacheKey),
        (request.cache.is_some(), Thing::Cache),
        (request.thinking.shown.is_some(), Thing::ThinkingShown),
        (alone && request.tool_choice != Some(ToolChoice::None), Thing::ParallelOff),
    ];
    let wrong = |(there, thing)| losses.report_if(there && !losses.is_same(), thing, Spot::Request);
    things.into_iter().try_for_each(wrong)
}

fn settings(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    json.maybe_number("max_tokens", request.max_tokens);
    if !request.stop.is_empty() {
        json.key("stop_sequences").open_list();
        request.stop.iter().for_each(|text| {
            json.text(text);
        });
        json.close_list();
    }
    let (drawn, same) = (&request.sampling, losses.is_same());
    if target.quirks.no_sampling && !same {
        losses.report_if(drawn.temperature.is_some(), Thing::Temperature, Spot::Request)?;
        losses.report_if(drawn.top_p.is_some(), Thing::TopP, Spot::Request)?;
        losses.report_if(drawn.top_k.is_some(), Thing::TopK, Spot::Request)?;
    } else {
        // Temperatures and penalties end at 1 here: more becomes 1, and is named.
        let temperature = bounded(drawn.temperature, Thing::Temperature, losses)?;
        json.maybe_number("temperature", temperature).maybe_number("p", drawn.top_p);
        json.maybe_number("k", drawn.top_k);
    }
    json.maybe_number("seed", drawn.seed);
    json.maybe_number("presence_penalty", bounded(drawn.presence_penalty, Thing::PresencePenalty, losses)?);
    json.maybe_number(
        "frequency_penalty",
        bounded(drawn.frequency_penalty, Thing::FrequencyPenalty, losses)?,
    );
    json.maybe_flag("logprobs", request.logprobs.map(|_| true));
    Ok(())
}

/// The number that comes nearest between 0 and 1.
fn bounded(asked: Option<f64>, thing: Thing, losses: &mut Losses) -> Result<Option<f64>, Unsupported> {
    let sent = asked.map(|asked| if losses.is_same() { asked } else { asked.clamp(0.0, 1.0) });
    losses.report_if(sent != asked, thing, Spot::Request)?;
    Ok(sent)
}

/// A form of the answer excludes tools.
fn format(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let with_tools = !losses.is_same() && !request.tools.is_empty();
    let schema = match &request.format {
        Format::Text => return Ok(()),
        Format::Object if with_tools => return losses.report(Thing::JsonObject, Spot::Request),
        Format::Object => None,
        Format::Schema { schema, .. } => {
            let unmet = with_tools || target.quirks.no_json_schema;
            losses.report_if(unmet, Thing::JsonSchema, Spot::Request)?;
            Some(schema)
        }
    };
    json.key("response_format").open_object().member("type", "json_object").maybe_raw("json_schema", schema);
    losses.nested(&request.extra, "response_format", json);
    json.close_object();
    Ok(())
}

fn thinking(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let asked = &request.thinking;
    let mode = match (asked.mode, asked.effort) {
        (None, None) => return Ok(()),
        (None, Some(Effort::None)) => ThinkingMode::Off,
        (Some(ThinkingMode::Adaptive) | None, Some(effort)) => {
            ThinkingMode::Budget(tokens_of(effort, request))
        }
        (Some(mode), _) => mode,
    };
    if target.quirks.no_thinking && !losses.is_same() {
        return losses.report_if(mode != ThinkingMode::Off, Thing::Thinking, Spot::Request);
    }
    json.key("thinking").open_object();
    match mode {
        ThinkingMode::Off => json.member("type", "disabled"),
        ThinkingMode::Adaptive => json.member("type", "enabled"),
        ThinkingMode::Budget(tokens) => json.member("type", "enabled").key("token_budget").count(tokens),
    };
    losses.nested(&request.extra, "thinking", json);
    json.close_object();
    Ok(())
}

/// Tokens that an effort is worth; half of the limit stays for the answer.
fn tokens_of(effort: Effort, request: &Request) -> u64 {
    let times = match effort {
        Effort::None | Effort::Minimal => 1,
        Effort::Low => 2,
        Effort::Medium => 8,
        Effort::High => 16,
        Effort::Xhigh | Effort::Max => 32,
    };
    request.max_tokens.map_or(u64::MAX, |limit| limit / 2).min(times * BUDGET)
}

fn tools(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    if request.tools.is_empty() {
        // Without tools a choice among them is refused, and says nothing.
        return Ok(());
    }
    let choice = request.tool_choice.as_ref();
    json.key("tools").open_list();
    request
        .tools
        .iter()
        .filter(|tool| is_allowed(tool, choice))
        .try_for_each(|one| tool(json, one, losses))?;
    json.close_list();
    strict(json, request, target, losses)?;
    let (word, thing) = match choice {
        None | Some(ToolChoice::Auto | ToolChoice::Subset { required: false, .. }) => return Ok(()),
        Some(ToolChoice::None) => ("NONE", Thing::ToolNone),
        Some(ToolChoice::Required) => ("REQUIRED", Thing::ToolRequired),
        // One that must be called is the only one there is.
        Some(ToolChoice::Named(_)) => ("REQUIRED", Thing::ToolNamed),
        Some(ToolChoice::Subset { .. }) => ("REQUIRED", Thing::ToolSubset),
        Some(ToolChoice::Other(..)) => return losses.report(Thing::OtherChoice, Spot::Request),
    };
    if target.quirks.no_tool_choice {
        return losses.report(thing, Spot::Request);
    }
    json.member("tool_choice", word);
    Ok(())
}

/// A choice among some tools is said by leaving out the others.
fn is_allowed(tool: &Tool, choice: Option<&ToolChoice>) -> bool {
    match (choice, &tool.body) {
        (Some(ToolChoice::Subset { names, .. }), ToolBody::Function { name, .. }) => names.contains(name),
        (Some(ToolChoice::Named(wanted)), ToolBody::Function { name, .. }) => name == wanted,
        _ => true,
    }
}

/// Strictness is one flag for all tools: true if all are to be strict.
fn strict(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let of = |tool: &Tool| match &tool.body {
        ToolBody::Function { strict, .. } => *strict,
        ToolBody::Other { .. } => None,
    };
    let all =
        request.tools.first().and_then(of).filter(|all| {
            (*all || losses.is_same()) && request.tools.iter().all(|tool| of(tool) == Some(*all))
        });
    if all.is_some() && !target.quirks.no_strict {
        json.maybe_flag("strict_tools", all);
        return Ok(());
    }
    let some = request.tools.iter().filter(|tool| of(tool) == Some(true));
    some.map(|tool| tool.at).try_for_each(|at| losses.report(Thing::ToolStrict, Spot::Tool(at)))
}

fn tool(json: &mut Json<'_>, tool: &Tool, losses: &mut Losses) -> Result<(), Unsupported> {
    let spot = Spot::Tool(tool.at);
    let ToolBody::Function { name, description, schema, .. } = &tool.body else {
        return losses.report(Thing::OtherTool, spot);
    };
    losses.report_if(tool.cache.is_some(), Thing::ToolCache, spot)?;
    json.open_object().member("type", "function").key("function").open_object().member("name", name);
    json.maybe("description", description.as_deref());
    match schema {
        Some(schema) => json.key("parameters").raw(schema),
        None if losses.is_same() => json,
        None => json.key("parameters").literal(NOTHING),
    };
    losses.nested(&tool.extra, "function", json);
    json.close_object();
    losses.extras(&tool.extra, spot, json)?;
    json.close_object();
    Ok(())
}
