//! Words of the dialect: fields, reasons, plans, counts, sources.

use crate::canon::{Citation, Raw, Reasoning, Seal, SealKind, Stop, StopReason};
use crate::json::{Fields, Json, Malformed, Value};
use crate::losses::Thing;
use crate::usage::{COUNT_LIMIT, Usage};
use keyway_proto::snapshot::v1::{Dialect, Meter};
use std::borrow::Cow;

pub(super) const DIALECT: Dialect = Dialect::CohereChat;
/// Stop sequences that a request may have.
pub(super) const STOP_LIMIT: usize = 5;
/// The field of plans, which is the id of such a thought and its seal.
pub(super) const PLAN: &str = "tool_plan";

/// Where a thing stands, seen from its place.
pub(super) fn spelling(thing: Thing) -> &'static str {
    match thing {
        Thing::OutputFloor => "max_tokens",
        Thing::Temperature => "temperature",
        Thing::TopP => "p",
        Thing::TopK => "k",
        Thing::Seed => "seed",
        Thing::PresencePenalty => "presence_penalty",
        Thing::FrequencyPenalty => "frequency_penalty",
        Thing::Logprobs => "logprobs",
        Thing::StopSequences => "stop_sequences",
        Thing::JsonObject | Thing::JsonSchema => "response_format",
        Thing::Thinking => "thinking",
        Thing::ToolNone | Thing::ToolRequired => "tool_choice",
        Thing::Image | Thing::ImageUrl => "image_url.url",
        Thing::ImageDetail => "image_url.detail",
        Thing::DocumentText | Thing::ResultMedia => "document",
        Thing::Citations => "citations",
        Thing::Reasoning => "thinking",
        Thing::LogitBias
        | Thing::Choices
        | Thing::SchemaNote
        | Thing::Verbosity
        | Thing::ThinkingShown
        | Thing::Sound
        | Thing::ServiceTier
        | Thing::User
        | Thing::Metadata
        | Thing::Store
        | Thing::CacheKey
        | Thing::Cache
        | Thing::BlockCache
        | Thing::ToolCache
        | Thing::CacheTtl
        | Thing::OtherTool
        | Thing::ToolStrict
        | Thing::ToolNamed
        | Thing::ToolSubset
        | Thing::OtherChoice
        | Thing::ParallelOff
        | Thing::Name
        | Thing::Prefill
        | Thing::LateSystem
        | Thing::Audio
        | Thing::Video
        | Thing::Document
        | Thing::DocumentUrl
        | Thing::DocumentTitle
        | Thing::DocumentContext
        | Thing::DocumentCitations
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
        "COMPLETE" => StopReason::End,
        "STOP_SEQUENCE" => StopReason::Sequence,
        "MAX_TOKENS" => StopReason::Length,
        "TOOL_CALL" => StopReason::Call,
        "ERROR_TOXIC" => StopReason::Filtered,
        _ => StopReason::Other,
    };
    Stop::new(reason, Some(native))
}

/// The nearest word for a reason. What was cut short is no complete answer; the word for a filter is the one of the
/// older version, since the newer has none and leaves its list open.
pub(super) fn finish_reason(stop: &Stop) -> &'static str {
    match stop.reason {
        StopReason::End | StopReason::Refused => "COMPLETE",
        StopReason::Sequence => "STOP_SEQUENCE",
        StopReason::Length | StopReason::ContextFull | StopReason::Paused => "MAX_TOKENS",
        StopReason::Call => "TOOL_CALL",
        StopReason::Filtered => "ERROR_TOXIC",
        StopReason::BrokenCall => "ERROR",
        StopReason::Other if stop.native.as_deref() == Some("TIMEOUT") => "TIMEOUT",
        StopReason::Other => "ERROR",
    }
}

/// The seal of a maker that seals nothing: it names the maker and tells a plan from other thoughts, which ids of thoughts
/// do not do in every dialect that carries them.
pub(super) fn seal(provider: Option<&str>, is_plan: bool) -> Seal {
    Seal {
        dialect: DIALECT,
        provider: provider.map(str::to_owned),
        kind: SealKind::Signature,
        value: if is_plan { PLAN.to_owned() } else { String::new() },
    }
}

pub(super) fn is_plan(thought: &Reasoning) -> bool {
    let sealed = thought.seal.as_ref().is_some_and(|seal| seal.dialect == DIALECT && seal.value == PLAN);
    sealed || thought.id.as_deref() == Some(PLAN)
}

/// A call's arguments as the text of a JSON object: none at all are an empty one; what is none is wrapped.
pub(super) fn arguments(text: &str) -> Cow<'_, str> {
    if text.trim().is_empty() {
        return Cow::Borrowed("{}");
    }
    if Raw::parse(text).is_some() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::new();
    Json::new(&mut out).open_object().member("_raw", text).close_object();
    String::from_utf8(out).map_or(Cow::Borrowed("{}"), Cow::Owned)
}

/// One source. The dialect's own stay as they are.
pub(super) fn citation(value: Value<'_>) -> Result<Citation, Malformed> {
    let mut fields = value.fields()?;
    let span = fields.count("start")?.zip(fields.count("end")?);
    let quote = fields.text("text")?;
    let sources = fields.with("sources", |list| list.each(|_, source| origin(source.fields()?)))?;
    let (url, title) = sources.into_iter().flatten().next().unwrap_or_default();
    Ok(Citation { url, title, quote, span, raw: Some((DIALECT, value.raw())) })
}

/// Address and title of a document, where they are told.
fn origin(mut source: Fields<'_>) -> Result<(Option<String>, Option<String>), Malformed> {
    let read = |document: Value<'_>| {
        let mut document = document.fields()?;
        let mut word = |name| document.text(name).ok().flatten();
        Ok((word("url"), word("title")))
    };
    Ok(source.with("document", read)?.unwrap_or_default())
}

pub(super) fn write_citation(json: &mut Json<'_>, citation: &Citation) {
    if let Some((DIALECT, raw)) = &citation.raw {
        json.raw(raw);
        return;
    }
    json.open_object();
    if let Some((start, end)) = citation.span {
        json.key("start").count(start).key("end").count(end);
    }
    json.member("text", citation.quote.as_deref().unwrap_or_default()).key("sources").open_list();
    json.open_object().member("type", "document").key("document").open_object();
    json.maybe("title", citation.title.as_deref()).maybe("url", citation.url.as_deref());
    json.close_object().close_object().close_list().member("type", "TEXT_CONTENT").close_object();
}

/// What is billed, which is less than what the model has read; cached tokens stand beside it. None if a count cannot be.
pub(super) fn usage(value: Value<'_>) -> Option<Usage> {
    let mut fields = value.fields().ok()?;
    let cached = count(&mut fields, "cached_tokens")?.unwrap_or_default();
    let mut units = fields.take("billed_units").map(Value::fields).transpose().ok()?;
    // Reranks are billed by these; beside tokens they are of a tool's searches, which have another price.
    let searches = units.as_mut().map_or(Some(None), |units| count(units, "search_units"))?;
    let mut billed = units.as_mut().map_or(Some((None, None)), tokens)?;
    // Pictures that were embedded stand beside the text.
    let images = units.as_mut().map_or(Some(None), |units| count(units, "image_tokens"))?;
    billed.0 = billed.0.or(images.map(|_| 0));
    if let (Some(searches), (None, None)) = (searches, billed) {
        return Some(Usage::of(&[(Meter::SearchUnits, searches)], 0));
    }
    let mut read = fields.take("tokens").map(Value::fields).transpose().ok()?;
    let read = read.as_mut().map_or(Some((None, None)), tokens)?;
    let (input, output) = match (billed, read) {
        ((Some(input), output), _) => (input, output),
        ((None, output), (Some(all), read)) => (all.saturating_sub(cached), output.or(read)),
        ((None, output), (None, read)) => (0, Some(output.or(read)?)),
    };
    let counts = [
        (Meter::Input, input),
        (Meter::ImageInput, images.unwrap_or_default()),
        (Meter::CacheRead, cached),
        (Meter::Output, output.unwrap_or_default()),
    ];
    Some(Usage::of(&counts, 0))
}

type Count = Option<u64>;

/// Tokens in and out of one object; none if one of them cannot be.
fn tokens(object: &mut Fields<'_>) -> Option<(Count, Count)> {
    Some((count(object, "input_tokens")?, count(object, "output_tokens")?))
}

/// Counts are floats here. None if it is there and cannot be; the bound is checked before the conversion, which then
/// loses nothing.
fn count(fields: &mut Fields<'_>, name: &str) -> Option<Count> {
    let Some(number) = fields.number(name).ok()? else { return Some(None) };
    let whole = number.fract() == 0.0 && (0.0..=COUNT_LIMIT as f64).contains(&number);
    whole.then_some(Some(number as u64))
}

pub(super) fn write_usage(json: &mut Json<'_>, usage: &Usage) {
    let cached = usage.cached();
    let (input, output) = (usage.input_total(), usage.output_total());
    json.open_object();
    for (name, input) in [("billed_units", input.saturating_sub(cached)), ("tokens", input)] {
        json.key(name).open_object().key("input_tokens").count(input);
        json.key("output_tokens").count(output).close_object();
    }
    json.maybe_number("cached_tokens", Some(cached).filter(|cached| *cached > 0)).close_object();
}

/// Probabilities as OpenAI has them: one entry for each piece of text, whose tokens' probabilities multiply.
pub(super) fn logprobs(item: Value<'_>) -> Result<Raw, Malformed> {
    let mut item = item.fields()?;
    let text = item.text("text")?.unwrap_or_default();
    let each = item.with("logprobs", |list| list.each(|_, one| one.number()))?.unwrap_or_default();
    let mut out = Vec::new();
    let json = &mut Json::new(&mut out);
    json.open_list().open_object().member("token", &text).key("logprob").number(each.iter().sum::<f64>());
    json.key("bytes").null().key("top_logprobs").open_list().close_list();
    json.maybe_raw("token_ids", item.raw("token_ids").as_ref()).close_object().close_list();
    String::from_utf8(out)
        .ok()
        .and_then(|text| Raw::parse(&text))
        .ok_or_else(|| Malformed::new("cannot be written"))
}

/// Entries of OpenAI's form as items of this dialect; what is no such list writes none.
pub(super) fn write_logprobs(json: &mut Json<'_>, raw: &Raw) {
    let read = |entry: Value<'_>| {
        let mut entry = entry.fields()?;
        Ok((entry.text("token")?, entry.number("logprob")?, entry.raw("token_ids")))
    };
    let entries = Value::parse(raw.as_str().as_bytes()).and_then(|list| list.each(|_, entry| read(entry)));
    for (token, logprob, ids) in entries.unwrap_or_default() {
        json.open_object().maybe("text", token.as_deref()).key("token_ids");
        match &ids {
            Some(ids) => json.raw(ids),
            None => json.open_list().close_list(),
        };
        json.key("logprobs").open_list().number(logprob.unwrap_or_default()).close_list().close_object();
    }
}
