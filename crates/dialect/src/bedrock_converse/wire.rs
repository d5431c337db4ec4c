//! Words of the dialect: fields, reasons, formats, lives of caches, ids of calls.

use crate::canon::{CacheMark, Seal, SealKind, Stop, StopReason, safe_id};
use crate::losses::Thing;
use crate::usage::Usage;
use keyway_proto::snapshot::v1::{Dialect, Meter};
use std::borrow::Cow;

pub(super) const DIALECT: Dialect = Dialect::BedrockConverse;
/// Letters of a call's id.
pub(super) const CALL_ID_LIMIT: usize = 64;
/// Seconds of the two lives that a cache point can have; without a word it is the first.
const CACHE_LIVES: [(u32, &str); 2] = [(5 * 60, "5m"), (60 * 60, "1h")];

/// Formats and their media types; of several formats for one type the first is written.
pub(super) type Formats = &'static [(&'static str, &'static str)];

pub(super) const IMAGES: Formats = &[
    ("png", "image/png"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("jpeg", "image/jpg"),
];
pub(super) const DOCUMENTS: Formats = &[
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
];
pub(super) const VIDEOS: Formats = &[
    ("mp4", "video/mp4"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("webm", "video/webm"),
    ("flv", "video/x-flv"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("wmv", "video/x-ms-wmv"),
    ("three_gp", "video/3gpp"),
];
pub(super) const SOUNDS: Formats = &[
    ("mp3", "audio/mp3"),
    ("wav", "audio/wav"),
    ("opus", "audio/opus"),
    ("aac", "audio/aac"),
    ("flac", "audio/flac"),
    ("mp4", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("mkv", "audio/x-matroska"),
    ("mka", "audio/mka"),
    ("x-aac", "audio/x-aac"),
    ("m4a", "audio/m4a"),
    ("mpeg", "audio/mpeg"),
    ("mpga", "audio/mpga"),
    ("pcm", "audio/pcm"),
    ("webm", "audio/webm"),
    ("wav", "audio/x-wav"),
];

/// The media type of a format; none if the format is not known.
pub(super) fn media_type(formats: Formats, format: &str) -> Option<&'static str> {
    formats.iter().find(|(name, _)| *name == format).map(|(_, media_type)| *media_type)
}

/// The format of a media type, whatever parameters it has; none if the dialect has no such format.
pub(super) fn format(formats: Formats, media_type: &str) -> Option<&'static str> {
    let plain = media_type.split(';').next().unwrap_or_default().trim();
    formats.iter().find(|(_, known)| plain.eq_ignore_ascii_case(known)).map(|(name, _)| *name)
}

/// Where a thing stands, seen from its place.
pub(super) fn spelling(thing: Thing) -> &'static str {
    match thing {
        Thing::OutputFloor => "inferenceConfig.maxTokens",
        Thing::Temperature => "inferenceConfig.temperature",
        Thing::TopP => "inferenceConfig.topP",
        Thing::TopK => "additionalModelRequestFields.top_k",
        Thing::StopSequences => "inferenceConfig.stopSequences",
        Thing::JsonSchema => "outputConfig.textFormat",
        Thing::SchemaNote => "outputConfig.textFormat.structure.jsonSchema",
        Thing::Thinking => "additionalModelRequestFields.thinking",
        Thing::ThinkingShown => "additionalModelRequestFields.thinking.display",
        Thing::ServiceTier => "serviceTier",
        Thing::Metadata => "requestMetadata",
        Thing::OtherTool => "systemTool",
        Thing::ToolStrict => "toolSpec.strict",
        Thing::ToolNone | Thing::ToolRequired | Thing::ToolNamed | Thing::OtherChoice => {
            "toolConfig.toolChoice"
        }
        Thing::ParallelOff => "additionalModelRequestFields.tool_choice",
        Thing::Image => "image",
        Thing::Audio => "audio",
        Thing::Video => "video",
        Thing::Document | Thing::DocumentText => "document",
        Thing::DocumentTitle => "document.name",
        Thing::DocumentContext => "document.context",
        Thing::DocumentCitations => "document.citations",
        Thing::Citations => "citationsContent",
        Thing::Reasoning => "reasoningContent",
        Thing::ResultMedia => "toolResult",
        Thing::Seed
        | Thing::PresencePenalty
        | Thing::FrequencyPenalty
        | Thing::LogitBias
        | Thing::Choices
        | Thing::Logprobs
        | Thing::JsonObject
        | Thing::Verbosity
        | Thing::Sound
        | Thing::User
        | Thing::Store
        | Thing::CacheKey
        | Thing::Cache
        | Thing::BlockCache
        | Thing::ToolCache
        | Thing::CacheTtl
        | Thing::ToolSubset
        | Thing::Name
        | Thing::Prefill
        | Thing::LateSystem
        | Thing::ImageUrl
        | Thing::ImageDetail
        | Thing::DocumentUrl
        | Thing::File
        | Thing::OtherSource
        | Thing::PastSound
        | Thing::Refusal
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
pub(super) fn stop(native: &str) -> Stop {
    let reason = match native {
        "end_turn" => StopReason::End,
        "tool_use" => StopReason::Call,
        "max_tokens" => StopReason::Length,
        "stop_sequence" => StopReason::Sequence,
        "guardrail_intervened" | "content_filtered" => StopReason::Filtered,
        "malformed_model_output" | "malformed_tool_use" => StopReason::BrokenCall,
        "model_context_window_exceeded" => StopReason::ContextFull,
        _ => StopReason::Other,
    };
    Stop::new(reason, Some(native))
}

/// The dialect's word for a reason: the provider's own if it means the same here, else the nearest. A pause would look
/// like an end with `end_turn`.
pub(super) fn stop_reason(reason: &Stop) -> &str {
    let own = reason.native.as_deref().filter(|native| {
        let meant = stop(native).reason;
        meant == reason.reason && meant != StopReason::Other
    });
    own.unwrap_or(match reason.reason {
        StopReason::End | StopReason::Other => "end_turn",
        StopReason::Sequence => "stop_sequence",
        StopReason::Length | StopReason::Paused => "max_tokens",
        StopReason::ContextFull => "model_context_window_exceeded",
        StopReason::Call => "tool_use",
        StopReason::Filtered | StopReason::Refused => "content_filtered",
        StopReason::BrokenCall => "malformed_tool_use",
    })
}

/// The life of a cache point, by its word.
pub(super) fn cache_mark(ttl: Option<&str>) -> CacheMark {
    let life = CACHE_LIVES.into_iter().find(|(_, word)| Some(*word) == ttl);
    CacheMark { ttl_seconds: life.map(|(seconds, _)| seconds) }
}

/// The word for a life, none for the usual one, and whether it is exactly the one that was asked for.
pub(super) fn cache_ttl(mark: &CacheMark) -> (Option<&'static str>, bool) {
    let Some(asked) = mark.ttl_seconds else { return (None, true) };
    let near = CACHE_LIVES.into_iter().min_by_key(|(seconds, _)| seconds.abs_diff(asked));
    near.map_or((None, false), |(seconds, word)| (Some(word), seconds == asked))
}

/// An id that the dialect takes for a call: two signs more than are safe everywhere.
pub(super) fn call_id(id: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
    if !id.is_empty() && id.len() <= CALL_ID_LIMIT && id.bytes().all(plain) {
        return Cow::Borrowed(id);
    }
    safe_id(id)
}

/// A provider's seal.
pub(super) fn seal(provider: &str, kind: SealKind, value: String) -> Seal {
    Seal { dialect: DIALECT, provider: Some(provider.to_owned()), kind, value }
}

/// What is counted, as the dialect has it: cached and written tokens stand beside `inputTokens`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) read: u64,
    pub(super) written: u64,
    /// Of `written`, what lives an hour.
    pub(super) long: u64,
}

// === impl Counts ===

impl Counts {
    /// The counts as meters; none if one of them cannot be.
    pub(super) fn usage(self) -> Option<Usage> {
        let most = self.input.max(self.output).max(self.read).max(self.written);
        if most > crate::usage::COUNT_LIMIT {
            return None;
        }
        let long = self.long.min(self.written);
        let counts = [
            (Meter::Input, self.input),
            (Meter::CacheRead, self.read),
            (Meter::CacheWrite1h, long),
            (Meter::CacheWrite5m, self.written - long),
            (Meter::Output, self.output),
        ];
        Some(Usage::of(&counts, 0))
    }

    pub(super) fn of(usage: &Usage) -> Self {
        let read = usage.cached();
        let long = usage.written_long();
        let written = usage.get(Meter::CacheWrite5m) + long;
        let input = usage.input_total().saturating_sub(read + written);
        Self { input, output: usage.output_total(), read, written, long }
    }
}
