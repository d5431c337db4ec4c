//! Prices as integers of femto-dollars (1e-15 USD), read from exact decimal strings. One billionth of what a file
//! says per million tokens is what one token costs, so nine decimals are the most that a file can hold.

use keyway_proto::snapshot::v1 as wire;
use serde::{Deserialize, Deserializer, de};
use std::{fmt, marker::PhantomData};

/// Decimals of a price in USD per million tokens: one unit of the last is one femto-dollar per token.
const PER_MILLION_DECIMALS: u32 = 9;
/// Decimals of a price in USD per single unit: one unit of the last is one femto-dollar.
const PER_UNIT_DECIMALS: u32 = 15;

/// An amount in femto-dollars (1e-15 USD).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Money(pub u64);

/// What a token price counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it; units stand at `Rates`")]
pub enum Meter {
    Input,
    Output,
    CacheRead,
    /// Also a write price without a named lifetime.
    #[serde(rename = "cache_write_5m")]
    CacheWrite5m,
    #[serde(rename = "cache_write_1h")]
    CacheWrite1h,
    #[serde(rename = "cache_write_12h")]
    CacheWrite12h,
    /// Only where priced apart from output.
    Reasoning,
    AudioInput,
    AudioOutput,
    CacheReadAudio,
    CacheWriteAudio,
    ImageInput,
    ImageOutput,
    CacheReadImage,
    VideoInput,
    VideoOutput,
    Citation,
    CacheReadExplicit,
}

/// Femto-dollars per token, by what is counted; each meter once. A meter that is not here has no price of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rates(Vec<(Meter, Money)>);

/// Rates that replace the base ones for the whole call once the prompt (cached part included) is longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The first prompt length at this price is one token more.
    pub above_input_tokens: u64,
    /// A meter that is missing keeps its base price.
    pub rates: Rates,
}

/// What a model's tokens cost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Price {
    /// Below the first tier.
    pub rates: Rates,
    /// Ascending.
    pub tiers: Vec<Tier>,
}

// === impl Money ===

impl Money {
    /// Reads USD per million tokens (`"0.15"`) as femto-dollars per token.
    ///
    /// # Errors
    /// What is wrong, where the text is no plain decimal or has no exact value.
    pub fn per_million(text: &str) -> Result<Self, &'static str> {
        exact(text, PER_MILLION_DECIMALS).map(Self)
    }

    /// Reads USD per single unit (an image, a second, a page) as femto-dollars.
    ///
    /// # Errors
    /// What is wrong, where the text is no plain decimal or has no exact value.
    pub fn per_unit(text: &str) -> Result<Self, &'static str> {
        exact(text, PER_UNIT_DECIMALS).map(Self)
    }

    /// USD per million tokens, as a plain decimal.
    #[must_use]
    pub fn to_per_million(self) -> String {
        decimal(self.0, PER_MILLION_DECIMALS)
    }

    /// USD per single unit, as a plain decimal.
    #[must_use]
    pub fn to_per_unit(self) -> String {
        decimal(self.0, PER_UNIT_DECIMALS)
    }
}

fn exact(text: &str, decimals: u32) -> Result<u64, &'static str> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || (part.is_empty() && text.contains('.')) {
        return Err("not a plain decimal such as \"0.15\"");
    }
    let part = part.trim_end_matches('0');
    let missing = u32::try_from(part.len()).ok().and_then(|len| decimals.checked_sub(len));
    let missing = missing.ok_or("more decimals than a femto-dollar can hold")?;
    let large = "larger than any price";
    let number: u64 = format!("{whole}{part}").parse().map_err(|_| large)?;
    10u64.checked_pow(missing).and_then(|scale| number.checked_mul(scale)).ok_or(large)
}

fn decimal(value: u64, decimals: u32) -> String {
    let scale = 10u64.pow(decimals);
    let (whole, part) = (value / scale, value % scale);
    if part == 0 {
        return whole.to_string();
    }
    let part = format!("{part:0width$}", width = decimals as usize);
    format!("{whole}.{}", part.trim_end_matches('0'))
}

// === impl Rates ===

impl Rates {
    /// Femto-dollars per token of this meter, if it has a price of its own.
    #[must_use]
    pub fn get(&self, meter: Meter) -> Option<Money> {
        self.0.iter().find(|(known, _)| *known == meter).map(|(_, money)| *money)
    }

    /// All, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (Meter, Money)> + '_ {
        self.0.iter().copied()
    }

    /// True where nothing has a price.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn to_proto(&self) -> Vec<wire::Rate> {
        let rate = |(meter, money): (Meter, Money)| {
            meter.to_proto().map(|meter| wire::Rate { meter: meter.into(), femto_dollars: money.0 })
        };
        self.iter().filter_map(rate).collect()
    }
}

impl FromIterator<(Meter, Money)> for Rates {
    fn from_iter<I: IntoIterator<Item = (Meter, Money)>>(rates: I) -> Self {
        Self(rates.into_iter().collect())
    }
}

// === impl Price ===

impl Price {
    /// Rates of longer prompts, as the snapshot carries them.
    pub(crate) fn tiers_to_proto(&self) -> Vec<wire::PriceTier> {
        let tier = |tier: &Tier| wire::PriceTier {
            above_input_tokens: tier.above_input_tokens,
            rates: tier.rates.to_proto(),
        };
        self.tiers.iter().map(tier).collect()
    }
}

// === impl Meter ===

impl Meter {
    /// The snapshot's meter; none where no reply tells this one apart.
    #[must_use]
    pub fn to_proto(self) -> Option<wire::Meter> {
        Some(match self {
            Self::Input => wire::Meter::Input,
            Self::Output => wire::Meter::Output,
            Self::CacheRead => wire::Meter::CacheRead,
            Self::CacheWrite5m => wire::Meter::CacheWrite5m,
            Self::CacheWrite1h => wire::Meter::CacheWrite1h,
            Self::Reasoning => wire::Meter::Reasoning,
            Self::AudioInput => wire::Meter::AudioInput,
            Self::AudioOutput => wire::Meter::AudioOutput,
            Self::CacheReadAudio => wire::Meter::CacheReadAudio,
            Self::ImageInput => wire::Meter::ImageInput,
            Self::ImageOutput => wire::Meter::ImageOutput,
            Self::CacheWrite12h => wire::Meter::CacheWrite12h,
            Self::CacheReadImage => wire::Meter::CacheReadImage,
            Self::Citation => wire::Meter::Citation,
            Self::CacheWriteAudio | Self::VideoInput | Self::VideoOutput | Self::CacheReadExplicit => {
                return None;
            }
        })
    }
}

// === reading ===

/// Tables whose keys are meters, beside one key (`tiers`, `above`) of another kind.
trait Keyed: Default {
    const OTHER: &'static str;
    type Other: for<'de> Deserialize<'de>;
    fn set(&mut self, other: Self::Other);
    fn rates(&mut self) -> &mut Rates;
}

impl Keyed for Price {
    const OTHER: &'static str = "tiers";
    type Other = Vec<Tier>;
    fn set(&mut self, tiers: Vec<Tier>) {
        self.tiers = tiers;
    }
    fn rates(&mut self) -> &mut Rates {
        &mut self.rates
    }
}

#[derive(Default)]
struct RawTier {
    above: Option<u64>,
    rates: Rates,
}

impl Keyed for RawTier {
    const OTHER: &'static str = "above";
    type Other = u64;
    fn set(&mut self, above: u64) {
        self.above = Some(above);
    }
    fn rates(&mut self) -> &mut Rates {
        &mut self.rates
    }
}

struct Keys<T>(PhantomData<T>);

impl<'de, T: Keyed> de::Visitor<'de> for Keys<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a table of prices by meter and `{}`", T::OTHER)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut read = T::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == T::OTHER {
                read.set(map.next_value()?);
                continue;
            }
            let meter = Meter::deserialize(de::value::StrDeserializer::new(&key))?;
            let text: String = map.next_value()?;
            let wrong = |why| de::Error::custom(format_args!("{key} = \"{text}\": {why}"));
            read.rates().0.push((meter, Money::per_million(&text).map_err(wrong)?));
        }
        Ok(read)
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Keys(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Tier {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw: RawTier = from.deserialize_map(Keys(PhantomData))?;
        let above_input_tokens = raw.above.ok_or_else(|| de::Error::missing_field("above"))?;
        Ok(Self { above_input_tokens, rates: raw.rates })
    }
}

pub(crate) fn read_per_unit<'de, D: Deserializer<'de>>(from: D) -> Result<Money, D::Error> {
    let text = String::deserialize(from)?;
    Money::per_unit(&text).map_err(|why| de::Error::custom(format_args!("\"{text}\": {why}")))
}
