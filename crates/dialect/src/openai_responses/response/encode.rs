//! Replies for callers: the run and its items. A whole reply is the last state of its stream.

use super::super::stream::{Item, ResponsesWriter};
use super::super::wire::{DIALECT, status, unsealed};
use crate::canon::{CallKind, Citation, Response, Seal, Stop, unfold};
use crate::codec::Asked;
use crate::json::Json;
use crate::usage::Usage;
use bytes::Bytes;
use keyway_proto::snapshot::v1::Meter;

/// A run, as far as it is.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// Names it where the provider did not.
    pub(crate) asked: &'a Asked,
    /// Why it ended; none while it goes on.
    pub(crate) stop: Option<&'a Stop>,
    /// Its items that are done.
    pub(crate) output: &'a [Item],
    pub(crate) usage: Option<&'a Usage>,
    pub(crate) tier: Option<&'a str>,
}

pub(crate) fn encode(response: &Response, asked: &Asked) -> Bytes {
    let mut writer = ResponsesWriter::whole(asked);
    let mut unsent = Vec::new();
    for event in unfold(response) {
        crate::codec::Writer::write(&mut writer, &event, &mut unsent);
        unsent.clear();
    }
    let mut body = Vec::with_capacity(1024);
    writer.write_body(&mut Json::new(&mut body));
    body.into()
}

/// The run. The SDK wants its settings echoed; they are the usual ones, since only the caller knows what it asked for.
pub(crate) fn write_run(json: &mut Json<'_>, run: &Run<'_>) {
    let (state, incomplete) = run.stop.map_or(("in_progress", None), status);
    json.open_object().member("id", &run.asked.id).member("object", "response");
    json.key("created_at").count(run.asked.created).member("status", state).key("error");
    match state {
        "failed" => {
            json.open_object().member("code", "server_error");
            json.member("message", "the model made a call that cannot be read").close_object();
        }
        _ => {
            json.null();
        }
    }
    json.key("incomplete_details");
    match (state, incomplete) {
        ("incomplete", Some(reason)) => json.open_object().member("reason", reason).close_object(),
        ("incomplete", None) => json.open_object().key("reason").null().close_object(),
        _ => json.null(),
    };
    json.key("instructions").null().key("metadata").open_object().close_object();
    json.member("model", &run.asked.model).key("output").open_list();
    run.output.iter().for_each(|item| item.write(json));
    json.close_list();
    json.key("parallel_tool_calls").flag(true).key("temperature").null().member("tool_choice", "auto");
    json.key("tools").open_list().close_list().key("top_p").null();
    json.maybe("service_tier", run.tier).key("usage");
    match run.usage.filter(|_| run.stop.is_some()) {
        Some(usage) => write_usage(json, usage),
        None => {
            json.null();
        }
    }
    let native = run.stop.and_then(|stop| stop.native.as_deref());
    let native = native.filter(|native| *native != state && Some(*native) != incomplete);
    json.maybe("native_finish_reason", native).close_object();
}

/// Totals with their parts inside, as the dialect counts.
fn write_usage(json: &mut Json<'_>, usage: &Usage) {
    let (input, output) = (usage.input_total(), usage.output_total());
    let (short, long) = (usage.get(Meter::CacheWrite5m), usage.written_long());
    let cached = usage.cached();
    json.open_object().key("input_tokens").count(input).key("input_tokens_details").open_object();
    json.key("cached_tokens").count(cached).key("cache_write_tokens").count(short + long);
    if long > 0 {
        json.key("cache_write_tokens_details").open_object();
        json.key("ttl_30m_tokens").count(short).key("ttl_12h_tokens").count(long).close_object();
    }
    json.close_object().key("output_tokens").count(output).key("output_tokens_details").open_object();
    json.key("reasoning_tokens").count(usage.reasoning()).close_object();
    json.key("total_tokens").count(input + output).close_object();
}

pub(crate) fn message_item(json: &mut Json<'_>, id: &str, state: &str, parts: impl FnOnce(&mut Json<'_>)) {
    json.open_object().member("id", id).member("type", "message").member("status", state);
    json.member("role", "assistant").key("content").open_list();
    parts(json);
    json.close_list().close_object();
}

/// `sources` are JSON with commas between.
pub(crate) fn text_part(
    json: &mut Json<'_>,
    text: &str,
    sources: &str,
    logprobs: impl FnOnce(&mut Json<'_>),
) {
    json.open_object().member("type", "output_text").member("text", text).key("annotations").open_list();
    if !sources.is_empty() {
        json.literal(sources);
    }
    json.close_list().key("logprobs").open_list();
    logprobs(json);
    json.close_list().close_object();
}

pub(crate) fn refusal_part(json: &mut Json<'_>, text: &str) {
    json.open_object().member("type", "refusal").member("refusal", text).close_object();
}

/// What may be read of a thought is a summary here; none where there is nothing to read.
pub(crate) fn reasoning_item(json: &mut Json<'_>, id: &str, text: Option<&str>, seal: Option<&Seal>) {
    json.open_object().member("id", id).member("type", "reasoning").key("summary").open_list();
    if let Some(text) = text {
        json.open_object().member("type", "summary_text").member("text", text).close_object();
    }
    json.close_list();
    let sealed = seal.map(|seal| match seal.dialect {
        DIALECT => unsealed(seal).1.to_owned(),
        _ => seal.wrap(DIALECT),
    });
    json.maybe("encrypted_content", sealed.as_deref().filter(|sealed| !sealed.is_empty())).close_object();
}

/// A call: item id, call id, name, kind.
pub(crate) fn call_item(
    json: &mut Json<'_>,
    (id, call, name, kind): (&str, &str, &str, CallKind),
    state: &str,
    arguments: &str,
) {
    json.open_object().member("id", id).member("call_id", call).member("name", name);
    match kind {
        CallKind::Function => {
            json.member("type", "function_call").member("status", state).member("arguments", arguments)
        }
        CallKind::Custom => json.member("type", "custom_tool_call").member("input", arguments),
    };
    json.close_object();
}

pub(crate) fn image_item(json: &mut Json<'_>, id: &str, media_type: &str, data: Option<&str>) {
    let state = if data.is_some() { "completed" } else { "in_progress" };
    json.open_object().member("id", id).member("type", "image_generation_call").member("status", state);
    json.key("result");
    match data {
        Some(data) => json.text(data),
        None => json.null(),
    };
    json.maybe("output_format", media_type.strip_prefix("image/")).close_object();
}

/// The dialect knows addresses and its own files; another source is left out, and false says so. `whole` is the span of a
/// source that tells none.
pub(crate) fn write_citation(json: &mut Json<'_>, citation: &Citation, whole: Option<u64>) -> bool {
    match citation {
        Citation { raw: Some((DIALECT, raw)), .. } => {
            json.raw(raw);
        }
        Citation { url: Some(url), title, span, .. } => {
            let (start, end) = span.or(whole.map(|end| (0, end))).unwrap_or_default();
            json.open_object().member("type", "url_citation").member("url", url);
            json.member("title", title.as_deref().unwrap_or(url));
            json.key("start_index").count(start).key("end_index").count(end).close_object();
        }
        Citation { .. } => return false,
    }
    true
}
