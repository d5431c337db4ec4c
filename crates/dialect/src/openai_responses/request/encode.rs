//! A request for a target, and what of it this dialect cannot say.

use super::super::wire::{DIALECT, INCLUDE_LOGPROBS, INCLUDE_SEALED, OUTPUT_FLOOR, effort, summary};
use super::{input, tools};
use crate::canon::{Effort, Format, Part, Raw, Request};
use crate::codec::{Encoded, Target};
use crate::json::{Json, Value};
use crate::losses::{Losses, Spot, Thing, Unsupported};
use keyway_proto::snapshot::v1::Dialect;

pub(crate) fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut losses = Losses::new(request.origin, DIALECT);
    let mut body = Vec::with_capacity(1024);
    let json = &mut Json::new(&mut body);
    json.open_object().member("model", target.model);
    input::write(json, request, target, &mut losses)?;
    tools::write(json, request, target, &mut losses)?;
    limits(json, request, target, &mut losses)?;
    text(json, request, target, &mut losses)?;
    thinking(json, request, target, &mut losses)?;
    include(json, request, target, &losses);
    losses.report_if(request.sound.is_some(), Thing::Sound, Spot::Request)?;
    json.maybe("service_tier", tier(request, &mut losses)?).maybe("user", request.user.as_deref());
    json.maybe_raw("metadata", request.metadata.as_ref());
    // Here the provider keeps answers unless told not to; in other dialects nobody expects it.
    json.maybe_flag("store", request.store.or((!losses.is_same()).then_some(false)));
    json.maybe("prompt_cache_key", request.cache_key.as_deref());
    losses.report_if(request.cache.is_some(), Thing::Cache, Spot::Request)?;
    if request.stream {
        json.key("stream").flag(true);
    }
    let nested = ["stream_options"].into_iter().filter(|name| has(request, name));
    for name in nested.collect::<Vec<_>>() {
        json.key(name).open_object();
        losses.nested(&request.extra, name, json);
        json.close_object();
    }
    extras(json, request, &mut losses)?;
    json.close_object();
    Ok(Encoded { body: body.into(), lost: losses.into_lost() })
}

/// True if the object `within` has members that the model does not know.
fn has(request: &Request, within: &str) -> bool {
    request.origin == DIALECT && request.extra.iter().any(|extra| extra.within == within)
}

/// What is left of `include` stands in the list that has been written.
fn extras(json: &mut Json<'_>, request: &Request, losses: &mut Losses) -> Result<(), Unsupported> {
    if !losses.is_same() {
        return losses.extras(&request.extra, Spot::Request, json);
    }
    for extra in request.extra.iter().filter(|extra| extra.within.is_empty() && extra.name != "include") {
        json.key(&extra.name).raw(&extra.raw);
    }
    Ok(())
}

/// Thoughts come back sealed if the caller wants them so; to another dialect's caller they are the only form in which
/// they can go back to their maker, which keeps nothing.
fn include(json: &mut Json<'_>, request: &Request, target: &Target<'_>, losses: &Losses) {
    let thoughts = request.turns.iter().flat_map(|turn| &turn.blocks).any(|block| match &block.part {
        Part::Reasoning(thought) => thought.seal.as_ref().is_some_and(|seal| seal.dialect == DIALECT),
        _ => false,
    });
    let thinks = effort(&request.thinking).is_some_and(|effort| effort != Effort::None);
    let sealed = request.thinking.sealed || (!losses.is_same() && (thoughts || thinks));
    let own = request.extra.iter().find(|extra| extra.name == "include" && extra.within.is_empty());
    let own = own.filter(|_| losses.is_same()).map(|extra| items(&extra.raw)).unwrap_or_default();
    let logprobs = request.logprobs.is_some() && !target.quirks.no_logprobs;
    if !sealed && !logprobs && own.is_empty() {
        return;
    }
    json.key("include").open_list();
    if sealed {
        json.text(INCLUDE_SEALED);
    }
    if logprobs {
        json.text(INCLUDE_LOGPROBS);
    }
    for word in &own {
        json.text(word);
    }
    json.close_list();
}

fn items(list: &Raw) -> Vec<String> {
    let words = Value::parse(list.as_str().as_bytes()).and_then(|list| list.each(|_, word| word.text()));
    words.unwrap_or_default()
}

fn limits(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let low = |tokens: &u64| *tokens < OUTPUT_FLOOR && !losses.is_same();
    let low = request.max_tokens.as_ref().is_some_and(low);
    losses.report_if(low, Thing::OutputFloor, Spot::Request)?;
    json.maybe_number("max_output_tokens", if low { Some(OUTPUT_FLOOR) } else { request.max_tokens });
    let drawn = &request.sampling;
    if target.quirks.no_sampling {
        losses.report_if(drawn.temperature.is_some(), Thing::Temperature, Spot::Request)?;
        losses.report_if(drawn.top_p.is_some(), Thing::TopP, Spot::Request)?;
    } else {
        json.maybe_number("temperature", drawn.temperature).maybe_number("top_p", drawn.top_p);
    }
    let unknown = [
        (drawn.top_k.is_some(), Thing::TopK),
        (drawn.seed.is_some(), Thing::Seed),
        (drawn.presence_penalty.is_some(), Thing::PresencePenalty),
        (drawn.frequency_penalty.is_some(), Thing::FrequencyPenalty),
        (drawn.logit_bias.is_some(), Thing::LogitBias),
        (!request.stop.is_empty(), Thing::StopSequences),
        (request.choices.is_some_and(|count| count > 1), Thing::Choices),
    ];
    unknown.into_iter().try_for_each(|(there, thing)| losses.report_if(there, thing, Spot::Request))?;
    if target.quirks.no_logprobs {
        return losses.report_if(request.logprobs.is_some(), Thing::Logprobs, Spot::Request);
    }
    if let Some(top) = request.logprobs.map(|logprobs| logprobs.top).filter(|top| *top > 0) {
        json.key("top_logprobs").count(top.into());
    }
    Ok(())
}

/// The form of the answer and how wordy it is.
fn text(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let more = has(request, "text") || has(request, "text.format");
    if request.format == Format::Text && request.verbosity.is_none() && !more {
        return Ok(());
    }
    json.key("text").open_object().maybe("verbosity", request.verbosity.as_deref());
    json.key("format").open_object();
    match &request.format {
        Format::Text => {
            json.member("type", "text");
        }
        Format::Object => {
            json.member("type", "json_object");
        }
        Format::Schema { name, description, schema, strict } => {
            losses.report_if(target.quirks.no_json_schema, Thing::JsonSchema, Spot::Request)?;
            // The dialect wants a name.
            json.member("type", "json_schema").member("name", name.as_deref().unwrap_or("answer"));
            json.maybe("description", description.as_deref()).key("schema").raw(schema);
            if target.quirks.no_strict {
                losses.report_if(*strict == Some(true), Thing::SchemaNote, Spot::Request)?;
            } else {
                json.maybe_flag("strict", *strict);
            }
        }
    }
    losses.nested(&request.extra, "text.format", json);
    json.close_object();
    losses.nested(&request.extra, "text", json);
    json.close_object();
    Ok(())
}

fn thinking(
    json: &mut Json<'_>,
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let same = losses.is_same();
    let efforts = target.quirks.efforts;
    // That a model without settings for it does not think needs no saying.
    let said = |effort: &Effort| same || *effort != Effort::None || !efforts.is_empty();
    let effort = effort(&request.thinking).filter(said);
    let effort = effort.map(|effort| if same { effort } else { efforts.nearest(effort) });
    let summary = if same { request.thinking.shown.as_deref() } else { summary(&request.thinking) };
    if target.quirks.no_thinking {
        losses.report_if(effort.is_some(), Thing::Thinking, Spot::Request)?;
        return losses.report_if(request.thinking.shown.is_some(), Thing::ThinkingShown, Spot::Request);
    }
    if effort.is_some() || summary.is_some() || has(request, "reasoning") {
        json.key("reasoning")
            .open_object()
            .maybe("effort", effort.map(Effort::as_str))
            .maybe("summary", summary);
        losses.nested(&request.extra, "reasoning", json);
        json.close_object();
    }
    Ok(())
}

/// Tiers are the provider's own words, the same in both of its dialects; another's mean something else.
fn tier<'r>(request: &'r Request, losses: &mut Losses) -> Result<Option<&'r str>, Unsupported> {
    let own = losses.is_same() || request.origin == Dialect::OpenaiChat;
    losses.report_if(request.service_tier.is_some() && !own, Thing::ServiceTier, Spot::Request)?;
    Ok(request.service_tier.as_deref().filter(|_| own))
}
