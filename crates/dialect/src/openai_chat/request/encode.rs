//! A request for a target, and what of it this dialect cannot say.

use super::super::wire::DIALECT;
use super::messages;
use crate::canon::{Effort, Format, Request, ThinkingMode, Tool, ToolBody, ToolChoice};
use crate::codec::{Encoded, Target};
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};

/// Budgets of thinking up to which an effort is named, in tokens; more is high.
const LOW_BUDGET: u64 = 2048;
const MEDIUM_BUDGET: u64 = 8192;

pub(crate) fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut losses = Losses::new(request.origin, DIALECT);
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    json.open_object().member("model", target.model);
    messages::write(json, request, target, &mut losses)?;
    tools(json, request, target, &mut losses)?;
    limits(json, request, target, &mut losses)?;
    format(json, request, target, &mut losses)?;
    thinking(json, request, target, &mut losses)?;
    if let Some(sound) = &request.sound {
        losses.report_if(!losses.is_same(), Thing::Sound, Spot::Request)?;
        json.key("modalities").open_list().text("text").text("audio").close_list().key("audio").raw(sound);
    }
    json.maybe("service_tier", tier(request, &mut losses)?).maybe("user", request.user.as_deref());
    json.maybe_raw("metadata", request.metadata.as_ref()).maybe_flag("store", request.store);
    json.maybe("prompt_cache_key", request.cache_key.as_deref());
    losses.report_if(request.cache.is_some(), Thing::Cache, Spot::Request)?;
    stream(json, request, target, &losses);
    losses.extras(&request.extra, Spot::Request, json)?;
    json.close_object();
    Ok(Encoded { body: body.into(), lost: losses.into_lost() })
}

/// Usage is asked for whatever the caller wants: the gateway counts.
fn stream(json: &mut Json<'_>, request: &Request, target: &Target<'_>, losses: &Losses) {
    if !request.stream {
        return;
    }
    json.key("stream").flag(true);
    if !target.quirks.no_stream_options {
        json.key("stream_options").open_object().key("include_usage").flag(true);
        losses.nested(&request.extra, "stream_options", json);
        json.close_object();
    }
}

fn limits(
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
    json.maybe_number("seed", drawn.seed).maybe_number("presence_penalty", drawn.presence_penalty);
    json.maybe_number("frequency_penalty", drawn.frequency_penalty);
    json.maybe_raw("logit_bias", drawn.logit_bias.as_ref()).maybe_number("n", request.choices);
    if let Some(logprobs) = request.logprobs {
        json.key("logprobs").flag(true).key("top_logprobs").count(logprobs.top.into());
    }
    Ok(())
}

fn format(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    json.maybe("verbosity", request.verbosity.as_deref());
    let (name, description, schema, strict) = match &request.format {
        Format::Text => return Ok(()),
        Format::Object => {
            json.key("response_format").open_object().member("type", "json_object");
            losses.nested(&request.extra, "response_format", json);
            json.close_object();
            return Ok(());
        }
        Format::Schema { name, description, schema, strict } => (name, description, schema, strict),
    };
    losses.report_if(target.quirks.no_json_schema, Thing::JsonSchema, Spot::Request)?;
    json.key("response_format").open_object().member("type", "json_schema").key("json_schema").open_object();
    // The dialect wants a name.
    json.member("name", name.as_deref().unwrap_or("answer")).maybe("description", description.as_deref());
    json.key("schema").raw(schema);
    if target.quirks.no_strict {
        losses.report_if(*strict == Some(true), Thing::SchemaNote, Spot::Request)?;
    } else {
        json.maybe_flag("strict", *strict);
    }
    losses.nested(&request.extra, "response_format.json_schema", json);
    json.close_object();
    losses.nested(&request.extra, "response_format", json);
    json.close_object();
    Ok(())
}

/// A budget is said as the effort that comes nearest.
fn thinking(
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
    match effort {
        Some(_) if target.quirks.no_thinking => losses.report(Thing::Thinking, Spot::Request),
        // That a model without settings for it does not think needs no saying.
        Some(Effort::None) if !losses.is_same() => Ok(()),
        effort => {
            json.maybe("reasoning_effort", effort.map(Effort::as_str));
            Ok(())
        }
    }
}

/// Tiers are the provider's own words: another dialect's mean something else.
fn tier<'r>(request: &'r Request, losses: &mut Losses) -> Result<Option<&'r str>, Unsupported> {
    let foreign = request.service_tier.is_some() && !losses.is_same();
    losses.report_if(foreign, Thing::ServiceTier, Spot::Request)?;
    Ok(request.service_tier.as_deref().filter(|_| !foreign))
}

fn tools(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    if request.tools.is_empty() {
        return Ok(());
    }
    json.key("tools").open_list();
    request.tools.iter().try_for_each(|one| tool(json, one, target, losses))?;
    json.close_list();
    if let Some(choice) = &request.tool_choice {
        tool_choice(json, choice, target, losses)?;
    }
    match request.parallel_calls {
        Some(false) if target.quirks.no_parallel_calls => losses.report(Thing::ParallelOff, Spot::Request),
        parallel => {
            json.maybe_flag("parallel_tool_calls", parallel.filter(|_| !target.quirks.no_parallel_calls));
            Ok(())
        }
    }
}

fn tool(
    json: &mut Json<'_>,
    tool: &Tool,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let spot = Spot::Tool(tool.at);
    let (name, description, schema, strict) = match &tool.body {
        ToolBody::Function { name, description, schema, strict } => (name, description, schema, strict),
        ToolBody::Other { raw, .. } => {
            losses.report_if(!losses.is_same(), Thing::OtherTool, spot)?;
            json.raw(raw);
            return Ok(());
        }
    };
    json.open_object().member("type", "function").key("function").open_object();
    json.member("name", name).maybe("description", description.as_deref());
    json.maybe_raw("parameters", schema.as_ref());
    if target.quirks.no_strict {
        losses.report_if(*strict == Some(true), Thing::ToolStrict, spot)?;
    } else {
        json.maybe_flag("strict", *strict);
    }
    losses.nested(&tool.extra, "function", json);
    json.close_object();
    messages::cache(json, tool.cache.as_ref(), target, (Thing::ToolCache, spot), losses)?;
    losses.extras(&tool.extra, spot, json)?;
    json.close_object();
    Ok(())
}

fn tool_choice(
    json: &mut Json<'_>,
    choice: &ToolChoice,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    if target.quirks.no_tool_choice {
        return match choice {
            ToolChoice::Auto => Ok(()),
            ToolChoice::None => losses.report(Thing::ToolNone, Spot::Request),
            ToolChoice::Required => losses.report(Thing::ToolRequired, Spot::Request),
            ToolChoice::Named(_) => losses.report(Thing::ToolNamed, Spot::Request),
            ToolChoice::Subset { .. } => losses.report(Thing::ToolSubset, Spot::Request),
            ToolChoice::Other(..) => losses.report(Thing::OtherChoice, Spot::Request),
        };
    }
    if matches!(choice, ToolChoice::Other(..)) {
        losses.report_if(!losses.is_same(), Thing::OtherChoice, Spot::Request)?;
    }
    json.key("tool_choice");
    match choice {
        ToolChoice::Auto => json.text("auto"),
        ToolChoice::None => json.text("none"),
        ToolChoice::Required => json.text(if target.quirks.tool_choice_any { "any" } else { "required" }),
        ToolChoice::Named(name) => named(json, name),
        ToolChoice::Subset { required, names } => {
            json.open_object().member("type", "allowed_tools").key("allowed_tools").open_object();
            json.member("mode", if *required { "required" } else { "auto" }).key("tools").open_list();
            for name in names {
                named(json, name);
            }
            json.close_list().close_object().close_object()
        }
        ToolChoice::Other(_, raw) => json.raw(raw),
    };
    Ok(())
}

fn named<'j, 'b>(json: &'j mut Json<'b>, name: &str) -> &'j mut Json<'b> {
    json.open_object().member("type", "function").key("function").open_object().member("name", name);
    json.close_object().close_object()
}
