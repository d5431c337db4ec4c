//! Sorts out which counts of a usage object contain which, and gives them apart from each other.

use super::tier::by_name;
use super::wire::{Count, HostedTools, Wire};
use super::{OBJECT_LIMIT, Usage};
use crate::{bedrock_converse, cohere_chat, gemini};
use keyway_proto::snapshot::v1::{Dialect, Endpoint, Meter, ServiceTier};

/// The latest counts of one reply, each as the provider sent it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    /// Of the dialects of OpenAI and Anthropic.
    wire: Wire,
    /// Of the others, as their codecs read them. Boxed, since most streams have none and are moved with it.
    own: Option<Box<Usage>>,
    seen: bool,
    absurd: bool,
    /// What stands beside the usage object.
    tier: Option<ServiceTier>,
    searches: Count,
}

// === impl Tokens ===

impl Tokens {
    /// Takes in a usage object. Its counts replace earlier ones, absent ones leave them: totals in streams are
    /// cumulative and are never added.
    pub(crate) fn read(&mut self, object: &[u8]) {
        if object.len() > OBJECT_LIMIT {
            self.absurd = true;
            return;
        }
        match serde_json::from_slice::<Wire>(object) {
            Ok(wire) if self.seen => self.wire.replace(wire),
            Ok(wire) => self.wire = wire,
            Err(_) => self.absurd = true,
        }
        self.seen = true;
    }

    /// Takes in the object in which a dialect tells what was used; true if it tells anything.
    pub(crate) fn read_in(&mut self, dialect: Dialect, object: &[u8]) -> bool {
        if !object.starts_with(b"{") {
            return false;
        }
        let own: fn(&[u8]) -> Option<Usage> = match dialect {
            Dialect::Gemini => gemini::usage,
            Dialect::BedrockConverse => bedrock_converse::usage,
            Dialect::CohereChat => cohere_chat::usage,
            Dialect::Unspecified
            | Dialect::OpenaiChat
            | Dialect::OpenaiResponses
            | Dialect::AnthropicMessages => {
                self.read(object);
                return true;
            }
        };
        self.take(Some(object).filter(|object| object.len() <= OBJECT_LIMIT).and_then(own))
    }

    /// Takes in counts that have been read; true if there are any.
    pub(crate) fn take(&mut self, usage: Option<Usage>) -> bool {
        let told = usage.is_some();
        self.own = usage.map(Box::new).or(self.own.take());
        self.seen |= told;
        told
    }

    /// Takes in the member `service_tier` that stands beside the usage, quotes and all; a later one replaces it.
    pub(crate) fn read_tier(&mut self, quoted: Option<&[u8]>) {
        let name = quoted.and_then(|quoted| quoted.strip_prefix(b"\"")?.strip_suffix(b"\""));
        if name.is_some() {
            self.name_tier(name);
        }
    }

    /// The tier has this name; none is one that nobody knows.
    pub(crate) fn name_tier(&mut self, name: Option<&[u8]>) {
        self.tier = Some(name.map_or(ServiceTier::Other, by_name));
    }

    /// Takes in the member `tool_usage` of Responses. One that makes no sense says nothing.
    pub(crate) fn read_tools(&mut self, object: Option<&[u8]>) {
        let tools = object.filter(|object| object.len() <= OBJECT_LIMIT);
        let tools = tools.and_then(|object| serde_json::from_slice::<HostedTools>(object).ok());
        self.searches = tools.unwrap_or_default().web_search.num_requests.or(self.searches);
    }

    /// The tier that served it. A tier and a speed together are something that nobody has a price for.
    pub(crate) fn service_tier(&self) -> ServiceTier {
        let tier = self.wire.service_tier.0.or(self.tier).unwrap_or_default();
        let speed = self.wire.speed.0.unwrap_or_default();
        match (tier, speed) {
            (tier, ServiceTier::Unspecified) => tier,
            (ServiceTier::Unspecified, speed) => speed,
            _ => ServiceTier::Other,
        }
    }

    /// The counts apart from each other; none if none were sent or one of them cannot be.
    pub(crate) fn usage(&self, dialect: Dialect, endpoint: Endpoint) -> Option<Usage> {
        if !self.seen || self.absurd {
            return None;
        }
        if let Some(own) = &self.own {
            return Some(Usage { tier: self.service_tier(), ..**own });
        }
        let wire = &self.wire;
        let input = wire.prompt_tokens.or(wire.input_tokens);
        let output = wire.completion_tokens.or(wire.output_tokens);
        let mut usage = Usage { tier: self.service_tier(), ..Usage::default() };
        if let Some(millis) = wire.seconds.0 {
            usage.set(Meter::AudioMilliseconds, millis);
        } else if input.0.is_none() && output.0.is_none() {
            return None;
        }
        if dialect == Dialect::AnthropicMessages {
            self.anthropic_input(&mut usage);
        } else {
            self.openai_input(&mut usage, input.value());
        }
        self.output(&mut usage, output.value(), endpoint);
        let searches = wire.server_tool_use.web_search_requests.or(wire.num_search_queries).or(self.searches);
        usage.set(Meter::WebSearches, searches.value());
        usage.set(Meter::Citation, wire.citation_tokens.value());
        Some(usage)
    }

    /// Cached and written tokens stand beside `input_tokens`.
    fn anthropic_input(&self, usage: &mut Usage) {
        let wire = &self.wire;
        let long = wire.cache_creation.ephemeral_1h_input_tokens.value();
        let short = wire.cache_creation.ephemeral_5m_input_tokens.value();
        let written = wire.cache_creation_input_tokens.or(Count::of(long + short)).value();
        usage.set(Meter::Input, wire.input_tokens.or(wire.prompt_tokens).value());
        usage.set(Meter::CacheRead, wire.cache_read_input_tokens.value());
        usage.set(Meter::CacheWrite1h, long.min(written));
        usage.set(Meter::CacheWrite5m, written.saturating_sub(long));
    }

    /// Cached, written, audio and image tokens are inside the total.
    fn openai_input(&self, usage: &mut Usage, total: u64) {
        let wire = &self.wire;
        let (chat, other) = (&wire.prompt_tokens_details, &wire.input_tokens_details);
        let beside = wire.cached_tokens.or(wire.prompt_cache_hit_tokens).or(wire.cache_read_input_tokens);
        let cached = chat.cached_tokens.or(other.cached_tokens).or(beside).value();
        let written = chat.cache_write_tokens.or(other.cache_write_tokens).value();
        let long = chat.cache_write_tokens_details.ttl_12h_tokens;
        let long = long.or(other.cache_write_tokens_details.ttl_12h_tokens).value().min(written);
        let audio = chat.audio_tokens.or(other.audio_tokens).value();
        let image = chat.image_tokens.or(other.image_tokens).value();
        let kinds = (&chat.cached_tokens_details, &other.cached_tokens_details);
        let cached_image = kinds.0.image_tokens.or(kinds.1.image_tokens).value().min(cached);
        let cached_audio = kinds.0.audio_tokens.or(kinds.1.audio_tokens).value().min(cached - cached_image);
        // A provider whose parts exceed its total is believed on the total.
        let mut left = total;
        let mut take = |count: u64| {
            let taken = count.min(left);
            left -= taken;
            taken
        };
        usage.set(Meter::CacheReadImage, take(cached_image));
        usage.set(Meter::CacheReadAudio, take(cached_audio));
        usage.set(Meter::CacheRead, take(cached - cached_image - cached_audio));
        usage.set(Meter::CacheWrite12h, take(long));
        usage.set(Meter::CacheWrite5m, take(written - long));
        // Cached sound and images are in the counts of sound and images too.
        usage.set(Meter::AudioInput, take(audio.saturating_sub(cached_audio)));
        usage.set(Meter::ImageInput, take(image.saturating_sub(cached_image)));
        usage.set(Meter::Input, left);
    }

    fn output(&self, usage: &mut Usage, sent: u64, endpoint: Endpoint) {
        let wire = &self.wire;
        let (chat, other) = (&wire.completion_tokens_details, &wire.output_tokens_details);
        let inside = chat.reasoning_tokens.or(other.reasoning_tokens).or(other.thinking_tokens);
        let reasoning = inside.or(wire.reasoning_tokens).value();
        let total = if self.reasoning_is_outside(sent, reasoning) { sent + reasoning } else { sent };
        let text = chat.text_tokens.or(other.text_tokens);
        // Endpoints that answer with sound or images: what is not said to be text is that.
        let unsaid = total.saturating_sub(text.value());
        let spoken = Count::of(if endpoint == Endpoint::AudioSpeech { unsaid } else { 0 });
        let audio = chat.audio_tokens.or(other.audio_tokens).or(spoken).value().min(total);
        let drawn = Count::of(if is_image(endpoint) { unsaid } else { 0 });
        let image = chat.image_tokens.or(other.image_tokens).or(drawn).value().min(total - audio);
        usage.set(Meter::AudioOutput, audio);
        usage.set(Meter::ImageOutput, image);
        usage.set(Meter::Output, total - audio - image);
        usage.reasoning = reasoning.min(total - audio - image);
    }

    /// xAI, Perplexity and some others leave reasoning out of `completion_tokens`; the sums show it, or what only
    /// Perplexity says.
    fn reasoning_is_outside(&self, output: u64, reasoning: u64) -> bool {
        if self.wire.citation_tokens.0.or(self.wire.num_search_queries.0).is_some() {
            return true;
        }
        let total = self.wire.total_tokens.value();
        let by_sum = total > 0 && self.wire.prompt_tokens.value() + output + reasoning == total;
        self.wire.completion_tokens.0.is_some() && reasoning > 0 && (reasoning > output || by_sum)
    }
}

/// Whether an endpoint answers with images.
pub(crate) fn is_image(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::ImagesGenerations | Endpoint::ImagesEdits | Endpoint::ImagesVariations)
}
