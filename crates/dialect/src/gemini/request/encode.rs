//! A request for a target, and what of it this dialect cannot say.

use super::super::wire::DIALECT;
use super::{config, contents};
use crate::canon::{Request, Tool, ToolBody, ToolChoice};
use crate::codec::{Encoded, Target};
use crate::json::Json;
use crate::losses::{Losses, Spot, Thing, Unsupported};

const CALLING: &str = "toolConfig.functionCallingConfig";

pub(crate) fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut losses = Losses::new(request.origin, DIALECT);
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    json.open_object();
    contents::write(json, request, target, &mut losses)?;
    tools(json, request, &mut losses)?;
    tool_config(json, request, target, &mut losses)?;
    config::encode(json, request, target, &mut losses)?;
    beside(json, request, &mut losses)?;
    losses.extras(&request.extra, Spot::Request, json)?;
    json.close_object();
    Ok(Encoded { body: body.into(), lost: losses.into_lost() })
}

/// Members that are the provider's own business: what another dialect says there means something else here.
fn beside(json: &mut Json<'_>, request: &Request, losses: &mut Losses) -> Result<(), Unsupported> {
    losses.report_if(request.verbosity.is_some(), Thing::Verbosity, Spot::Request)?;
    losses.report_if(request.user.is_some(), Thing::User, Spot::Request)?;
    losses.report_if(request.cache_key.is_some(), Thing::CacheKey, Spot::Request)?;
    losses.report_if(request.cache.is_some(), Thing::Cache, Spot::Request)?;
    if losses.is_same() {
        json.maybe_raw("labels", request.metadata.as_ref());
        json.maybe("serviceTier", request.service_tier.as_deref()).maybe_flag("store", request.store);
        return Ok(());
    }
    losses.report_if(request.metadata.is_some(), Thing::Metadata, Spot::Request)?;
    losses.report_if(request.service_tier.is_some(), Thing::ServiceTier, Spot::Request)?;
    // An answer that is not to be kept is not: the API keeps none to be fetched again.
    losses.report_if(request.store == Some(true), Thing::Store, Spot::Request)
}

fn tools(json: &mut Json<'_>, request: &Request, losses: &mut Losses) -> Result<(), Unsupported> {
    if request.tools.is_empty() {
        return Ok(());
    }
    json.key("tools").open_list();
    let is_function = |tool: &Tool| matches!(tool.body, ToolBody::Function { .. });
    // Neighbouring functions share an entry.
    for run in request.tools.chunk_by(|one, next| is_function(one) && is_function(next)) {
        match run {
            [Tool { body: ToolBody::Other { raw, .. }, at, .. }] => {
                losses.report_if(!losses.is_same(), Thing::OtherTool, Spot::Tool(*at))?;
                json.raw(raw);
            }
            functions => {
                json.open_object().key("functionDeclarations").open_list();
                functions.iter().try_for_each(|tool| function(json, tool, losses))?;
                json.close_list().close_object();
            }
        }
    }
    json.close_list();
    Ok(())
}

fn function(json: &mut Json<'_>, tool: &Tool, losses: &mut Losses) -> Result<(), Unsupported> {
    let ToolBody::Function { name, description, schema, strict } = &tool.body else { return Ok(()) };
    let spot = Spot::Tool(tool.at);
    json.open_object().member("name", name).maybe("description", description.as_deref());
    json.maybe_raw("parametersJsonSchema", schema.as_ref());
    losses.report_if(*strict == Some(true), Thing::ToolStrict, spot)?;
    losses.report_if(tool.cache.is_some(), Thing::ToolCache, spot)?;
    losses.nested(&tool.extra, "functionDeclarations", json);
    losses.extras(&tool.extra, spot, json)?;
    json.close_object();
    Ok(())
}

fn tool_config(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let functions = request.tools.iter().any(|tool| matches!(tool.body, ToolBody::Function { .. }));
    losses.report_if(
        functions && request.parallel_calls == Some(false),
        Thing::ParallelOff,
        Spot::Request,
    )?;
    let same = losses.is_same();
    let choice = request.tool_choice.as_ref().filter(|_| functions || same);
    let rest = same && request.extra.iter().any(|extra| extra.within.starts_with("toolConfig"));
    if choice.is_none() && !rest {
        return Ok(());
    }
    if let Some(choice) = choice.filter(|_| target.quirks.no_tool_choice) {
        return losses.untold(choice);
    }
    json.key("toolConfig").open_object().key("functionCallingConfig");
    match choice {
        Some(ToolChoice::Other(_, raw)) => {
            losses.report_if(!same, Thing::OtherChoice, Spot::Request)?;
            json.raw(raw);
        }
        choice => {
            json.open_object();
            let worded = request.extra.iter().any(|extra| extra.within == CALLING && extra.name == "mode");
            calling(json, choice, !(same && worded));
            losses.nested(&request.extra, CALLING, json);
            json.close_object();
        }
    }
    losses.nested(&request.extra, "toolConfig", json);
    json.close_object();
    Ok(())
}

/// Names may be given only where a call must come or where arguments are held to their schemas.
fn calling(json: &mut Json<'_>, choice: Option<&ToolChoice>, with_mode: bool) {
    let (mode, names) = match choice {
        None | Some(ToolChoice::Other(..)) => return,
        Some(ToolChoice::Auto) => ("AUTO", &[][..]),
        Some(ToolChoice::None) => ("NONE", &[][..]),
        Some(ToolChoice::Required) => ("ANY", &[][..]),
        Some(ToolChoice::Named(name)) => ("ANY", std::slice::from_ref(name)),
        Some(ToolChoice::Subset { required: true, names }) => ("ANY", names.as_slice()),
        Some(ToolChoice::Subset { required: false, names }) => ("VALIDATED", names.as_slice()),
    };
    json.maybe("mode", Some(mode).filter(|_| with_mode));
    if !names.is_empty() {
        json.key("allowedFunctionNames").open_list();
        for name in names {
            json.text(name);
        }
        json.close_list();
    }
}
