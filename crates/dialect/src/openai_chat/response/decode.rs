//! A provider's whole reply, and the pieces that its stream shares with it.

use super::super::wire::{DIALECT, detail, said, stop};
use crate::canon::{
    Block, Call, CallKind, Choice, Citation, Media, Part, Reasoning, Response, Seal, SealKind, Sound, Source,
};
use crate::codec::Target;
use crate::json::{Fields, Malformed, Value};
use crate::usage::{Tokens, Usage};
use keyway_proto::snapshot::v1::Endpoint;

pub(crate) fn decode(body: &[u8], target: &Target<'_>) -> Result<Response, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    Ok(Response {
        id: fields.text("id")?.filter(|id| !id.is_empty()),
        model: fields.text("model")?,
        created: fields.with("created", Value::count)?,
        choices: fields.need("choices", |list| choices(list, target))?,
        usage: fields.take("usage").and_then(usage),
        service_tier: fields.text("service_tier")?,
    })
}

/// A reply without any is none, as a stream without any is cut: whoever asked would wait for its end.
fn choices(list: Value<'_>, target: &Target<'_>) -> Result<Vec<Choice>, Malformed> {
    let all: Vec<Choice> = list.each(|_, one| choice(one.fields()?, target))?;
    if all.is_empty() { Err(Malformed::new("holds no answer")) } else { Ok(all) }
}

/// The counts of a usage object; nonsense counts as missing.
pub(crate) fn usage(object: Value<'_>) -> Option<Usage> {
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
pub(crate) fn stamped(seal: Option<Seal>, provider: &str) -> Option<Seal> {
    seal.map(|seal| match seal.dialect {
        DIALECT => Seal { provider: Some(provider.to_owned()), ..seal },
        _ => seal,
    })
}

/// The seal of a maker that seals nothing: it only names the maker.
pub(crate) fn stamp(provider: &str) -> Seal {
    Seal {
        dialect: DIALECT,
        provider: Some(provider.to_owned()),
        kind: SealKind::Signature,
        value: String::new(),
    }
}

pub(crate) fn citation(value: Value<'_>) -> Result<Citation, Malformed> {
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
fn arguments(value: Value<'_>) -> Result<String, Malformed> {
    if value.is_object() { Ok(value.raw().as_str().to_owned()) } else { value.text() }
}
