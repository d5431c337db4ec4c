//! A caller's request as what it means.

use super::super::wire::{DIALECT, INCLUDE_LOGPROBS, INCLUDE_SEALED, NEEDED};
use super::items;
use crate::canon::{
    Block, Effort, Extra, Format, Logprobs, Raw, Request, Role, Sampling, Thinking, Tool, ToolBody,
    ToolChoice, Turn,
};
use crate::codec::Envelope;
use crate::json::{Fields, Malformed, Value};

pub(crate) fn decode(body: &[u8], envelope: &Envelope<'_>) -> Result<Request, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    // Bodies that only ask for a count may leave it out.
    let model = fields.text("model")?.unwrap_or_else(|| envelope.model.to_owned());
    let mut request = Request::new(DIALECT, model);
    if let Some(text) = fields.text("instructions")? {
        request.turns.push(Turn::new(Role::System, vec![Block::text(text)]));
    }
    request.turns.extend(fields.with("input", items::decode)?.unwrap_or_default());
    request.stream = fields.flag("stream")?.unwrap_or(envelope.stream);
    // Streams of this dialect always tell it.
    request.include_usage = true;
    request.tools = fields.with("tools", |list| list.each(tool))?.unwrap_or_default();
    request.tool_choice = fields.with("tool_choice", tool_choice)?;
    request.parallel_calls = fields.flag("parallel_tool_calls")?;
    request.max_tokens = fields.count("max_output_tokens")?;
    request.sampling = Sampling {
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        ..Sampling::default()
    };
    let sealed = include(&mut fields, &mut request)?;
    fields.with("text", |text| answer(text.fields()?, &mut request))?;
    let thinking = fields.with("reasoning", |value| thinking(value.fields()?, &mut request.extra))?;
    request.thinking = thinking.unwrap_or_default();
    request.thinking.sealed = sealed;
    request.service_tier = fields.text("service_tier")?;
    request.user = match fields.text("user")? {
        Some(user) => Some(user),
        // What takes its place.
        None => fields.text("safety_identifier")?,
    };
    request.metadata = fields.with("metadata", Value::object)?;
    request.store = fields.flag("store")?;
    request.cache_key = fields.text("prompt_cache_key")?;
    if let Some(options) = fields.with("stream_options", Value::fields)? {
        options.leave("stream_options", &mut request.extra);
    }
    forget_unsaid(&mut fields)?;
    request.extra.extend(fields.rest());
    Ok(request)
}

/// Members that another dialect refuses are no reason to if they say nothing.
fn forget_unsaid(fields: &mut Fields<'_>) -> Result<(), Malformed> {
    for name in NEEDED {
        if fields.peek(name).is_none() {
            fields.take(name);
        }
    }
    if fields.peek("background").map(Value::flag).transpose().map_err(|bad| bad.within("background"))?
        == Some(false)
    {
        fields.take("background");
    }
    Ok(())
}

/// What shall come beside the answer. True if that is sealed thoughts.
fn include(fields: &mut Fields<'_>, request: &mut Request) -> Result<bool, Malformed> {
    let top = fields.with("top_logprobs", |top| {
        u32::try_from(top.count()?).map_err(|_| Malformed::new("is too large"))
    })?;
    let mut wanted = fields.with("include", |list| list.each(|_, item| item.text()))?.unwrap_or_default();
    let mut take = |word: &str| {
        let before = wanted.len();
        wanted.retain(|item| item != word);
        wanted.len() < before
    };
    let sealed = take(INCLUDE_SEALED);
    let logprobs = take(INCLUDE_LOGPROBS) || top.is_some_and(|top| top > 0);
    request.logprobs = logprobs.then(|| Logprobs { top: top.unwrap_or_default() });
    if !wanted.is_empty() {
        let rest = serde_json::to_string(&wanted).ok().and_then(|text| Raw::parse(&text));
        let rest = rest.map(|raw| Extra { name: "include".to_owned(), within: "", raw });
        request.extra.extend(rest);
    }
    Ok(sealed)
}

/// `text`: the form of the answer and how wordy it is.
fn answer(mut text: Fields<'_>, request: &mut Request) -> Result<(), Malformed> {
    request.verbosity = text.text("verbosity")?;
    let format = text.with("format", |value| format(value.fields()?, &mut request.extra))?;
    request.format = format.unwrap_or_default();
    text.leave("text", &mut request.extra);
    Ok(())
}

fn format(mut fields: Fields<'_>, extra: &mut Vec<Extra>) -> Result<Format, Malformed> {
    let format = match fields.need("type", Value::text)?.as_str() {
        "text" => Format::Text,
        "json_object" => Format::Object,
        "json_schema" => Format::Schema {
            name: fields.text("name")?,
            description: fields.text("description")?,
            schema: fields.need("schema", Value::object)?,
            strict: fields.flag("strict")?,
        },
        _ => return Err(Malformed::new("must be text, json_object or json_schema").within("type")),
    };
    fields.leave("text.format", extra);
    Ok(format)
}

fn thinking(mut fields: Fields<'_>, extra: &mut Vec<Extra>) -> Result<Thinking, Malformed> {
    let effort = fields.with("effort", |value| {
        Effort::parse(&value.text()?).ok_or_else(|| Malformed::new("is not an effort that is known"))
    })?;
    // The older name.
    let shown = fields.text("generate_summary")?;
    let shown = fields.text("summary")?.or(shown);
    fields.leave("reasoning", extra);
    Ok(Thinking { effort, shown, ..Thinking::default() })
}

fn tool(at: usize, value: Value<'_>) -> Result<Tool, Malformed> {
    let mut fields = value.fields()?;
    let at = u32::try_from(at).ok();
    if fields.need("type", Value::text)? != "function" {
        let body = ToolBody::Other { dialect: DIALECT, raw: value.raw() };
        return Ok(Tool { body, cache: None, at, extra: Vec::new() });
    }
    let body = ToolBody::Function {
        name: fields.need("name", Value::text)?,
        description: fields.text("description")?,
        schema: fields.with("parameters", Value::object)?,
        strict: fields.flag("strict")?,
    };
    Ok(Tool { body, cache: None, at, extra: fields.rest() })
}

fn tool_choice(value: Value<'_>) -> Result<ToolChoice, Malformed> {
    if value.is_text() {
        return match value.text()?.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(Malformed::new("must be auto, none, required or an object")),
        };
    }
    let mut fields = value.fields()?;
    match fields.need("type", Value::text)?.as_str() {
        "function" => fields.need("name", Value::text).map(ToolChoice::Named),
        "allowed_tools" => subset(value, &mut fields),
        _ => Ok(ToolChoice::Other(DIALECT, value.raw())),
    }
}

/// Only some functions; where other tools are among them it is left as it is.
fn subset(value: Value<'_>, fields: &mut Fields<'_>) -> Result<ToolChoice, Malformed> {
    let required = fields.need("mode", Value::text)? == "required";
    let names = fields.need("tools", |list| {
        list.each(|_, tool| {
            let mut tool = tool.fields()?;
            let function = tool.text("type")?.as_deref() == Some("function");
            if function { tool.text("name") } else { Ok(None) }
        })
    })?;
    let names: Option<Vec<String>> = names.into_iter().collect();
    Ok(match names {
        Some(names) => ToolChoice::Subset { required, names },
        None => ToolChoice::Other(DIALECT, value.raw()),
    })
}
