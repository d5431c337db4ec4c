//! Token counts of one reply, split so that no token stands in two of them: cost is the sum of count times price.
//! A meter without a rate of its own is billed as its base: cached, written, audio and image input as `INPUT`, audio
//! and image output as `OUTPUT`.

mod text;
mod tier;
mod tokens;
mod wire;

#[cfg(test)]
mod tests;

use keyway_proto::snapshot::v1::{Endpoint, Meter, ServiceTier};

pub(crate) use text::unescaped_len;
pub(crate) use tokens::{Tokens, is_image};
pub(crate) use wire::millis;

pub use keyway_snapshot::METERS;
/// Bytes of a usage object that are read; a longer one counts as missing.
pub const OBJECT_LIMIT: usize = 64 * 1024;
/// Counts above this are nonsense and make the usage count as missing.
pub const COUNT_LIMIT: u64 = 1 << 40;

/// Tokens (or what the meter counts) of one reply. `OUTPUT` holds reasoning; `reasoning()` tells its share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    counts: [u64; METERS],
    reasoning: u64,
    tier: ServiceTier,
}

/// Characters of what a request wants spoken (its `input`); none if it has no such text.
#[must_use]
pub fn characters(body: &[u8]) -> Option<u64> {
    text::characters(crate::scan::member(body, "input")?)
}

// === impl Usage ===

impl Usage {
    /// These counts, which share no token; `reasoning` of those in `OUTPUT` are reasoning.
    #[must_use]
    pub fn of(counts: &[(Meter, u64)], reasoning: u64) -> Self {
        let mut usage = Self::default();
        counts.iter().for_each(|(meter, count)| usage.set(*meter, *count));
        usage.reasoning = reasoning.min(usage.get(Meter::Output));
        usage
    }

    /// The count of one meter. `REASONING` is always 0: its tokens are in `OUTPUT` and must not be billed twice.
    #[must_use]
    pub fn get(&self, meter: Meter) -> u64 {
        self.counts.get(meter as usize).copied().unwrap_or_default()
    }

    /// All counts, by `Meter` as a number.
    #[must_use]
    pub fn counts(&self) -> &[u64; METERS] {
        &self.counts
    }

    /// Tokens of reasoning, which are in `OUTPUT` too.
    #[must_use]
    pub fn reasoning(&self) -> u64 {
        self.reasoning
    }

    /// The service tier that it was served with.
    #[must_use]
    pub fn service_tier(&self) -> ServiceTier {
        self.tier
    }

    /// What is taken for the usage where nothing is told: tokens of prompt and answer.
    #[must_use]
    pub fn estimated(input: u64, output: u64, tier: ServiceTier) -> Self {
        let mut usage = Self { tier, ..Self::default() };
        usage.set(Meter::Input, input);
        usage.set(Meter::Output, output);
        usage
    }

    /// The same prompt with an answer of so many tokens, where only the prompt is told.
    #[must_use]
    pub fn with_output(mut self, output: u64) -> Self {
        [Meter::AudioOutput, Meter::ImageOutput].into_iter().for_each(|meter| self.set(meter, 0));
        self.set(Meter::Output, output);
        self.reasoning = 0;
        self
    }

    /// The whole prompt, cached parts included, as shown to people and as tiers of prices are chosen by.
    #[must_use]
    pub fn input_total(&self) -> u64 {
        const INPUTS: [Meter; 9] = [
            Meter::Input,
            Meter::CacheRead,
            Meter::CacheWrite5m,
            Meter::CacheWrite1h,
            Meter::CacheWrite12h,
            Meter::AudioInput,
            Meter::CacheReadAudio,
            Meter::ImageInput,
            Meter::CacheReadImage,
        ];
        INPUTS.iter().map(|meter| self.get(*meter)).sum()
    }

    /// The whole answer, reasoning included.
    #[must_use]
    pub fn output_total(&self) -> u64 {
        [Meter::Output, Meter::AudioOutput, Meter::ImageOutput].iter().map(|meter| self.get(*meter)).sum()
    }

    /// What of the prompt came from a cache, whatever it was made of.
    pub(crate) fn cached(&self) -> u64 {
        [Meter::CacheRead, Meter::CacheReadAudio, Meter::CacheReadImage]
            .iter()
            .map(|meter| self.get(*meter))
            .sum()
    }

    /// What of the prompt was written to a cache for longer than minutes: the dialects that tell it know one longer life.
    pub(crate) fn written_long(&self) -> u64 {
        self.get(Meter::CacheWrite1h) + self.get(Meter::CacheWrite12h)
    }

    /// Whether so many bytes of text can come of it: where models write, no prompt is empty, and text takes output.
    #[must_use]
    pub fn accounts_for(&self, text_bytes: u64, endpoint: Endpoint) -> bool {
        let writes = matches!(
            endpoint,
            Endpoint::ChatCompletions | Endpoint::Completions | Endpoint::Responses | Endpoint::Messages
        );
        !writes || text_bytes == 0 || (self.input_total() > 0 && self.output_total() > 0)
    }

    pub(crate) fn set(&mut self, meter: Meter, count: u64) {
        if let Some(place) = self.counts.get_mut(meter as usize) {
            *place = count;
        }
    }
}
