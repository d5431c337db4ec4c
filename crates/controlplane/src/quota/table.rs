//! Merges what replicas read. Pure: times are milliseconds on the control plane's monotonic clock.

use keyway_proto::{
    fleet::v1::{Quota, QuotaLevel, Quotas},
    snapshot::v1::LimitUnit,
};
use std::collections::BTreeMap;

/// Models of domains that are known at one time; the one that was heard of longest ago gives way.
const ENTRIES: usize = 4096;
/// Of these, how many one message to replicas holds.
const TOLD: usize = 512;
/// Bytes of a domain's or model's name.
const NAME_LIMIT: usize = 512;
/// Two readings within so many milliseconds are of one moment: then the lower one is right.
const MOMENT: u64 = 250;
/// A replica that has said nothing of a limit for so long does not use it.
const SHARES_FOR: u64 = 10_000;
/// Milliseconds between two messages to replicas; a new 429 does not wait.
const PAUSE: u64 = 100;
/// What nobody has spoken of for so long is forgotten.
const KEPT: u64 = 3_600_000;
/// The longest span that a replica is believed.
const SPAN_LIMIT: u64 = 32 * 86_400_000;

/// Every limit that is known.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: BTreeMap<(String, String), Entry>,
    told_at: Option<u64>,
    /// The last message had something scarce in it.
    told_scarce: bool,
}

/// Of one model in one domain.
#[derive(Debug, Default, Clone)]
pub(crate) struct Entry {
    /// By unit.
    pub(super) levels: BTreeMap<i32, Level>,
    /// A 429 keeps everything back until then.
    pub(super) cooled_until: u64,
    /// Who uses it, and when it said so last.
    sharers: BTreeMap<String, u64>,
    heard_at: u64,
}

/// Of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    pub(super) read_at: u64,
    pub(super) reset_at: u64,
    pub(super) fixed: bool,
}

// === impl Table ===

impl Table {
    /// What a replica has read. True if there is a new 429 among it, of which the others must hear at once.
    pub(crate) fn take(&mut self, replica: &str, quotas: &Quotas, now: u64) -> bool {
        let mut urgent = false;
        let fits = |name: &str| !name.is_empty() && name.len() <= NAME_LIMIT;
        for quota in quotas.quotas.iter().filter(|quota| fits(&quota.domain) && fits(&quota.model)) {
            let place = (quota.domain.clone(), quota.model.clone());
            if !self.entries.contains_key(&place) {
                self.make_room(now);
            }
            urgent |= self.entries.entry(place).or_default().take(replica, quota, now);
        }
        urgent
    }

    /// What all replicas are to know, if it is time for it: whatever is scarce, or once that nothing is any more.
    pub(crate) fn word(&mut self, urgent: bool, now: u64) -> Option<Quotas> {
        if !urgent && self.told_at.is_some_and(|at| now < at.saturating_add(PAUSE)) {
            return None;
        }
        let scarce = self.entries.iter().filter(|(_, entry)| entry.is_scarce(now));
        let quotas: Vec<Quota> = scarce.take(TOLD).map(|(place, entry)| entry.told(place, now)).collect();
        let is_scarce = !quotas.is_empty();
        if !is_scarce && !self.told_scarce {
            return None;
        }
        (self.told_at, self.told_scarce) = (Some(now), is_scarce);
        Some(Quotas { quotas })
    }

    /// What is known of a provider's limits: of one model, or of all.
    pub(super) fn of<'a>(
        &'a self,
        provider: &'a str,
        model: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a Entry)> {
        let own = move |domain: &str| domain.split_once('/').is_some_and(|(first, _)| first == provider);
        let all = self
            .entries
            .iter()
            .filter(move |((domain, name), _)| own(domain) && model.is_none_or(|model| model == name));
        all.map(|((domain, model), entry)| (domain.as_str(), model.as_str(), entry))
    }

    fn make_room(&mut self, now: u64) {
        self.entries.retain(|_, entry| now < entry.heard_at.saturating_add(KEPT));
        if self.entries.len() >= ENTRIES {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.heard_at);
            if let Some(place) = oldest.map(|(place, _)| place.clone()) {
                self.entries.remove(&place);
            }
        }
    }
}

// === impl Entry ===

impl Entry {
    fn take(&mut self, replica: &str, quota: &Quota, now: u64) -> bool {
        self.heard_at = now;
        self.sharers.retain(|_, at| now < at.saturating_add(SHARES_FOR));
        self.sharers.insert(replica.to_owned(), now);
        for told in &quota.levels {
            if told.unit() == LimitUnit::Unspecified || told.limit == 0 {
                continue;
            }
            let level = Level::read(told, now);
            let merged = self.levels.get(&told.unit).map_or(level, |known| known.merge(level));
            self.levels.insert(told.unit, merged);
        }
        let cooled_until = now.saturating_add(quota.cooling_millis.min(SPAN_LIMIT));
        let is_new = quota.cooling_millis > 0 && self.cooled_until <= now;
        self.cooled_until = self.cooled_until.max(cooled_until);
        is_new
    }

    /// Less than half of a limit is left, or a 429 keeps everything back.
    fn is_scarce(&self, now: u64) -> bool {
        let low = |level: &Level| now < level.reset_at && level.remaining.saturating_mul(2) < level.limit;
        self.cooled_until > now || self.levels.values().any(low)
    }

    /// Replicas that use it now.
    pub(super) fn sharers(&self, now: u64) -> usize {
        self.sharers.values().filter(|at| now < at.saturating_add(SHARES_FOR)).count()
    }

    fn told(&self, (domain, model): &(String, String), now: u64) -> Quota {
        Quota {
            domain: domain.clone(),
            model: model.clone(),
            levels: self.levels.iter().map(|(unit, level)| level.told(*unit, now)).collect(),
            cooling_millis: self.cooled_until.saturating_sub(now),
            sharers: u32::try_from(self.sharers(now)).unwrap_or(u32::MAX),
        }
    }
}

// === impl Level ===

impl Level {
    fn read(told: &QuotaLevel, now: u64) -> Self {
        Self {
            limit: told.limit,
            remaining: told.remaining,
            read_at: now.saturating_sub(told.age_millis.min(SPAN_LIMIT)),
            reset_at: now.saturating_add(told.reset_millis.min(SPAN_LIMIT)),
            fixed: told.fixed,
        }
    }

    /// The newer reading; of two that are of one moment, the one that leaves less.
    fn merge(self, other: Self) -> Self {
        let (newer, older) = if other.read_at >= self.read_at { (other, self) } else { (self, other) };
        if newer.read_at - older.read_at > MOMENT || older.remaining >= newer.remaining {
            return newer;
        }
        Self { remaining: older.remaining, ..newer }
    }

    fn told(&self, unit: i32, now: u64) -> QuotaLevel {
        QuotaLevel {
            unit,
            limit: self.limit,
            remaining: self.remaining,
            reset_millis: self.reset_at.saturating_sub(now),
            age_millis: now.saturating_sub(self.read_at),
            fixed: self.fixed,
        }
    }
}
