//! What a replica tells the fleet of its providers' limits, and what it hears of them. Times go as spans, since clocks of
//! two hosts need not agree.

use super::{Domain, Level, slot::Slot};
use keyway_proto::fleet::v1::{Quota, QuotaLevel};
use std::sync::atomic::Ordering::Relaxed;

/// The longest age and wait that are believed of another host.
const SPAN_LIMIT: u64 = 32 * 86_400_000;
/// Milliseconds that word from another host was at most under way: what was read here in that time is newer.
const ON_ITS_WAY: u64 = 50;

// === impl Domain ===

impl Domain {
    /// What was learnt here since this was asked last.
    pub(crate) fn news(&self, now: u64) -> impl Iterator<Item = Quota> {
        let fresh = |slot: &Slot| slot.is_news.swap(false, Relaxed);
        self.models()
            .filter(move |(_, slot)| fresh(slot))
            .map(move |(model, slot)| self.told(model, slot, now))
    }

    /// Everything that is known here.
    pub(crate) fn all(&self, now: u64) -> impl Iterator<Item = Quota> {
        self.models().map(move |(model, slot)| self.told(model, slot, now))
    }

    fn told(&self, model: &str, slot: &Slot, now: u64) -> Quota {
        let levels = slot.levels().map(|(unit, level)| QuotaLevel {
            unit: unit.into(),
            limit: level.limit,
            remaining: level.remaining,
            reset_millis: level.reset_at.saturating_sub(now),
            age_millis: now.saturating_sub(level.read_at),
            fixed: level.fixed,
        });
        Quota {
            domain: self.id.to_string(),
            model: model.to_owned(),
            levels: levels.collect(),
            cooling_millis: slot.cooling(now).map_or(0, |until| until - now),
            sharers: slot.sharers.load(Relaxed),
        }
    }

    /// What all replicas know of one model of it.
    pub(crate) fn hear(&self, quota: &Quota, now: u64) {
        let levels = quota.levels.iter().map(|told| {
            let level = Level {
                limit: told.limit,
                remaining: told.remaining,
                read_at: now.saturating_sub(told.age_millis.min(SPAN_LIMIT) + ON_ITS_WAY),
                reset_at: now.saturating_add(told.reset_millis.min(SPAN_LIMIT)),
                fixed: told.fixed,
            };
            (told.unit(), level)
        });
        let known = levels.filter(|(_, level)| level.limit > 0);
        let cooled_until = now.saturating_add(quota.cooling_millis.min(SPAN_LIMIT));
        self.take(&quota.model, (cooled_until, quota.sharers), known, now);
    }
}
