//! A request for a target, and what of it this dialect cannot say.

use super::super::wire::DIALECT;
use super::{messages, settings};
use crate::canon::{Format, Request, Tool, ToolBody, ToolChoice};
use crate::codec::{Encoded, Target};
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};

pub(crate) fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut losses = Losses::new(request.origin, DIALECT);
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    json.open_object().member("model", target.model);
    messages::write(json, request, target, &mut losses)?;
    tools(json, request, target, &mut losses)?;
    settings::limits(json, request, target, &mut losses)?;
    format(json, request, target, &mut losses)?;
    settings::thinking(json, request, target, &mut losses)?;
    if let Some(sound) = &request.sound {
        losses.report_if(!losses.is_same(), Thing::Sound, Spot::Request)?;
        json.key("modalities").open_list().text("text").text("audio").close_list().key("audio").raw(sound);
    }
    json.maybe("service_tier", tier(request, &mut losses)?);
    settings::kept(json, request, target, &mut losses)?;
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

fn format(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
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
    if target.quirks.no_tool_choice || target.quirks.no_forced_calls && choice.is_forced() {
        return losses.untold(choice);
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
