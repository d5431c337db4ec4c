//! Which price it was, in words; made of what a request can carry without allocating.

use keyway_proto::snapshot::v1::{PriceOrigin, ServiceTier};

/// Percent have so many places more in a discount.
const PLACES: usize = 4;

/// The rules by which a request was priced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    pub(super) origin: PriceOrigin,
    pub(super) free: bool,
    pub(super) scheduled: bool,
    pub(super) service: ServiceTier,
    pub(super) hours: Clock,
    /// Input tokens above which the rates hold; 0 = any.
    pub(super) above: u64,
    /// Ten-thousandths of a percent.
    pub(super) discount: u32,
}

/// What the time of day makes of a price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Clock {
    #[default]
    Base,
    OffPeak,
    Peak,
}

// === impl Rules ===

impl Rules {
    /// `list`, `file` or `key`; then what else decided, like `free`, `scheduled`, `flex`, `off-peak`, `tier>200000`,
    /// `discount 12.5%`.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let origin = match self.origin {
            PriceOrigin::Unspecified => "list",
            PriceOrigin::File => "file",
            PriceOrigin::Key => "key",
        };
        let clock = match self.hours {
            Clock::Base => None,
            Clock::OffPeak => Some("off-peak"),
            Clock::Peak => Some("peak"),
        };
        let words = [
            Some(origin),
            self.free.then_some("free"),
            self.scheduled.then_some("scheduled"),
            service_tier_name(self.service).filter(|_| !self.free),
            clock,
        ];
        let mut texts: Vec<String> = words.into_iter().flatten().map(str::to_owned).collect();
        texts.extend((self.above > 0).then(|| format!("tier>{}", self.above)));
        texts.extend((self.discount > 0).then(|| format!("discount {}%", percent(self.discount))));
        texts
    }
}

/// A tier as replies name it; none for the list price.
#[must_use]
pub fn service_tier_name(tier: ServiceTier) -> Option<&'static str> {
    match tier {
        ServiceTier::Unspecified => None,
        ServiceTier::Batch => Some("batch"),
        ServiceTier::Flex => Some("flex"),
        ServiceTier::Priority => Some("priority"),
        ServiceTier::Fast => Some("fast"),
        ServiceTier::Ultrafast => Some("ultrafast"),
        ServiceTier::Balanced => Some("balanced"),
        ServiceTier::Scale => Some("scale"),
        ServiceTier::Other => Some("other"),
    }
}

/// The tier of this name: the catalogue's word for it, or a reply's. What is served at list price is no tier.
#[must_use]
pub fn service_tier_by_name(name: &str) -> ServiceTier {
    const ALL: [ServiceTier; 7] = [
        ServiceTier::Batch,
        ServiceTier::Flex,
        ServiceTier::Priority,
        ServiceTier::Fast,
        ServiceTier::Ultrafast,
        ServiceTier::Balanced,
        ServiceTier::Scale,
    ];
    match name {
        "default" | "standard" | "auto" | "on_demand" | "" => ServiceTier::Unspecified,
        _ => {
            ALL.into_iter().find(|tier| service_tier_name(*tier) == Some(name)).unwrap_or(ServiceTier::Other)
        }
    }
}

/// Ten-thousandths of a percent as percent, without needless zeros: `12.5`.
#[must_use]
pub fn percent(discount: u32) -> String {
    let scale = 10u32.pow(4);
    let (whole, part) = (discount / scale, discount % scale);
    let part = format!("{part:0PLACES$}");
    let part = part.trim_end_matches('0');
    if part.is_empty() { whole.to_string() } else { format!("{whole}.{part}") }
}
