//! Token counts of one reply, split so that no token stands in two of them: cost is the sum of count times price.
//! A meter without a rate of its own is billed as its base: cached, written, audio and image input as `INPUT`, audio
//! and image output as `OUTPUT`.

mod tokens;
mod wire;

#[cfg(test)]
mod tests;

use keyway_proto::snapshot::v1::Meter;

pub(crate) use tokens::Tokens;

/// Kinds of counts; a count's place is its `Meter` as a number.
pub const METERS: usize = Meter::ImageOutput as usize + 1;
/// Bytes of a usage object that are read; a longer one counts as missing.
pub const OBJECT_LIMIT: usize = 64 * 1024;
/// Counts above this are nonsense and make the usage count as missing.
pub const COUNT_LIMIT: u64 = 1 << 40;

/// Tokens (or what the meter counts) of one reply. `OUTPUT` holds reasoning; `reasoning()` tells its share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    counts: [u64; METERS],
    reasoning: u64,
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

    /// The whole prompt, cached parts included, as shown to people and as tiers of prices are chosen by.
    #[must_use]
    pub fn input_total(&self) -> u64 {
        const INPUTS: [Meter; 7] = [
            Meter::Input,
            Meter::CacheRead,
            Meter::CacheWrite5m,
            Meter::CacheWrite1h,
            Meter::AudioInput,
            Meter::CacheReadAudio,
            Meter::ImageInput,
        ];
        INPUTS.iter().map(|meter| self.get(*meter)).sum()
    }

    /// The whole answer, reasoning included.
    #[must_use]
    pub fn output_total(&self) -> u64 {
        [Meter::Output, Meter::AudioOutput, Meter::ImageOutput].iter().map(|meter| self.get(*meter)).sum()
    }

    fn set(&mut self, meter: Meter, count: u64) {
        if let Some(place) = self.counts.get_mut(meter as usize) {
            *place = count;
        }
    }
}
