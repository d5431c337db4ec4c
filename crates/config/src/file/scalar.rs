//! Scalars with a unit: a span of time, an amount of money, a moment.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The newtype name by which a deserialiser learns that the scalar's own text is wanted, so that no decimal is
/// rounded through a binary fraction. Formats that do not know it hand over what they have.
pub(crate) const TEXT_OF_NUMBER: &str = "keyway.text-of-number";

/// Decimal places of an amount: nano-dollars.
const USD_PLACES: usize = 9;
const NANOS_PER_USD: u64 = 1_000_000_000;
const MILLIS: u64 = 1_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// The longest span: 366 days.
const SPAN_LIMIT_MS: u64 = 366 * SECONDS_PER_DAY * MILLIS;

/// A span of time in whole milliseconds: `250ms`, `60s`, `10m`, `24h`, `7d`, or seconds as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    millis: u64,
}

/// An amount in whole nano-dollars; at most nine decimal places. Of a price per million tokens this is at the
/// same time the number of femto-dollars per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd {
    nanos: u64,
}

/// A moment in UTC, to the second: `2027-01-31` (its first second) or `2027-01-31T18:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    unix: u64,
}

// === impl Span ===

impl Span {
    /// Milliseconds.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.millis
    }

    /// From milliseconds.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// Reads `250ms`, `60s`, `10m`, `24h`, `7d` or a number of seconds; `None` if it is none of these or over 366 days.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(split)?;
        let unit_ms = match unit {
            "ms" => 1,
            "" | "s" => MILLIS,
            "m" => 60 * MILLIS,
            "h" => 3_600 * MILLIS,
            "d" => SECONDS_PER_DAY * MILLIS,
            _ => return None,
        };
        // Thousandths of the unit: `1.5s` is exact, and what is finer than a millisecond is refused.
        let thousandths = decimal(number.trim(), 3)?.checked_mul(unit_ms)?;
        let millis = thousandths.is_multiple_of(1_000).then_some(thousandths / 1_000)?;
        (millis <= SPAN_LIMIT_MS).then_some(Self { millis })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("h", 3_600 * MILLIS), ("m", 60 * MILLIS), ("s", MILLIS)];
        match units.into_iter().find(|(_, size)| self.millis != 0 && self.millis.is_multiple_of(*size)) {
            Some((unit, size)) => write!(f, "{}{unit}", self.millis / size),
            None => write!(f, "{}ms", self.millis),
        }
    }
}

// === impl Usd ===

impl Usd {
    /// Nano-dollars. Of a price per million tokens: femto-dollars per token.
    #[must_use]
    pub fn nanos(self) -> u64 {
        self.nanos
    }

    /// From nano-dollars.
    #[must_use]
    pub fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// Reads a decimal like `0.15`, `50` or `1.5e-2`; `None` if it is none, negative, or finer than a nano-dollar.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        decimal(text.trim(), USD_PLACES).map(|nanos| Self { nanos })
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.nanos % NANOS_PER_USD);
        let fraction = fraction.trim_end_matches('0');
        let dot = if fraction.is_empty() { "" } else { "." };
        write!(f, "{}{dot}{fraction}", self.nanos / NANOS_PER_USD)
    }
}

/// Reads a decimal, with or without exponent, as an integer of 10^-places, exactly.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    let shift = i32::try_from(places)
        .ok()?
        .checked_add(exponent)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    if value == 0 {
        return Some(0);
    }
    let factor = 10_u64.checked_pow(shift.unsigned_abs())?;
    if shift >= 0 {
        value.checked_mul(factor)
    } else {
        value.is_multiple_of(factor).then_some(value / factor)
    }
}

// === impl Expiry ===

impl Expiry {
    /// Seconds since 1970.
    #[must_use]
    pub fn unix(self) -> u64 {
        self.unix
    }

    /// From seconds since 1970.
    #[must_use]
    pub fn from_unix(unix: u64) -> Self {
        Self { unix }
    }

    /// Reads a date or a time in UTC; `None` if it is none or lies before 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once(['T', 't', ' ']) {
            Some((date, time)) => {
                (date, time.strip_suffix(['Z', 'z']).or_else(|| time.strip_suffix("+00:00"))?)
            }
            None => (text, "00:00:00"),
        };
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        let in_range = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        in_range.then(|| Self {
            unix: days_since_1970(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second,
        })
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, rest) = (self.unix / SECONDS_PER_DAY, self.unix % SECONDS_PER_DAY);
        let (mut year, mut month) = (1970, 1);
        while days >= days_in_year(year) {
            days -= days_in_year(year);
            year += 1;
        }
        while days >= days_in_month(year, month) {
            days -= days_in_month(year, month);
            month += 1;
        }
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}

/// Three numbers of exactly these widths.
fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut read = |width: usize| {
        let part = parts.next()?;
        (part.len() == width && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let numbers = [read(widths[0])?, read(widths[1])?, read(widths[2])?];
    parts.next().is_none().then_some(numbers)
}

fn days_in_year(year: u64) -> u64 {
    if days_in_month(year, 2) == 29 { 366 } else { 365 }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year).map(days_in_year).sum();
    let months: u64 = (1..month).map(|month| days_in_month(year, month)).sum();
    years + months + day - 1
}

// === serde ===

/// Reads one scalar, text or number, by a function over its text.
pub(super) struct ByText<T> {
    pub(super) parse: fn(&str) -> Option<T>,
    pub(super) expected: &'static str,
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

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a date like 2027-01-31 or a time in UTC like 2027-01-31T18:00:00Z";
        deserializer.deserialize_newtype_struct(TEXT_OF_NUMBER, ByText { parse: Self::parse, expected })
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
