//! What single keys of a provider are charged otherwise than its price says.

use super::Price;
use crate::Invalid;
use keyway_proto::snapshot::v1::{self as wire, Kind};
use std::{collections::HashMap, sync::Arc};

/// By key, whichever its version.
#[derive(Debug, Default)]
pub(crate) struct KeyPrices(HashMap<Box<str>, KeyPrice>);

#[derive(Debug)]
struct KeyPrice {
    prices: HashMap<Box<str>, Arc<Price>>,
    discount: u32,
}

// === impl KeyPrices ===

impl KeyPrices {
    pub(crate) fn build(provider: &wire::Provider) -> Result<Self, Invalid> {
        let mut all = HashMap::with_capacity(provider.key_prices.len());
        for (at, key) in provider.key_prices.iter().enumerate() {
            let bad = |field: &str, why: &str| {
                Invalid::new(Kind::Provider, &provider.name, format!("key_prices[{at}].{field}"), why)
            };
            if key.discount > super::WHOLE {
                return Err(bad("discount", "more than all"));
            }
            let mut prices = HashMap::with_capacity(key.offers.len());
            for (place, offer) in key.offers.iter().enumerate() {
                let price = offer.price.as_ref().ok_or_else(|| bad("offers", "an offer without a price"))?;
                let at = format!("key_prices[{at}].offers[{place}].price");
                prices.insert(offer.id.as_str().into(), Arc::new(Price::build(price, &provider.name, &at)?));
            }
            all.insert(key.key.as_str().into(), KeyPrice { prices, discount: key.discount });
        }
        Ok(Self(all))
    }

    /// The price of a model for a key named `provider/key/version` (`list` where it has none), and its discount.
    pub(crate) fn of<'a>(
        &'a self,
        key: &str,
        model: &str,
        list: Option<&'a Arc<Price>>,
    ) -> (Option<&'a Arc<Price>>, u32) {
        if self.0.is_empty() {
            return (list, 0);
        }
        let name = key.split('/').nth(1).unwrap_or_default();
        let Some(own) = self.0.get(name) else { return (list, 0) };
        (own.prices.get(model).or(list), own.discount)
    }
}
