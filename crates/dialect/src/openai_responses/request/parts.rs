//! Parts of messages and of tools' results: text, pictures, files, refusals, with their cache marks and sources.

use super::super::response::citation;
use super::super::wire::{CACHE_LIVES, DIALECT};
use crate::canon::{Block, CacheMark, Document, Extra, Media, Part, Source};
use crate::json::{Fields, Malformed, Value};

/// A text, or a list of parts.
pub(super) fn content(value: Value<'_>) -> Result<Vec<Block>, Malformed> {
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
        "input_text" | "output_text" | "text" => Part::Text {
            text: fields.need("text", Value::text)?,
            citations: fields
                .with("annotations", |list| list.each(|_, one| citation(one)))?
                .unwrap_or_default(),
        },
        "refusal" => Part::Refusal(fields.need("refusal", Value::text)?),
        "input_image" => Part::Image(Media { source: image(&mut fields)?, detail: fields.text("detail")? }),
        "input_file" => Part::Document(Box::new(document(&mut fields)?)),
        "input_audio" => fields.need("input_audio", |value| audio(value.fields()?, &mut extra))?,
        _ => {
            let part = Part::Other { dialect: DIALECT, raw: value.raw() };
            return Ok(Block::new(part));
        }
    };
    let cache = fields.with("prompt_cache_breakpoint", cache)?;
    extra.extend(fields.rest());
    Ok(Block { part, cache, at: None, extra })
}

fn image(fields: &mut Fields<'_>) -> Result<Source, Malformed> {
    match (fields.text("image_url")?, fields.text("file_id")?) {
        (Some(url), _) => Ok(Source::of_url(url)),
        (None, Some(id)) => Ok(Source::File(id)),
        (None, None) => Err(Malformed::new("image_url or file_id is required")),
    }
}

fn document(fields: &mut Fields<'_>) -> Result<Document, Malformed> {
    let title = fields.text("filename")?;
    let (data, url) = (fields.text("file_data")?, fields.text("file_url")?);
    let source = match (data, url, fields.text("file_id")?) {
        // Some send the bytes without saying what they are; documents are PDF then.
        (Some(data), _, _) => match Source::of_url(data) {
            Source::Url(data) => Source::Inline { media_type: "application/pdf".to_owned(), data },
            source => source,
        },
        (None, Some(url), _) => Source::Url(url),
        (None, None, Some(id)) => Source::File(id),
        (None, None, None) => return Err(Malformed::new("file_data, file_url or file_id is required")),
    };
    Ok(Document { source, title, context: None, citations: None })
}

fn audio(mut fields: Fields<'_>, extra: &mut Vec<Extra>) -> Result<Part, Malformed> {
    let media_type = format!("audio/{}", fields.need("format", Value::text)?);
    let source = Source::Inline { media_type, data: fields.need("data", Value::text)? };
    fields.leave("input_audio", extra);
    Ok(Part::Audio(Media { source, detail: None }))
}

fn cache(value: Value<'_>) -> Result<CacheMark, Malformed> {
    let ttl = value.fields()?.text("ttl")?;
    let life = ttl.and_then(|ttl| CACHE_LIVES.into_iter().find(|(_, word)| *word == ttl));
    Ok(CacheMark { ttl_seconds: life.map(|life| life.0) })
}
