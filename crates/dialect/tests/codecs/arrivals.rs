//! What a crossing does not report as lost arrives: read again in the target's dialect, it is what the caller said. With
//! `crossings`, which holds what is reported to losses.toml, nothing is lost silently.

use super::crossings::said;
use super::ground::{codecs, placeless, target};
use keyway_dialect::canon::{
    Block, Document, Format, Media, Part, Request, Role, ThinkingMode, ToolBody, ToolChoice,
};
use keyway_dialect::codec::Envelope;
use keyway_dialect::losses::Thing;
use keyway_dialect::quirk::Quirks;
use std::fmt::Debug;

#[test]
fn what_is_not_reported_as_lost_arrives() {
    let quirks = Quirks::default();
    let mut astray = Vec::new();
    let mut arrived = 0;
    for (from, from_name) in codecs() {
        for (to, to_name) in codecs().into_iter().filter(|(to, _)| to.dialect() != from.dialect()) {
            for thing in Thing::ALL {
                let Some((_, request)) = said(from, *thing) else { continue };
                let Ok(encoded) = to.encode_request(&request, &target(&quirks)) else { continue };
                // A mark that is lost lives for no time.
                let also = if *thing == Thing::CacheTtl { Thing::BlockCache } else { *thing };
                if encoded.lost.iter().any(|lost| lost.thing == *thing || lost.thing == also) {
                    continue;
                }
                let envelope = Envelope { model: "target-model", stream: true };
                let again = to.decode_request(&encoded.body, &envelope).unwrap();
                let (before, after) = (told(*thing, &request), told(*thing, &placeless(again)));
                arrived += 1;
                if before != after {
                    let body = encoded.body.escape_ascii();
                    let what = thing.as_str();
                    astray.push(format!(
                        "{what} from {from_name} to {to_name}: {before} became {after}: {body}"
                    ));
                }
            }
        }
    }
    assert!(astray.is_empty(), "{} of {arrived}: {astray:#?}", astray.len());
    assert!(arrived > 400, "{arrived} things crossed");
}

/// What a request says of a thing, in nobody's words.
#[expect(clippy::too_many_lines, reason = "a table: one arm for each thing")]
fn told(thing: Thing, request: &Request) -> String {
    let blocks = || request.turns.iter().flat_map(|turn| &turn.blocks).flat_map(with_results);
    let sampling = &request.sampling;
    match thing {
        Thing::OutputFloor => shown(request.max_tokens),
        Thing::Temperature => shown(sampling.temperature),
        Thing::TopP => shown(sampling.top_p),
        Thing::TopK => shown(sampling.top_k),
        Thing::Seed => shown(sampling.seed),
        Thing::PresencePenalty => shown(sampling.presence_penalty),
        Thing::FrequencyPenalty => shown(sampling.frequency_penalty),
        Thing::LogitBias => shown(&sampling.logit_bias),
        Thing::Choices => shown(request.choices),
        Thing::Logprobs => shown(request.logprobs),
        Thing::StopSequences => shown(&request.stop),
        Thing::JsonObject | Thing::JsonSchema => match &request.format {
            Format::Schema { schema, .. } => shown(schema),
            other => shown(other),
        },
        Thing::SchemaNote => match &request.format {
            Format::Schema { description, .. } => shown(description),
            other => shown(other),
        },
        Thing::Verbosity => shown(&request.verbosity),
        // Efforts and budgets stand for each other.
        Thing::Thinking => {
            let budget =
                matches!(request.thinking.mode, Some(ThinkingMode::Adaptive | ThinkingMode::Budget(_)));
            shown(budget || request.thinking.effort.is_some())
        }
        // Words for how much is shown differ.
        Thing::ThinkingShown => shown(request.thinking.shown.is_some()),
        Thing::Sound => shown(&request.sound),
        Thing::ServiceTier => shown(&request.service_tier),
        Thing::User => shown(&request.user),
        Thing::Metadata => shown(&request.metadata),
        Thing::Store => shown(request.store),
        Thing::CacheKey => shown(&request.cache_key),
        // A mark on the whole request becomes one on its end.
        Thing::Cache => shown(request.cache.is_some() || blocks().any(|block| block.cache.is_some())),
        Thing::BlockCache | Thing::CacheTtl => list(blocks().filter_map(|block| block.cache.as_ref())),
        Thing::ToolCache => list(request.tools.iter().filter_map(|tool| tool.cache.as_ref())),
        Thing::OtherTool | Thing::ToolStrict => list(request.tools.iter().map(|tool| match &tool.body {
            ToolBody::Function { strict, .. } => shown(strict),
            ToolBody::Other { raw, .. } => shown(raw),
        })),
        Thing::ToolNone | Thing::ToolRequired | Thing::ToolNamed | Thing::ToolSubset | Thing::OtherChoice => {
            callable(request)
        }
        Thing::ParallelOff => shown(request.parallel_calls),
        Thing::Name => list(request.turns.iter().filter_map(|turn| turn.name.as_ref())),
        Thing::Prefill | Thing::LateSystem => {
            list(request.turns.iter().map(|turn| turn.role == Role::Assistant))
        }
        Thing::Image | Thing::ImageUrl | Thing::ImageDetail | Thing::ResultMedia => {
            list(blocks().filter_map(|block| match &block.part {
                Part::Image(Media { source, detail }) => {
                    Some((source, detail.as_ref().filter(|_| thing == Thing::ImageDetail)))
                }
                _ => None,
            }))
        }
        Thing::Audio | Thing::Video => list(blocks().filter_map(|block| match &block.part {
            Part::Audio(media) | Part::Video(media) => Some(&media.source),
            _ => None,
        })),
        // As text or as a file.
        Thing::DocumentText => {
            let all = shown(&request.turns);
            shown(all.contains("words") || all.contains("d29yZHM"))
        }
        Thing::Document | Thing::DocumentUrl | Thing::File | Thing::OtherSource => {
            documents(request, |document| shown(&document.source))
        }
        Thing::DocumentTitle => documents(request, |document| shown(&document.title)),
        Thing::DocumentContext => documents(request, |document| shown(&document.context)),
        Thing::DocumentCitations => documents(request, |document| shown(document.citations)),
        Thing::PastSound | Thing::OtherPart | Thing::CustomCall | Thing::Refusal => {
            list(blocks().filter_map(|block| match &block.part {
                Part::Sound(_) | Part::Other { .. } | Part::Call(_) | Part::Refusal(_) => Some(&block.part),
                _ => None,
            }))
        }
        Thing::Citations => list(blocks().filter_map(|block| match &block.part {
            Part::Text { citations, .. } if !citations.is_empty() => {
                Some(citations.iter().map(|one| (&one.title, &one.quote)).collect::<Vec<_>>())
            }
            _ => None,
        })),
        Thing::Reasoning => list(blocks().filter_map(|block| match &block.part {
            Part::Reasoning(thought) => Some(&thought.text),
            _ => None,
        })),
        Thing::Extra | Thing::NeededExtra => shown(&request.extra),
        // Conversations have none of these.
        Thing::Operation
        | Thing::TokenInput
        | Thing::ManyInputs
        | Thing::NumberForm
        | Thing::Task
        | Thing::Truncation
        | Thing::DocumentTokens => String::new(),
    }
}

/// Whether the model must call, and what it may: a tool that it may not call can be left out as well.
fn callable(request: &Request) -> String {
    let all = request.tools.iter().filter_map(|tool| match &tool.body {
        ToolBody::Function { name, .. } => Some(name.as_str()),
        ToolBody::Other { .. } => None,
    });
    match &request.tool_choice {
        Some(ToolChoice::None) => shown((false, Vec::<&str>::new())),
        None | Some(ToolChoice::Auto) => shown((false, all.collect::<Vec<_>>())),
        Some(ToolChoice::Required) => shown((true, all.collect::<Vec<_>>())),
        Some(ToolChoice::Named(name)) => shown((true, vec![name.as_str()])),
        Some(ToolChoice::Subset { required, names }) => shown((required, names)),
        Some(ToolChoice::Other(_, raw)) => shown(raw),
    }
}

/// A block, and what stands in it where it is a result.
fn with_results(block: &Block) -> Vec<&Block> {
    let mut all = vec![block];
    if let Part::Result(result) = &block.part {
        all.extend(&result.content);
    }
    all
}

fn documents(request: &Request, of: impl Fn(&Document) -> String) -> String {
    let blocks = request.turns.iter().flat_map(|turn| &turn.blocks);
    list(blocks.filter_map(|block| match &block.part {
        Part::Document(document) => Some(of(document)),
        _ => None,
    }))
}

fn list(all: impl Iterator<Item = impl Debug>) -> String {
    shown(all.collect::<Vec<_>>())
}

fn shown(value: impl Debug) -> String {
    format!("{value:?}")
}
