//! A caller's request as what it means.

use super::super::{schema, wire};
use super::{calls, config, parts};
use crate::canon::Raw;
use crate::canon::{Extra, Request, Role, Tool, ToolBody, ToolChoice, Turn};
use crate::codec::Envelope;
use crate::json::{Fields, Json, Malformed, Value};

pub(crate) fn decode(body: &[u8], envelope: &Envelope<'_>) -> Result<Request, Malformed> {
    let mut fields = wire::fields(Value::parse(body)?)?;
    // What `countTokens` may hold: the request whose tokens are to be counted.
    if let Some(whole) = fields.take("generateContentRequest") {
        fields = wire::fields(whole).map_err(|bad| bad.within("generateContentRequest"))?;
    }
    let mut request = Request::new(wire::DIALECT, envelope.model);
    request.stream = envelope.stream;
    // The dialect's streams always tell.
    request.include_usage = true;
    // The path says it.
    fields.take("model");
    request.turns.extend(fields.with("systemInstruction", system)?);
    request.turns.extend(fields.need("contents", |list| list.each(turn))?);
    calls::join(&mut request.turns);
    request.tools = fields.with("tools", tools)?.unwrap_or_default();
    tool_config(&mut fields, &mut request)?;
    if let Some(config) = fields.take("generationConfig") {
        config::decode(config, &mut request).map_err(|bad| bad.within("generationConfig"))?;
    }
    request.metadata = fields.with("labels", Value::object)?;
    request.service_tier = fields.text("serviceTier")?;
    request.store = fields.flag("store")?;
    request.extra.extend(fields.rest());
    Ok(request)
}

/// Its role says nothing: the SDK writes `user`.
fn system(value: Value<'_>) -> Result<Turn, Malformed> {
    let mut fields = wire::fields(value)?;
    fields.take("role");
    let blocks = fields.with("parts", parts::read)?.unwrap_or_default();
    Ok(Turn { extra: fields.rest(), ..Turn::new(Role::System, blocks) })
}

fn turn(at: usize, value: Value<'_>) -> Result<Turn, Malformed> {
    let mut fields = wire::fields(value)?;
    let role = match fields.text("role")?.as_deref() {
        // `function` is what results were sent by once.
        None | Some("" | "user" | "function") => Role::User,
        Some("model") => Role::Assistant,
        Some(_) => return Err(Malformed::new("must be user or model").within("role")),
    };
    let blocks = fields.with("parts", parts::read)?.unwrap_or_default();
    Ok(Turn { at: u32::try_from(at).ok(), extra: fields.rest(), ..Turn::new(role, blocks) })
}

/// An entry may hold many functions and several hosted tools; each becomes a tool that stands where the entry stood.
fn tools(list: Value<'_>) -> Result<Vec<Tool>, Malformed> {
    let entries = list.each(|at, value| {
        let mut fields = wire::fields(value)?;
        let at = u32::try_from(at).ok();
        let functions = fields.with("functionDeclarations", |list| list.each(|_, one| function(at, one)))?;
        let hosted = fields.rest().into_iter().filter_map(|hosted| {
            let body = ToolBody::Other { dialect: wire::DIALECT, raw: entry(&hosted)? };
            Some(Tool { body, cache: None, at, extra: Vec::new() })
        });
        Ok(functions.into_iter().flatten().chain(hosted).collect::<Vec<_>>())
    })?;
    Ok(entries.into_iter().flatten().collect())
}

/// An entry of the list that holds this member alone.
fn entry(hosted: &Extra) -> Option<Raw> {
    let mut out = Vec::new();
    Json::new(&mut out).open_object().key(&hosted.name).raw(&hosted.raw).close_object();
    Raw::parse(std::str::from_utf8(&out).ok()?)
}

fn function(at: Option<u32>, value: Value<'_>) -> Result<Tool, Malformed> {
    let mut fields = wire::fields(value)?;
    let name = fields.need("name", Value::text)?;
    let description = fields.text("description")?;
    let older = fields.with("parameters", schema::schema)?;
    let schema = fields.raw("parametersJsonSchema").or(older);
    let mut extra = Vec::new();
    fields.leave("functionDeclarations", &mut extra);
    Ok(Tool { body: ToolBody::Function { name, description, schema, strict: None }, cache: None, at, extra })
}

fn tool_config(fields: &mut Fields<'_>, request: &mut Request) -> Result<(), Malformed> {
    let Some(mut config) = fields.with("toolConfig", wire::fields)? else { return Ok(()) };
    let extra = &mut request.extra;
    let choice = config.with("functionCallingConfig", |value| calling(value, extra));
    request.tool_choice = choice.map_err(|bad| bad.within("toolConfig"))?.flatten();
    config.leave("toolConfig", extra);
    Ok(())
}

/// `VALIDATED` is `AUTO` with arguments that follow their schemas: its word stays beside what it means.
fn calling(value: Value<'_>, extra: &mut Vec<Extra>) -> Result<Option<ToolChoice>, Malformed> {
    let mut fields = wire::fields(value)?;
    let mode = fields.peek("mode").map(Value::text).transpose()?.unwrap_or_default().to_ascii_uppercase();
    let names =
        fields.with("allowedFunctionNames", |list| list.each(|_, name| name.text()))?.unwrap_or_default();
    let choice = match (mode.as_str(), names.as_slice()) {
        ("" | "MODE_UNSPECIFIED", []) => None,
        ("" | "MODE_UNSPECIFIED" | "AUTO", _) => Some(ToolChoice::Auto),
        ("NONE", _) => Some(ToolChoice::None),
        ("ANY", []) => Some(ToolChoice::Required),
        ("ANY", [name]) => Some(ToolChoice::Named(name.clone())),
        ("ANY", _) => Some(ToolChoice::Subset { required: true, names }),
        ("VALIDATED", []) => Some(ToolChoice::Auto),
        ("VALIDATED", _) => Some(ToolChoice::Subset { required: false, names }),
        _ => return Ok(Some(ToolChoice::Other(wire::DIALECT, value.raw()))),
    };
    if mode != "VALIDATED" || matches!(choice, Some(ToolChoice::Subset { .. })) {
        fields.take("mode");
    }
    fields.leave("toolConfig.functionCallingConfig", extra);
    Ok(choice)
}
