//! Words of the dialect: fields, reasons, numbers, base64, signatures. Both spellings of a field are read, `camelCase`
//! and `snake_case`; the first is written.

use crate::canon::{Seal, SealKind, Stop, StopReason, safe_id};
use crate::json::{Fields, Malformed, Value};
use crate::losses::Thing;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use keyway_proto::snapshot::v1::Dialect;

pub(super) const DIALECT: Dialect = Dialect::Gemini;
/// Reads base64 with or without its padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// How a wrapped seal begins in base64.
const WRAPPED: &str = "a3cx";

/// Reasons for an end, and what they mean; the first of a meaning is what is written. `STOP` is read elsewhere.
const REASONS: [(&str, StopReason); 22] = [
    ("STOP", StopReason::End),
    ("MAX_TOKENS", StopReason::Length),
    ("SAFETY", StopReason::Filtered),
    ("RECITATION", StopReason::Filtered),
    ("LANGUAGE", StopReason::Filtered),
    ("BLOCKLIST", StopReason::Filtered),
    ("PROHIBITED_CONTENT", StopReason::Filtered),
    ("SPII", StopReason::Filtered),
    ("IMAGE_SAFETY", StopReason::Filtered),
    ("IMAGE_PROHIBITED_CONTENT", StopReason::Filtered),
    ("IMAGE_RECITATION", StopReason::Filtered),
    ("MODEL_ARMOR", StopReason::Filtered),
    ("JAILBREAK", StopReason::Filtered),
    ("MALFORMED_FUNCTION_CALL", StopReason::BrokenCall),
    ("UNEXPECTED_TOOL_CALL", StopReason::BrokenCall),
    ("TOO_MANY_TOOL_CALLS", StopReason::BrokenCall),
    ("MISSING_THOUGHT_SIGNATURE", StopReason::BrokenCall),
    ("MALFORMED_RESPONSE", StopReason::BrokenCall),
    ("CONTINUATION", StopReason::Paused),
    ("OTHER", StopReason::Other),
    ("IMAGE_OTHER", StopReason::Other),
    ("NO_IMAGE", StopReason::Other),
];

/// Where a thing stands, seen from its place.
pub(super) fn spelling(thing: Thing) -> &'static str {
    match thing {
        Thing::OutputFloor => "generationConfig.maxOutputTokens",
        Thing::Temperature => "generationConfig.temperature",
        Thing::TopP => "generationConfig.topP",
        Thing::TopK => "generationConfig.topK",
        Thing::Seed => "generationConfig.seed",
        Thing::PresencePenalty => "generationConfig.presencePenalty",
        Thing::FrequencyPenalty => "generationConfig.frequencyPenalty",
        Thing::Choices => "generationConfig.candidateCount",
        Thing::Logprobs => "generationConfig.responseLogprobs",
        Thing::StopSequences => "generationConfig.stopSequences",
        Thing::JsonObject => "generationConfig.responseMimeType",
        Thing::JsonSchema | Thing::SchemaNote => "generationConfig.responseJsonSchema",
        Thing::Thinking => "generationConfig.thinkingConfig",
        Thing::ThinkingShown => "generationConfig.thinkingConfig.includeThoughts",
        Thing::Sound => "generationConfig.responseModalities",
        Thing::ServiceTier => "serviceTier",
        Thing::Metadata => "labels",
        Thing::Store => "store",
        Thing::ToolNone | Thing::ToolRequired | Thing::ToolNamed | Thing::ToolSubset | Thing::OtherChoice => {
            "toolConfig.functionCallingConfig"
        }
        Thing::Image | Thing::Audio | Thing::Video | Thing::Document | Thing::DocumentText => "inlineData",
        Thing::ImageUrl | Thing::DocumentUrl | Thing::File => "fileData.fileUri",
        Thing::DocumentTitle => "inlineData.displayName",
        Thing::ResultMedia => "functionResponse.parts",
        Thing::LogitBias
        | Thing::Verbosity
        | Thing::User
        | Thing::CacheKey
        | Thing::Cache
        | Thing::BlockCache
        | Thing::ToolCache
        | Thing::CacheTtl
        | Thing::OtherTool
        | Thing::ToolStrict
        | Thing::ParallelOff
        | Thing::Name
        | Thing::Prefill
        | Thing::LateSystem
        | Thing::ImageDetail
        | Thing::DocumentContext
        | Thing::DocumentCitations
        | Thing::OtherSource
        | Thing::PastSound
        | Thing::Citations
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

/// The members of one of the dialect's own objects. Schemas, arguments and results are the caller's and are read as
/// they are.
pub(crate) fn fields(value: Value<'_>) -> Result<Fields<'_>, Malformed> {
    value.fields()?.renamed(camel)
}

fn camel(name: &str) -> Option<String> {
    let (head, tail) = name.split_once('_').filter(|(head, _)| !head.is_empty())?;
    let mut out = head.to_owned();
    for word in tail.split('_') {
        let mut letters = word.chars();
        out.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    Some(out)
}

/// A whole number as protobuf's JSON allows it: with a fraction of zero, or as a text of digits.
pub(super) fn whole(value: Value<'_>) -> Result<i64, Malformed> {
    let bad = Malformed::new("must be a whole number");
    if value.is_text() {
        return value.text()?.parse().map_err(|_| bad);
    }
    value.whole().or_else(|_| value.number()?.to_string().parse().map_err(|_| bad))
}

/// As `whole`, of 0 or more.
pub(super) fn count(value: Value<'_>) -> Result<u64, Malformed> {
    let within = |whole| u64::try_from(whole).map_err(|_| Malformed::new("must be 0 or more"));
    // Any count that another dialect takes is one here.
    value.count().or_else(|_| whole(value).and_then(within))
}

/// As `count`, within 32 bits.
pub(super) fn small(value: Value<'_>) -> Result<u32, Malformed> {
    u32::try_from(whole(value)?).map_err(|_| Malformed::new("must be from 0 to 4294967295"))
}

/// Why an answer ended. The dialect has no word for calls: they are seen in the answer.
pub(super) fn stop(native: &str, called: bool) -> Stop {
    let found =
        REASONS.iter().find(|(word, _)| *word == native).map_or(StopReason::Other, |(_, reason)| *reason);
    let reason = if called && found == StopReason::End { StopReason::Call } else { found };
    Stop::new(reason, Some(native))
}

/// The dialect's word for a reason: the provider's own where it is one.
pub(super) fn finish_reason(stop: &Stop) -> &'static str {
    let reason = match stop.reason {
        StopReason::Call | StopReason::Sequence => StopReason::End,
        StopReason::ContextFull => StopReason::Length,
        StopReason::Refused => StopReason::Filtered,
        reason => reason,
    };
    let native = stop.native.as_deref().and_then(|word| REASONS.iter().find(|(own, _)| *own == word));
    // An end by a pause is no end; without a token to go on with, the limit is the nearest.
    let usual = || match reason {
        StopReason::Paused => Some(&("MAX_TOKENS", StopReason::Length)),
        reason => REASONS.iter().find(|(_, meaning)| *meaning == reason),
    };
    native.filter(|(_, meaning)| *meaning == reason).or_else(usual).map_or("OTHER", |(word, _)| word)
}

/// Base64 in the usual alphabet, whichever it came in: the SDK writes the one for URLs.
pub(super) fn standard(mut data: String) -> String {
    if data.contains(['-', '_']) {
        data = data.replace('-', "+").replace('_', "/");
    }
    while !data.len().is_multiple_of(4) {
        data.push('=');
    }
    data
}

/// Text as base64.
pub(super) fn base64(text: &str) -> String {
    general_purpose::STANDARD.encode(text)
}

/// The text that base64 of the usual alphabet holds, if it holds text.
pub(super) fn text_of(data: &str) -> Option<String> {
    String::from_utf8(LENIENT.decode(data).ok()?).ok()
}

/// What a `thoughtSignature` of a caller is. The field holds bytes, so that another dialect's seal stands in base64.
pub(super) fn seal(signature: String) -> Seal {
    let wrapped = Some(&signature).filter(|value| value.starts_with(WRAPPED));
    let wrapped = wrapped.and_then(|value| text_of(&standard(value.clone())));
    let foreign = wrapped.map(|text| Seal::unwrap(DIALECT, SealKind::Signature, &text));
    foreign.filter(|seal| seal.dialect != DIALECT).unwrap_or(Seal {
        dialect: DIALECT,
        provider: None,
        kind: SealKind::Signature,
        value: signature,
    })
}

/// The `thoughtSignature` for a caller; none where its maker seals nothing and needs no naming.
pub(super) fn signature(seal: &Seal) -> Option<String> {
    if seal.dialect == DIALECT {
        return Some(seal.value.clone()).filter(|value| !value.is_empty());
    }
    Some(base64(&seal.wrap(DIALECT)))
}

/// An id for a call that came without one: the same for the same seed, which must tell calls of one conversation apart.
pub(super) fn mint(seed: impl std::fmt::Debug) -> String {
    safe_id(&format!("gemini {seed:?}")).into_owned()
}
