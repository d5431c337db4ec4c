//! A caller's whole reply, and the pieces that its stream shares with it.

use super::super::wire::{DIALECT, finish_reason, tier, write_detail};
use crate::canon::{Block, CallKind, Choice, Citation, Media, Part, Raw, Response, Source, Stop};
use crate::codec::Asked;
use crate::json::Json;
use crate::usage::Usage;
use bytes::Bytes;
use keyway_proto::snapshot::v1::Meter;

pub(crate) fn encode(response: &Response, asked: &Asked) -> Bytes {
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
pub(crate) fn write_stop(json: &mut Json<'_>, stop: &Stop) {
    let reason = finish_reason(stop);
    json.member("finish_reason", reason);
    json.maybe("native_finish_reason", stop.native.as_deref().filter(|native| *native != reason));
}

pub(crate) fn write_logprobs(json: &mut Json<'_>, logprobs: &[Raw]) {
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
pub(crate) fn write_citation(json: &mut Json<'_>, citation: &Citation) {
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

pub(crate) fn write_image(json: &mut Json<'_>, url: &str) {
    json.open_object().member("type", "image_url").key("image_url").open_object().member("url", url);
    json.close_object().close_object();
}

fn write_calls(json: &mut Json<'_>, blocks: &[Block]) {
    let mut calls = blocks.iter().filter_map(Block::call).peekable();
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
pub(crate) fn write_usage(json: &mut Json<'_>, usage: &Usage) {
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
