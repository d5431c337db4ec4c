//! Whole replies, both ways.

use super::wire::{DIALECT, detail, finish_reason, said, stop, tier, write_detail};
use crate::canon::{
    Block, Call, CallKind, Choice, Citation, Media, Part, Raw, Reasoning, Response, Seal, SealKind, Sound,
    Source, Stop,
};
use crate::codec::{Asked, Target};
use crate::json::{Fields, Json, Malformed, Value};
use crate::usage::{Tokens, Usage};
use bytes::Bytes;
use keyway_proto::snapshot::v1::{Endpoint, Meter};

// Reading.

pub(super) fn decode(body: &[u8], target: &Target<'_>) -> Result<Response, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    Ok(Response {
        id: fields.text("id")?.filter(|id| !id.is_empty()),
        model: fields.text("model")?,
        created: fields.with("created", Value::count)?,
        choices: fields.need("choices", |list| list.each(|_, one| choice(one.fields()?, target)))?,
        usage: fields.take("usage").and_then(usage),
        service_tier: fields.text("service_tier")?,
    })
}

/// The counts of a usage object; nonsense counts as missing.
pub(super) fn usage(object: Value<'_>) -> Option<Usage> {
    let mut tokens = Tokens::default();
    tokens.read(object.raw().as_str().as_bytes());
    tokens.usage(DIALECT, Endpoint::ChatCompletions)
}

fn choice(mut fields: Fields<'_>, target: &Target<'_>) -> Result<Choice, Malformed> {
    let blocks = fields.need("message", |message| blocks(message.fields()?, target))?;
    let refused = blocks.iter().any(|block| matches!(block.part, Part::Refusal(_)));
    let called = blocks.iter().any(|block| matches!(block.part, Part::Call(_)));
    let native = fields.text("finish_reason")?;
    let stop = stop(native.as_deref().unwrap_or("stop"), refused, called);
    let logprobs = fields.with("logprobs", |value| Ok(value.fields()?.raw("content")))?.flatten();
    Ok(Choice { blocks, stop: Some(stop), logprobs: Vec::from_iter(logprobs) })
}

fn blocks(mut message: Fields<'_>, target: &Target<'_>) -> Result<Vec<Block>, Malformed> {
    let mut parts = thoughts(&mut message, target)?;
    let said = message.with("content", said)?.unwrap_or_default();
    let (thoughts, texts): (Vec<_>, Vec<_>) = said.into_iter().partition(|(is_thought, _)| *is_thought);
    let thoughts = thoughts.into_iter().map(|(_, text)| Reasoning { text, ..Reasoning::default() });
    parts.extend(thoughts.map(|thought| made_by(thought, target)));
    let text: String = texts.into_iter().map(|(_, text)| text).collect();
    let text = Some(text).filter(|text| !text.is_empty());
    let citations = message.with("annotations", |list| list.each(|_, one| citation(one)))?;
    let citations: Vec<Citation> = citations.unwrap_or_default();
    parts.extend(text.map(|text| Part::Text { text, citations }));
    parts.extend(message.text("refusal")?.filter(|text| !text.is_empty()).map(Part::Refusal));
    parts.extend(message.with("audio", |value| sound(value.fields()?))?);
    parts
        .extend(message.with("images", |list| list.each(|_, one| image(one.fields()?)))?.unwrap_or_default());
    parts.extend(
        message.with("tool_calls", |list| list.each(|_, one| call(one.fields()?)))?.unwrap_or_default(),
    );
    Ok(parts.into_iter().map(Block::new).collect())
}

/// Thoughts always carry their maker's name, so that they find it again.
fn thoughts(message: &mut Fields<'_>, target: &Target<'_>) -> Result<Vec<Part>, Malformed> {
    let details = message.with("reasoning_details", |list| list.each(|_, one| detail(one.fields()?)))?;
    let plain = match message.text("reasoning_content")? {
        Some(text) => Some(text),
        None => message.text("reasoning")?,
    };
    let mut thoughts: Vec<Reasoning> =
        details.unwrap_or_default().into_iter().map(|detail| detail.thought).collect();
    if thoughts.iter().all(|thought| thought.text.is_empty()) {
        let text = plain.filter(|text| !text.is_empty());
        let plain = text.map(|text| Reasoning { text, ..Reasoning::default() });
        thoughts.splice(0..0, plain);
    }
    Ok(thoughts.into_iter().map(|thought| made_by(thought, target)).collect())
}

fn made_by(thought: Reasoning, target: &Target<'_>) -> Part {
    let seal = stamped(thought.seal, target.provider).unwrap_or_else(|| stamp(target.provider));
    Part::Reasoning(Box::new(Reasoning { seal: Some(seal), ..thought }))
}

/// A seal of this dialect with its maker's name.
pub(super) fn stamped(seal: Option<Seal>, provider: &str) -> Option<Seal> {
    seal.map(|seal| match seal.dialect {
        DIALECT => Seal { provider: Some(provider.to_owned()), ..seal },
        _ => seal,
    })
}

/// The seal of a maker that seals nothing: it only names the maker.
pub(super) fn stamp(provider: &str) -> Seal {
    Seal {
        dialect: DIALECT,
        provider: Some(provider.to_owned()),
        kind: SealKind::Signature,
        value: String::new(),
    }
}

pub(super) fn citation(value: Value<'_>) -> Result<Citation, Malformed> {
    let raw = Some((DIALECT, value.raw()));
    let mut fields = value.fields()?;
    let read = |value: Value<'_>| {
        let mut cited = value.fields()?;
        let span = cited.count("start_index")?.zip(cited.count("end_index")?);
        let (url, title) = (cited.text("url")?, cited.text("title")?);
        Ok(Citation { url, title, quote: None, span, raw: raw.clone() })
    };
    let cited = fields.with("url_citation", read)?;
    Ok(cited.unwrap_or(Citation { url: None, title: None, quote: None, span: None, raw }))
}

fn sound(mut fields: Fields<'_>) -> Result<Part, Malformed> {
    Ok(Part::Sound(Box::new(Sound {
        id: fields.text("id")?,
        data: fields.text("data")?.unwrap_or_default(),
        transcript: fields.text("transcript")?.unwrap_or_default(),
        expires_at: fields.count("expires_at")?,
    })))
}

/// Pictures in answers, as relatives send them.
fn image(mut fields: Fields<'_>) -> Result<Part, Malformed> {
    let url = fields.need("image_url", |value| value.fields()?.need("url", Value::text))?;
    Ok(Part::Image(Media { source: Source::of_url(url), detail: None }))
}

fn call(mut fields: Fields<'_>) -> Result<Part, Malformed> {
    let id = fields.text("id")?.unwrap_or_default();
    let custom = fields.peek("custom").is_some();
    let (within, words, kind) = match custom {
        true => ("custom", "input", CallKind::Custom),
        false => ("function", "arguments", CallKind::Function),
    };
    fields.need(within, |value| {
        let mut function = value.fields()?;
        let name = function.need("name", Value::text)?;
        let arguments = function.with(words, arguments)?.unwrap_or_default();
        Ok(Part::Call(Box::new(Call { id, name, arguments, kind })))
    })
}

/// Some send the arguments as an object.
pub(super) fn arguments(value: Value<'_>) -> Result<String, Malformed> {
    if value.is_object() { Ok(value.raw().as_str().to_owned()) } else { value.text() }
}

// Writing.

pub(super) fn encode(response: &Response, asked: &Asked) -> Bytes {
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    json.open_object().member("id", response.id.as_deref().unwrap_or(&asked.id));
    json.member("object", "chat.completion").key("created").count(response.created.unwrap_or(asked.created));
    json.member("model", response.model.as_deref().unwrap_or(&asked.model)).key("choices").open_list();
    for (choice, index) in response.choices.iter().zip(0..) {
        write_choice(json, choice, index);
    }
    json.close_list();
    if let Some(usage) = &response.usage {
        write_usage(json.key("usage"), usage);
    }
    json.maybe("service_tier", response.service_tier.as_deref().and_then(tier)).close_object();
    body.into()
}

fn write_choice(json: &mut Json<'_>, choice: &Choice, index: u64) {
    json.open_object().key("index").count(index).key("message").open_object().member("role", "assistant");
    let texts = |wanted: fn(&Part) -> Option<&str>| {
        let mut found = choice.blocks.iter().filter_map(|block| wanted(&block.part)).peekable();
        found.peek().is_some().then(|| found.collect::<String>())
    };
    let said = texts(|part| match part {
        Part::Text { text, .. } => Some(text),
        _ => None,
    });
    let refusal = texts(|part| match part {
        Part::Refusal(text) => Some(text),
        _ => None,
    });
    for (name, text) in [("content", said), ("refusal", refusal)] {
        json.key(name);
        match text {
            Some(text) => json.text(&text),
            None => json.null(),
        };
    }
    write_thoughts(json, &choice.blocks);
    write_annotations(json, &choice.blocks);
    write_media(json, &choice.blocks);
    write_calls(json, &choice.blocks);
    json.close_object().key("logprobs");
    write_logprobs(json, &choice.logprobs);
    if let Some(stop) = &choice.stop {
        write_stop(json, stop);
    }
    json.close_object();
}

/// The reason, and the provider's own word where it is another.
pub(super) fn write_stop(json: &mut Json<'_>, stop: &Stop) {
    let reason = finish_reason(stop);
    json.member("finish_reason", reason);
    json.maybe("native_finish_reason", stop.native.as_deref().filter(|native| *native != reason));
}

pub(super) fn write_logprobs(json: &mut Json<'_>, logprobs: &[Raw]) {
    if logprobs.is_empty() {
        json.null();
        return;
    }
    // Pieces are arrays; one array holds what is between their brackets.
    let inner = |raw: &Raw| raw.as_str().trim_start_matches('[').trim_end_matches(']').trim().to_owned();
    let all: Vec<String> = logprobs.iter().map(inner).filter(|items| !items.is_empty()).collect();
    json.open_object().key("content").literal(&format!("[{}]", all.join(","))).key("refusal").null();
    json.close_object();
}

fn write_thoughts(json: &mut Json<'_>, blocks: &[Block]) {
    let mut thoughts = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let Part::Reasoning(thought) = &block.part else { continue };
        let call = match blocks.get(at + 1).map(|next| &next.part) {
            Some(Part::Call(call)) if thought.text.is_empty() => Some(call.id.as_str()),
            _ => None,
        };
        thoughts.push((&**thought, call));
    }
    if thoughts.is_empty() {
        return;
    }
    let all: String = thoughts.iter().map(|(thought, _)| thought.text.as_str()).collect();
    if !all.is_empty() {
        json.member("reasoning_content", &all);
    }
    json.key("reasoning_details").open_list();
    for ((thought, call), index) in thoughts.into_iter().zip(0..) {
        write_detail(json, thought, call, index);
    }
    json.close_list();
}

fn write_annotations(json: &mut Json<'_>, blocks: &[Block]) {
    let mut cited = blocks.iter().filter_map(|block| match &block.part {
        Part::Text { citations, .. } => Some(citations),
        _ => None,
    });
    let all: Vec<&Citation> = cited.by_ref().flatten().collect();
    if !all.is_empty() {
        json.key("annotations").open_list();
        all.into_iter().for_each(|citation| write_citation(json, citation));
        json.close_list();
    }
}

/// The dialect knows addresses only; a source without one is left out.
pub(super) fn write_citation(json: &mut Json<'_>, citation: &Citation) {
    match citation {
        Citation { raw: Some((DIALECT, raw)), .. } => {
            json.raw(raw);
        }
        Citation { url: Some(url), title, span, .. } => {
            let (start, end) = span.unwrap_or_default();
            json.open_object().member("type", "url_citation").key("url_citation").open_object();
            json.key("start_index").count(start).key("end_index").count(end);
            json.member("title", title.as_deref().unwrap_or(url)).member("url", url);
            json.close_object().close_object();
        }
        Citation { .. } => {}
    }
}

fn write_media(json: &mut Json<'_>, blocks: &[Block]) {
    let sound = blocks.iter().find_map(|block| match &block.part {
        Part::Sound(sound) => Some(sound),
        _ => None,
    });
    if let Some(sound) = sound {
        json.key("audio").open_object().member("id", sound.id.as_deref().unwrap_or_default());
        json.member("data", &sound.data).member("transcript", &sound.transcript);
        json.key("expires_at").count(sound.expires_at.unwrap_or_default()).close_object();
    }
    let pictures = blocks.iter().filter_map(|block| match &block.part {
        Part::Image(Media { source: Source::Inline { media_type, data }, .. }) => Some((media_type, data)),
        _ => None,
    });
    let mut pictures = pictures.peekable();
    if pictures.peek().is_some() {
        json.key("images").open_list();
        pictures
            .for_each(|(media_type, data)| write_image(json, &format!("data:{media_type};base64,{data}")));
        json.close_list();
    }
}

pub(super) fn write_image(json: &mut Json<'_>, url: &str) {
    json.open_object().member("type", "image_url").key("image_url").open_object().member("url", url);
    json.close_object().close_object();
}

fn write_calls(json: &mut Json<'_>, blocks: &[Block]) {
    let calls = blocks.iter().filter_map(|block| match &block.part {
        Part::Call(call) => Some(call),
        _ => None,
    });
    let mut calls = calls.peekable();
    if calls.peek().is_none() {
        return;
    }
    json.key("tool_calls").open_list();
    for call in calls {
        let (kind, words) = match call.kind {
            CallKind::Function => ("function", "arguments"),
            CallKind::Custom => ("custom", "input"),
        };
        let empty = call.arguments.is_empty() && call.kind == CallKind::Function;
        json.open_object().member("id", &call.id).member("type", kind).key(kind).open_object();
        json.member("name", &call.name).member(words, if empty { "{}" } else { &call.arguments });
        json.close_object().close_object();
    }
    json.close_list();
}

/// Totals with their parts inside, as the dialect counts.
pub(super) fn write_usage(json: &mut Json<'_>, usage: &Usage) {
    let (input, output) = (usage.input_total(), usage.output_total());
    json.open_object().key("prompt_tokens").count(input).key("completion_tokens").count(output);
    json.key("total_tokens").count(input + output).key("prompt_tokens_details").open_object();
    let written = usage.get(Meter::CacheWrite5m) + usage.written_long();
    let cached = usage.cached();
    let audio = usage.get(Meter::AudioInput);
    json.key("cached_tokens").count(cached).key("audio_tokens").count(audio);
    if written > 0 {
        json.key("cache_write_tokens").count(written);
    }
    json.close_object().key("completion_tokens_details").open_object();
    json.key("reasoning_tokens").count(usage.reasoning());
    json.key("audio_tokens").count(usage.get(Meter::AudioOutput)).close_object().close_object();
}
