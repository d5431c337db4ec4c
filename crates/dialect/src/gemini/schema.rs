//! Schemas in the dialect's older form, a subset of OpenAPI's, as JSON Schema: types in small letters, `nullable` as a
//! type, references under their usual names.

use crate::canon::{Extra, Raw};
use crate::json::{Fields, Json, Malformed, Value};

/// Schemas inside one another; deeper ones are refused.
const DEPTH_LIMIT: u32 = 64;

/// The schema as JSON Schema.
pub(super) fn schema(value: Value<'_>) -> Result<Raw, Malformed> {
    let mut out = Vec::new();
    write(&mut Json::new(&mut out), value, 0)?;
    let text = std::str::from_utf8(&out).ok().and_then(Raw::parse);
    text.ok_or(Malformed::new("is not a schema"))
}

fn write(json: &mut Json<'_>, value: Value<'_>, depth: u32) -> Result<(), Malformed> {
    if depth == DEPTH_LIMIT {
        return Err(Malformed::new("nests more than 64 schemas"));
    }
    if !value.is_object() {
        json.raw(&value.raw());
        return Ok(());
    }
    let mut fields = value.fields()?;
    let nullable = fields.flag("nullable")?.unwrap_or_default();
    let typed = options_say_their_types(&fields)?;
    json.open_object();
    for Extra { name, raw, .. } in fields.rest() {
        // The SDK for Python sets OBJECT beside options that are none.
        if name == "type" && typed {
            continue;
        }
        let inner = Value::parse(raw.as_str().as_bytes())?;
        member(json, &name, inner, (nullable, depth)).map_err(|bad| bad.within(&name))?;
    }
    json.close_object();
    Ok(())
}

/// True if there are options and each says its own type.
fn options_say_their_types(fields: &Fields<'_>) -> Result<bool, Malformed> {
    let Some(options) = fields.peek("anyOf").or_else(|| fields.peek("any_of")) else { return Ok(false) };
    let typed = options.each(|_, one| Ok(one.is_object() && one.fields()?.peek("type").is_some()))?;
    Ok(!typed.is_empty() && typed.into_iter().all(|typed| typed))
}

fn member(
    json: &mut Json<'_>,
    name: &str,
    value: Value<'_>,
    (nullable, depth): (bool, u32),
) -> Result<(), Malformed> {
    match name {
        "type" if value.is_text() => {
            let kind = value.text()?.to_ascii_lowercase();
            json.key(name);
            if nullable {
                json.open_list().text(&kind).text("null").close_list();
            } else {
                json.text(&kind);
            }
        }
        "properties" | "defs" | "$defs" if value.is_object() => {
            json.key(if name == "defs" { "$defs" } else { name }).open_object();
            for Extra { name, raw, .. } in value.fields()?.rest() {
                let inner = Value::parse(raw.as_str().as_bytes())?;
                write(json.key(&name), inner, depth + 1).map_err(|bad| bad.within(&name))?;
            }
            json.close_object();
        }
        "items" | "additionalProperties" | "additional_properties" => {
            write(json.key(if name == "items" { name } else { "additionalProperties" }), value, depth + 1)?;
        }
        "anyOf" | "any_of" => {
            json.key("anyOf").open_list();
            value.each(|_, one| write(json, one, depth + 1))?;
            if nullable {
                json.open_object().member("type", "null").close_object();
            }
            json.close_list();
        }
        "enum" if nullable && !value.is_text() => {
            json.key(name).open_list();
            value.each(|_, one| {
                json.raw(&one.raw());
                Ok(())
            })?;
            json.null().close_list();
        }
        "ref" => {
            json.member("$ref", &value.text()?.replacen("#/defs/", "#/$defs/", 1));
        }
        // Only orders what is there.
        "propertyOrdering" | "property_ordering" => {}
        "format" if value.is_text() && value.text()? == "enum" => {}
        "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties"
            if value.is_text() =>
        {
            json.key(name).count(super::wire::count(value)?);
        }
        name => {
            json.key(name).raw(&value.raw());
        }
    }
    Ok(())
}
