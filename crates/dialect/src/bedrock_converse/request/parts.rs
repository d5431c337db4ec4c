//! Parts of messages, read: content, cache points, thoughts, sources.

use super::super::part::{citations, reasoning};
use super::super::wire::{DIALECT, DOCUMENTS, Formats, IMAGES, SOUNDS, VIDEOS, cache_mark, media_type};
use crate::canon::{Block, CacheMark, Call, CallKind, Document, Extra, Media, Part, Source, ToolResult};
use crate::json::{Fields, Malformed, Value};

/// A list of blocks. A cache point marks the block before it.
pub(in super::super) fn content(value: Value<'_>) -> Result<Vec<Block>, Malformed> {
    let mut blocks: Vec<Block> = Vec::new();
    let items = value.each(|at, item| {
        let fields = item.fields()?;
        let point = cache_point(&fields)?;
        let block = block(item, fields)?;
        Ok((Block { at: u32::try_from(at).ok(), ..block }, point))
    })?;
    for (block, point) in items {
        match (blocks.last_mut(), point) {
            (Some(last), Some(mark)) if last.cache.is_none() => last.cache = Some(mark),
            _ => blocks.push(block),
        }
    }
    Ok(blocks)
}

/// The mark that a block is, if it is one.
pub(super) fn cache_point(fields: &Fields<'_>) -> Result<Option<CacheMark>, Malformed> {
    let Some(point) = fields.peek("cachePoint") else { return Ok(None) };
    let read = |point: Value<'_>| {
        let mut point = point.fields()?;
        point.need("type", Value::text)?;
        Ok(cache_mark(point.text("ttl")?.as_deref()))
    };
    read(point).map(Some).map_err(|bad: Malformed| bad.within("cachePoint"))
}

/// A block is an object with one member, whose name tells what it is.
fn block(value: Value<'_>, mut fields: Fields<'_>) -> Result<Block, Malformed> {
    let mut extra = Vec::new();
    let Some(part) = part(&mut fields, &mut extra)? else {
        return Ok(Block::new(Part::Other { dialect: DIALECT, raw: value.raw() }));
    };
    extra.extend(fields.rest());
    Ok(Block { part, cache: None, at: None, extra })
}

fn part(fields: &mut Fields<'_>, extra: &mut Vec<Extra>) -> Result<Option<Part>, Malformed> {
    if let Some(text) = fields.text("text")? {
        return Ok(Some(Part::Text { text, citations: Vec::new() }));
    }
    for (name, formats, wrap) in MEDIA {
        let media = fields.with(name, |value| media(value, name, formats, extra))?;
        if let Some(source) = media {
            return Ok(Some(wrap(Media { source, detail: None })));
        }
    }
    if let Some(document) = fields.with("document", |value| document(value, extra))? {
        return Ok(Some(Part::Document(Box::new(document))));
    }
    if let Some(call) = fields.with("toolUse", |value| call(value.fields()?, extra))?.flatten() {
        return Ok(Some(call));
    }
    if let Some(result) = fields.with("toolResult", |value| result(value.fields()?, extra))?.flatten() {
        return Ok(Some(result));
    }
    if let Some(thought) = fields.with("reasoningContent", |value| reasoning(value.fields()?))? {
        return Ok(Some(Part::Reasoning(Box::new(thought))));
    }
    fields.with("citationsContent", |value| cited(value.fields()?, extra))
}

type Wrap = fn(Media) -> Part;
const MEDIA: [(&str, Formats, Wrap); 3] =
    [("image", IMAGES, Part::Image), ("video", VIDEOS, Part::Video), ("audio", SOUNDS, Part::Audio)];

/// Bytes in the body; what lies in S3 stays the dialect's own.
fn media(
    value: Value<'_>,
    name: &'static str,
    formats: Formats,
    extra: &mut Vec<Extra>,
) -> Result<Source, Malformed> {
    let mut fields = value.fields()?;
    let format = fields.need("format", Value::text)?;
    let bytes = fields.need("source", |source| source.fields()?.text("bytes"))?;
    let Some(data) = bytes else { return Ok(Source::Other(DIALECT, value.raw())) };
    let known =
        media_type(formats, &format).ok_or_else(|| Malformed::new("is not known").within("format"))?;
    fields.leave(name, extra);
    Ok(Source::Inline { media_type: known.to_owned(), data })
}

fn document(value: Value<'_>, extra: &mut Vec<Extra>) -> Result<Document, Malformed> {
    let mut fields = value.fields()?;
    let format = fields.text("format")?.unwrap_or_else(|| "txt".to_owned());
    let read = |source: Value<'_>| {
        let mut source = source.fields()?;
        let text = source.text("text")?.filter(|_| format == "txt").map(Source::Text);
        let data = source.text("bytes")?;
        let known = media_type(DOCUMENTS, &format).map(str::to_owned);
        Ok(text.or(known.zip(data).map(|(media_type, data)| Source::Inline { media_type, data })))
    };
    let found = fields.need("source", read)?;
    let title = Some(fields.need("name", Value::text)?);
    let context = fields.text("context")?;
    let citations = fields.with("citations", |value| value.fields()?.flag("enabled"))?.flatten();
    // A source of another kind is kept with all that stands beside it.
    let source = match found {
        Some(source) => {
            fields.leave("document", extra);
            source
        }
        None => Source::Other(DIALECT, value.raw()),
    };
    Ok(Document { source, title, context, citations })
}

/// A call; one of a tool that the provider runs is left as it is.
fn call(mut fields: Fields<'_>, extra: &mut Vec<Extra>) -> Result<Option<Part>, Malformed> {
    if fields.peek("type").is_some() {
        return Ok(None);
    }
    let call = Call {
        id: fields.need("toolUseId", Value::text)?,
        name: fields.need("name", Value::text)?,
        arguments: fields.need("input", |input| Ok(input.raw().as_str().to_owned()))?,
        kind: CallKind::Function,
    };
    fields.leave("toolUse", extra);
    Ok(Some(Part::Call(Box::new(call))))
}

fn result(mut fields: Fields<'_>, extra: &mut Vec<Extra>) -> Result<Option<Part>, Malformed> {
    if fields.peek("type").is_some() {
        return Ok(None);
    }
    let result = ToolResult {
        call: fields.need("toolUseId", Value::text)?,
        name: None,
        content: fields.need("content", |list| {
            list.each(|at, item| {
                let block = piece(item)?;
                Ok(Block { at: u32::try_from(at).ok(), ..block })
            })
        })?,
        is_error: fields.text("status")?.map(|status| status == "error"),
    };
    fields.leave("toolResult", extra);
    Ok(Some(Part::Result(Box::new(result))))
}

/// A piece of a result; one of JSON is its text.
fn piece(value: Value<'_>) -> Result<Block, Malformed> {
    let mut fields = value.fields()?;
    let Some(json) = fields.raw("json") else { return block(value, fields) };
    Ok(Block { extra: fields.rest(), ..Block::text(json.as_str()) })
}

fn cited(mut fields: Fields<'_>, extra: &mut Vec<Extra>) -> Result<Part, Malformed> {
    let part = citations(&mut fields)?;
    fields.leave("citationsContent", extra);
    Ok(part)
}
