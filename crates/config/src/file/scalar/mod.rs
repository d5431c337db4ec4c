//! Scalars with a unit: a span of time, an amount of money, a moment. Integers, read exactly or not at all.

mod form;
mod moment;
mod size;

use std::fmt;

pub(super) use form::ByText;
pub use moment::Expiry;
pub use size::Size;

/// The newtype name by which a deserialiser learns that the scalar's own text is wanted, so that no decimal is
/// rounded through a binary fraction. Formats that do not know it hand over what they have.
pub(crate) const TEXT_OF_NUMBER: &str = "keyway.text-of-number";

/// Decimal places of an amount: nano-dollars.
const USD_PLACES: usize = 9;
const NANOS_PER_USD: u64 = 1_000_000_000;
const PERCENT_PLACES: usize = 4;
const PERCENT_WHOLE: u32 = 1_000_000;
const MILLIS: u64 = 1_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// The longest span: ten years.
const SPAN_LIMIT_MS: u64 = 3_653 * SECONDS_PER_DAY * MILLIS;

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

/// A part of a hundred, from 0 to 100, with at most four decimal places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent {
    ten_thousandths: u32,
}

// === impl Percent ===

impl Percent {
    /// Ten-thousandths of a percent: 12.5 % = 125000.
    #[must_use]
    pub fn ten_thousandths(self) -> u32 {
        self.ten_thousandths
    }

    /// Reads `12.5` or `12.5%`; `None` if it is none, over 100, or finer than a ten-thousandth.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.trim();
        let parts = decimal(number.strip_suffix('%').unwrap_or(number).trim_end(), PERCENT_PLACES)?;
        let ten_thousandths = u32::try_from(parts).ok().filter(|parts| *parts <= PERCENT_WHOLE)?;
        Some(Self { ten_thousandths })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = PERCENT_WHOLE / 100;
        let fraction = format!("{:04}", self.ten_thousandths % scale);
        let fraction = fraction.trim_end_matches('0');
        let dot = if fraction.is_empty() { "" } else { "." };
        write!(f, "{}{dot}{fraction}", self.ten_thousandths / scale)
    }
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

    /// Reads `250ms`, `60s`, `10m`, `24h`, `7d` or a number of seconds; `None` if it is none of these or over ten
    /// years.
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
