//! A caller's request as what it means.

use super::super::wire::{self, DIALECT};
use super::blocks;
use crate::canon::{
    Block, Effort, Extra, Format, Request, Role, Thinking, ThinkingMode, Tool, ToolBody, ToolChoice, Turn,
};
use crate::json::{Fields, Malformed, Value};

pub(crate) fn decode(body: &[u8]) -> Result<Request, Malformed> {
    let request = decode_unlimited(body)?;
    if request.max_tokens.is_none() { Err(Malformed::missing("max_tokens")) } else { Ok(request) }
}

/// The same without a limit of the answer, as requests for a count of tokens have it.
pub(crate) fn decode_unlimited(body: &[u8]) -> Result<Request, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let mut request = Request::new(DIALECT, fields.need("model", Value::text)?);
    request.max_tokens = fields.count("max_tokens")?;
    let system = fields.with("system", blocks::content)?;
    request.turns.extend(system.map(|blocks| Turn::new(Role::System, blocks)));
    request.turns.extend(fields.need("messages", |list| list.each(turn))?);
    request.tools = fields.with("tools", |list| list.each(tool))?.unwrap_or_default();
    if let Some(choice) = fields.with("tool_choice", |value| tool_choice(value, &mut request.extra))? {
        request.tool_choice = Some(choice.0);
        request.parallel_calls = choice.1;
    }
    let stop = fields.with("stop_sequences", |list| list.each(|_, text| text.text()))?;
    request.stop = stop.unwrap_or_default();
    request.sampling.temperature = fields.number("temperature")?;
    request.sampling.top_p = fields.number("top_p")?;
    request.sampling.top_k = fields.count("top_k")?;
    thinking(&mut fields, &mut request)?;
    output(&mut fields, &mut request)?;
    if let Some(mut metadata) = fields.with("metadata", Value::fields)? {
        request.user = metadata.text("user_id")?;
        metadata.leave("metadata", &mut request.extra);
    }
    request.service_tier = fields.text("service_tier")?;
    request.cache = wire::cache(&mut fields)?;
    request.stream = fields.flag("stream")?.unwrap_or_default();
    // The dialect's streams always tell.
    request.include_usage = true;
    request.extra.extend(fields.rest());
    Ok(request)
}

fn turn(at: usize, value: Value<'_>) -> Result<Turn, Malformed> {
    let mut fields = value.fields()?;
    let role = match fields.need("role", Value::text)?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(Malformed::new("must be user, assistant or system").within("role")),
    };
    let blocks: Vec<Block> = fields.need("content", blocks::content)?;
    Ok(Turn { at: u32::try_from(at).ok(), extra: fields.rest(), ..Turn::new(role, blocks) })
}

/// Tools with a type of their own are run by the provider.
fn tool(at: usize, value: Value<'_>) -> Result<Tool, Malformed> {
    let mut fields = value.fields()?;
    let at = u32::try_from(at).ok();
    if fields.text("type")?.is_some_and(|kind| kind != "custom") {
        let body = ToolBody::Other { dialect: DIALECT, raw: value.raw() };
        return Ok(Tool { body, cache: None, at, extra: Vec::new() });
    }
    let body = ToolBody::Function {
        name: fields.need("name", Value::text)?,
        description: fields.text("description")?,
        schema: fields.with("input_schema", Value::object)?,
        strict: fields.flag("strict")?,
    };
    let cache = wire::cache(&mut fields)?;
    Ok(Tool { body, cache, at, extra: fields.rest() })
}

fn tool_choice(value: Value<'_>, extra: &mut Vec<Extra>) -> Result<(ToolChoice, Option<bool>), Malformed> {
    let mut fields = value.fields()?;
    let choice = match fields.need("type", Value::text)?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(fields.need("name", Value::text)?),
        _ => return Ok((ToolChoice::Other(DIALECT, value.raw()), None)),
    };
    let alone = fields.flag("disable_parallel_tool_use")?;
    fields.leave("tool_choice", extra);
    Ok((choice, alone.map(|alone| !alone)))
}

/// A kind of thinking that is not known is left as it is.
fn thinking(fields: &mut Fields<'_>, request: &mut Request) -> Result<(), Malformed> {
    let Some(value) = fields.take("thinking") else { return Ok(()) };
    let read = |value: Value<'_>| {
        let mut thinking = value.fields()?;
        let mode = match thinking.need("type", Value::text)?.as_str() {
            "enabled" => ThinkingMode::Budget(thinking.need("budget_tokens", Value::count)?),
            "disabled" => ThinkingMode::Off,
            "adaptive" => ThinkingMode::Adaptive,
            _ => return Ok(None),
        };
        let shown = thinking.text("display")?;
        let mut extra = Vec::new();
        thinking.leave("thinking", &mut extra);
        Ok(Some((Thinking { mode: Some(mode), effort: None, shown, sealed: false }, extra)))
    };
    match read(value).map_err(|bad: Malformed| bad.within("thinking"))? {
        Some((thinking, extra)) => {
            request.thinking = thinking;
            request.extra.extend(extra);
        }
        None => request.extra.push(Extra { name: "thinking".to_owned(), within: "", raw: value.raw() }),
    }
    Ok(())
}

fn output(fields: &mut Fields<'_>, request: &mut Request) -> Result<(), Malformed> {
    let Some(mut output) = fields.with("output_config", Value::fields)? else { return Ok(()) };
    let effort = |value: Value<'_>| {
        Effort::parse(&value.text()?).ok_or_else(|| Malformed::new("is not an effort that is known"))
    };
    request.thinking.effort = output.with("effort", effort).map_err(|bad| bad.within("output_config"))?;
    let mut extra = Vec::new();
    let format = output.with("format", |value| {
        let mut format = value.fields()?;
        if format.need("type", Value::text)? != "json_schema" {
            return Err(Malformed::new("must be json_schema").within("type"));
        }
        let schema = format.need("schema", Value::object)?;
        format.leave("output_config.format", &mut extra);
        Ok(Format::Schema { name: None, description: None, schema, strict: None })
    });
    request.format = format.map_err(|bad| bad.within("output_config"))?.unwrap_or_default();
    output.leave("output_config", &mut extra);
    request.extra.extend(extra);
    Ok(())
}
