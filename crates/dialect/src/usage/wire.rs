//! Usage objects as providers write them: both families' fields, read leniently.

use super::COUNT_LIMIT;
use super::tier::Tier;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Both families' fields side by side: compatible servers mix them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wire {
    pub(super) prompt_tokens: Count,
    pub(super) completion_tokens: Count,
    pub(super) input_tokens: Count,
    pub(super) output_tokens: Count,
    pub(super) total_tokens: Count,
    /// Cached tokens where some put them: beside the totals.
    pub(super) cached_tokens: Count,
    pub(super) prompt_cache_hit_tokens: Count,
    pub(super) cache_read_input_tokens: Count,
    pub(super) cache_creation_input_tokens: Count,
    #[serde(deserialize_with = "object_or_nothing")]
    pub(super) cache_creation: Creation,
    #[serde(deserialize_with = "object_or_nothing")]
    pub(super) prompt_tokens_details: Details,
    #[serde(deserialize_with = "object_or_nothing", alias = "input_token_details")]
    pub(super) input_tokens_details: Details,
    #[serde(deserialize_with = "object_or_nothing")]
    pub(super) completion_tokens_details: Details,
    #[serde(deserialize_with = "object_or_nothing", alias = "output_token_details")]
    pub(super) output_tokens_details: Details,
    /// Perplexity's: beside the answer.
    pub(super) citation_tokens: Count,
    pub(super) num_search_queries: Count,
    /// Where some put it: beside the totals.
    pub(super) reasoning_tokens: Count,
    /// Of sound, where the usage is a duration.
    pub(super) seconds: Millis,
    #[serde(deserialize_with = "object_or_nothing")]
    pub(super) server_tool_use: ServerTools,
    pub(super) service_tier: Tier,
    pub(super) speed: Tier,
}

/// What Messages say of tools that the provider ran.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServerTools {
    pub(super) web_search_requests: Count,
}

/// The member `tool_usage` of Responses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HostedTools {
    #[serde(deserialize_with = "object_or_nothing")]
    pub(super) web_search: HostedSearch,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HostedSearch {
    pub(super) num_requests: Count,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Creation {
    pub(super) ephemeral_5m_input_tokens: Count,
    pub(super) ephemeral_1h_input_tokens: Count,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Details {
    pub(super) cached_tokens: Count,
    pub(super) cache_write_tokens: Count,
    pub(super) audio_tokens: Count,
    pub(super) image_tokens: Count,
    pub(super) text_tokens: Count,
    pub(super) reasoning_tokens: Count,
    pub(super) thinking_tokens: Count,
    #[serde(deserialize_with = "object_or_nothing")]
    pub(super) cache_write_tokens_details: Writes,
    #[serde(deserialize_with = "object_or_nothing")]
    pub(super) cached_tokens_details: Cached,
}

/// Of which kind the cached tokens are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cached {
    pub(super) audio_tokens: Count,
    #[serde(alias = "cached_image_tokens")]
    pub(super) image_tokens: Count,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Writes {
    pub(super) ttl_12h_tokens: Count,
}

/// A whole number from 0 to `COUNT_LIMIT`, or `null`; anything else fails the whole object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count(pub(super) Option<u64>);

/// Seconds as they are written (`3`, `8.47`), in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Millis(pub(super) Option<u64>);

// === impl Wire ===

impl Wire {
    /// Takes the counts that `later` has.
    pub(super) fn replace(&mut self, mut later: Self) {
        for (count, later) in self.counts().into_iter().zip(later.counts()) {
            *count = later.or(*count);
        }
        self.seconds.0 = later.seconds.0.or(self.seconds.0);
        self.service_tier.0 = later.service_tier.0.or(self.service_tier.0);
        self.speed.0 = later.speed.0.or(self.speed.0);
    }

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
            &mut self.citation_tokens,
            &mut self.num_search_queries,
            &mut self.reasoning_tokens,
            &mut self.server_tool_use.web_search_requests,
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
    fn counts(&mut self) -> [&mut Count; 10] {
        [
            &mut self.cached_tokens,
            &mut self.cache_write_tokens,
            &mut self.audio_tokens,
            &mut self.image_tokens,
            &mut self.text_tokens,
            &mut self.reasoning_tokens,
            &mut self.thinking_tokens,
            &mut self.cache_write_tokens_details.ttl_12h_tokens,
            &mut self.cached_tokens_details.audio_tokens,
            &mut self.cached_tokens_details.image_tokens,
        ]
    }
}

// === impl Count ===

impl Count {
    pub(super) fn of(count: u64) -> Self {
        Self(Some(count))
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    pub(super) fn value(self) -> u64 {
        self.0.unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count of tokens")
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Count, E> {
        if count <= COUNT_LIMIT { Ok(Count::of(count)) } else { Err(E::custom("an absurd count")) }
    }

    /// Some servers write `12.0`. The bound is checked before the conversion, which then loses nothing.
    fn visit_f64<E: Error>(self, count: f64) -> Result<Count, E> {
        let whole = count.fract() == 0.0 && (0.0..=COUNT_LIMIT as f64).contains(&count);
        if whole { Ok(Count::of(count as u64)) } else { Err(E::custom("an absurd count")) }
    }

    fn visit_unit<E: Error>(self) -> Result<Count, E> {
        Ok(Count(None))
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Some(seconds) = Option::<f64>::deserialize(from)? else { return Ok(Self(None)) };
        let millis = of_seconds(seconds).ok_or_else(|| D::Error::custom("an absurd duration"))?;
        Ok(Self(Some(millis)))
    }
}

/// A number of seconds in JSON, in milliseconds; none if it is none or cannot be.
pub(crate) fn millis(number: &[u8]) -> Option<u64> {
    serde_json::from_slice::<f64>(number).ok().and_then(of_seconds)
}

/// The bound is checked before the conversion, which then loses nothing.
fn of_seconds(seconds: f64) -> Option<u64> {
    let millis = (seconds * 1000.0).round();
    (0.0..=COUNT_LIMIT as f64).contains(&millis).then_some(millis as u64)
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
