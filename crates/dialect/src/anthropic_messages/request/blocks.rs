//! Blocks of content as they mean, in messages, system text and results of tools.

use super::super::wire::{self, DIALECT};
use crate::canon::{
    Block, Call, CallKind, Document, Extra, Media, Part, Reasoning, SealKind, Source, ToolResult,
};
use crate::json::{Fields, Malformed, Value};

/// A text, or a list of blocks.
pub(super) fn content(value: Value<'_>) -> Result<Vec<Block>, Malformed> {
    if value.is_text() {
        return Ok(vec![Block::text(value.text()?)]);
    }
    value.each(|at, one| Ok(Block { at: u32::try_from(at).ok(), ..block(one, one.fields()?)? }))
}

fn block(value: Value<'_>, mut fields: Fields<'_>) -> Result<Block, Malformed> {
    let mut extra = Vec::new();
    let part = match fields.need("type", Value::text)?.as_str() {
        "text" => text(&mut fields)?,
        "image" => Part::Image(Media { source: source(&mut fields, &mut extra)?, detail: None }),
        "document" => document(&mut fields, &mut extra)?,
        "thinking" => {
            let text = fields.need("thinking", Value::text)?;
            let signature = fields.text("signature")?.unwrap_or_default();
            Part::Reasoning(Box::new(Reasoning {
                id: None,
                text,
                seal: wire::seal(SealKind::Signature, &signature),
            }))
        }
        "redacted_thinking" => {
            let data = fields.need("data", Value::text)?;
            let seal = wire::seal(SealKind::Encrypted, &data);
            Part::Reasoning(Box::new(Reasoning { seal, ..Reasoning::default() }))
        }
        "tool_use" => Part::Call(Box::new(Call {
            id: fields.need("id", Value::text)?,
            name: fields.need("name", Value::text)?,
            arguments: fields.need("input", Value::object)?.as_str().to_owned(),
            kind: CallKind::Function,
        })),
        "tool_result" => Part::Result(Box::new(ToolResult {
            call: fields.need("tool_use_id", Value::text)?,
            name: None,
            content: fields.with("content", content)?.unwrap_or_default(),
            is_error: fields.flag("is_error")?,
        })),
        _ => return Ok(Block::new(Part::Other { dialect: DIALECT, raw: value.raw() })),
    };
    let cache = wire::cache(&mut fields)?;
    extra.extend(fields.rest());
    Ok(Block { part, cache, at: None, extra })
}

fn text(fields: &mut Fields<'_>) -> Result<Part, Malformed> {
    let text = fields.need("text", Value::text)?;
    let citations = fields.with("citations", |list| list.each(|_, one| wire::citation(one)))?;
    Ok(Part::Text { text, citations: citations.unwrap_or_default() })
}

fn source(fields: &mut Fields<'_>, extra: &mut Vec<Extra>) -> Result<Source, Malformed> {
    fields.need("source", |value| {
        let mut source = value.fields()?;
        let found = match source.need("type", Value::text)?.as_str() {
            "base64" => Source::Inline {
                media_type: source.need("media_type", Value::text)?,
                data: source.need("data", Value::text)?,
            },
            "url" => Source::Url(source.need("url", Value::text)?),
            "file" => Source::File(source.need("file_id", Value::text)?),
            // Its media type is always text/plain.
            "text" => {
                source.take("media_type");
                Source::Text(source.need("data", Value::text)?)
            }
            _ => return Ok(Source::Other(DIALECT, value.raw())),
        };
        source.leave("source", extra);
        Ok(found)
    })
}

fn document(fields: &mut Fields<'_>, extra: &mut Vec<Extra>) -> Result<Part, Malformed> {
    let citations = fields.with("citations", |value| {
        let mut citations = value.fields()?;
        let enabled = citations.flag("enabled")?;
        citations.leave("citations", extra);
        Ok(enabled)
    })?;
    Ok(Part::Document(Box::new(Document {
        source: source(fields, extra)?,
        title: fields.text("title")?,
        context: fields.text("context")?,
        citations: citations.flatten(),
    })))
}
