//! Prices and their arithmetic, written down once more and apart from the gateway's: whole femto-dollars in 128 bits, rounded half to
//! even once per request.

use std::collections::BTreeMap;

/// Femto-dollars of a nano-dollar.
const FEMTO: u128 = 1_000_000;

/// Femto-dollars per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of the prompt.
    pub input: u128,
    /// Read from the cache.
    pub cached: u128,
    /// Written to the cache, for five minutes.
    pub written: u128,
    /// Written to the cache, for an hour.
    pub written_1h: u128,
    /// Of images in the prompt.
    pub images: u128,
    /// Of the answer.
    pub output: u128,
}

/// Other rates once the whole prompt is longer.
#[derive(Clone, Copy, Debug)]
pub struct Above {
    /// The longest prompt at the lower price.
    pub tokens: u64,
    /// Beyond it.
    pub rates: Rates,
}

/// Rates of one service tier.
#[derive(Clone, Debug)]
pub struct Tier {
    /// As replies say it.
    pub name: &'static str,
    /// Up to `above`.
    pub rates: Rates,
    /// For longer prompts.
    pub above: Option<Above>,
}

/// What one model costs.
#[derive(Clone, Debug, Default)]
pub struct Price {
    /// Up to `above`, without a service tier.
    pub rates: Rates,
    /// For longer prompts.
    pub above: Option<Above>,
    /// By service tier. One that is not here has no price.
    pub tiers: Vec<Tier>,
}

/// Who pays by which list: keys, and models with a price.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    /// By upstream model. One that is not here has no price.
    pub models: BTreeMap<&'static str, Price>,
    /// By secret: `provider/name` of the key.
    pub keys: BTreeMap<&'static str, Key>,
}

/// A provider key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `provider/name`.
    pub name: &'static str,
    /// Percent off.
    pub discount: u128,
}

/// Tokens by what they are billed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) written: u64,
    pub(super) written_1h: u64,
    pub(super) images: u64,
    pub(super) output: u64,
}

/// USD per million tokens, in thousandths, as femto-dollars per token.
#[must_use]
pub const fn per_million(milli_dollars: u128) -> u128 {
    milli_dollars * 1_000_000
}

// === impl Tokens ===

impl Tokens {
    /// The whole prompt.
    pub(super) fn prompt(&self) -> u64 {
        self.input + self.cached + self.written + self.written_1h + self.images
    }
}

// === impl Price ===

impl Price {
    /// Nano-dollars; `None`: this tier has no price.
    pub(super) fn cost(&self, tokens: &Tokens, tier: Option<&str>, discount: u128) -> Option<u64> {
        let (rates, above) = match tier {
            None | Some("default" | "standard" | "auto") => (self.rates, self.above),
            Some(name) => {
                let tier = self.tiers.iter().find(|tier| tier.name == name)?;
                (tier.rates, tier.above)
            }
        };
        let rates = above.filter(|above| tokens.prompt() > above.tokens).map_or(rates, |above| above.rates);
        let parts = [
            (tokens.input, rates.input),
            (tokens.cached, rates.cached),
            (tokens.written, rates.written),
            (tokens.written_1h, rates.written_1h),
            (tokens.images, rates.images),
            (tokens.output, rates.output),
        ];
        let femto: u128 = parts.iter().map(|(count, rate)| u128::from(*count) * rate).sum();
        u64::try_from(half_even(femto * (100 - discount.min(100)), FEMTO * 100)).ok()
    }
}

/// The quotient, rounded to the nearest, and between two to the even one.
fn half_even(amount: u128, unit: u128) -> u128 {
    let (whole, rest) = (amount / unit, amount % unit);
    let up = rest * 2 > unit || (rest * 2 == unit && whole % 2 == 1);
    whole + u128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_one() {
        let cases = [
            (0, 0),
            (499_999, 0),
            (500_000, 0),
            (500_001, 1),
            (1_499_999, 1),
            (1_500_000, 2),
            (2_500_000, 2),
        ];
        for (femto, nano) in cases {
            assert_eq!(half_even(femto, FEMTO), nano, "{femto}");
        }
    }

    #[test]
    fn a_cost_is_reckoned_by_hand() {
        let (cheap, dear) = (per_million(150), per_million(600));
        let rates = Rates { input: cheap, cached: per_million(75), output: dear, ..Rates::default() };
        let double = Rates { input: 2 * cheap, output: 2 * dear, ..rates };
        let price = Price {
            rates,
            above: Some(Above { tokens: 100, rates: double }),
            tiers: vec![Tier { name: "flex", rates: Rates { input: cheap / 2, ..rates }, above: None }],
        };
        let tokens = Tokens { input: 90, cached: 10, output: 5, ..Tokens::default() };
        // 90 x 0.15 + 10 x 0.075 + 5 x 0.60 = 17.25 millionths of a dollar.
        assert_eq!(price.cost(&tokens, None, 0), Some(17_250));
        assert_eq!(price.cost(&tokens, Some("default"), 0), Some(17_250));
        assert_eq!(price.cost(&tokens, Some("flex"), 0), Some(10_500));
        assert_eq!(price.cost(&tokens, Some("scale"), 0), None);
        assert_eq!(price.cost(&tokens, None, 10), Some(15_525));
        // One token more, and all of them cost the double; cached ones keep their price.
        let more = Tokens { input: 91, ..tokens };
        assert_eq!(price.cost(&more, None, 0), Some(34_050));
    }
}
