//! Reads usage objects as providers write them, and sorts out which of their counts contain which.

use super::{COUNT_LIMIT, OBJECT_LIMIT, Usage};
use keyway_proto::snapshot::v1::{Dialect, Endpoint, Meter};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The latest counts of one reply, each as the provider sent it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    wire: Wire,
    seen: bool,
    absurd: bool,
}

/// Both families' fields side by side: compatible servers mix them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Wire {
    prompt_tokens: Count,
    completion_tokens: Count,
    input_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    /// Cached tokens where some put them: beside the totals.
    cached_tokens: Count,
    prompt_cache_hit_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    #[serde(deserialize_with = "object_or_nothing")]
    cache_creation: Creation,
    #[serde(deserialize_with = "object_or_nothing")]
    prompt_tokens_details: Details,
    #[serde(deserialize_with = "object_or_nothing", alias = "input_token_details")]
    input_tokens_details: Details,
    #[serde(deserialize_with = "object_or_nothing")]
    completion_tokens_details: Details,
    #[serde(deserialize_with = "object_or_nothing", alias = "output_token_details")]
    output_tokens_details: Details,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Creation {
    ephemeral_5m_input_tokens: Count,
    ephemeral_1h_input_tokens: Count,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Count,
    cache_write_tokens: Count,
    audio_tokens: Count,
    image_tokens: Count,
    text_tokens: Count,
    reasoning_tokens: Count,
    thinking_tokens: Count,
    #[serde(deserialize_with = "object_or_nothing")]
    cache_write_tokens_details: Writes,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Writes {
    ttl_12h_tokens: Count,
}

/// A count; what is not a whole number from 0 to `COUNT_LIMIT` is absurd, `null` is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Count {
    #[default]
    Absent,
    Absurd,
    Of(u64),
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
        let Ok(mut wire) = serde_json::from_slice::<Wire>(object) else {
            self.absurd = true;
            return;
        };
        self.seen = true;
        for (count, later) in self.wire.counts().into_iter().zip(wire.counts()) {
            self.absurd |= *later == Count::Absurd;
            if *later != Count::Absent {
                *count = *later;
            }
        }
    }

    /// The counts apart from each other; none if none were sent or one of them cannot be.
    pub(crate) fn usage(&self, dialect: Dialect, endpoint: Endpoint) -> Option<Usage> {
        if !self.seen || self.absurd {
            return None;
        }
        let wire = &self.wire;
        let input = wire.prompt_tokens.or(wire.input_tokens);
        let output = wire.completion_tokens.or(wire.output_tokens);
        if input == Count::Absent && output == Count::Absent {
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
        let written = wire.cache_creation_input_tokens.or(Count::Of(long + short)).value();
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
        let spoken = Count::Of(if endpoint == Endpoint::AudioSpeech { unsaid } else { 0 });
        let audio = chat.audio_tokens.or(other.audio_tokens).or(spoken).value().min(total);
        let images = matches!(
            endpoint,
            Endpoint::ImagesGenerations | Endpoint::ImagesEdits | Endpoint::ImagesVariations
        );
        let drawn = Count::Of(if images { unsaid } else { 0 });
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
        self.wire.completion_tokens != Count::Absent && reasoning > 0 && (reasoning > output || by_sum)
    }
}

// === impl Wire ===

impl Wire {
    /// Every count, in one order.
    fn counts(&mut self) -> Vec<&mut Count> {
        let mut counts = vec![
            &mut self.prompt_tokens,
            &mut self.completion_tokens,
            &mut self.input_tokens,
            &mut self.output_tokens,
            &mut self.total_tokens,
            &mut self.cached_tokens,
            &mut self.prompt_cache_hit_tokens,
            &mut self.cache_read_input_tokens,
            &mut self.cache_creation_input_tokens,
            &mut self.cache_creation.ephemeral_5m_input_tokens,
            &mut self.cache_creation.ephemeral_1h_input_tokens,
        ];
        for details in [
            &mut self.prompt_tokens_details,
            &mut self.input_tokens_details,
            &mut self.completion_tokens_details,
            &mut self.output_tokens_details,
        ] {
            counts.extend(details.counts());
        }
        counts
    }
}

impl Details {
    fn counts(&mut self) -> [&mut Count; 8] {
        [
            &mut self.cached_tokens,
            &mut self.cache_write_tokens,
            &mut self.audio_tokens,
            &mut self.image_tokens,
            &mut self.text_tokens,
            &mut self.reasoning_tokens,
            &mut self.thinking_tokens,
            &mut self.cache_write_tokens_details.ttl_12h_tokens,
        ]
    }
}

// === impl Count ===

impl Count {
    fn or(self, other: Self) -> Self {
        if self == Self::Absent { other } else { self }
    }

    fn from(count: u64) -> Self {
        if count <= COUNT_LIMIT { Self::Of(count) } else { Self::Absurd }
    }

    fn value(self) -> u64 {
        if let Self::Of(count) = self { count } else { 0 }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
        Ok(Count::from(count))
    }

    fn visit_i64<E>(self, count: i64) -> Result<Count, E> {
        Ok(u64::try_from(count).map_or(Count::Absurd, Count::from))
    }

    /// Some servers write `12.0`. The bound is checked before the conversion, which then loses nothing.
    fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
        let whole = count.fract() == 0.0 && (0.0..=COUNT_LIMIT as f64).contains(&count);
        Ok(if whole { Count::Of(count as u64) } else { Count::Absurd })
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(Count::Absurd)
    }

    fn visit_str<E>(self, _: &str) -> Result<Count, E> {
        Ok(Count::Absurd)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Count::Absurd)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
        while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count::Absurd)
    }
}

/// Details are an object; `null` and what else servers put there say nothing.
fn object_or_nothing<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    struct Either<T>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Either<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok(T::default())
        }

        fn visit_unit<E>(self) -> Result<T, E> {
            Ok(T::default())
        }

        fn visit_bool<E>(self, _: bool) -> Result<T, E> {
            Ok(T::default())
        }

        fn visit_u64<E>(self, _: u64) -> Result<T, E> {
            Ok(T::default())
        }

        fn visit_i64<E>(self, _: i64) -> Result<T, E> {
            Ok(T::default())
        }

        fn visit_f64<E>(self, _: f64) -> Result<T, E> {
            Ok(T::default())
        }

        fn visit_str<E>(self, _: &str) -> Result<T, E> {
            Ok(T::default())
        }
    }

    from.deserialize_any(Either(std::marker::PhantomData))
}
