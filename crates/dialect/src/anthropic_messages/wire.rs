//! Words of the dialect: fields, reasons, cache marks, seals, arguments.

use crate::canon::{CacheMark, Citation, Raw, Seal, SealKind, Stop, StopReason};
use crate::json::{Fields, Json, Malformed, Value};
use crate::losses::Thing;
use keyway_proto::snapshot::v1::Dialect;

pub(super) const DIALECT: Dialect = Dialect::AnthropicMessages;
/// Seconds of the two lives that a cache mark can have.
pub(super) const CACHE_LIVES: [(u32, &str); 2] = [(5 * 60, "5m"), (60 * 60, "1h")];
/// A call without arguments.
pub(super) const NO_INPUT: &str = "{}";

/// Where a thing stands, seen from its place.
pub(super) fn spelling(thing: Thing) -> &'static str {
    match thing {
        Thing::OutputFloor => "max_tokens",
        Thing::Temperature => "temperature",
        Thing::TopP => "top_p",
        Thing::TopK => "top_k",
        Thing::StopSequences => "stop_sequences",
        Thing::JsonSchema => "output_config.format",
        Thing::Thinking => "thinking",
        Thing::ThinkingShown => "thinking.display",
        Thing::ServiceTier => "service_tier",
        Thing::User => "metadata.user_id",
        Thing::Cache | Thing::BlockCache | Thing::ToolCache => "cache_control",
        Thing::CacheTtl => "cache_control.ttl",
        Thing::ToolStrict => "strict",
        Thing::ToolNone | Thing::ToolRequired | Thing::ToolNamed | Thing::OtherChoice => "tool_choice",
        Thing::ParallelOff => "tool_choice.disable_parallel_tool_use",
        Thing::Image | Thing::ImageUrl | Thing::Document | Thing::DocumentUrl | Thing::DocumentText => {
            "source"
        }
        Thing::OtherSource => "source",
        Thing::File => "source.file_id",
        Thing::DocumentTitle => "title",
        Thing::DocumentContext => "context",
        Thing::DocumentCitations => "citations",
        Thing::Citations => "citations",
        Thing::ResultMedia => "content",
        Thing::Seed
        | Thing::PresencePenalty
        | Thing::FrequencyPenalty
        | Thing::LogitBias
        | Thing::Choices
        | Thing::Logprobs
        | Thing::JsonObject
        | Thing::SchemaNote
        | Thing::Verbosity
        | Thing::Sound
        | Thing::Metadata
        | Thing::Store
        | Thing::CacheKey
        | Thing::OtherTool
        | Thing::ToolSubset
        | Thing::Name
        | Thing::Prefill
        | Thing::LateSystem
        | Thing::ImageDetail
        | Thing::Audio
        | Thing::Video
        | Thing::PastSound
        | Thing::Refusal
        | Thing::Reasoning
        | Thing::OtherPart
        | Thing::CustomCall
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

/// A reason in the dialect's words.
pub(super) fn stop(native: &str, sequence: Option<String>, detail: Option<Raw>) -> Stop {
    let reason = match native {
        "end_turn" => StopReason::End,
        "stop_sequence" => StopReason::Sequence,
        "max_tokens" => StopReason::Length,
        "model_context_window_exceeded" => StopReason::ContextFull,
        "tool_use" => StopReason::Call,
        "refusal" => StopReason::Filtered,
        "pause_turn" => StopReason::Paused,
        _ => StopReason::Other,
    };
    Stop { sequence, detail, ..Stop::new(reason, Some(native)) }
}

/// The nearest word for a reason.
pub(super) fn stop_reason(stop: &Stop) -> &'static str {
    match stop.reason {
        StopReason::End | StopReason::BrokenCall | StopReason::Other => "end_turn",
        StopReason::Sequence => "stop_sequence",
        StopReason::Length => "max_tokens",
        StopReason::ContextFull => "model_context_window_exceeded",
        StopReason::Call => "tool_use",
        StopReason::Filtered | StopReason::Refused => "refusal",
        StopReason::Paused => "pause_turn",
    }
}

/// Writes reason, sequence and details of a stop.
pub(super) fn write_stop(json: &mut Json<'_>, stop: Option<&Stop>) {
    json.key("stop_reason");
    match stop {
        Some(stop) => json.text(stop_reason(stop)),
        None => json.null(),
    };
    json.key("stop_sequence");
    match stop.and_then(|stop| stop.sequence.as_deref()) {
        Some(sequence) => json.text(sequence),
        None => json.null(),
    };
    json.maybe_raw("stop_details", stop.and_then(|stop| stop.detail.as_ref()));
}

/// The dialect's word for the tier that served; none where it has no word, since SDKs allow no other.
pub(crate) fn tier(said: &str) -> Option<&'static str> {
    const TIERS: [&str; 3] = ["standard", "priority", "batch"];
    let word = if said.eq_ignore_ascii_case("default") { "standard" } else { said };
    TIERS.into_iter().find(|tier| word.eq_ignore_ascii_case(tier))
}

/// Takes a cache mark.
pub(super) fn cache(fields: &mut Fields<'_>) -> Result<Option<CacheMark>, Malformed> {
    fields.with("cache_control", |value| {
        let ttl = value.fields()?.text("ttl")?;
        let life = ttl.and_then(|ttl| CACHE_LIVES.into_iter().find(|(_, word)| *word == ttl));
        Ok(CacheMark { ttl_seconds: life.map(|(seconds, _)| seconds) })
    })
}

/// Writes a cache mark with the nearest life that is known; false if that is another than was asked for.
pub(super) fn write_cache(json: &mut Json<'_>, mark: &CacheMark) -> bool {
    json.key("cache_control").open_object().member("type", "ephemeral");
    let seconds = mark.ttl_seconds;
    let near = seconds.and_then(|seconds| {
        let enough = CACHE_LIVES.into_iter().find(|(life, _)| *life >= seconds);
        enough.or(CACHE_LIVES.last().copied())
    });
    json.maybe("ttl", near.map(|(_, word)| word)).close_object();
    near.map(|(life, _)| life) == seconds
}

/// A seal in a field; an empty field holds none.
pub(super) fn seal(kind: SealKind, value: &str) -> Option<Seal> {
    (!value.is_empty()).then(|| Seal::unwrap(DIALECT, kind, value))
}

/// A source as an answer cites it. Offsets are into the source, so the answer's span is not known.
pub(super) fn citation(value: Value<'_>) -> Result<Citation, Malformed> {
    let mut fields = value.fields()?;
    let title = fields.text("title")?.or(fields.text("document_title")?);
    let (url, quote) = (fields.text("url")?, fields.text("cited_text")?);
    Ok(Citation { url, title, quote, span: None, raw: Some((DIALECT, value.raw())) })
}

/// Writes a call's arguments as an object. What is none, because it was cut short or is free text, is wrapped.
pub(super) fn write_input(json: &mut Json<'_>, arguments: &str) {
    let raw = Raw::parse(arguments).filter(|raw| raw.as_str().starts_with('{'));
    match raw {
        Some(raw) => json.raw(&raw),
        None if arguments.trim().is_empty() => json.literal(NO_INPUT),
        None => json.open_object().member("_raw", arguments).close_object(),
    };
}
