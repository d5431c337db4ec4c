//! What of a reply callers of a dialect do not hear, since it has no place for it. Answers are never refused for that.

use crate::anthropic_messages::tier;
use crate::canon::{Citation, Part, Response, Source, Stop, StopReason};
use keyway_proto::snapshot::v1::Dialect::{
    self, AnthropicMessages, BedrockConverse, CohereChat, Gemini, OpenaiChat, OpenaiResponses,
};

/// Something that replies may say.
struct Told {
    /// Its name in losses.toml.
    name: &'static str,
    /// Who has no place for it.
    deaf: &'static [Dialect],
    /// Whether a reply says it.
    is_in: fn(&Response) -> bool,
}

const TOLD: [Told; 11] = [
    Told { name: "pictures", deaf: &[AnthropicMessages, CohereChat], is_in: |reply| any(reply, is_picture) },
    // The others have a place only for those that stand in the reply itself.
    Told {
        name: "pictures",
        deaf: &[BedrockConverse, Gemini, OpenaiChat, OpenaiResponses],
        is_in: |reply| any(reply, is_elsewhere),
    },
    Told {
        name: "quotes",
        deaf: &[AnthropicMessages, OpenaiChat, OpenaiResponses],
        is_in: |reply| cites(reply, |one| one.quote.as_ref().is_some_and(|quote| !quote.is_empty())),
    },
    Told {
        name: "reason",
        deaf: &[CohereChat],
        is_in: |reply| ends(reply, |stop| stop.reason == StopReason::Refused),
    },
    Told {
        name: "reasoning_tokens",
        deaf: &[BedrockConverse, CohereChat],
        is_in: |reply| reply.usage.is_some_and(|usage| usage.reasoning() > 0),
    },
    Told {
        name: "refusal",
        deaf: &[AnthropicMessages, BedrockConverse, CohereChat, Gemini],
        is_in: |reply| any(reply, |part| matches!(part, Part::Refusal(_))),
    },
    Told { name: "seals", deaf: &[CohereChat], is_in: |reply| any(reply, is_sealed) },
    Told {
        name: "sources",
        deaf: &[AnthropicMessages],
        is_in: |reply| cites(reply, |one| one.url.is_some() || one.title.is_some()),
    },
    Told {
        name: "stop_sequence",
        deaf: &[CohereChat, Gemini, OpenaiChat, OpenaiResponses],
        is_in: |reply| ends(reply, |stop| stop.sequence.is_some()),
    },
    Told { name: "tier", deaf: &[CohereChat, Gemini], is_in: |reply| reply.service_tier.is_some() },
    Told {
        name: "tier",
        deaf: &[AnthropicMessages],
        is_in: |reply| reply.service_tier.as_deref().is_some_and(|said| tier(said).is_none()),
    },
];

/// What of `reply`, from a provider of another dialect, `caller` is not told: names as in losses.toml.
pub fn untold(reply: &Response, caller: Dialect) -> impl Iterator<Item = &'static str> {
    TOLD.iter().filter(move |told| told.deaf.contains(&caller) && (told.is_in)(reply)).map(|told| told.name)
}

fn any(reply: &Response, is: fn(&Part) -> bool) -> bool {
    reply.choices.iter().flat_map(|choice| &choice.blocks).any(|block| is(&block.part))
}

fn is_picture(part: &Part) -> bool {
    matches!(part, Part::Image(_))
}

fn is_elsewhere(part: &Part) -> bool {
    matches!(part, Part::Image(image) if !matches!(image.source, Source::Inline { .. }))
}

fn is_sealed(part: &Part) -> bool {
    let Part::Reasoning(thought) = part else { return false };
    thought.seal.as_ref().is_some_and(|seal| !seal.is_bare())
}

fn cites(reply: &Response, is: fn(&Citation) -> bool) -> bool {
    let blocks = reply.choices.iter().flat_map(|choice| &choice.blocks);
    let texts = blocks.filter_map(|block| match &block.part {
        Part::Text { citations, .. } => Some(citations),
        _ => None,
    });
    texts.flatten().any(is)
}

fn ends(reply: &Response, is: fn(&Stop) -> bool) -> bool {
    reply.choices.iter().filter_map(|choice| choice.stop.as_ref()).any(is)
}
