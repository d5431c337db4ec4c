//! A provider that bills. Each request's own prompt says what it is answered (an [`Order`]), and the books are kept from what
//! was seen: by arithmetic of its own, from a price table of its own, knowing nothing of the gateway's code.

mod answer;
mod books;
mod order;
mod price;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io;

use parking_lot::Mutex;

pub use self::books::{Account, Books, Charge, Ending};
pub use self::order::{Kind, Order, Told};
pub use self::price::{Above, Key, Price, Prices, Rates, Tier, per_million};
use crate::provider::{Provider, Reply, Seen};

/// A running one.
#[derive(Debug)]
pub struct Biller {
    /// The provider itself, on its port.
    pub provider: Provider,
    prices: Prices,
}

// === impl Biller ===

impl Biller {
    /// Starts one with these prices.
    pub fn start(prices: Prices) -> io::Result<Self> {
        let provider = Provider::start()?;
        let attempts = Mutex::new(HashMap::<String, usize>::new());
        provider.decide(move |seen| {
            let Some((kind, order)) = Order::of(seen) else { return Reply::status(400) };
            let mut attempts = attempts.lock();
            let before = attempts.entry(order.request.clone()).or_default();
            let fails = order.fails.get(*before).copied();
            *before += 1;
            fails.map_or_else(|| answer::reply(kind, &order, &seen.model()), Reply::status)
        });
        Ok(Self { provider, prices })
    }

    /// What was billed so far, by request.
    pub fn charges(&self) -> BTreeMap<String, Charge> {
        books::charges(&self.provider.seen(), &self.prices)
    }

    /// Whether every answer that began has ended.
    pub fn is_quiet(&self) -> bool {
        self.provider.seen().iter().all(|seen| seen.outcome.is_some())
    }

    /// The requests that came and named this order.
    pub fn saw(&self, request: &str) -> bool {
        let named = |seen: &Seen| Order::of(seen).is_some_and(|(_, order)| order.request == request);
        self.provider.seen().iter().any(named)
    }
}
