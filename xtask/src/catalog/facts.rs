//! The facts as they come: the fields that the catalogue takes over. Figures are read as exact decimals.

use serde::{Deserialize, Deserializer, de};
use std::{collections::BTreeMap, fmt};

/// A double holds decimals of this many digits exactly; a longer figure could come out rounded.
const EXACT_DIGITS: usize = 15;
/// The last is a femto-dollar per token.
const PRICE_DECIMALS: usize = 9;

#[derive(Deserialize)]
pub(crate) struct Providers {
    pub(crate) providers: Vec<Provider>,
}

#[derive(Deserialize)]
pub(crate) struct Provider {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) base_url: String,
    pub(crate) dialect: String,
    #[serde(default)]
    pub(crate) other_dialects: Vec<OtherDialect>,
    pub(crate) standard_paths: bool,
    #[serde(default)]
    pub(crate) paths: BTreeMap<String, String>,
    pub(crate) auth: Auth,
    #[serde(default)]
    pub(crate) extra_headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) optional_headers: Vec<String>,
    #[serde(default)]
    pub(crate) env: Vec<String>,
    pub(crate) base_url_env: Option<String>,
    #[serde(default)]
    pub(crate) base_url_vars: BTreeMap<String, String>,
    pub(crate) default_port: Option<u64>,
    #[serde(default)]
    pub(crate) endpoints: Vec<String>,
    pub(crate) reasoning_field: Option<String>,
    #[serde(default)]
    pub(crate) quirks: Vec<String>,
    pub(crate) confidence: String,
    pub(crate) doc: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct OtherDialect {
    pub(crate) dialect: String,
    pub(crate) base_url: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) note: Option<String>,
}

#[derive(Deserialize, Clone)]
pub(crate) struct Auth {
    pub(crate) scheme: String,
    pub(crate) header: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) param: Option<String>,
    #[serde(default)]
    pub(crate) optional_bearer: bool,
    pub(crate) service: Option<String>,
    pub(crate) token_url: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) env: Option<String>,
    pub(crate) note: Option<String>,
    #[serde(default)]
    pub(crate) alternatives: Vec<Auth>,
}

#[derive(Deserialize)]
pub(crate) struct Models {
    pub(crate) models: Vec<Model>,
}

pub(crate) type Prices = BTreeMap<String, Decimal>;

#[derive(Deserialize)]
pub(crate) struct Model {
    pub(crate) provider: String,
    pub(crate) id: String,
    pub(crate) mode: String,
    pub(crate) region: Option<String>,
    pub(crate) variant: Option<String>,
    pub(crate) context_window: Option<u64>,
    pub(crate) max_output_tokens: Option<u64>,
    pub(crate) prices: Prices,
    #[serde(default)]
    pub(crate) batch_prices: Prices,
    #[serde(default)]
    pub(crate) service_tier_prices: BTreeMap<String, Prices>,
    #[serde(default)]
    pub(crate) tiers: Vec<Tier>,
    #[serde(default)]
    pub(crate) unit_prices: BTreeMap<String, UnitPrice>,
    pub(crate) off_peak_prices: Option<OffPeak>,
    pub(crate) time_of_day_prices: Option<TimeOfDay>,
    #[serde(default)]
    pub(crate) scheduled_prices: Vec<Scheduled>,
    #[serde(default)]
    pub(crate) price_notes: BTreeMap<String, Decimal>,
    #[serde(default)]
    pub(crate) listed_free: bool,
    #[serde(default)]
    pub(crate) suspect: bool,
    #[serde(default)]
    pub(crate) capabilities: BTreeMap<String, bool>,
    #[serde(default)]
    pub(crate) reasoning_effort_levels: Vec<String>,
    pub(crate) prompt_cache_min_tokens: Option<f64>,
    pub(crate) embedding_dimensions: Option<f64>,
    #[serde(default)]
    pub(crate) input_modalities: Vec<String>,
    #[serde(default)]
    pub(crate) output_modalities: Vec<String>,
    pub(crate) reasoning_field: Option<String>,
    pub(crate) deprecation_date: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) wire_override: Option<WireOverride>,
    pub(crate) price_confidence: String,
}

#[derive(Deserialize)]
pub(crate) struct Tier {
    pub(crate) above_input_tokens: u64,
    pub(crate) service_tier: Option<String>,
    pub(crate) prices: Prices,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum UnitPrice {
    One(Decimal),
    Each(BTreeMap<String, Decimal>),
}

#[derive(Deserialize)]
pub(crate) struct OffPeak {
    pub(crate) utc_windows: Vec<Window>,
    pub(crate) prices: Prices,
}

#[derive(Deserialize)]
pub(crate) struct Window {
    pub(crate) hours_utc: Hours,
    #[serde(default)]
    pub(crate) weekdays: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Hours {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
pub(crate) struct TimeOfDay {
    pub(crate) windows: Vec<DayWindow>,
    #[serde(default)]
    pub(crate) otherwise: Vec<Prices>,
}

#[derive(Deserialize)]
pub(crate) struct DayWindow {
    pub(crate) utc_window: [String; 2],
    pub(crate) prices: Prices,
}

#[derive(Deserialize)]
pub(crate) struct Scheduled {
    pub(crate) from_date: String,
    pub(crate) prices: Prices,
}

#[derive(Deserialize)]
pub(crate) struct WireOverride {
    pub(crate) api: String,
    pub(crate) shape: String,
}

/// A figure as plain decimal digits, with no exponent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Decimal(String);

impl Decimal {
    /// A price per million tokens to the nearest femto-dollar per token, half to even.
    pub(crate) fn per_million(&self) -> String {
        let Some((whole, part)) = self.0.split_once('.').filter(|_| self.is_rounded()) else {
            return self.0.clone();
        };
        let (kept, rest) = part.split_at(PRICE_DECIMALS);
        // At most 15 digits, see `EXACT_DIGITS`.
        let mut number: u64 = format!("{whole}{kept}").parse().unwrap_or_default();
        let half = format!("5{}", "0".repeat(rest.len() - 1));
        number += u64::from(rest > half.as_str() || (rest == half && number % 2 == 1));
        let digits = format!("{number:0width$}", width = PRICE_DECIMALS + 1);
        let (whole, part) = digits.split_at(digits.len() - PRICE_DECIMALS);
        format!("{whole}.{part}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// True where a price per million tokens has more decimals than a file can hold.
    pub(crate) fn is_rounded(&self) -> bool {
        self.0.split_once('.').is_some_and(|(_, part)| part.len() > PRICE_DECIMALS)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(from)?;
        // The shortest text that reads back as the same double is the text that was written, up to 15 digits.
        let text = match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, Some(float)) => float.to_string(),
            (None, None) => return Err(de::Error::custom("not a figure")),
        };
        let digits = text.trim_start_matches(['0', '.']).bytes().filter(u8::is_ascii_digit).count();
        if digits > EXACT_DIGITS || text.starts_with('-') {
            return Err(de::Error::custom(format_args!("{text} is no exact price")));
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn prices_round_half_to_even_at_the_ninth_decimal() {
        let cases = [
            ("0.15", "0.15"),
            ("12", "12"),
            ("0.0416666667", "0.041666667"),
            ("0.0000000015", "0.000000002"),
            ("0.0000000025", "0.000000002"),
            ("0.9999999996", "1"),
            ("3.1234567894", "3.123456789"),
        ];
        for (figure, price) in cases {
            assert_eq!(Decimal(figure.to_owned()).per_million(), price, "{figure}");
        }
    }

    #[test]
    fn figures_are_read_as_they_are_written() {
        let cases = [("0.15", "0.15"), ("1e-06", "0.000001"), ("7", "7"), ("0.0416666667", "0.0416666667")];
        for (json, text) in cases {
            assert_eq!(serde_json::from_str::<Decimal>(json).unwrap().to_string(), text);
        }
        assert!(serde_json::from_str::<Decimal>("-1.5").is_err());
        assert!(serde_json::from_str::<Decimal>("0.12345678901234567").is_err());
    }
}
