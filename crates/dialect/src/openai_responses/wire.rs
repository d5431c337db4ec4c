//! Words of the dialect: fields, reasons, sealed thoughts, cache lives.

use crate::canon::{Effort, Seal, SealKind, Stop, StopReason, Thinking, ThinkingMode};
use crate::losses::Thing;
use keyway_proto::snapshot::v1::Dialect;

pub(super) const DIALECT: Dialect = Dialect::OpenaiResponses;

/// Without these the answer is not the one that was asked for: state at the provider, and how the run goes on.
pub(super) const NEEDED: &[&str] = &[
    "previous_response_id",
    "conversation",
    "background",
    "prompt",
    "context_management",
    "moderation",
    "namespace",
];

/// Ids and states of items, probabilities of words that were said, thoughts in the form in which they are told already.
pub(super) const PRIVATE: &[&str] =
    &["id", "status", "logprobs", "summary", "content", "include_obfuscation"];

/// Asks for sealed thoughts.
pub(super) const INCLUDE_SEALED: &str = "reasoning.encrypted_content";
/// Asks for probabilities.
pub(super) const INCLUDE_LOGPROBS: &str = "message.output_text.logprobs";

/// The least `max_output_tokens` that OpenAI takes.
pub(super) const OUTPUT_FLOOR: u64 = 16;
/// Seconds of the two lives that a cache breakpoint can have.
pub(super) const CACHE_LIVES: [(u32, &str); 2] = [(30 * 60, "30m"), (12 * 60 * 60, "12h")];

/// Budgets of thinking, in tokens, up to which an effort is the nearest.
const LOW_BUDGET: u64 = 2048;
const MEDIUM_BUDGET: u64 = 8192;

/// Where a thing stands, seen from its place.
pub(super) fn spelling(thing: Thing) -> &'static str {
    match thing {
        Thing::OutputFloor => "max_output_tokens",
        Thing::Temperature => "temperature",
        Thing::TopP => "top_p",
        Thing::Logprobs => "top_logprobs",
        Thing::JsonObject | Thing::JsonSchema | Thing::SchemaNote => "text.format",
        Thing::Verbosity => "text.verbosity",
        Thing::Thinking => "reasoning.effort",
        Thing::ThinkingShown => "reasoning.summary",
        Thing::ServiceTier => "service_tier",
        Thing::User => "user",
        Thing::Metadata => "metadata",
        Thing::Store => "store",
        Thing::CacheKey => "prompt_cache_key",
        Thing::BlockCache => "prompt_cache_breakpoint",
        Thing::CacheTtl => "prompt_cache_breakpoint.ttl",
        Thing::ToolStrict => "strict",
        Thing::ToolNone | Thing::ToolRequired | Thing::ToolNamed | Thing::ToolSubset | Thing::OtherChoice => {
            "tool_choice"
        }
        Thing::ParallelOff => "parallel_tool_calls",
        Thing::Image | Thing::ImageUrl => "image_url",
        Thing::ImageDetail => "detail",
        Thing::Document => "file_data",
        Thing::DocumentUrl => "file_url",
        Thing::DocumentTitle => "filename",
        Thing::File => "file_id",
        Thing::Audio => "input_audio",
        Thing::Citations => "annotations",
        Thing::Refusal => "refusal",
        Thing::ResultMedia => "output",
        Thing::TopK
        | Thing::Seed
        | Thing::PresencePenalty
        | Thing::FrequencyPenalty
        | Thing::LogitBias
        | Thing::Choices
        | Thing::StopSequences
        | Thing::Sound
        | Thing::Cache
        | Thing::ToolCache
        | Thing::OtherTool
        | Thing::Name
        | Thing::Prefill
        | Thing::LateSystem
        | Thing::Video
        | Thing::DocumentText
        | Thing::DocumentContext
        | Thing::DocumentCitations
        | Thing::OtherSource
        | Thing::PastSound
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

/// Why a run ended, by its state and by what it gave.
pub(super) fn stop(status: &str, incomplete: Option<&str>, called: bool, refused: bool) -> Stop {
    let reason = match (status, incomplete) {
        ("completed", _) if called => StopReason::Call,
        ("completed", _) if refused => StopReason::Refused,
        ("completed", _) => StopReason::End,
        ("incomplete", Some("content_filter")) => StopReason::Filtered,
        ("incomplete", None | Some("steered")) => StopReason::Paused,
        // `max_output_tokens`, `max_messages`, and whatever limit comes later: the answer is not whole.
        ("incomplete", Some(_)) => StopReason::Length,
        _ => StopReason::Other,
    };
    Stop::new(reason, Some(incomplete.unwrap_or(status)))
}

/// The state of a run for a reason, and its reason for being incomplete.
pub(super) fn status(stop: &Stop) -> (&'static str, Option<&'static str>) {
    match stop.reason {
        StopReason::Length | StopReason::ContextFull => ("incomplete", Some("max_output_tokens")),
        StopReason::Filtered => ("incomplete", Some("content_filter")),
        StopReason::Paused => ("incomplete", None),
        StopReason::BrokenCall => ("failed", None),
        StopReason::End
        | StopReason::Sequence
        | StopReason::Call
        | StopReason::Refused
        | StopReason::Other => ("completed", None),
    }
}

/// Encrypted reasoning as its provider takes it back: only together with the id of its item, which other dialects have
/// no place for.
pub(super) fn seal(id: Option<&str>, encrypted: &str, provider: Option<&str>) -> Seal {
    Seal {
        dialect: DIALECT,
        provider: provider.map(str::to_owned),
        kind: SealKind::Encrypted,
        value: format!("{}:{encrypted}", id.unwrap_or_default()),
    }
}

/// A caller's `encrypted_content`: our own, or what another dialect's maker signed.
pub(super) fn unwrap(id: Option<&str>, encrypted: &str) -> Seal {
    let found = Seal::unwrap(DIALECT, SealKind::Encrypted, encrypted);
    // A wrapped seal names its provider; what is not wrapped is the dialect's own.
    if found.dialect == DIALECT && found.provider.is_none() { seal(id, encrypted, None) } else { found }
}

/// Id and encrypted content of a seal of ours.
pub(super) fn unsealed(seal: &Seal) -> (Option<&str>, &str) {
    let (id, encrypted) = seal.value.split_once(':').unwrap_or(("", &seal.value));
    (Some(id).filter(|id| !id.is_empty()), encrypted)
}

/// The effort that is nearest to what is asked for; none where nothing is.
pub(super) fn effort(thinking: &Thinking) -> Option<Effort> {
    let of_mode = |mode| match mode {
        ThinkingMode::Off => Some(Effort::None),
        ThinkingMode::Adaptive => None,
        ThinkingMode::Budget(..=LOW_BUDGET) => Some(Effort::Low),
        ThinkingMode::Budget(..=MEDIUM_BUDGET) => Some(Effort::Medium),
        ThinkingMode::Budget(_) => Some(Effort::High),
    };
    thinking.effort.or_else(|| thinking.mode.and_then(of_mode))
}

/// How a summary of thoughts is asked for. Who has thinking switched on in another dialect sees it unless told otherwise.
pub(super) fn summary(thinking: &Thinking) -> Option<&str> {
    let on = matches!(thinking.mode, Some(ThinkingMode::Adaptive | ThinkingMode::Budget(_)));
    match thinking.shown.as_deref() {
        Some("omitted") => None,
        Some(word @ ("auto" | "concise" | "detailed")) => Some(word),
        Some(_) => Some("auto"),
        None => on.then_some("auto"),
    }
}
