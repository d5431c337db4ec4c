//! What meters must know of an answer that is translated: the provider's own counts, and the text where it gives none.

use crate::meter::Seen;
use keyway_dialect::{
    canon::{Delta, Event, Head, Part, Response},
    operation,
    usage::Usage,
};
use keyway_snapshot::{Endpoint, ServiceTier, service_tier_by_name};

/// What was noted of a stream so far.
#[derive(Debug, Default)]
pub(super) struct Noted {
    usage: Option<Usage>,
    /// The usage is no longer only what had come when the answer began.
    told: bool,
    text_bytes: u64,
    tier: Option<ServiceTier>,
    /// Open blocks whose text is base64.
    media: Vec<u32>,
}

// === impl Noted ===

impl Noted {
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Start { usage, .. } => self.usage = *usage,
            Event::Usage(usage) => (self.usage, self.told) = (Some(*usage), true),
            Event::Tier(name) => self.tier = Some(service_tier_by_name(name)),
            Event::Open { block, head: Head::Image { .. } | Head::Sound { .. }, .. } => {
                self.media.push(*block);
            }
            Event::Close { block } => self.media.retain(|open| open != block),
            Event::Delta { block, delta: Delta::Text(text) } if !self.media.contains(block) => {
                self.text_bytes += text.len() as u64;
            }
            _ => {}
        }
    }

    pub(super) fn seen(&self, endpoint: Endpoint) -> Seen {
        let believed = self.usage.filter(|usage| !self.told || usage.accounts_for(self.text_bytes, endpoint));
        Seen {
            usage: believed,
            is_final: self.told && believed.is_some(),
            text_bytes: self.text_bytes,
            service_tier: tier(self.usage, self.tier),
        }
    }
}

/// The same of a whole reply.
pub(super) fn seen(response: &Response, endpoint: Endpoint) -> Seen {
    let blocks = response.choices.iter().flat_map(|choice| &choice.blocks);
    let text_bytes = blocks.map(|block| text_of(&block.part)).sum();
    let usage = response.usage.filter(|usage| usage.accounts_for(text_bytes, endpoint));
    let named = response.service_tier.as_deref().map(service_tier_by_name);
    Seen { usage, is_final: true, text_bytes, service_tier: tier(response.usage, named) }
}

/// The same of vectors, ranks or a count; counting is free.
pub(super) fn operated(response: &operation::Response, endpoint: Endpoint) -> Seen {
    let counted = (endpoint == Endpoint::CountTokens).then(Usage::default);
    Seen { usage: counted.or(response.usage), is_final: true, ..Seen::default() }
}

fn text_of(part: &Part) -> u64 {
    let text = match part {
        Part::Text { text, .. } | Part::Refusal(text) => text,
        Part::Reasoning(thought) => &thought.text,
        Part::Call(call) => &call.arguments,
        _ => return 0,
    };
    text.len() as u64
}

/// Within the usage or beside it, as providers do.
fn tier(usage: Option<Usage>, beside: Option<ServiceTier>) -> ServiceTier {
    let within = usage.map(|usage| usage.service_tier()).filter(|tier| *tier != ServiceTier::Unspecified);
    within.or(beside).unwrap_or_default()
}
