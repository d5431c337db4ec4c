//! Words of the dialect: fields, roles, reasons, data URIs, thoughts.

use crate::canon::{Reasoning, Seal, SealKind, Stop, StopReason};
use crate::json::{Fields, Json, Malformed, Value};
use crate::losses::Thing;
use keyway_proto::snapshot::v1::Dialect;

pub(super) const DIALECT: Dialect = Dialect::OpenaiChat;
/// Seconds of the two lives that a cache breakpoint can have.
pub(super) const CACHE_LIVES: [(u32, &str); 2] = [(30 * 60, "30m"), (12 * 60 * 60, "12h")];

/// Where a thing stands, seen from its place.
pub(super) fn spelling(thing: Thing) -> &'static str {
    match thing {
        Thing::OutputFloor => "max_completion_tokens",
        Thing::Temperature => "temperature",
        Thing::TopP => "top_p",
        Thing::TopK => "top_k",
        Thing::Seed => "seed",
        Thing::PresencePenalty => "presence_penalty",
        Thing::FrequencyPenalty => "frequency_penalty",
        Thing::LogitBias => "logit_bias",
        Thing::Choices => "n",
        Thing::Logprobs => "logprobs",
        Thing::StopSequences => "stop",
        Thing::JsonObject | Thing::JsonSchema => "response_format",
        Thing::SchemaNote => "response_format.json_schema",
        Thing::Verbosity => "verbosity",
        Thing::Thinking => "reasoning_effort",
        Thing::Sound => "audio",
        Thing::ServiceTier => "service_tier",
        Thing::User => "user",
        Thing::Metadata => "metadata",
        Thing::Store => "store",
        Thing::CacheKey => "prompt_cache_key",
        Thing::BlockCache => "prompt_cache_breakpoint",
        Thing::CacheTtl => "prompt_cache_breakpoint.ttl",
        Thing::ToolCache => "cache_control",
        Thing::ToolStrict => "function.strict",
        Thing::ToolNone | Thing::ToolRequired | Thing::ToolNamed | Thing::ToolSubset | Thing::OtherChoice => {
            "tool_choice"
        }
        Thing::ParallelOff => "parallel_tool_calls",
        Thing::Name => "name",
        Thing::Image | Thing::ImageUrl => "image_url.url",
        Thing::ImageDetail => "image_url.detail",
        Thing::Document => "file.file_data",
        Thing::File => "file.file_id",
        Thing::DocumentTitle => "file.filename",
        Thing::PastSound => "audio",
        Thing::Citations => "annotations",
        Thing::CustomCall => "tool_calls",
        Thing::ThinkingShown
        | Thing::Cache
        | Thing::OtherTool
        | Thing::Prefill
        | Thing::LateSystem
        | Thing::Audio
        | Thing::Video
        | Thing::DocumentUrl
        | Thing::DocumentText
        | Thing::DocumentContext
        | Thing::DocumentCitations
        | Thing::OtherSource
        | Thing::Refusal
        | Thing::Reasoning
        | Thing::OtherPart
        | Thing::ResultMedia
        | Thing::Extra
        | Thing::NeededExtra
        | Thing::Operation
        | Thing::TokenInput
        | Thing::ManyInputs
        | Thing::NumberForm
        | Thing::Task
        | Thing::Truncation
        | Thing::DocumentTokens => "",
    }
}

/// A reason in the dialect's words. `refused` tells whether the model has said so in words, `called` whether it has called
/// tools: some relatives end with `stop` then.
pub(super) fn stop(native: &str, refused: bool, called: bool) -> Stop {
    let reason = match native {
        "stop" if refused => StopReason::Refused,
        "stop" if called => StopReason::Call,
        "stop" | "eos" | "end_turn" => StopReason::End,
        "length" | "max_tokens" => StopReason::Length,
        "tool_calls" | "function_call" => StopReason::Call,
        "content_filter" => StopReason::Filtered,
        _ => StopReason::Other,
    };
    Stop::new(reason, Some(native))
}

/// The nearest word for a reason. A pause would look like an end with `stop`.
pub(super) fn finish_reason(stop: &Stop) -> &'static str {
    match stop.reason {
        StopReason::End
        | StopReason::Sequence
        | StopReason::Refused
        | StopReason::BrokenCall
        | StopReason::Other => "stop",
        StopReason::Length | StopReason::ContextFull | StopReason::Paused => "length",
        StopReason::Call => "tool_calls",
        StopReason::Filtered => "content_filter",
    }
}

/// The dialect's word for the tier that served; none where it has no word, since SDKs allow no other.
pub(super) fn tier(said: &str) -> Option<&'static str> {
    const TIERS: [&str; 6] = ["auto", "default", "flex", "scale", "priority", "fast"];
    let word = if said.eq_ignore_ascii_case("standard") { "default" } else { said };
    TIERS.into_iter().find(|tier| word.eq_ignore_ascii_case(tier))
}

/// One entry of `reasoning_details`.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) thought: Reasoning,
    /// The call that it belongs to.
    pub(super) call: Option<String>,
    /// Entries of one number are pieces of one thought.
    pub(super) index: Option<u64>,
}

/// Reads one entry of `reasoning_details`.
pub(super) fn detail(mut fields: Fields<'_>) -> Result<Detail, Malformed> {
    let text = fields.text("text")?.or(fields.text("summary")?).unwrap_or_default();
    let signature = fields.text("signature")?.map(|value| (SealKind::Signature, value));
    let sealed = signature.or(fields.text("data")?.map(|value| (SealKind::Encrypted, value)));
    let seal = sealed.map(|(kind, value)| Seal::unwrap(DIALECT, kind, &value));
    let thought = Reasoning { id: fields.text("item_id")?, text, seal };
    Ok(Detail { thought, call: fields.text("id")?, index: fields.count("index")? })
}

/// Writes a thought, or a piece of one, as one entry of `reasoning_details`.
pub(super) fn write_detail(json: &mut Json<'_>, thought: &Reasoning, call: Option<&str>, index: u32) {
    json.open_object();
    match &thought.seal {
        Some(seal) if seal.kind == SealKind::Encrypted => {
            json.member("type", "reasoning.encrypted").member("data", &seal.wrap(DIALECT));
            if !thought.text.is_empty() {
                json.member("summary", &thought.text);
            }
        }
        seal => {
            json.member("type", "reasoning.text").member("text", &thought.text);
            let signature = seal.as_ref().map(|seal| seal.wrap(DIALECT)).filter(|text| !text.is_empty());
            json.maybe("signature", signature.as_deref());
        }
    }
    json.maybe("item_id", thought.id.as_deref()).maybe("id", call);
    json.key("index").count(index.into()).close_object();
}

/// Content of an answer in its pieces, and whether each is a thought: a text, or Mistral's list of parts.
pub(super) fn said(value: Value<'_>) -> Result<Vec<(bool, String)>, Malformed> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    if !value.is_list() {
        return Ok(vec![(false, value.text()?)]);
    }
    let pieces = value.each(|_, part| {
        let mut part = part.fields()?;
        if let Some(thoughts) = part.take("thinking") {
            let texts = thoughts.each(|_, one| one.fields()?.text("text"))?;
            return Ok((true, texts.into_iter().flatten().collect()));
        }
        Ok((false, part.text("text")?.unwrap_or_default()))
    })?;
    Ok(pieces.into_iter().filter(|(_, text)| !text.is_empty()).collect())
}
