//! Whole replies, both ways.

use super::wire::{self, DIALECT, write_input, write_stop};
use crate::canon::{Block, Call, CallKind, Choice, Citation, Part, Reasoning, Response, Seal, SealKind};
use crate::codec::{Asked, Target};
use crate::json::{Json, Malformed, Value};
use crate::losses::PICTURE;
use crate::usage::{Tokens, Usage};
use bytes::Bytes;
use keyway_proto::snapshot::v1::{Endpoint, Meter};

// Reading.

pub(super) fn decode(body: &[u8], target: &Target<'_>) -> Result<Response, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let mut tokens = Tokens::default();
    let service_tier = fields.take("usage").and_then(|usage| read_usage(&mut tokens, usage));
    let blocks = fields.need("content", |list| list.each(|_, one| block(one, target)))?;
    let (sequence, detail) = (fields.text("stop_sequence")?, fields.raw("stop_details"));
    let native = fields.text("stop_reason")?;
    let stop = wire::stop(native.as_deref().unwrap_or("end_turn"), sequence, detail);
    Ok(Response {
        id: fields.text("id")?,
        model: fields.text("model")?,
        created: None,
        choices: vec![Choice { blocks, stop: Some(stop), logprobs: Vec::new() }],
        usage: usage(&tokens),
        service_tier,
    })
}

/// Takes in a usage object, and gives the tier that it names.
pub(super) fn read_usage(tokens: &mut Tokens, usage: Value<'_>) -> Option<String> {
    tokens.read(usage.raw().as_str().as_bytes());
    usage.fields().ok()?.text("service_tier").ok()?
}

pub(super) fn usage(tokens: &Tokens) -> Option<Usage> {
    tokens.usage(DIALECT, Endpoint::Messages)
}

fn block(value: Value<'_>, target: &Target<'_>) -> Result<Block, Malformed> {
    let mut fields = value.fields()?;
    let part = match fields.need("type", Value::text)?.as_str() {
        "text" => {
            let citations = fields.with("citations", |list| list.each(|_, one| wire::citation(one)))?;
            Part::Text { text: fields.need("text", Value::text)?, citations: citations.unwrap_or_default() }
        }
        "thinking" => {
            let text = fields.text("thinking")?.unwrap_or_default();
            let signature = fields.text("signature")?.unwrap_or_default();
            let seal = Some(made(target.provider, SealKind::Signature, signature));
            Part::Reasoning(Box::new(Reasoning { id: None, text, seal }))
        }
        "redacted_thinking" => {
            let seal = Some(made(target.provider, SealKind::Encrypted, fields.need("data", Value::text)?));
            Part::Reasoning(Box::new(Reasoning { seal, ..Reasoning::default() }))
        }
        "tool_use" => Part::Call(Box::new(Call {
            id: fields.need("id", Value::text)?,
            name: fields.need("name", Value::text)?,
            arguments: fields.take("input").map(|input| input.raw().as_str().to_owned()).unwrap_or_default(),
            kind: CallKind::Function,
        })),
        _ => Part::Other { dialect: DIALECT, raw: value.raw() },
    };
    Ok(Block::new(part))
}

/// A seal that this provider has made.
pub(super) fn made(provider: &str, kind: SealKind, value: String) -> Seal {
    Seal { dialect: DIALECT, provider: Some(provider.to_owned()), kind, value }
}

// Writing.

/// Only the first answer: nobody who speaks this dialect can have asked for more.
pub(super) fn encode(response: &Response, asked: &Asked) -> Bytes {
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    json.open_object().member("id", response.id.as_deref().unwrap_or(&asked.id)).member("type", "message");
    json.member("role", "assistant").member("model", response.model.as_deref().unwrap_or(&asked.model));
    json.key("content").open_list();
    let choice = response.choices.first();
    choice.iter().flat_map(|choice| &choice.blocks).for_each(|block| write_block(json, &block.part));
    json.close_list();
    write_stop(json, choice.and_then(|choice| choice.stop.as_ref()));
    json.key("usage");
    write_usage(json, response.usage.unwrap_or_default(), response.service_tier.as_deref());
    json.close_object();
    body.into()
}

fn write_block(json: &mut Json<'_>, part: &Part) {
    match part {
        Part::Text { text, citations } => {
            json.open_object().member("type", "text").member("text", text);
            let cited: Vec<_> = citations.iter().filter_map(own).collect();
            if !cited.is_empty() {
                json.key("citations").open_list();
                cited.into_iter().for_each(|raw| {
                    json.raw(raw);
                });
                json.close_list();
            }
            json.close_object();
        }
        Part::Refusal(words) => write_text(json, words),
        Part::Sound(sound) => write_text(json, &sound.transcript),
        Part::Image(_) => write_text(json, PICTURE),
        Part::Reasoning(thought) => write_thought(json, thought),
        Part::Call(call) => {
            json.open_object().member("type", "tool_use").member("id", &call.id).member("name", &call.name);
            write_input(json.key("input"), &call.arguments);
            json.close_object();
        }
        Part::Other { dialect: DIALECT, raw } => {
            json.raw(raw);
        }
        Part::Other { .. } | Part::Audio(_) | Part::Video(_) | Part::Document(_) | Part::Result(_) => {}
    }
}

/// A citation of this dialect; those of others say too little to make one.
pub(super) fn own(citation: &Citation) -> Option<&crate::canon::Raw> {
    citation.raw.as_ref().filter(|(dialect, _)| *dialect == DIALECT).map(|(_, raw)| raw)
}

fn write_text(json: &mut Json<'_>, text: &str) {
    json.open_object().member("type", "text").member("text", text).close_object();
}

/// Encrypted thoughts of which nothing may be read are redacted; a stamp alone says nothing.
fn write_thought(json: &mut Json<'_>, thought: &Reasoning) {
    let value = thought.seal.as_ref().map(|seal| seal.wrap(DIALECT)).unwrap_or_default();
    let encrypted = thought.seal.as_ref().is_some_and(|seal| seal.kind == SealKind::Encrypted);
    if thought.text.is_empty() && encrypted {
        json.open_object().member("type", "redacted_thinking").member("data", &value).close_object();
    } else {
        json.open_object().member("type", "thinking").member("thinking", &thought.text);
        json.member("signature", &value).close_object();
    }
}

/// Cached and written tokens stand beside the input.
pub(super) fn write_usage(json: &mut Json<'_>, usage: Usage, tier: Option<&str>) {
    let (short, long) = (usage.get(Meter::CacheWrite5m), usage.written_long());
    let read = usage.cached();
    let fresh = usage.input_total().saturating_sub(read + short + long);
    json.open_object().key("input_tokens").count(fresh);
    json.key("cache_creation_input_tokens").count(short + long).key("cache_read_input_tokens").count(read);
    if short + long > 0 {
        json.key("cache_creation").open_object().key("ephemeral_5m_input_tokens").count(short);
        json.key("ephemeral_1h_input_tokens").count(long).close_object();
    }
    json.key("output_tokens").count(usage.output_total());
    if usage.reasoning() > 0 {
        json.key("output_tokens_details").open_object();
        json.key("thinking_tokens").count(usage.reasoning()).close_object();
    }
    json.maybe("service_tier", tier.and_then(wire::tier)).close_object();
}
