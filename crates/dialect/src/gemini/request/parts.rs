//! Parts of a caller's message.

use super::super::wire;
use crate::canon::{
    Block, Call, CallKind, Document, Extra, Media, Part, Reasoning, Seal, SealKind, Source, ToolResult,
};
use crate::json::{Fields, Malformed, Value};

/// Endings of addresses, and the media types that they tell.
const ENDINGS: [(&str, &str); 17] = [
    (".png", "image/png"),
    (".jpg", "image/jpeg"),
    (".jpeg", "image/jpeg"),
    (".webp", "image/webp"),
    (".gif", "image/gif"),
    (".heic", "image/heic"),
    (".heif", "image/heif"),
    (".pdf", "application/pdf"),
    (".txt", "text/plain"),
    (".html", "text/html"),
    (".csv", "text/csv"),
    (".md", "text/markdown"),
    (".mp3", "audio/mp3"),
    (".wav", "audio/wav"),
    (".mp4", "video/mp4"),
    (".mov", "video/mov"),
    (".webm", "video/webm"),
];
/// How addresses of the provider's own files begin.
const FILES: [&str; 2] = ["gs://", "https://generativelanguage.googleapis.com/"];
const PLAIN: &str = "text/plain";

pub(super) fn read(list: Value<'_>) -> Result<Vec<Block>, Malformed> {
    let parts = list.each(|at, value| {
        let mut blocks = part(value, wire::fields(value)?)?;
        let at = u32::try_from(at).ok();
        blocks.iter_mut().for_each(|block| block.at = at);
        Ok(blocks)
    })?;
    let mut blocks: Vec<Block> = Vec::with_capacity(parts.len());
    for mut block in parts.into_iter().flatten() {
        seal_before(&mut blocks, &mut block);
        blocks.push(block);
    }
    Ok(blocks)
}

/// Another dialect's thought comes back in pieces: its text in parts without a signature, and its seal on the part that
/// follows them. It is one thought again.
fn seal_before(blocks: &mut Vec<Block>, block: &mut Block) {
    let Part::Reasoning(thought) = &mut block.part else { return };
    if thought.seal.as_ref().is_none_or(|seal| seal.dialect == wire::DIALECT) {
        return;
    }
    let waits = |block: &&Block| match &block.part {
        Part::Reasoning(thought) => thought.seal.as_ref().is_some_and(is_unsigned),
        _ => false,
    };
    let run = blocks.len() - blocks.iter().rev().take_while(waits).count();
    let mut text = String::new();
    for (nth, before) in blocks.drain(run..).enumerate() {
        if let Part::Reasoning(thought) = before.part {
            text.push_str(&thought.text);
        }
        block.at = if nth == 0 { before.at } else { block.at };
        block.extra.extend(before.extra);
    }
    thought.text.insert_str(0, &text);
}

/// A part, and before it the signature that it carries: what is signed is not always a thought.
fn part(value: Value<'_>, mut fields: Fields<'_>) -> Result<Vec<Block>, Malformed> {
    let mut extra = Vec::new();
    let Some(found) = known(&mut fields, &mut extra)? else {
        return Ok(vec![Block::new(Part::Other { dialect: wire::DIALECT, raw: value.raw() })]);
    };
    let thought = fields.flag("thought")?.unwrap_or_default();
    let seal = fields.text("thoughtSignature")?.map(wire::seal);
    extra.extend(fields.rest());
    let (thought, found) = match found {
        // Thoughts without a signature are the provider's all the same.
        Part::Text { text, .. } if thought => (Some((text, seal.unwrap_or_else(unsigned))), None),
        Part::Text { text, .. } if seal.is_some() && text.is_empty() => (seal.map(|seal| (text, seal)), None),
        found => (seal.map(|seal| (String::new(), seal)), Some(found)),
    };
    let thought = thought.map(|(text, seal)| Reasoning { id: None, text, seal: Some(seal) });
    let parts = thought.map(|thought| Part::Reasoning(Box::new(thought))).into_iter().chain(found);
    let mut blocks: Vec<Block> = parts.map(Block::new).collect();
    if let Some(last) = blocks.last_mut() {
        last.extra = extra;
    }
    Ok(blocks)
}

fn is_unsigned(seal: &Seal) -> bool {
    seal.dialect == wire::DIALECT && seal.provider.is_none() && seal.value.is_empty()
}

fn unsigned() -> Seal {
    Seal { dialect: wire::DIALECT, provider: None, kind: SealKind::Signature, value: String::new() }
}

/// A part that the model knows; what is left of it stays in `fields`.
fn known(fields: &mut Fields<'_>, extra: &mut Vec<Extra>) -> Result<Option<Part>, Malformed> {
    if let Some(text) = fields.text("text")? {
        return Ok(Some(Part::Text { text, citations: Vec::new() }));
    }
    if let Some(part) = fields.with("functionCall", |value| call(value, extra))? {
        return Ok(Some(part));
    }
    if let Some(part) = fields.with("functionResponse", |value| result(value, extra))? {
        return Ok(Some(part));
    }
    media(fields, extra)
}

/// Bytes in the body or at an address. Without a media type nobody else could tell what it is.
fn media(fields: &mut Fields<'_>, extra: &mut Vec<Extra>) -> Result<Option<Part>, Malformed> {
    if let Some(part) = fields.with("inlineData", |value| inline(value, extra))? {
        return Ok(Some(part));
    }
    let typed = |value: Value<'_>| Ok::<_, Malformed>(wire::fields(value)?.text("mimeType")?.is_some());
    if !fields.peek("fileData").map(typed).transpose()?.unwrap_or_default() {
        return Ok(None);
    }
    fields.with("fileData", |value| file(value, extra))
}

fn inline(value: Value<'_>, extra: &mut Vec<Extra>) -> Result<Part, Malformed> {
    let mut blob = wire::fields(value)?;
    let media_type = blob.need("mimeType", Value::text)?;
    let data = wire::standard(blob.need("data", Value::text)?);
    let title = if is_document(&media_type) { blob.text("displayName")? } else { None };
    blob.leave("inlineData", extra);
    let plain = if media_type == PLAIN { wire::text_of(&data) } else { None };
    let source = match plain {
        Some(text) => Source::Text(text),
        None => Source::Inline { media_type: media_type.clone(), data },
    };
    Ok(kind(&media_type, source, title))
}

/// The media type that an address tells by its ending.
pub(super) fn told(address: &str) -> Option<&'static str> {
    ENDINGS.iter().find(|(ending, _)| address.ends_with(ending)).map(|(_, media_type)| *media_type)
}

/// A media type that the address does not tell stays beside it: the model has no place for it.
fn file(value: Value<'_>, extra: &mut Vec<Extra>) -> Result<Part, Malformed> {
    let mut file = wire::fields(value)?;
    let uri = file.need("fileUri", Value::text)?;
    let media_type = file.peek("mimeType").map(Value::text).transpose()?.unwrap_or_default();
    let title = if is_document(&media_type) { file.text("displayName")? } else { None };
    if told(&uri) == Some(media_type.as_str()) {
        file.take("mimeType");
    }
    file.leave("fileData", extra);
    let own = FILES.iter().any(|start| uri.starts_with(start));
    let source = if own { Source::File(uri) } else { Source::Url(uri) };
    Ok(kind(&media_type, source, title))
}

fn is_document(media_type: &str) -> bool {
    !["image/", "audio/", "video/"].iter().any(|kind| media_type.starts_with(kind))
}

fn kind(media_type: &str, source: Source, title: Option<String>) -> Part {
    let media = |source| Media { source, detail: None };
    match media_type.split_once('/').map_or("", |(kind, _)| kind) {
        "image" => Part::Image(media(source)),
        "audio" => Part::Audio(media(source)),
        "video" => Part::Video(media(source)),
        _ => Part::Document(Box::new(Document { source, title, context: None, citations: None })),
    }
}

fn call(value: Value<'_>, extra: &mut Vec<Extra>) -> Result<Part, Malformed> {
    let mut call = wire::fields(value)?;
    let id = call.text("id")?.unwrap_or_default();
    let name = call.need("name", Value::text)?;
    let args = call.with("args", Value::object)?;
    call.leave("functionCall", extra);
    let arguments = args.map_or_else(|| "{}".to_owned(), |args| args.as_str().to_owned());
    Ok(Part::Call(Box::new(Call { id, name, arguments, kind: CallKind::Function })))
}

fn result(value: Value<'_>, extra: &mut Vec<Extra>) -> Result<Part, Malformed> {
    let mut fields = wire::fields(value)?;
    let call = fields.text("id")?.unwrap_or_default();
    let name = Some(fields.need("name", Value::text)?);
    let (text, is_error) = fields.with("response", answer)?.unwrap_or_default();
    let mut content = Vec::from_iter(text.map(Block::text));
    let media = fields.with("parts", |list| {
        list.each(|_, value| {
            let mut fields = wire::fields(value)?;
            let mut extra = Vec::new();
            let part = media(&mut fields, &mut extra)?;
            extra.extend(fields.rest());
            let other = || Part::Other { dialect: wire::DIALECT, raw: value.raw() };
            let known = part.is_some();
            let extra = if known { extra } else { Vec::new() };
            Ok(Block { extra, ..Block::new(part.unwrap_or_else(other)) })
        })
    })?;
    content.extend(media.into_iter().flatten());
    fields.leave("functionResponse", extra);
    Ok(Part::Result(Box::new(ToolResult { call, name, content, is_error })))
}

/// What a tool gave: the text under the names that the API and its SDK use, else the whole object as JSON.
fn answer(value: Value<'_>) -> Result<(Option<String>, Option<bool>), Malformed> {
    let members = value.fields()?.rest();
    if let [Extra { name, raw, .. }] = members.as_slice() {
        let is_error = (name == "error").then_some(true);
        let inner = Value::parse(raw.as_str().as_bytes())?;
        if inner.is_text() && matches!(name.as_str(), "output" | "result" | "error") {
            return Ok((Some(inner.text()?), is_error));
        }
        return Ok((Some(value.raw().as_str().to_owned()), is_error));
    }
    Ok((Some(value.raw().as_str().to_owned()), None))
}
