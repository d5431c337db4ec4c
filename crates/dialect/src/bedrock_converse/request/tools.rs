//! `toolConfig`: tools and whether the model calls them.

use super::super::wire::DIALECT;
use super::messages::cache_point;
use crate::canon::{Part, Request, Tool, ToolBody, ToolChoice};
use crate::codec::Target;
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};
use std::collections::HashSet;

/// The schema of a tool without arguments: the dialect wants one, of an object.
const NOTHING: &str = "{\"type\":\"object\",\"properties\":{}}";

pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let same = losses.is_same();
    // What a caller of this dialect has left out stays out.
    let calls = if same { Vec::new() } else { called(request) };
    let forbidden = request.tool_choice == Some(ToolChoice::None) && !same;
    if calls.is_empty() && (request.tools.is_empty() || forbidden) {
        return Ok(());
    }
    // Calls in the conversation want a list of tools, and with one the dialect cannot forbid calls.
    losses.report_if(forbidden, Thing::ToolNone, Spot::Request)?;
    json.key("toolConfig").open_object().key("tools").open_list();
    if request.tools.is_empty() {
        calls.iter().for_each(|name| {
            json.open_object().key("toolSpec").open_object().member("name", name);
            json.key("inputSchema").open_object().key("json").literal(NOTHING);
            json.close_object().close_object().close_object();
        });
    }
    for one in request.tools.iter().filter(|tool| is_allowed(tool, request.tool_choice.as_ref())) {
        tool(json, one, target, losses)?;
        let thing = (Thing::ToolCache, Spot::Tool(one.at));
        cache_point(json, one.cache.as_ref(), target, thing, losses)?;
    }
    json.close_list();
    if let Some(choice) = &request.tool_choice {
        tool_choice(json, choice, target, losses)?;
    }
    losses.nested(&request.extra, "toolConfig", json);
    json.close_object();
    Ok(())
}

/// Names of the tools that the conversation has called, each once.
fn called(request: &Request) -> Vec<&str> {
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    for block in request.turns.iter().flat_map(|turn| &turn.blocks) {
        if let Part::Call(call) = &block.part
            && seen.insert(call.name.as_str())
        {
            names.push(call.name.as_str());
        }
    }
    names
}

/// A choice among some tools is said by leaving out the others.
fn is_allowed(tool: &Tool, choice: Option<&ToolChoice>) -> bool {
    match (choice, &tool.body) {
        (Some(ToolChoice::Subset { names, .. }), ToolBody::Function { name, .. }) => names.contains(name),
        _ => true,
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
        ToolBody::Other { dialect, raw } => {
            losses.report_if(*dialect != DIALECT, Thing::OtherTool, spot)?;
            json.raw(raw);
            return Ok(());
        }
    };
    json.open_object().key("toolSpec").open_object().member("name", name);
    // An empty description is refused.
    json.maybe("description", description.as_deref().filter(|text| losses.is_same() || !text.is_empty()));
    json.key("inputSchema").open_object();
    match schema {
        Some(schema) => json.key("json").raw(schema),
        None if losses.is_same() => json,
        None => json.key("json").literal(NOTHING),
    };
    json.close_object();
    if target.quirks.no_strict {
        losses.report_if(*strict == Some(true), Thing::ToolStrict, spot)?;
    } else {
        json.maybe_flag("strict", *strict);
    }
    losses.nested(&tool.extra, "toolSpec", json);
    json.close_object();
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
    let silent = target.quirks.no_tool_choice;
    if choice.is_forced() && (silent || target.quirks.no_forced_calls) {
        return losses.untold(choice);
    }
    match choice {
        ToolChoice::Auto if !silent => kind(json, "auto"),
        ToolChoice::Required | ToolChoice::Subset { required: true, .. } => kind(json, "any"),
        ToolChoice::Named(name) => {
            json.key("toolChoice").open_object().key("tool").open_object().member("name", name);
            json.close_object().close_object();
        }
        ToolChoice::Other(_, raw) => {
            losses.report_if(!losses.is_same(), Thing::OtherChoice, Spot::Request)?;
            json.key("toolChoice").raw(raw);
        }
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Subset { .. } => {}
    }
    Ok(())
}

fn kind(json: &mut Json<'_>, word: &str) {
    json.key("toolChoice").open_object().key(word).open_object().close_object().close_object();
}
