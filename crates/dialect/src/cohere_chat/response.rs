//! Whole replies, both ways.

use super::error;
use super::request::assistant;
use super::wire::{
    self, PLAN, arguments, finish_reason, is_plan, write_citation, write_logprobs, write_usage,
};
use crate::canon::{Block, Choice, Citation, Part, Reasoning, Response, Stop, StopReason};
use crate::codec::{Asked, Target};
use crate::json::{Json, Malformed, Value};
use crate::losses::PICTURE;
use bytes::Bytes;

// Reading.

pub(super) fn decode(body: &[u8], target: &Target<'_>) -> Result<Response, Malformed> {
    let mut fields = Value::parse(body)?.fields()?;
    let blocks = fields.need("message", |message| assistant(&mut message.fields()?))?;
    let blocks = blocks.into_iter().map(|block| Block::new(stamped(block.part, target.provider))).collect();
    let reason = fields.text("finish_reason")?;
    if reason.as_deref().is_some_and(|reason| error::failed_status(reason).is_some()) {
        return Err(Malformed::new("says that the answer failed").within("finish_reason"));
    }
    let stop = reason.map_or_else(|| Stop::new(StopReason::Other, None), |word| wire::stop(&word));
    let logprobs =
        fields.with("logprobs", |list| list.each(|_, item| wire::logprobs(item)))?.unwrap_or_default();
    Ok(Response {
        id: fields.text("id")?,
        choices: vec![Choice { blocks, stop: Some(stop), logprobs }],
        usage: fields.take("usage").and_then(wire::usage),
        ..Response::default()
    })
}

/// Thoughts always carry their maker's name, so that they find it again.
fn stamped(part: Part, provider: &str) -> Part {
    let Part::Reasoning(thought) = part else { return part };
    let seal = Some(wire::seal(Some(provider), is_plan(&thought)));
    Part::Reasoning(Box::new(Reasoning { seal, ..*thought }))
}

// Writing.

pub(super) fn encode(response: &Response, asked: &Asked) -> Bytes {
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    let answer = response.choices.first();
    json.open_object().member("id", response.id.as_deref().unwrap_or(&asked.id));
    if let Some(stop) = answer.and_then(|answer| answer.stop.as_ref()) {
        json.member("finish_reason", finish_reason(stop));
    }
    json.key("message").open_object().member("role", "assistant");
    let blocks = answer.map(|answer| answer.blocks.as_slice()).unwrap_or_default();
    write_content(json, blocks);
    write_calls(json, blocks);
    write_citations(json, blocks);
    json.close_object();
    if let Some(usage) = &response.usage {
        write_usage(json.key("usage"), usage);
    }
    let logprobs = answer.map(|answer| answer.logprobs.as_slice()).unwrap_or_default();
    if !logprobs.is_empty() {
        json.key("logprobs").open_list();
        logprobs.iter().for_each(|raw| write_logprobs(json, raw));
        json.close_list();
    }
    json.close_object();
    body.into()
}

/// Texts and thoughts; the dialect has no other pieces of content in replies.
fn write_content(json: &mut Json<'_>, blocks: &[Block]) {
    let piece = |block: &Block| match &block.part {
        Part::Text { text, .. } | Part::Refusal(text) => Some(("text", text.clone())),
        Part::Reasoning(thought) if !is_plan(thought) && !thought.text.is_empty() => {
            Some(("thinking", thought.text.clone()))
        }
        Part::Image(_) => Some(("text", PICTURE.to_owned())),
        _ => None,
    };
    let pieces: Vec<_> = blocks.iter().filter_map(piece).collect();
    if !pieces.is_empty() {
        json.key("content").open_list();
        for (kind, text) in pieces {
            json.open_object().member("type", kind).member(kind, &text).close_object();
        }
        json.close_list();
    }
}

fn write_calls(json: &mut Json<'_>, blocks: &[Block]) {
    let plans = blocks.iter().filter_map(|block| match &block.part {
        Part::Reasoning(thought) if is_plan(thought) => Some(thought.text.as_str()),
        _ => None,
    });
    let plan: String = plans.collect();
    json.maybe(PLAN, Some(plan.as_str()).filter(|plan| !plan.is_empty()));
    let mut calls = blocks.iter().filter_map(Block::call).peekable();
    if calls.peek().is_none() {
        return;
    }
    json.key("tool_calls").open_list();
    for call in calls {
        json.open_object().member("id", &call.id).member("type", "function").key("function").open_object();
        json.member("name", &call.name).member("arguments", &arguments(&call.arguments));
        json.close_object().close_object();
    }
    json.close_list();
}

fn write_citations(json: &mut Json<'_>, blocks: &[Block]) {
    let cited = blocks.iter().filter_map(|block| match &block.part {
        Part::Text { citations, .. } => Some(citations),
        _ => None,
    });
    let all: Vec<&Citation> = cited.flatten().collect();
    if !all.is_empty() {
        json.key("citations").open_list();
        all.into_iter().for_each(|citation| write_citation(json, citation));
        json.close_list();
    }
}
