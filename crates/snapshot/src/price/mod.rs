//! What a request costs, in integers: prices are femto-dollars (1e-15 USD) a token or unit, a cost is nano-dollars.
//! What is not known is never taken for nothing: a request that used something without a known price has no cost.

mod book;
mod key;
mod listed;
mod rules;

#[cfg(test)]
mod tests;

use crate::Invalid;
use book::{Book, Hours};
use keyway_proto::snapshot::v1::{self as wire, Kind, Meter, ServiceTier};

pub(crate) use key::KeyPrices;
pub use listed::{Rate, When};
pub use rules::{Rules, percent, service_tier_by_name, service_tier_name};

/// How many meters there are; `Meter as usize` is below it.
pub const METERS: usize = Meter::SearchUnits as usize + 1;
/// A discount is below this: ten-thousandths of a percent.
const WHOLE: u32 = 1_000_000;
/// Prices are reckoned in atto-dollars (1e-18 USD), so that a millisecond of something that is priced by the second is
/// exact; with a discount in parts of `WHOLE` of them.
const ATTO_PER_FEMTO: u128 = 1_000;
const ATTO_PER_NANO: u128 = 1_000_000_000;

/// Nano-dollars (1e-9 USD).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoDollars(pub u64);

/// What a request used, as far as its price depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Used<'a> {
    /// By `Meter` as a number. No token stands in two of them.
    pub counts: &'a [u64; METERS],
    /// Of `OUTPUT`, tokens of reasoning.
    pub reasoning: u64,
    /// What the reply says.
    pub service_tier: ServiceTier,
    /// When the request began, seconds since 1970.
    pub at_unix_seconds: u64,
}

/// A cost, and by which rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bill {
    /// Rounded once, half to even.
    pub cost: NanoDollars,
    /// Which price it was.
    pub rules: Rules,
}

/// One line of a bill: so many of what, at how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// What is charged.
    pub meter: Meter,
    /// How many; of `AUDIO_MILLISECONDS` milliseconds.
    pub count: u64,
    /// Femto-dollars for one; of `AUDIO_MILLISECONDS` for a second.
    pub femto_dollars: u64,
}

/// What requests to one model cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    base: Book,
    services: Vec<(ServiceTier, Book)>,
    by_time: Vec<(Hours, Book)>,
    /// Ascending, from a second since 1970 on.
    scheduled: Vec<(u64, Book)>,
    origin: wire::PriceOrigin,
    free: bool,
}

// === impl Price ===

impl Price {
    /// Reads a price as it travels. `resource` and `at` name it in what is wrong.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn build(price: &wire::Price, resource: &str, at: &str) -> Result<Self, Invalid> {
        let bad = |field: &str, reason: &str| {
            Invalid::new(Kind::Provider, resource, format!("{at}.{field}"), reason)
        };
        let base = Book::read(&price.rates, &price.tiers, None).map_err(|why| bad("rates", why))?;
        let mut services = Vec::with_capacity(price.services.len());
        for service in &price.services {
            let book = Book::read(&service.rates, &service.tiers, Some(&base))
                .map_err(|why| bad("services", why))?;
            if matches!(service.tier(), ServiceTier::Unspecified | ServiceTier::Other) {
                return Err(bad("services", "unknown tier"));
            }
            services.push((service.tier(), book.no_longer_than(&base)));
        }
        let mut by_time = Vec::with_capacity(price.by_time.len());
        for timed in &price.by_time {
            let book =
                Book::read(&timed.rates, &timed.tiers, Some(&base)).map_err(|why| bad("by_time", why))?;
            let hours = Hours::read(timed).map_err(|why| bad("by_time", why))?;
            by_time.push((hours, book));
        }
        let mut scheduled: Vec<(u64, Book)> = Vec::with_capacity(price.scheduled.len());
        for later in &price.scheduled {
            let from = later.from_unix_seconds;
            if scheduled.last().is_some_and(|(before, _)| *before >= from) {
                return Err(bad("scheduled", "not in ascending order"));
            }
            let book =
                Book::read(&later.rates, &later.tiers, Some(&base)).map_err(|why| bad("scheduled", why))?;
            scheduled.push((from, book));
        }
        Ok(Self { base, services, by_time, scheduled, origin: price.origin(), free: price.free })
    }

    /// What it costs with this discount (ten-thousandths of a percent); `None` if the price of something that was used
    /// is not known.
    #[must_use]
    pub fn bill(&self, used: &Used<'_>, discount: u32) -> Option<Bill> {
        let mut total = Some(0u128);
        let mut rules = self.charge(used, |charge| {
            total = total.and_then(|total| total.checked_add(charge.atto_dollars()?));
        })?;
        rules.discount = discount;
        let cost = match discount {
            0 => half_even(total?, ATTO_PER_NANO),
            _ => half_even(
                total?.checked_mul(WHOLE.checked_sub(discount)?.into())?,
                ATTO_PER_NANO * u128::from(WHOLE),
            ),
        };
        Some(Bill { cost: NanoDollars(u64::try_from(cost).ok()?), rules })
    }

    /// The lines that `bill` adds up; `None` where it is.
    #[must_use]
    pub fn charges(&self, used: &Used<'_>) -> Option<Vec<Charge>> {
        let mut all = Vec::new();
        self.charge(used, |charge| all.push(charge))?;
        Some(all)
    }

    fn charge(&self, used: &Used<'_>, mut each: impl FnMut(Charge)) -> Option<Rules> {
        let mut rules = Rules { origin: self.origin, free: self.free, ..Rules::default() };
        if self.free {
            return Some(rules);
        }
        let book = self.book(used, &mut rules)?;
        rules.above = book.charge(used, &mut each)?;
        Some(rules)
    }

    /// The rates that hold.
    fn book(&self, used: &Used<'_>, rules: &mut Rules) -> Option<&Book> {
        let at = used.at_unix_seconds;
        rules.service = used.service_tier;
        if let Some((_, book)) = self.scheduled.iter().rev().find(|(from, _)| *from <= at) {
            rules.scheduled = true;
            // What a tier costs from then on nobody has said.
            return (used.service_tier == ServiceTier::Unspecified).then_some(book);
        }
        if used.service_tier != ServiceTier::Unspecified {
            return self.services.iter().find(|(tier, _)| *tier == used.service_tier).map(|(_, book)| book);
        }
        let Some((_, book)) = self.by_time.iter().find(|(hours, _)| hours.hold(at)) else {
            return Some(&self.base);
        };
        rules.hours = book.against(&self.base);
        Some(book)
    }
}

// === impl Charge ===

impl Charge {
    fn atto_dollars(&self) -> Option<u128> {
        let each = if self.meter == Meter::AudioMilliseconds { 1 } else { ATTO_PER_FEMTO };
        u128::from(self.count).checked_mul(u128::from(self.femto_dollars))?.checked_mul(each)
    }
}

/// How often it holds `unit`, to the nearest; of two, the even one.
fn half_even(amount: u128, unit: u128) -> u128 {
    // Nearly all amounts are below 18 USD: a machine divides them in one step.
    let (whole, rest) = match (u64::try_from(amount), u64::try_from(unit)) {
        (Ok(amount), Ok(unit)) => (u128::from(amount / unit), u128::from(amount % unit)),
        _ => (amount / unit, amount % unit),
    };
    match rest.cmp(&(unit / 2)) {
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
