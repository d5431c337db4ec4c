//! Whole replies, both ways.

use super::part::{write_input, write_reasoning, write_text};
use super::request::content;
use super::wire::{self, Counts, IMAGES, call_id, stop_reason};
use crate::canon::{Block, Choice, Media, Part, Response, SealKind, Source, Stop};
use crate::codec::Target;
use crate::json::{Fields, Json, Malformed, Value};
use crate::usage::Usage;
use bytes::Bytes;

// Reading.

pub(super) fn decode(body: &[u8], target: &Target<'_>) -> Result<Response, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let blocks = fields.need("output", |output| {
        output.fields()?.need("message", |message| message.fields()?.need("content", content))
    })?;
    let blocks = blocks.into_iter().map(|block| Block::new(stamped(block.part, target.provider))).collect();
    let stop = stop(&mut fields)?;
    Ok(Response {
        choices: vec![Choice { blocks, stop: Some(stop), logprobs: Vec::new() }],
        usage: fields.with("usage", |usage| counts(usage.fields()?))?.and_then(Counts::usage),
        service_tier: tier(&mut fields)?,
        ..Response::default()
    })
}

/// Thoughts always carry their maker's name, so that they find it again.
fn stamped(part: Part, provider: &str) -> Part {
    let Part::Reasoning(mut thought) = part else { return part };
    let (kind, value) = thought.seal.map_or((SealKind::Signature, String::new()), |seal| {
        // A provider's text is its own, whatever it looks like.
        (
            if seal.dialect == wire::DIALECT { seal.kind } else { SealKind::Signature },
            seal.wrap(wire::DIALECT),
        )
    });
    thought.seal = Some(wire::seal(provider, kind, value));
    Part::Reasoning(thought)
}

/// The reason, and the text that ended it where the caller has asked the model to tell.
pub(super) fn stop(fields: &mut Fields<'_>) -> Result<Stop, Malformed> {
    let stop = wire::stop(&fields.need("stopReason", Value::text)?);
    let own = fields.with("additionalModelResponseFields", |own| {
        if own.is_object() { own.fields()?.text("stop_sequence") } else { Ok(None) }
    });
    Ok(Stop { sequence: own.ok().flatten().flatten(), ..stop })
}

pub(super) fn tier(fields: &mut Fields<'_>) -> Result<Option<String>, Malformed> {
    Ok(fields.with("serviceTier", |tier| tier.fields()?.text("type"))?.flatten())
}

pub(super) fn counts(mut fields: Fields<'_>) -> Result<Counts, Malformed> {
    let details = fields.with("cacheDetails", |list| {
        list.each(|_, item| {
            let mut item = item.fields()?;
            let long = item.text("ttl")?.as_deref() == Some("1h");
            Ok(if long { item.count("inputTokens")?.unwrap_or_default() } else { 0 })
        })
    })?;
    let mut count = |name| Ok(fields.count(name)?.unwrap_or_default());
    Ok(Counts {
        input: count("inputTokens")?,
        output: count("outputTokens")?,
        read: count("cacheReadInputTokens")?,
        written: count("cacheWriteInputTokens")?,
        long: details.into_iter().flatten().fold(0, u64::saturating_add),
    })
}

// Writing.

pub(super) fn encode(response: &Response) -> Bytes {
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    let answer = response.choices.first();
    json.open_object().key("output").open_object().key("message").open_object();
    json.member("role", "assistant").key("content").open_list();
    answer.into_iter().flat_map(|answer| &answer.blocks).for_each(|block| write_block(json, &block.part));
    json.close_list().close_object().close_object();
    if let Some(stop) = answer.and_then(|answer| answer.stop.as_ref()) {
        write_stop(json, stop);
    }
    write_metadata(json, response.usage.as_ref(), response.service_tier.as_deref());
    json.close_object();
    body.into()
}

/// Pieces that the dialect has no block for are left out: sound, and what only another dialect has.
fn write_block(json: &mut Json<'_>, part: &Part) {
    let is_known = match part {
        Part::Text { .. } | Part::Refusal(_) | Part::Reasoning(_) | Part::Call(_) => true,
        Part::Image(image) => picture(image).is_some(),
        Part::Other { dialect, .. } => *dialect == wire::DIALECT,
        Part::Audio(_) | Part::Video(_) | Part::Document(_) | Part::Sound(_) | Part::Result(_) => false,
    };
    if !is_known {
        return;
    }
    if let Part::Other { raw, .. } = part {
        json.raw(raw);
        return;
    }
    json.open_object();
    match part {
        Part::Text { text, citations } => write_text(json, text, citations),
        Part::Refusal(text) => write_text(json, text, &[]),
        Part::Reasoning(thought) => write_reasoning(json, thought),
        Part::Call(call) => {
            json.key("toolUse")
                .open_object()
                .member("toolUseId", &call_id(&call.id))
                .member("name", &call.name);
            write_input(json.key("input"), &call.arguments);
            json.close_object();
        }
        Part::Image(image) => {
            if let Some((format, data)) = picture(image) {
                json.key("image").open_object().member("format", format);
                json.key("source").open_object().member("bytes", data).close_object().close_object();
            }
        }
        _ => {}
    }
    json.close_object();
}

/// A picture's format and bytes, if the dialect can carry it.
fn picture(image: &Media) -> Option<(&'static str, &str)> {
    match &image.source {
        Source::Inline { media_type, data } => {
            wire::format(IMAGES, media_type).map(|format| (format, data.as_str()))
        }
        _ => None,
    }
}

pub(super) fn write_stop(json: &mut Json<'_>, stop: &Stop) {
    json.member("stopReason", stop_reason(stop));
    if let Some(sequence) = &stop.sequence {
        json.key("additionalModelResponseFields")
            .open_object()
            .member("stop_sequence", sequence)
            .close_object();
    }
}

/// What stands beside the answer. The shape wants `metrics.latencyMs`, which nobody has measured here: 0 says so.
pub(super) fn write_metadata(json: &mut Json<'_>, usage: Option<&Usage>, tier: Option<&str>) {
    if let Some(usage) = usage {
        let Counts { input, output, read, written, long } = Counts::of(usage);
        json.key("usage").open_object().key("inputTokens").count(input).key("outputTokens").count(output);
        json.key("totalTokens").count(input + output + read + written);
        json.key("cacheReadInputTokens").count(read).key("cacheWriteInputTokens").count(written);
        if long > 0 {
            json.key("cacheDetails").open_list();
            for (ttl, count) in [("1h", long), ("5m", written - long)] {
                json.open_object().member("ttl", ttl).key("inputTokens").count(count).close_object();
            }
            json.close_list();
        }
        json.close_object();
    }
    json.key("metrics").open_object().key("latencyMs").count(0).close_object();
    if let Some(tier) = tier {
        json.key("serviceTier").open_object().member("type", tier).close_object();
    }
}
