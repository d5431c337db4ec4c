//! What a model costs, where the file says so itself.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::Usd;

/// `0`, `free`, or rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Price {
    /// Costs nothing. Written `free`, read as `0` too.
    Free,
    /// What each kind of token and unit costs.
    Rates(Box<Rates>),
}

/// USD per million tokens, and per unit where a name begins with `per_`. What is left out is unknown, which is not the
/// same as free.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is the token class or unit that it names")]
pub struct Rates {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Usd>,
    #[serde(alias = "cache_write_5m", skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_12h: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_input: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_audio: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_input: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_output: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_image: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citation: Option<Usd>,
    /// Characters to be spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_million_characters: Option<Usd>,
    /// Each image made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_image: Option<Usd>,
    /// Each second of sound that is listened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<Usd>,
    /// Each search that the provider makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_web_search: Option<Usd>,
    /// Each search unit of a rerank, as the reply tells them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_search_unit: Option<Usd>,
    /// Each request, beside everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_request: Option<Usd>,
    /// Rates of the whole call where the prompt has more input tokens than this; what is left out stays as it is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub above: BTreeMap<Tokens, Rates>,
    /// Rates of what the reply says was served as `flex`, `priority` and the like.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub service_tiers: BTreeMap<String, Rates>,
}

/// A number of tokens, as the name of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tokens(pub u64);

// === impl Tokens ===

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Tokens {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number =
            text.parse().map_err(|_| de::Error::custom("expected a number of tokens like 200000"))?;
        Ok(Self(number))
    }
}

impl JsonSchema for Tokens {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tokens".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "a number of tokens", "type": "string", "pattern": "^[0-9]+$" })
    }
}

// === impl Rates ===

impl Rates {
    /// What is priced by the unit.
    pub fn units(&self) -> impl Iterator<Item = (&'static str, Option<Usd>)> {
        [
            ("per_million_characters", self.per_million_characters),
            ("per_image", self.per_image),
            ("per_second", self.per_second),
            ("per_web_search", self.per_web_search),
            ("per_search_unit", self.per_search_unit),
            ("per_request", self.per_request),
        ]
        .into_iter()
    }
}

// === impl Price ===

impl Serialize for Price {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Free => serializer.serialize_str("free"),
            Self::Rates(rates) => rates.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PriceVisitor)
    }
}

impl JsonSchema for Price {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Price".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let rates = generator.subschema_for::<Rates>();
        schemars::json_schema!({
            "description": "0 or free, or USD per million tokens",
            "anyOf": [{ "const": 0 }, { "const": "free" }, rates],
        })
    }
}

struct PriceVisitor;

impl<'de> Visitor<'de> for PriceVisitor {
    type Value = Price;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0, free or rates like { input: 0.15, output: 0.60 }")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Price, E> {
        if number == 0 {
            Ok(Price::Free)
        } else {
            Err(E::invalid_value(de::Unexpected::Unsigned(number), &self))
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Price, E> {
        if matches!(text, "free" | "0") {
            Ok(Price::Free)
        } else {
            Err(E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Price, A::Error> {
        Rates::deserialize(de::value::MapAccessDeserializer::new(map))
            .map(|rates| Price::Rates(Box::new(rates)))
    }
}
