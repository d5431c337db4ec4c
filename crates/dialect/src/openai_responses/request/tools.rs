//! Tools and how they are chosen.

use crate::canon::{Request, Tool, ToolBody, ToolChoice};
use crate::codec::Target;
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};

pub(super) fn write(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    if !request.tools.is_empty() {
        json.key("tools").open_list();
        request.tools.iter().try_for_each(|one| tool(json, one, target, losses))?;
        json.close_list();
    }
    if let Some(choice) =
        request.tool_choice.as_ref().filter(|_| losses.is_same() || !request.tools.is_empty())
    {
        tool_choice(json, choice, target, losses)?;
    }
    if target.quirks.no_parallel_calls {
        return losses.report_if(request.parallel_calls == Some(false), Thing::ParallelOff, Spot::Request);
    }
    json.maybe_flag("parallel_tool_calls", request.parallel_calls);
    Ok(())
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
    json.open_object().member("type", "function").member("name", name);
    json.maybe("description", description.as_deref()).key("parameters");
    match schema {
        Some(schema) => json.raw(schema),
        None if losses.is_same() => json.null(),
        None => json.literal("{\"type\":\"object\",\"properties\":{}}"),
    };
    if target.quirks.no_strict {
        losses.report_if(*strict == Some(true), Thing::ToolStrict, spot)?;
    } else {
        match strict {
            Some(strict) => json.key("strict").flag(*strict),
            None if losses.is_same() => json.key("strict").null(),
            // What other dialects do unless told otherwise; here it would be strict.
            None => json.key("strict").flag(false),
        };
    }
    losses.report_if(tool.cache.is_some(), Thing::ToolCache, spot)?;
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
            json.open_object().member("type", "allowed_tools");
            json.member("mode", if *required { "required" } else { "auto" }).key("tools").open_list();
            for name in names {
                named(json, name);
            }
            json.close_list().close_object()
        }
        ToolChoice::Other(_, raw) => json.raw(raw),
    };
    Ok(())
}

fn named<'j, 'b>(json: &'j mut Json<'b>, name: &str) -> &'j mut Json<'b> {
    json.open_object().member("type", "function").member("name", name).close_object()
}
