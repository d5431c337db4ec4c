//! How these scalars are read, written and described.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{Expiry, Percent, Size, Span, TEXT_OF_NUMBER, Usd};

/// Reads one scalar, text or number, by a function over its text.
pub(in crate::file) struct ByText<T> {
    pub(in crate::file) parse: fn(&str) -> Option<T>,
    pub(in crate::file) expected: &'static str,
}

impl<'de, T> Visitor<'de> for ByText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    // Only JSON numbers arrive here; their shortest text is what their author wrote up to 15 digits.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a duration like 250ms, 60s, 10m, 24h, or seconds as a number";
        deserializer.deserialize_newtype_struct(TEXT_OF_NUMBER, ByText { parse: Self::parse, expected })
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "US dollars like 0.15, with at most nine decimal places";
        deserializer.deserialize_newtype_struct(TEXT_OF_NUMBER, ByText { parse: Self::parse, expected })
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "percent from 0 to 100 like 12.5, with at most four decimal places";
        deserializer.deserialize_newtype_struct(TEXT_OF_NUMBER, ByText { parse: Self::parse, expected })
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a date like 2027-01-31 or a time in UTC like 2027-01-31T18:00:00Z";
        deserializer.deserialize_newtype_struct(TEXT_OF_NUMBER, ByText { parse: Self::parse, expected })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a size like 4GiB, 512MiB, 10GB, or bytes as a number";
        deserializer.deserialize_newtype_struct(TEXT_OF_NUMBER, ByText { parse: Self::parse, expected })
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Expiry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "250ms, 60s, 10m, 24h, 7d, or seconds as a number",
            "type": ["string", "number"],
            "pattern": "^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)?$",
            "minimum": 0,
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "4GiB, 512MiB, 10GB, or bytes as a number",
            "type": ["string", "number"],
            "minimum": 0,
        })
    }
}

impl JsonSchema for Usd {
    fn schema_name() -> Cow<'static, str> {
        "Usd".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "US dollars, at most nine decimal places",
            "type": ["string", "number"],
            "pattern": "^[0-9]+(\\.[0-9]{1,9})?$",
            "minimum": 0,
        })
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "percent from 0 to 100, at most four decimal places",
            "type": ["string", "number"],
            "pattern": "^[0-9]+(\\.[0-9]{1,4})?%?$",
            "minimum": 0,
            "maximum": 100,
        })
    }
}

impl JsonSchema for Expiry {
    fn schema_name() -> Cow<'static, str> {
        "Expiry".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "a date like 2027-01-31 or a time in UTC like 2027-01-31T18:00:00Z",
            "type": "string",
        })
    }
}
