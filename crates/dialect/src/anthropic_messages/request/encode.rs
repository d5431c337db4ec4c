//! A request for a target, and what of it this dialect cannot say.

use super::super::wire::{DIALECT, write_cache};
use super::{messages, settings};
use crate::canon::{CacheMark, Format, Request, Tool, ToolBody, ToolChoice};
use crate::codec::{Encoded, Target};
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};

/// The answer's limit where neither caller nor row has one: the dialect wants a number.
const MAX_TOKENS: u64 = 8192;

pub(crate) fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut losses = Losses::new(request.origin, DIALECT);
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    let max_tokens = max_tokens(request, target);
    json.open_object().member("model", target.model).key("max_tokens").count(max_tokens);
    let hint = request.format == Format::Object;
    losses.report_if(hint, Thing::JsonObject, Spot::Request)?;
    messages::system(json, request, &mut losses)?;
    messages::write(json, request, target, &mut losses)?;
    tools(json, request, target, &mut losses)?;
    settings::write(json, request, target, max_tokens, &mut losses)?;
    cache(json, request.cache.as_ref(), Spot::Request, &mut losses)?;
    if request.stream {
        json.key("stream").flag(true);
    }
    losses.extras(&request.extra, Spot::Request, json)?;
    json.close_object();
    Ok(Encoded { body: body.into(), lost: losses.into_lost() })
}

/// More than the model can say is refused by the provider, and never reached.
fn max_tokens(request: &Request, target: &Target<'_>) -> u64 {
    let most = target.quirks.max_output_tokens;
    let asked = request.max_tokens.or(most).unwrap_or(MAX_TOKENS);
    asked.min(most.unwrap_or(asked))
}

pub(super) fn cache(
    json: &mut Json<'_>,
    mark: Option<&CacheMark>,
    spot: Spot,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    match mark {
        Some(mark) if !write_cache(json, mark) => losses.report(Thing::CacheTtl, spot),
        _ => Ok(()),
    }
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
    tool_choice(json, request, target, losses)
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
    json.open_object().member("name", name).maybe("description", description.as_deref()).key("input_schema");
    match schema {
        Some(schema) => json.raw(schema),
        None => json.literal(r#"{"type":"object","properties":{}}"#),
    };
    if target.quirks.no_strict {
        losses.report_if(*strict == Some(true), Thing::ToolStrict, spot)?;
    } else {
        json.maybe_flag("strict", *strict);
    }
    cache(json, tool.cache.as_ref(), spot, losses)?;
    losses.extras(&tool.extra, spot, json)?;
    json.close_object();
    Ok(())
}

fn tool_choice(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let forced = match &request.tool_choice {
        Some(ToolChoice::Required) => Some(Thing::ToolRequired),
        Some(ToolChoice::Named(_)) => Some(Thing::ToolNamed),
        _ => None,
    };
    let forced = forced.filter(|_| target.quirks.no_forced_calls && !losses.is_same());
    forced.map_or(Ok(()), |thing| losses.report(thing, Spot::Request))?;
    let choice = request.tool_choice.as_ref().filter(|_| forced.is_none());
    let alone = request.parallel_calls.map(|parallel| !parallel);
    let (kind, name) = match choice {
        None if alone == Some(true) => ("auto", None),
        None => return Ok(()),
        Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name.as_str())),
        Some(ToolChoice::Subset { .. }) => return losses.report(Thing::ToolSubset, Spot::Request),
        Some(ToolChoice::Other(_, raw)) => {
            losses.report_if(!losses.is_same(), Thing::OtherChoice, Spot::Request)?;
            json.key("tool_choice").raw(raw);
            return Ok(());
        }
    };
    json.key("tool_choice").open_object().member("type", kind).maybe("name", name);
    json.maybe_flag("disable_parallel_tool_use", alone.filter(|_| kind != "none" || losses.is_same()));
    losses.nested(&request.extra, "tool_choice", json);
    json.close_object();
    Ok(())
}
