//! A caller's request as what it means.

use super::super::wire::{DIALECT, PLAN, citation, seal};
use crate::canon::{
    Block, Call, CallKind, Citation, Document, Extra, Format, Logprobs, Media, Part, Reasoning, Request,
    Role, Source, Tool, ToolBody, ToolChoice, ToolResult, Turn,
};
use crate::json::{Fields, Malformed, Value};

pub(crate) fn decode(body: &[u8]) -> Result<Request, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let mut request = Request::new(DIALECT, fields.need("model", Value::text)?);
    request.stream = fields.flag("stream")?.unwrap_or_default();
    request.include_usage = true;
    request.turns = fields.need("messages", |list| list.each(turn))?;
    request.tools = fields.with("tools", |list| list.each(tool))?.unwrap_or_default();
    // One flag for all tools.
    if !request.tools.is_empty() {
        let all = fields.flag("strict_tools")?;
        for tool in &mut request.tools {
            if let ToolBody::Function { strict, .. } = &mut tool.body {
                *strict = all;
            }
        }
    }
    request.tool_choice = fields.with("tool_choice", tool_choice)?;
    request.max_tokens = fields.count("max_tokens")?;
    request.stop =
        fields.with("stop_sequences", |list| list.each(|_, text| text.text()))?.unwrap_or_default();
    let drawn = &mut request.sampling;
    drawn.temperature = fields.number("temperature")?;
    drawn.top_p = fields.number("p")?;
    drawn.top_k = fields.count("k")?;
    drawn.seed = fields.with("seed", Value::whole)?;
    drawn.presence_penalty = fields.number("presence_penalty")?;
    drawn.frequency_penalty = fields.number("frequency_penalty")?;
    request.logprobs = fields.flag("logprobs")?.filter(|wanted| *wanted).map(|_| Logprobs { top: 0 });
    if let Some(format) =
        fields.with("response_format", |value| format(value.fields()?, &mut request.extra))?
    {
        request.format = format;
    }
    request.thinking.mode = fields.with("thinking", |value| thinking(value.fields()?, &mut request.extra))?;
    request.extra.extend(fields.rest());
    Ok(request)
}

fn format(mut fields: Fields<'_>, extra: &mut Vec<Extra>) -> Result<Format, Malformed> {
    let schema = fields.with("json_schema", Value::object)?;
    let format = match (fields.need("type", Value::text)?.as_str(), schema) {
        ("text", None) => Format::Text,
        ("json_object", None) => Format::Object,
        ("json_object", Some(schema)) => {
            Format::Schema { name: None, description: None, schema, strict: None }
        }
        _ => return Err(Malformed::new("must be text or json_object").within("type")),
    };
    fields.leave("response_format", extra);
    Ok(format)
}

fn thinking(mut fields: Fields<'_>, extra: &mut Vec<Extra>) -> Result<crate::canon::ThinkingMode, Malformed> {
    use crate::canon::ThinkingMode::{Adaptive, Budget, Off};
    let budget = fields.count("token_budget")?;
    let mode = match fields.need("type", Value::text)?.as_str() {
        "enabled" => budget.map_or(Adaptive, Budget),
        "disabled" => Off,
        _ => return Err(Malformed::new("must be enabled or disabled").within("type")),
    };
    fields.leave("thinking", extra);
    Ok(mode)
}

fn tool(at: usize, value: Value<'_>) -> Result<Tool, Malformed> {
    let mut fields = value.fields()?;
    let mut extra = Vec::new();
    if fields.text("type")?.is_some_and(|kind| kind != "function") {
        return Err(Malformed::new("must be function").within("type"));
    }
    let body = fields.need("function", |value| {
        let mut function = value.fields()?;
        let body = ToolBody::Function {
            name: function.need("name", Value::text)?,
            description: function.text("description")?,
            schema: function.with("parameters", Value::object)?,
            strict: None,
        };
        function.leave("function", &mut extra);
        Ok(body)
    })?;
    extra.extend(fields.rest());
    Ok(Tool { body, cache: None, at: u32::try_from(at).ok(), extra })
}

fn tool_choice(value: Value<'_>) -> Result<ToolChoice, Malformed> {
    match value.text()?.to_ascii_uppercase().as_str() {
        "REQUIRED" => Ok(ToolChoice::Required),
        "NONE" => Ok(ToolChoice::None),
        _ => Err(Malformed::new("must be REQUIRED or NONE")),
    }
}

fn turn(at: usize, value: Value<'_>) -> Result<Turn, Malformed> {
    let mut fields = value.fields()?;
    let (role, blocks) = match fields.need("role", Value::text)?.as_str() {
        "system" => (Role::System, fields.need("content", content)?),
        "user" => (Role::User, fields.need("content", content)?),
        "assistant" => (Role::Assistant, assistant(&mut fields)?),
        "tool" => (Role::User, vec![result(&mut fields)?]),
        _ => return Err(Malformed::new("must be system, user, assistant or tool").within("role")),
    };
    Ok(Turn { role, blocks, name: None, at: u32::try_from(at).ok(), extra: fields.rest() })
}

/// A text, or a list of parts.
fn content(value: Value<'_>) -> Result<Vec<Block>, Malformed> {
    if value.is_text() {
        return Ok(vec![Block::text(value.text()?)]);
    }
    value.each(|at, part| {
        let block = block(part, part.fields()?)?;
        Ok(Block { at: u32::try_from(at).ok(), ..block })
    })
}

fn block(value: Value<'_>, mut fields: Fields<'_>) -> Result<Block, Malformed> {
    let mut extra = Vec::new();
    let part = match fields.need("type", Value::text)?.as_str() {
        "text" => Part::Text { text: fields.need("text", Value::text)?, citations: Vec::new() },
        "thinking" => {
            let text = fields.need("thinking", Value::text)?;
            Part::Reasoning(Box::new(Reasoning { text, ..Reasoning::default() }))
        }
        "image_url" => fields.need("image_url", |value| {
            let mut image = value.fields()?;
            let source = Source::of_url(image.need("url", Value::text)?);
            let detail = image.text("detail")?;
            image.leave("image_url", &mut extra);
            Ok(Part::Image(Media { source, detail }))
        })?,
        "document" => fields.need("document", |value| {
            let mut document = value.fields()?;
            let source = Source::Text(document.need("data", Value::object)?.as_str().to_owned());
            let title = document.text("id")?;
            document.leave("document", &mut extra);
            Ok(Part::Document(Box::new(Document { source, title, context: None, citations: None })))
        })?,
        _ => return Ok(Block::new(Part::Other { dialect: DIALECT, raw: value.raw() })),
    };
    extra.extend(fields.rest());
    Ok(Block { part, cache: None, at: None, extra })
}

fn result(fields: &mut Fields<'_>) -> Result<Block, Malformed> {
    let call = fields.need("tool_call_id", Value::text)?;
    let content = fields.need("content", content)?;
    Ok(Block::new(Part::Result(Box::new(ToolResult { call, name: None, content, is_error: None }))))
}

/// What an assistant said, in a request or a reply: content, then the plan, then the calls.
pub(in super::super) fn assistant(fields: &mut Fields<'_>) -> Result<Vec<Block>, Malformed> {
    let mut blocks = fields.with("content", content)?.unwrap_or_default();
    if let Some(list) = fields.peek("citations") {
        let read = |list: Value<'_>| list.each(|_, one| Ok((placed(one)?, citation(one)?)));
        let cited = read(list).map_err(|bad: Malformed| bad.within("citations"))?;
        // Without a text to stand in they stay where they are.
        if blocks.iter().any(|block| matches!(block.part, Part::Text { .. })) {
            fields.take("citations");
            cited.into_iter().for_each(|(at, citation)| cite(&mut blocks, at, citation));
        }
    }
    let plan = fields.text(PLAN)?.filter(|text| !text.is_empty());
    blocks.extend(plan.map(|text| {
        Block::new(Part::Reasoning(Box::new(Reasoning {
            id: Some(PLAN.to_owned()),
            text,
            seal: Some(seal(None, true)),
        })))
    }));
    blocks.extend(
        fields.with("tool_calls", |list| list.each(|_, one| call(one.fields()?)))?.unwrap_or_default(),
    );
    Ok(blocks)
}

/// The place in the content that a citation belongs to.
fn placed(value: Value<'_>) -> Result<usize, Malformed> {
    let at = value.fields()?.count("content_index")?;
    Ok(at.and_then(|at| usize::try_from(at).ok()).unwrap_or_default())
}

/// Puts a citation into the text at its place, else into the first.
fn cite(blocks: &mut [Block], at: usize, citation: Citation) {
    let is_text = |block: &Block| matches!(block.part, Part::Text { .. });
    let at = if blocks.get(at).is_some_and(is_text) { Some(at) } else { blocks.iter().position(is_text) };
    if let Some(Part::Text { citations, .. }) =
        at.and_then(|at| blocks.get_mut(at)).map(|block| &mut block.part)
    {
        citations.push(citation);
    }
}

fn call(mut fields: Fields<'_>) -> Result<Block, Malformed> {
    let id = fields.need("id", Value::text)?;
    fields.take("type");
    let mut extra = Vec::new();
    let call = fields.need("function", |value| {
        let mut function = value.fields()?;
        let name = function.need("name", Value::text)?;
        let arguments = function.text("arguments")?.unwrap_or_default();
        function.leave("function", &mut extra);
        Ok(Call { id, name, arguments, kind: CallKind::Function })
    })?;
    extra.extend(fields.rest());
    Ok(Block { extra, ..Block::new(Part::Call(Box::new(call))) })
}
