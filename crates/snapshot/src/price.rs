//! What a request costs, in integers: prices are femto-dollars (1e-15 USD) a token, a cost is nano-dollars.

use crate::{Invalid, Meter};
use keyway_proto::snapshot::v1::{self as wire, Kind};

/// How many meters there are; `Meter as usize` is below it.
pub const METERS: usize = Meter::Requests as usize + 1;

const FEMTO_PER_NANO: u128 = 1_000_000;

/// Nano-dollars (1e-9 USD).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoDollars(pub u64);

/// Femto-dollars a token, by meter. `None` = no price of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    base: [Option<u64>; METERS],
    tiers: Vec<(u64, [Option<u64>; METERS])>,
}

// === impl Price ===

impl Price {
    pub(crate) fn build(price: &wire::Price, resource: &str, at: &str) -> Result<Self, Invalid> {
        let bad = |field: &str, reason: &str| {
            Invalid::new(Kind::Provider, resource, format!("{at}.{field}"), reason)
        };
        let mut tiers = Vec::with_capacity(price.tiers.len());
        for tier in &price.tiers {
            if tiers.last().is_some_and(|(above, _)| *above >= tier.above_input_tokens) {
                return Err(bad("tiers", "not in ascending order"));
            }
            let rates = rates(&tier.rates).ok_or_else(|| bad("tiers", "unknown meter"))?;
            tiers.push((tier.above_input_tokens, rates));
        }
        Ok(Self { base: rates(&price.rates).ok_or_else(|| bad("rates", "unknown meter"))?, tiers })
    }

    /// The cost of these counts (meters do not overlap), rounded once, half to even.
    /// A meter without a price of its own costs what its plain kind costs (cached input as input, audio out as output);
    /// `None` if even that is unknown: an unknown price is never zero.
    #[must_use]
    pub fn cost(&self, counts: &[u64; METERS]) -> Option<NanoDollars> {
        let prompt: u64 = PROMPT.iter().filter_map(|meter| counts.get(*meter as usize)).sum();
        let tier = self.tiers.iter().rev().find(|(above, _)| prompt > *above).map(|(_, rates)| rates);
        let rate = |meter: Meter| {
            let of = |rates: &[Option<u64>; METERS]| rates.get(meter as usize).copied().flatten();
            tier.and_then(of).or_else(|| of(&self.base))
        };
        let mut femto = 0u128;
        for meter in BILLED {
            let count = counts.get(meter as usize).copied().unwrap_or(0);
            if count > 0 {
                femto += u128::from(count) * u128::from(rate(meter).or_else(|| rate(plain(meter)))?);
            }
        }
        u64::try_from(half_even(femto)).ok().map(NanoDollars)
    }
}

const PROMPT: [Meter; 9] = [
    Meter::Input,
    Meter::CacheRead,
    Meter::CacheReadImage,
    Meter::CacheWrite5m,
    Meter::CacheWrite1h,
    Meter::CacheWrite12h,
    Meter::AudioInput,
    Meter::CacheReadAudio,
    Meter::ImageInput,
];

// Reasoning is part of output; it is counted apart only to be shown.
const BILLED: [Meter; 13] = [
    Meter::CacheReadImage,
    Meter::CacheWrite12h,
    Meter::Citation,
    Meter::Input,
    Meter::Output,
    Meter::CacheRead,
    Meter::CacheWrite5m,
    Meter::CacheWrite1h,
    Meter::AudioInput,
    Meter::AudioOutput,
    Meter::CacheReadAudio,
    Meter::ImageInput,
    Meter::ImageOutput,
];

fn plain(meter: Meter) -> Meter {
    match meter {
        Meter::Output | Meter::AudioOutput | Meter::ImageOutput | Meter::Reasoning | Meter::Citation => {
            Meter::Output
        }
        Meter::CacheWrite1h | Meter::CacheWrite12h => Meter::CacheWrite5m,
        Meter::Images
        | Meter::Characters
        | Meter::AudioMilliseconds
        | Meter::WebSearches
        | Meter::Requests => meter,
        Meter::Unspecified
        | Meter::Input
        | Meter::CacheRead
        | Meter::CacheWrite5m
        | Meter::AudioInput
        | Meter::CacheReadAudio
        | Meter::CacheReadImage
        | Meter::ImageInput => Meter::Input,
    }
}

fn rates(rates: &[wire::Rate]) -> Option<[Option<u64>; METERS]> {
    let mut all = [None; METERS];
    for rate in rates {
        let meter = Meter::try_from(rate.meter).ok().filter(|meter| *meter != Meter::Unspecified)?;
        *all.get_mut(meter as usize)? = Some(rate.femto_dollars);
    }
    Some(all)
}

fn half_even(femto: u128) -> u128 {
    let (whole, rest) = (femto / FEMTO_PER_NANO, femto % FEMTO_PER_NANO);
    match rest.cmp(&(FEMTO_PER_NANO / 2)) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Greater => whole + 1,
        std::cmp::Ordering::Equal => whole + whole % 2,
    }
}

// === impl NanoDollars ===

impl std::fmt::Display for NanoDollars {
    /// US dollars with nine places.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(rates: &[(Meter, u64)], tiers: &[(u64, &[(Meter, u64)])]) -> Price {
        let wire = |rates: &[(Meter, u64)]| {
            rates.iter().map(|(m, f)| wire::Rate { meter: *m as i32, femto_dollars: *f }).collect::<Vec<_>>()
        };
        let tiers =
            tiers.iter().map(|(n, r)| wire::PriceTier { above_input_tokens: *n, rates: wire(r) }).collect();
        Price::build(&wire::Price { rates: wire(rates), tiers, ..wire::Price::default() }, "p", "x").unwrap()
    }

    fn counts(of: &[(Meter, u64)]) -> [u64; METERS] {
        let mut all = [0; METERS];
        for (meter, count) in of {
            all[*meter as usize] = *count;
        }
        all
    }

    #[test]
    fn dollars_by_hand() {
        // gpt-4o-mini: 0.15 and 0.60 USD a million = 150e6 and 600e6 femto-dollars a token.
        let mini = price(
            &[(Meter::Input, 150_000_000), (Meter::Output, 600_000_000), (Meter::CacheRead, 75_000_000)],
            &[],
        );
        let cost = |of: &[(Meter, u64)]| mini.cost(&counts(of)).map(|nano| nano.to_string());
        assert_eq!(cost(&[(Meter::Input, 11), (Meter::Output, 7)]).as_deref(), Some("0.000005850"));
        assert_eq!(cost(&[(Meter::Input, 200), (Meter::CacheRead, 1000)]).as_deref(), Some("0.000105000"));
        assert_eq!(cost(&[]).as_deref(), Some("0.000000000"));
        // Reasoning is inside output: showing it does not bill it again.
        assert_eq!(cost(&[(Meter::Output, 7), (Meter::Reasoning, 5)]), cost(&[(Meter::Output, 7)]));
    }

    #[test]
    fn tiers_replace_the_base_and_unknown_stays_unknown() {
        let tiered = price(&[(Meter::Input, 1_000_000)], &[(100, &[(Meter::Input, 2_000_000)])]);
        assert_eq!(tiered.cost(&counts(&[(Meter::Input, 100)])), Some(NanoDollars(100)));
        assert_eq!(tiered.cost(&counts(&[(Meter::Input, 101)])), Some(NanoDollars(202)));
        assert_eq!(tiered.cost(&counts(&[(Meter::Output, 1)])), None);
    }

    #[test]
    fn rounds_half_to_even_once() {
        let half = price(&[(Meter::Input, 500_000)], &[]);
        for (tokens, nano) in [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)] {
            assert_eq!(half.cost(&counts(&[(Meter::Input, tokens)])), Some(NanoDollars(nano)), "{tokens}");
        }
    }
}
