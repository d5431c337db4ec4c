//! Sorts out which counts of a usage object contain which, and gives them apart from each other.

use super::wire::{Count, Wire};
use super::{OBJECT_LIMIT, Usage};
use keyway_proto::snapshot::v1::{Dialect, Endpoint, Meter};

/// The latest counts of one reply, each as the provider sent it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    wire: Wire,
    seen: bool,
    absurd: bool,
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

    /// The counts apart from each other; none if none were sent or one of them cannot be.
    pub(crate) fn usage(&self, dialect: Dialect, endpoint: Endpoint) -> Option<Usage> {
        if !self.seen || self.absurd {
            return None;
        }
        let wire = &self.wire;
        let input = wire.prompt_tokens.or(wire.input_tokens);
        let output = wire.completion_tokens.or(wire.output_tokens);
        if input.0.is_none() && output.0.is_none() {
            return None;
        }
        let mut usage = Usage::default();
        if dialect == Dialect::AnthropicMessages {
            self.anthropic_input(&mut usage);
        } else {
            self.openai_input(&mut usage, input.value());
        }
        self.output(&mut usage, output.value(), endpoint);
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
        let beside = wire.cached_tokens.or(wire.prompt_cache_hit_tokens);
        let cached = chat.cached_tokens.or(other.cached_tokens).or(beside).value();
        let written = chat.cache_write_tokens.or(other.cache_write_tokens).value();
        let long = chat.cache_write_tokens_details.ttl_12h_tokens;
        let long = long.or(other.cache_write_tokens_details.ttl_12h_tokens).value().min(written);
        let audio = chat.audio_tokens.or(other.audio_tokens).value();
        let image = chat.image_tokens.or(other.image_tokens).value();
        // A provider whose parts exceed its total is believed on the total.
        let mut left = total;
        let mut take = |count: u64| {
            let taken = count.min(left);
            left -= taken;
            taken
        };
        usage.set(Meter::CacheRead, take(cached));
        usage.set(Meter::CacheWrite1h, take(long));
        usage.set(Meter::CacheWrite5m, take(written - long));
        usage.set(Meter::AudioInput, take(audio));
        usage.set(Meter::ImageInput, take(image));
        usage.set(Meter::Input, left);
    }

    fn output(&self, usage: &mut Usage, sent: u64, endpoint: Endpoint) {
        let wire = &self.wire;
        let (chat, other) = (&wire.completion_tokens_details, &wire.output_tokens_details);
        let reasoning = chat.reasoning_tokens.or(other.reasoning_tokens).or(other.thinking_tokens).value();
        let total = if self.reasoning_is_outside(sent, reasoning) { sent + reasoning } else { sent };
        let text = chat.text_tokens.or(other.text_tokens);
        // Endpoints that answer with sound or images: what is not said to be text is that.
        let unsaid = total.saturating_sub(text.value());
        let spoken = Count::of(if endpoint == Endpoint::AudioSpeech { unsaid } else { 0 });
        let audio = chat.audio_tokens.or(other.audio_tokens).or(spoken).value().min(total);
        let images = matches!(
            endpoint,
            Endpoint::ImagesGenerations | Endpoint::ImagesEdits | Endpoint::ImagesVariations
        );
        let drawn = Count::of(if images { unsaid } else { 0 });
        let image = chat.image_tokens.or(other.image_tokens).or(drawn).value().min(total - audio);
        usage.set(Meter::AudioOutput, audio);
        usage.set(Meter::ImageOutput, image);
        usage.set(Meter::Output, total - audio - image);
        usage.reasoning = reasoning.min(total - audio - image);
    }

    /// xAI and some others leave reasoning out of `completion_tokens`; the sums show it.
    fn reasoning_is_outside(&self, output: u64, reasoning: u64) -> bool {
        let total = self.wire.total_tokens.value();
        let by_sum = total > 0 && self.wire.prompt_tokens.value() + output + reasoning == total;
        self.wire.completion_tokens.0.is_some() && reasoning > 0 && (reasoning > output || by_sum)
    }
}
