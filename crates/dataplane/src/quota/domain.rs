//! One quota domain: what keys of one provider share, by upstream model.

use super::{
    Ask, Level, Room, WHOLE, hash,
    slot::{Slot, Spent},
};
use http::HeaderMap;
use keyway_snapshot::{LimitHeaders, LimitUnit};
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Models of one domain that are remembered; others go unwatched.
const MODELS: usize = 64;
/// Places that are looked at for one model.
const PROBES: usize = 8;
/// While nothing is scarce, replies to requests within so many milliseconds after that of one that was read are not.
const FRESH: u64 = 20;
/// After a 429 without a wait of its own.
const COOL_DOWN: Duration = Duration::from_secs(1);
/// The longest wait that a provider can impose.
const COOL_DOWN_LIMIT: Duration = Duration::from_secs(3600);

/// What keys share.
pub(crate) struct Domain {
    /// `provider/domain`.
    pub(crate) id: Box<str>,
    /// Nothing is scarce from this moment on: then a request pays one load.
    scarce_until: AtomicU64,
    /// Made with the first word of a limit: most keys never hear one.
    slots: OnceLock<Box<[Named]>>,
}

#[derive(Debug, Default)]
struct Named {
    name: OnceLock<Name>,
    slot: Slot,
}

#[derive(Debug)]
struct Name {
    hash: u64,
    text: Box<str>,
}

/// A reply's head, and when its request went out; milliseconds.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) names: &'a [LimitHeaders],
    pub(crate) sent: u64,
    /// What had been taken when it went out, where that was counted.
    pub(crate) before: Option<Spent>,
}

// === impl Domain ===

impl Domain {
    pub(crate) fn new(id: String) -> Self {
        Self { id: id.into(), scarce_until: AtomicU64::new(0), slots: OnceLock::new() }
    }

    /// Whether nothing is known to be scarce.
    pub(crate) fn is_ample(&self, now: u64) -> bool {
        now >= self.scarce_until.load(Relaxed)
    }

    /// What it lets through for this request.
    pub(crate) fn room(&self, model: &str, ask: &Ask, now: u64) -> Room {
        if self.is_ample(now) {
            return Room::Left(WHOLE);
        }
        self.find(model).map_or(Room::Left(WHOLE), |slot| slot.room(ask, now))
    }

    /// Until when a 429 keeps everything back, if one does.
    pub(crate) fn cooling(&self, model: &str, now: u64) -> Option<u64> {
        if self.is_ample(now) {
            return None;
        }
        self.find(model)?.cooling(now)
    }

    /// An attempt begins. Counted only where something is scarce.
    pub(crate) fn begin(&self, model: &str, ask: &Ask, now: u64) -> Option<Spent> {
        if self.is_ample(now) {
            return None;
        }
        Some(self.find(model)?.begin(ask, now))
    }

    /// Reads what a reply tells. `clock` gives the time, and that since 1970 where a reset is a date; it is asked only for
    /// a reply that is read.
    pub(crate) fn learn(&self, model: &str, told: &Told<'_>, clock: impl Fn() -> (u64, Duration)) {
        let hash = hash(model);
        let known = self.at(hash, model);
        let lately = known.is_some_and(|slot| slot.read_at.load(Relaxed) + FRESH > told.sent);
        if lately && self.is_ample(told.sent) {
            return;
        }
        if !told.names.iter().any(|one| told.headers.contains_key(&one.remaining)) {
            return;
        }
        let Some(slot) = known.or_else(|| self.enter(hash, model)) else { return };
        let (now, unix) = clock();
        let unix = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        let scarce = slot.read((told.headers, told.names), (told.sent, now, unix), told.before);
        self.scarce(scarce);
    }

    /// The provider answered 429: no key of this domain before so long. True if that is new, and others should know.
    pub(crate) fn cool(&self, model: &str, now: u64, wait: Option<Duration>) -> bool {
        let wait = wait.unwrap_or(COOL_DOWN).min(COOL_DOWN_LIMIT);
        let until = now.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let Some(slot) = self.slot(model) else { return false };
        let is_new = slot.cool(until, now);
        slot.is_news.store(true, Relaxed);
        self.scarce(Some(until));
        is_new
    }

    /// What the rest of the fleet knows of one model.
    pub(super) fn take(
        &self,
        model: &str,
        (cooled_until, sharers): (u64, u32),
        levels: impl Iterator<Item = (LimitUnit, Level)>,
        now: u64,
    ) {
        let Some(slot) = self.slot(model) else { return };
        slot.sharers.store(sharers, Relaxed);
        if cooled_until > now {
            slot.cool(cooled_until, now);
            self.scarce(Some(cooled_until));
        }
        levels.for_each(|(unit, level)| self.scarce(slot.take(unit, &level, now)));
    }

    /// Every model that is known, with its slot.
    pub(super) fn models(&self) -> impl Iterator<Item = (&str, &Slot)> {
        let all = self.slots.get().into_iter().flatten();
        all.filter_map(|one| Some((&*one.name.get()?.text, &one.slot)))
    }

    fn scarce(&self, until: Option<u64>) {
        if let Some(until) = until {
            self.scarce_until.fetch_max(until, Relaxed);
        }
    }

    fn find(&self, model: &str) -> Option<&Slot> {
        self.at(hash(model), model)
    }

    fn slot(&self, model: &str) -> Option<&Slot> {
        let hash = hash(model);
        self.at(hash, model).or_else(|| self.enter(hash, model))
    }

    fn at(&self, hash: u64, model: &str) -> Option<&Slot> {
        let all = self.slots.get()?;
        let is = |name: &Name| name.hash == hash && *name.text == *model;
        let mut names = places(all, hash).map_while(|one| Some((one.name.get()?, &one.slot)));
        names.find(|(name, _)| is(name)).map(|(_, slot)| slot)
    }

    fn enter(&self, hash: u64, model: &str) -> Option<&Slot> {
        let all = self.slots.get_or_init(|| (0..MODELS).map(|_| Named::default()).collect());
        let mut places = places(all, hash);
        let claimed = places.find(|one| {
            let name = one.name.get_or_init(|| Name { hash, text: model.into() });
            name.hash == hash && *name.text == *model
        });
        claimed.map(|one| &one.slot)
    }
}

fn places(all: &[Named], hash: u64) -> impl Iterator<Item = &Named> {
    all.iter().cycle().skip((hash as usize) % MODELS).take(PROBES)
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Domain({})", self.id)
    }
}
