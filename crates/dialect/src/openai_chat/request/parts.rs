//! Parts of messages: content, cache marks and thoughts.

use super::super::wire::{CACHE_LIVES, DIALECT, Detail, detail};
use crate::canon::{Block, CacheMark, Document, Media, Part, Reasoning, Source};
use crate::json::{Fields, Malformed, Value};

/// Seconds of an Anthropic-like mark's longer life.
const HOUR: u32 = 60 * 60;
const FIVE_MINUTES: u32 = 5 * 60;

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
        "text" => Part::Text { text: fields.need("text", Value::text)?, citations: Vec::new() },
        "refusal" => Part::Refusal(fields.need("refusal", Value::text)?),
        "image_url" => fields.need("image_url", |value| {
            let mut image = value.fields()?;
            let media = Media {
                source: Source::of_url(image.need("url", Value::text)?),
                detail: image.text("detail")?,
            };
            image.leave("image_url", &mut extra);
            Ok(Part::Image(media))
        })?,
        "input_audio" => fields.need("input_audio", |value| {
            let mut audio = value.fields()?;
            let media_type = format!("audio/{}", audio.need("format", Value::text)?);
            let source = Source::Inline { media_type, data: audio.need("data", Value::text)? };
            audio.leave("input_audio", &mut extra);
            Ok(Part::Audio(Media { source, detail: None }))
        })?,
        "file" => fields.need("file", |value| {
            let mut file = value.fields()?;
            let document = document(&mut file)?;
            file.leave("file", &mut extra);
            Ok(Part::Document(Box::new(document)))
        })?,
        _ => {
            let part = Part::Other { dialect: DIALECT, raw: value.raw() };
            return Ok(Block::new(part));
        }
    };
    let cache = cache(&mut fields)?;
    extra.extend(fields.rest());
    Ok(Block { part, cache, at: None, extra })
}

fn document(file: &mut Fields<'_>) -> Result<Document, Malformed> {
    let title = file.text("filename")?;
    let source = match (file.text("file_id")?, file.text("file_data")?) {
        (Some(id), _) => Source::File(id),
        // Some send the bytes without saying what they are; documents are PDF then.
        (None, Some(data)) => match Source::of_url(data) {
            Source::Url(data) if !data.contains("://") => {
                Source::Inline { media_type: "application/pdf".to_owned(), data }
            }
            source => source,
        },
        (None, None) => return Err(Malformed::new("file_data or file_id is required")),
    };
    Ok(Document { source, title, context: None, citations: None })
}

/// A mark in OpenAI's form, or in Anthropic's, which many send through this dialect.
pub(super) fn cache(fields: &mut Fields<'_>) -> Result<Option<CacheMark>, Malformed> {
    let lives = CACHE_LIVES.into_iter().chain([(HOUR, "1h"), (FIVE_MINUTES, "5m")]);
    let ttl = |value: Value<'_>| {
        let ttl = value.fields()?.text("ttl")?;
        let seconds = ttl.and_then(|ttl| lives.clone().find(|(_, word)| *word == ttl)).map(|life| life.0);
        Ok(CacheMark { ttl_seconds: seconds })
    };
    let mark = fields.with("prompt_cache_breakpoint", ttl)?;
    Ok(mark.or(fields.with("cache_control", ttl)?))
}

/// What an assistant's message says of thoughts, each with the call that it names.
pub(super) fn thoughts(fields: &mut Fields<'_>) -> Result<Vec<(Block, Option<String>)>, Malformed> {
    let details = fields.with("reasoning_details", |list| list.each(|_, entry| detail(entry.fields()?)))?;
    let plain = match fields.text("reasoning_content")? {
        Some(text) => Some(text),
        None => fields.text("reasoning")?,
    };
    let details = joined(details.unwrap_or_default());
    // The plain field repeats what details say.
    let told = details.iter().any(|detail| !detail.thought.text.is_empty());
    let plain = plain.filter(|text| !text.is_empty() && !told);
    let block = |thought| Block::new(Part::Reasoning(Box::new(thought)));
    let plain = plain.map(|text| (block(Reasoning { text, ..Reasoning::default() }), None));
    let details = details.into_iter().map(|detail| (block(detail.thought), detail.call));
    Ok(plain.into_iter().chain(details).collect())
}

/// Some callers send back the pieces of a stream as they came.
fn joined(details: Vec<Detail>) -> Vec<Detail> {
    let mut whole: Vec<Detail> = Vec::with_capacity(details.len());
    for piece in details {
        match whole.last_mut().filter(|last| last.index.is_some() && last.index == piece.index) {
            Some(last) => {
                last.thought.text.push_str(&piece.thought.text);
                last.thought.seal = piece.thought.seal.or(last.thought.seal.take());
                last.call = piece.call.or(last.call.take());
            }
            None => whole.push(piece),
        }
    }
    whole
}
