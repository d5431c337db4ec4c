//! Providers' limits on the fleet stream: what all keys here have learnt, and what the fleet knows of them.

use crate::lease::Keyring;
use keyway_proto::fleet::v1::Quotas;

/// Models of domains that one message tells of; the rest has its turn with the next.
const QUOTAS: usize = 256;

/// What was learnt since the last time; `None` where that is nothing.
pub(super) fn news(keyring: &Keyring, now: u64) -> Option<Quotas> {
    let quotas: Vec<_> = keyring.domains().flat_map(|domain| domain.news(now)).take(QUOTAS).collect();
    (!quotas.is_empty()).then_some(Quotas { quotas })
}

/// What the fleet knows; of a domain that no key here is in there is nothing to know.
pub(super) fn hear(keyring: &Keyring, quotas: &Quotas, now: u64) {
    for quota in &quotas.quotas {
        if let Some(domain) = keyring.domain(&quota.domain) {
            domain.hear(quota, now);
        }
    }
}
