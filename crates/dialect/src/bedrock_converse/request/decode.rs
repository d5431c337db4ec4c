//! A caller's request as what it means.

use super::super::wire::DIALECT;
use super::{model, parts};
use crate::canon::{CacheMark, Effort, Extra, Format, Raw, Request, Role, Tool, ToolBody, ToolChoice, Turn};
use crate::codec::Envelope;
use crate::json::{Fields, Malformed, Value};

pub(crate) fn decode(body: &[u8], envelope: &Envelope<'_>) -> Result<Request, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let mut request = Request::new(DIALECT, envelope.model);
    request.stream = envelope.stream;
    request.include_usage = true;
    let system = fields.with("system", parts::content)?;
    request.turns.extend(system.map(|blocks| Turn::new(Role::System, blocks)));
    request.turns.extend(fields.with("messages", |list| list.each(turn))?.unwrap_or_default());
    inference(&mut fields, &mut request)?;
    if let Some(mut config) = fields.with("toolConfig", Value::fields)? {
        tool_config(&mut config, &mut request).map_err(|bad| bad.within("toolConfig"))?;
        config.leave("toolConfig", &mut request.extra);
    }
    if let Some(own) = fields.with("additionalModelRequestFields", Value::fields)? {
        model::read(own, &mut request).map_err(|bad| bad.within("additionalModelRequestFields"))?;
    }
    if let Some(mut config) = fields.with("outputConfig", Value::fields)? {
        output(&mut config, &mut request).map_err(|bad| bad.within("outputConfig"))?;
        config.leave("outputConfig", &mut request.extra);
    }
    if let Some(mut tier) = fields.with("serviceTier", Value::fields)? {
        request.service_tier = Some(tier.need("type", Value::text).map_err(|bad| bad.within("serviceTier"))?);
        tier.leave("serviceTier", &mut request.extra);
    }
    request.metadata = fields.with("requestMetadata", Value::object)?;
    request.extra.extend(fields.rest());
    Ok(request)
}

fn inference(fields: &mut Fields<'_>, request: &mut Request) -> Result<(), Malformed> {
    let config = fields.with("inferenceConfig", |value| {
        let mut config = value.fields()?;
        request.max_tokens = config.count("maxTokens")?;
        request.sampling.temperature = config.number("temperature")?;
        request.sampling.top_p = config.number("topP")?;
        let stop = config.with("stopSequences", |list| list.each(|_, text| text.text()))?;
        request.stop = stop.unwrap_or_default();
        Ok(config)
    })?;
    config.into_iter().for_each(|config| config.leave("inferenceConfig", &mut request.extra));
    Ok(())
}

fn turn(at: usize, value: Value<'_>) -> Result<Turn, Malformed> {
    let mut fields = value.fields()?;
    let role = match fields.need("role", Value::text)?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(Malformed::new("must be user, assistant or system").within("role")),
    };
    let blocks = fields.need("content", parts::content)?;
    Ok(Turn { role, blocks, name: None, at: u32::try_from(at).ok(), extra: fields.rest() })
}

/// A cache point marks the tool before it.
fn tool_config(config: &mut Fields<'_>, request: &mut Request) -> Result<(), Malformed> {
    let items = config.need("tools", |list| list.each(tool))?;
    for (item, point) in items {
        match (request.tools.last_mut(), point) {
            (Some(last), Some(mark)) if last.cache.is_none() => last.cache = Some(mark),
            _ => request.tools.push(item),
        }
    }
    request.tool_choice = config.with("toolChoice", tool_choice)?;
    Ok(())
}

/// A tool, and its mark if it is nothing but one.
fn tool(at: usize, value: Value<'_>) -> Result<(Tool, Option<CacheMark>), Malformed> {
    let mut fields = value.fields()?;
    let at = u32::try_from(at).ok();
    let mut extra = Vec::new();
    let point = parts::cache_point(&fields)?;
    let body = match fields.with("toolSpec", |spec| function(spec.fields()?, &mut extra))? {
        Some(body) => body,
        None => {
            let body = ToolBody::Other { dialect: DIALECT, raw: value.raw() };
            return Ok((Tool { body, cache: None, at, extra }, point));
        }
    };
    extra.extend(fields.rest());
    Ok((Tool { body, cache: None, at, extra }, None))
}

fn function(mut spec: Fields<'_>, extra: &mut Vec<Extra>) -> Result<ToolBody, Malformed> {
    let body = ToolBody::Function {
        name: spec.need("name", Value::text)?,
        description: spec.text("description")?,
        schema: spec.need("inputSchema", |schema| schema.fields()?.with("json", Value::object))?,
        strict: spec.flag("strict")?,
    };
    spec.leave("toolSpec", extra);
    Ok(body)
}

fn tool_choice(value: Value<'_>) -> Result<ToolChoice, Malformed> {
    let mut fields = value.fields()?;
    if fields.take("auto").is_some() {
        return Ok(ToolChoice::Auto);
    }
    if fields.take("any").is_some() {
        return Ok(ToolChoice::Required);
    }
    let named = fields.with("tool", |tool| tool.fields()?.need("name", Value::text))?;
    Ok(named.map_or_else(|| ToolChoice::Other(DIALECT, value.raw()), ToolChoice::Named))
}

fn output(config: &mut Fields<'_>, request: &mut Request) -> Result<(), Malformed> {
    let extra = &mut request.extra;
    if let Some(format) = config.with("textFormat", |format| text_format(format.fields()?, extra))? {
        request.format = format;
    }
    if let Some(effort) = config.peek("effort") {
        request.thinking.effort = Effort::parse(&effort.text().map_err(|bad| bad.within("effort"))?);
        if request.thinking.effort.is_some() {
            config.take("effort");
        }
    }
    Ok(())
}

fn text_format(mut format: Fields<'_>, extra: &mut Vec<Extra>) -> Result<Format, Malformed> {
    if format.need("type", Value::text)? != "json_schema" {
        return Err(Malformed::new("must be json_schema").within("type"));
    }
    let read = format.need("structure", |structure| {
        structure.fields()?.need("jsonSchema", |value| json_schema(value.fields()?, extra))
    })?;
    format.leave("outputConfig.textFormat", extra);
    Ok(read)
}

/// The schema stands in a text.
fn json_schema(mut schema: Fields<'_>, extra: &mut Vec<Extra>) -> Result<Format, Malformed> {
    let format = Format::Schema {
        name: schema.text("name")?,
        description: schema.text("description")?,
        schema: schema.need("schema", |text| {
            Raw::parse(&text.text()?).ok_or_else(|| Malformed::new("must be a JSON document in a string"))
        })?,
        strict: None,
    };
    schema.leave("outputConfig.textFormat.structure.jsonSchema", extra);
    Ok(format)
}
