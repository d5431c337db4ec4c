//! Whole replies: read as a stream of one chunk, written candidate by candidate. Also parts of answers, both ways.

use super::stream::Chunks;
use super::{citation, logprobs, usage, wire};
use crate::canon::{
    Block, Call, Choice, Citation, Event, Fold, Media, Part, Raw, Response, Source, StopReason,
};
use crate::codec::{Asked, Broken, Target};
use crate::json::{Json, Malformed, Value};
use bytes::Bytes;

/// One part of an answer.
#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    Thought(String),
    /// A call; `args` is a JSON object.
    Call {
        id: Option<String>,
        name: String,
        args: String,
    },
    /// A picture in base64.
    Image {
        media_type: String,
        data: String,
    },
    /// Anything else, as it is.
    Other(Raw),
}

pub(super) fn decode(body: &[u8], target: &Target<'_>) -> Result<Response, Malformed> {
    let known = ["candidates", "promptFeedback", "usageMetadata"];
    let fields = wire::fields(Value::parse(body)?)?;
    if known.iter().all(|name| fields.peek(name).is_none()) {
        return Err(Malformed::new("is no reply of generateContent"));
    }
    let mut events = Vec::new();
    let mut chunks = Chunks::new(target);
    let read = chunks.take(body, &mut events).and_then(|()| chunks.finish(&mut events));
    read.map_err(|broken| match broken {
        Broken::Event(bad) => bad,
        Broken::Frame(_) | Broken::Interleaved | Broken::Cut => Malformed::new("cannot be read"),
    })?;
    let mut fold = Fold::default();
    for event in &events {
        if matches!(event, Event::Fault(_)) {
            return Err(Malformed::new("holds an error"));
        }
        fold.add(event);
    }
    Ok(fold.finish())
}

/// Reads a part, and the signature that stands on it.
pub(super) fn piece(_: usize, value: Value<'_>) -> Result<(Option<String>, Piece), Malformed> {
    let mut fields = wire::fields(value)?;
    let signature = fields.text("thoughtSignature")?;
    let thought = fields.flag("thought")?.unwrap_or_default();
    if let Some(text) = fields.text("text")? {
        return Ok((signature, if thought { Piece::Thought(text) } else { Piece::Text(text) }));
    }
    if let Some(piece) = fields.with("functionCall", call)? {
        return Ok((signature, piece));
    }
    if let Some(image) = fields.peek("inlineData").map(image).transpose()?.flatten() {
        return Ok((signature, image));
    }
    // A part of nothing but a signature closes the answer. Of any other piece the signature stays in it.
    if fields.rest().is_empty() {
        return Ok((signature, Piece::Text(String::new())));
    }
    Ok((None, Piece::Other(value.raw())))
}

/// A picture; sound and film are left as they are, since their form would be lost.
fn image(value: Value<'_>) -> Result<Option<Piece>, Malformed> {
    let mut blob = wire::fields(value)?;
    let media_type = blob.text("mimeType")?.unwrap_or_default();
    let data = blob.text("data")?.map(wire::standard).unwrap_or_default();
    Ok(media_type.starts_with("image/").then_some(Piece::Image { media_type, data }))
}

fn call(value: Value<'_>) -> Result<Piece, Malformed> {
    let mut call = wire::fields(value)?;
    if call.peek("partialArgs").is_some() || call.flag("willContinue")?.unwrap_or_default() {
        return Err(Malformed::new("comes in pieces, which nobody asked for"));
    }
    let args = call.with("args", Value::object)?;
    Ok(Piece::Call {
        id: call.text("id")?.filter(|id| !id.is_empty()),
        name: call.need("name", Value::text)?,
        args: args.map_or_else(|| "{}".to_owned(), |args| args.as_str().to_owned()),
    })
}

// Writing.

pub(super) fn encode(response: &Response, asked: &Asked) -> Bytes {
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    json.open_object().key("candidates").open_list();
    for (choice, index) in response.choices.iter().zip(0..) {
        write_candidate(json, choice, index);
    }
    json.close_list();
    if let Some(usage) = &response.usage {
        usage::write(json.key("usageMetadata"), usage);
    }
    json.member("modelVersion", response.model.as_deref().unwrap_or(&asked.model));
    json.member("responseId", response.id.as_deref().unwrap_or(&asked.id)).close_object();
    body.into()
}

fn write_candidate(json: &mut Json<'_>, choice: &Choice, index: u64) {
    json.open_object();
    let silent = choice.stop.as_ref().is_some_and(|stop| is_silent(stop.reason));
    if !choice.blocks.is_empty() || !silent {
        json.key("content").open_object().key("parts").open_list();
        write_parts(json, &choice.blocks);
        json.close_list().member("role", "model").close_object();
    }
    let texts = choice.blocks.iter().filter_map(|block| match &block.part {
        Part::Text { text, citations } => Some((text, citations)),
        _ => None,
    });
    let (texts, citations): (Vec<&String>, Vec<&Vec<Citation>>) = texts.unzip();
    let citations: Vec<&Citation> = citations.into_iter().flatten().collect();
    citation::write(json, &citations, texts.iter().all(|text| text.is_ascii()));
    if !choice.logprobs.is_empty() {
        logprobs::write(json.key("logprobsResult"), &choice.logprobs);
    }
    if let Some(stop) = &choice.stop {
        write_stop(json, stop);
    }
    json.key("index").count(index).close_object();
}

/// The reason, and what the provider says about it.
pub(super) fn write_stop(json: &mut Json<'_>, stop: &crate::canon::Stop) {
    json.member("finishReason", wire::finish_reason(stop));
    let told = stop.detail.as_ref().and_then(|detail| {
        Value::parse(detail.as_str().as_bytes()).ok()?.fields().ok()?.text("explanation").ok()?
    });
    json.maybe("finishMessage", told.as_deref());
}

/// True for ends at which the provider gives no content.
pub(super) fn is_silent(reason: StopReason) -> bool {
    matches!(reason, StopReason::Filtered | StopReason::Refused)
}

/// At least one part, since SDKs take a content without parts for none.
fn write_parts(json: &mut Json<'_>, blocks: &[Block]) {
    let mut signature = None;
    let mut written = 0;
    for block in blocks {
        if let Part::Reasoning(thought) = &block.part {
            let seal = thought.seal.as_ref().and_then(wire::signature);
            if thought.text.is_empty() {
                flush(json, signature.take());
                signature = seal;
                continue;
            }
            flush(json, signature.take());
            write_text(json, &thought.text, true, seal.as_deref());
            written += 1;
            continue;
        }
        written += u32::from(write_part(json, &block.part, &mut signature));
    }
    if signature.is_some() || written == 0 {
        write_text(json, "", false, signature.as_deref());
    }
}

/// A signature that the part after it cannot carry stands alone.
pub(super) fn flush(json: &mut Json<'_>, signature: Option<String>) {
    if signature.is_some() {
        write_text(json, "", false, signature.as_deref());
    }
}

/// Writes what an answer says or does, with the signature that waits for it; false if the dialect has no such part.
fn write_part(json: &mut Json<'_>, part: &Part, signature: &mut Option<String>) -> bool {
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => {
            write_text(json, text, false, signature.take().as_deref());
        }
        Part::Call(call) => write_call(json, call, signature.take().as_deref()),
        Part::Image(Media { source: Source::Inline { media_type, data }, .. }) => {
            write_image(json, media_type, data, signature.take().as_deref());
        }
        // The dialect's sound has no words beside it, so that what is said is all that can be told.
        Part::Sound(sound) => write_text(json, &sound.transcript, false, signature.take().as_deref()),
        Part::Other { dialect: wire::DIALECT, raw } => {
            flush(json, signature.take());
            json.raw(raw);
        }
        _ => return false,
    }
    true
}

pub(super) fn write_text(json: &mut Json<'_>, text: &str, thought: bool, signature: Option<&str>) {
    json.open_object().member("text", text).maybe_flag("thought", thought.then_some(true));
    json.maybe("thoughtSignature", signature).close_object();
}

pub(super) fn write_call(json: &mut Json<'_>, call: &Call, signature: Option<&str>) {
    json.open_object().key("functionCall").open_object().member("id", &call.id).member("name", &call.name);
    write_args(json, &call.arguments);
    json.close_object().maybe("thoughtSignature", signature).close_object();
}

/// Arguments are an object. Text that is none, as an answer that was cut leaves it, is told as it is, never as `{}`.
pub(super) fn write_args(json: &mut Json<'_>, arguments: &str) {
    let object = Value::parse(arguments.as_bytes()).and_then(Value::object);
    match object {
        Ok(object) => json.key("args").raw(&object),
        Err(_) if arguments.trim().is_empty() => json.key("args").open_object().close_object(),
        Err(_) => json.key("args").open_object().member("_raw", arguments).close_object(),
    };
}

pub(super) fn write_image(json: &mut Json<'_>, media_type: &str, data: &str, signature: Option<&str>) {
    json.open_object().key("inlineData").open_object().member("mimeType", media_type).member("data", data);
    json.close_object().maybe("thoughtSignature", signature).close_object();
}
