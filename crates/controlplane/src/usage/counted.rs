//! Counts by meter as people ask for them: the whole prompt, the whole answer, and what of either was special. Meters are
//! told apart by their names, so that one that is added later is shown without a change here.

use keyway_proto::{fleet::v1::Count, snapshot::v1::Meter};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Counted {
    /// The whole prompt, whatever of it was cached, heard or seen.
    pub(crate) input_tokens: u64,
    /// The whole answer, reasoning included.
    pub(crate) output_tokens: u64,
    /// Of the prompt: read from the provider's cache.
    pub(crate) cache_read_tokens: u64,
    /// Of the prompt: written into it.
    pub(crate) cache_write_tokens: u64,
    /// Of the answer.
    pub(crate) reasoning_tokens: u64,
    pub(crate) audio_input_tokens: u64,
    pub(crate) audio_output_tokens: u64,
    pub(crate) image_input_tokens: u64,
    pub(crate) image_output_tokens: u64,
    /// What is no token: images, characters, milliseconds of sound, searches.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) units: BTreeMap<String, u64>,
}

// === impl Counted ===

impl Counted {
    pub(crate) fn of(counts: &[Count]) -> Self {
        let mut counted = Self::default();
        for count in counts {
            counted.add(&meter(count.meter), count.count);
        }
        counted
    }

    /// Input and output.
    pub(crate) fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    fn add(&mut self, meter: &str, count: u64) {
        let cache = meter.split_once("cache_").map_or("", |(_, rest)| rest);
        let (read, write) = (cache.starts_with("read"), cache.starts_with("write"));
        let is = |part: &str| meter.split('_').any(|word| word == part);
        let (input, output) = (read || write || is("input"), is("output"));
        let places = [
            (&mut self.input_tokens, input),
            (&mut self.output_tokens, output),
            (&mut self.cache_read_tokens, read),
            (&mut self.cache_write_tokens, write),
            (&mut self.reasoning_tokens, meter == "reasoning"),
            (&mut self.audio_input_tokens, input && is("audio")),
            (&mut self.audio_output_tokens, output && is("audio")),
            (&mut self.image_input_tokens, input && is("image")),
            (&mut self.image_output_tokens, output && is("image")),
        ];
        let mut known = false;
        for (place, counts) in places {
            if counts {
                *place = place.saturating_add(count);
                known = true;
            }
        }
        if !known && count > 0 {
            let place = self.units.entry(meter.to_owned()).or_default();
            *place = place.saturating_add(count);
        }
    }
}

/// A meter's name in small letters; its number where this version does not know it.
pub(crate) fn meter(number: i32) -> String {
    match Meter::try_from(number) {
        Ok(meter) => meter.as_str_name().trim_start_matches("METER_").to_lowercase(),
        Err(_) => format!("meter_{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_is_whole_and_nothing_is_left_out() {
        let meters = [
            Meter::Input,
            Meter::Output,
            Meter::CacheRead,
            Meter::CacheWrite5m,
            Meter::CacheWrite1h,
            Meter::Reasoning,
            Meter::AudioInput,
            Meter::AudioOutput,
            Meter::CacheReadAudio,
            Meter::ImageInput,
            Meter::ImageOutput,
        ];
        let count = |(place, meter): (usize, Meter)| Count { meter: meter.into(), count: 1 << place };
        let mut counts: Vec<Count> = meters.into_iter().enumerate().map(count).collect();
        counts.push(Count { meter: 999, count: 7 });
        let expected = Counted {
            input_tokens: 1 + 4 + 8 + 16 + 64 + 256 + 512,
            output_tokens: 2 + 128 + 1024,
            cache_read_tokens: 4 + 256,
            cache_write_tokens: 8 + 16,
            reasoning_tokens: 32,
            audio_input_tokens: 64 + 256,
            audio_output_tokens: 128,
            image_input_tokens: 512,
            image_output_tokens: 1024,
            units: BTreeMap::from([("meter_999".to_owned(), 7)]),
        };
        assert_eq!(Counted::of(&counts), expected);
        let mut later = Counted::default();
        for (meter, count) in
            [("cache_write_12h", 1), ("cache_read_image", 2), ("images", 3), ("audio_milliseconds", 4)]
        {
            later.add(meter, count);
        }
        assert_eq!((later.input_tokens, later.cache_write_tokens, later.image_input_tokens), (3, 1, 2));
        assert_eq!(
            later.units,
            BTreeMap::from([("images".to_owned(), 3), ("audio_milliseconds".to_owned(), 4)])
        );
    }
}
