//! A caller's request as what it means.

use super::super::wire::DIALECT;
use super::parts;
use crate::canon::{
    Block, Call, CallKind, Effort, Format, Logprobs, Part, Raw, Request, Role, Sampling, Sound, Tool,
    ToolBody, ToolChoice, ToolResult, Turn,
};
use crate::json::{Fields, Malformed, Value};

pub(crate) fn decode(body: &[u8]) -> Result<Request, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let mut request = Request::new(DIALECT, fields.need("model", Value::text)?);
    request.turns = fields.need("messages", |list| list.each(turn))?;
    request.tools = fields.with("tools", |list| list.each(tool))?.unwrap_or_default();
    request.tool_choice = fields.with("tool_choice", tool_choice)?;
    request.parallel_calls = fields.flag("parallel_tool_calls")?;
    let older = fields.count("max_tokens")?;
    request.max_tokens = fields.count("max_completion_tokens")?.or(older);
    request.stop = fields.with("stop", stop)?.unwrap_or_default();
    request.sampling = sampling(&mut fields)?;
    request.choices = fields.with("n", choices)?;
    let top = fields.with("top_logprobs", |top| small(top.count()?))?;
    let wanted = fields.flag("logprobs")?.unwrap_or_default();
    request.logprobs = wanted.then(|| Logprobs { top: top.unwrap_or_default() });
    request.format = format(&mut fields, &mut request.extra)?;
    request.verbosity = fields.text("verbosity")?;
    request.thinking.effort = fields.with("reasoning_effort", effort)?;
    request.sound = sound(&mut fields)?;
    request.service_tier = fields.text("service_tier")?;
    request.user = match fields.text("user")? {
        Some(user) => Some(user),
        // What takes its place.
        None => fields.text("safety_identifier")?,
    };
    request.metadata = fields.with("metadata", Value::object)?;
    request.store = fields.flag("store")?;
    request.cache_key = fields.text("prompt_cache_key")?;
    request.stream = fields.flag("stream")?.unwrap_or_default();
    if let Some(mut options) = fields.with("stream_options", Value::fields)? {
        request.include_usage = options.flag("include_usage")?.unwrap_or_default();
        options.leave("stream_options", &mut request.extra);
    }
    request.extra.extend(fields.rest());
    Ok(request)
}

fn sampling(fields: &mut Fields<'_>) -> Result<Sampling, Malformed> {
    Ok(Sampling {
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        // Not OpenAI's, but many that speak its dialect take it.
        top_k: fields.with("top_k", Value::count)?,
        seed: fields.with("seed", Value::whole)?,
        presence_penalty: fields.number("presence_penalty")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        logit_bias: fields.with("logit_bias", Value::object)?,
    })
}

fn small(count: u64) -> Result<u32, Malformed> {
    u32::try_from(count).map_err(|_| Malformed::new("is too large"))
}

/// One answer is what everybody gives.
fn choices(value: Value<'_>) -> Result<u32, Malformed> {
    match small(value.count()?)? {
        0 => Err(Malformed::new("must be 1 or more")),
        count => Ok(count),
    }
}

fn stop(value: Value<'_>) -> Result<Vec<String>, Malformed> {
    if value.is_text() { Ok(vec![value.text()?]) } else { value.each(|_, item| item.text()) }
}

fn effort(value: Value<'_>) -> Result<Effort, Malformed> {
    Effort::parse(&value.text()?).ok_or_else(|| Malformed::new("is not an effort that is known"))
}

fn format(fields: &mut Fields<'_>, extra: &mut Vec<crate::canon::Extra>) -> Result<Format, Malformed> {
    let read = |value: Value<'_>| {
        let mut format = value.fields()?;
        let found = match format.need("type", Value::text)?.as_str() {
            "text" => Format::Text,
            "json_object" => Format::Object,
            "json_schema" => format.need("json_schema", |schema| json_schema(schema.fields()?, extra))?,
            _ => return Err(Malformed::new("must be text, json_object or json_schema").within("type")),
        };
        format.leave("response_format", extra);
        Ok(found)
    };
    Ok(fields.with("response_format", read)?.unwrap_or_default())
}

fn json_schema(mut fields: Fields<'_>, extra: &mut Vec<crate::canon::Extra>) -> Result<Format, Malformed> {
    let format = Format::Schema {
        name: fields.text("name")?,
        description: fields.text("description")?,
        schema: fields.need("schema", Value::object)?,
        strict: fields.flag("strict")?,
    };
    fields.leave("response_format.json_schema", extra);
    Ok(format)
}

/// `modalities` only says once more whether there is `audio`.
fn sound(fields: &mut Fields<'_>) -> Result<Option<Raw>, Malformed> {
    let modalities = fields.with("modalities", |list| list.each(|_, item| item.text()))?.unwrap_or_default();
    let sound = fields.with("audio", Value::object)?;
    if sound.is_none() && modalities.iter().any(|word| word == "audio") {
        return Err(Malformed::new("is required where modalities has audio").within("audio"));
    }
    Ok(sound)
}

fn tool(at: usize, value: Value<'_>) -> Result<Tool, Malformed> {
    let mut fields = value.fields()?;
    let at = u32::try_from(at).ok();
    if fields.need("type", Value::text)? != "function" {
        let body = ToolBody::Other { dialect: DIALECT, raw: value.raw() };
        return Ok(Tool { body, cache: None, at, extra: Vec::new() });
    }
    let mut extra = Vec::new();
    let body = fields.need("function", |value| {
        let mut function = value.fields()?;
        let body = ToolBody::Function {
            name: function.need("name", Value::text)?,
            description: function.text("description")?,
            schema: function.with("parameters", Value::object)?,
            strict: function.flag("strict")?,
        };
        function.leave("function", &mut extra);
        Ok(body)
    })?;
    let cache = parts::cache(&mut fields)?;
    extra.extend(fields.rest());
    Ok(Tool { body, cache, at, extra })
}

fn tool_choice(value: Value<'_>) -> Result<ToolChoice, Malformed> {
    if value.is_text() {
        return match value.text()?.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(Malformed::new("must be auto, none, required or an object")),
        };
    }
    let mut fields = value.fields()?;
    match fields.text("type")?.as_deref() {
        Some("function") => fields.need("function", name).map(ToolChoice::Named),
        Some("allowed_tools") => fields.need("allowed_tools", |value| subset(value, value.fields()?)),
        _ => Ok(ToolChoice::Other(DIALECT, value.raw())),
    }
}

fn name(value: Value<'_>) -> Result<String, Malformed> {
    value.fields()?.need("name", Value::text)
}

/// Only some functions; where other tools are among them it is left as it is.
fn subset(value: Value<'_>, mut fields: Fields<'_>) -> Result<ToolChoice, Malformed> {
    let required = fields.need("mode", Value::text)? == "required";
    let names = fields.need("tools", |list| {
        list.each(|_, tool| {
            let mut tool = tool.fields()?;
            if tool.text("type")?.as_deref() == Some("function") {
                tool.with("function", name)
            } else {
                Ok(None)
            }
        })
    })?;
    let names: Option<Vec<String>> = names.into_iter().collect();
    Ok(match names {
        Some(names) => ToolChoice::Subset { required, names },
        None => {
            let whole = format!("{{\"type\":\"allowed_tools\",\"allowed_tools\":{}}}", value.raw().as_str());
            Raw::parse(&whole).map_or(ToolChoice::Auto, |raw| ToolChoice::Other(DIALECT, raw))
        }
    })
}

fn turn(at: usize, value: Value<'_>) -> Result<Turn, Malformed> {
    let mut fields = value.fields()?;
    let role = fields.need("role", Value::text)?;
    let (role, blocks) = match role.as_str() {
        "system" => (Role::System, content(&mut fields)?),
        "developer" => (Role::Developer, content(&mut fields)?),
        "user" => (Role::User, content(&mut fields)?),
        "assistant" => (Role::Assistant, assistant(&mut fields)?),
        "tool" => (Role::User, vec![result(&mut fields)?]),
        _ => {
            let what = "must be system, developer, user, assistant or tool";
            return Err(Malformed::new(what).within("role"));
        }
    };
    let name = fields.text("name")?;
    Ok(Turn { role, blocks, name, at: u32::try_from(at).ok(), extra: fields.rest() })
}

fn content(fields: &mut Fields<'_>) -> Result<Vec<Block>, Malformed> {
    Ok(fields.with("content", parts::content)?.unwrap_or_default())
}

fn result(fields: &mut Fields<'_>) -> Result<Block, Malformed> {
    let call = fields.need("tool_call_id", Value::text)?;
    let name = fields.text("name")?;
    let content = content(fields)?;
    let cache = parts::cache(fields)?;
    let result = ToolResult { call, name, content, is_error: None };
    Ok(Block { cache, ..Block::new(Part::Result(Box::new(result))) })
}

/// Thoughts first, then words, then calls: the dialect does not tell how they stood. A sealed thought that names a call
/// goes before that call.
fn assistant(fields: &mut Fields<'_>) -> Result<Vec<Block>, Malformed> {
    let mut thoughts = parts::thoughts(fields)?;
    let words = content(fields)?;
    let is_said = |block: &Block| !matches!(&block.part, Part::Text { text, .. } if text.is_empty());
    let words: Vec<Block> = words.into_iter().filter(is_said).collect();
    let refusal = fields.text("refusal")?.map(|words| Block::new(Part::Refusal(words)));
    let sound = fields.with("audio", |value| {
        let id = Some(value.fields()?.need("id", Value::text)?);
        Ok(Block::new(Part::Sound(Box::new(Sound { id, ..Sound::default() }))))
    })?;
    let calls = fields.with("tool_calls", |list| list.each(call))?.unwrap_or_default();
    let mut behind = Vec::new();
    for call in calls {
        let Part::Call(named) = &call.part else { continue };
        let of_it = |thought: &mut (Block, Option<String>)| thought.1.as_deref() == Some(named.id.as_str());
        behind.extend(thoughts.extract_if(.., of_it).map(|(block, _)| block));
        behind.push(call);
    }
    let before = thoughts.into_iter().map(|(block, _)| block);
    Ok(before.chain(words).chain(refusal).chain(sound).chain(behind).collect())
}

fn call(_: usize, value: Value<'_>) -> Result<Block, Malformed> {
    let mut fields = value.fields()?;
    let id = fields.need("id", Value::text)?;
    let custom = fields.text("type")?.as_deref() == Some("custom");
    let (within, words, kind) = match custom {
        true => ("custom", "input", CallKind::Custom),
        false => ("function", "arguments", CallKind::Function),
    };
    let mut extra = Vec::new();
    let call = fields.need(within, |value| {
        let mut function = value.fields()?;
        let name = function.need("name", Value::text)?;
        let arguments = function.text(words)?.unwrap_or_default();
        function.leave(within, &mut extra);
        Ok(Call { id, name, arguments, kind })
    })?;
    extra.extend(fields.rest());
    Ok(Block { extra, ..Block::new(Part::Call(Box::new(call))) })
}
