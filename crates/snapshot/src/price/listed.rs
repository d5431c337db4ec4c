//! All rates of a price, for people.

use super::book::Book;
use super::{Price, service_tier_name};
use keyway_proto::snapshot::v1::{Meter, PriceOrigin};

/// One rate of a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// When it holds.
    pub when: When,
    /// Input tokens above which it holds; 0 = any.
    pub above: u64,
    /// Of what.
    pub meter: Meter,
    /// For one; of `AUDIO_MILLISECONDS` for a second.
    pub femto_dollars: u64,
}

/// When rates hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Where nothing else does.
    Always,
    /// In a service tier.
    Tier(&'static str),
    /// At times of the day or the week.
    Hours(String),
    /// From this second since 1970 on.
    From(u64),
}

// === impl Price ===

impl Price {
    /// Who says so: `list`, `file` or `key`.
    #[must_use]
    pub fn origin(&self) -> PriceOrigin {
        self.origin
    }

    /// Nothing costs anything.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.free
    }

    /// Femto-dollars of a meter for a short prompt at list price, if it has a price.
    #[must_use]
    pub fn list_rate(&self, meter: Meter) -> Option<u64> {
        if self.free { Some(0) } else { self.base.rate(None, meter) }
    }

    /// Every rate that it has, what always holds first.
    #[must_use]
    pub fn rates(&self) -> Vec<Rate> {
        let mut all = Vec::new();
        list(&mut all, &When::Always, &self.base);
        for (tier, book) in &self.services {
            list(&mut all, &When::Tier(service_tier_name(*tier).unwrap_or_default()), book);
        }
        for (hours, book) in &self.by_time {
            list(&mut all, &When::Hours(hours.to_string()), book);
        }
        for (from, book) in &self.scheduled {
            list(&mut all, &When::From(*from), book);
        }
        all
    }
}

fn list(all: &mut Vec<Rate>, when: &When, book: &Book) {
    for (above, rates) in book.by_length() {
        all.extend(rates.iter().map(|(meter, femto_dollars)| Rate {
            when: when.clone(),
            above,
            meter: *meter,
            femto_dollars: *femto_dollars,
        }));
    }
}
