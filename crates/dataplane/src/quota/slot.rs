//! One model of one domain: what was told of each of its limits, and what has been taken since.

use super::{Ask, Level, Room, WHOLE, reading, shares::Shares};
use http::HeaderMap;
use keyway_snapshot::{LimitHeaders, LimitUnit};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Until a limit whose reset is not told counts as whole.
const NO_RESET: u64 = 60_000;
/// The part of a scarce limit that is kept for clients that had less: a tenth.
const RESERVE: u64 = 10;
/// Whole limits of a month and more are not waited for.
const RESET_LIMIT: u64 = 32 * 86_400_000;

pub(super) const UNITS: [LimitUnit; 4] =
    [LimitUnit::Requests, LimitUnit::Tokens, LimitUnit::InputTokens, LimitUnit::OutputTokens];

/// Of one upstream model.
#[derive(Debug, Default)]
pub(super) struct Slot {
    gauges: [Gauge; UNITS.len()],
    requests: AtomicU64,
    tokens: AtomicU64,
    /// 429 was answered: not before this moment.
    cooled_until: AtomicU64,
    /// When the newest reply that was read had been asked for.
    pub(super) read_at: AtomicU64,
    /// Replicas that use it now.
    pub(super) sharers: AtomicU32,
    /// Something was learnt here that the fleet has not been told.
    pub(super) is_news: AtomicBool,
    shares: Shares,
}

/// One limit. `limit` 0 = nothing is known.
#[derive(Debug, Default)]
struct Gauge {
    limit: AtomicU64,
    remaining: AtomicU64,
    read_at: AtomicU64,
    reset_at: AtomicU64,
    fixed: AtomicBool,
    /// What had been taken here when it was read.
    base: AtomicU64,
}

/// What had been taken of a model's limits when an attempt began, itself included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    requests: u64,
    tokens: u64,
}

// === impl Slot ===

impl Slot {
    /// Reads a reply's headers. `sent` is when its request was; gives until when something is scarce.
    pub(super) fn read(
        &self,
        (headers, names): (&HeaderMap, &[LimitHeaders]),
        (sent, now, unix_millis): (u64, u64, u64),
        before: Option<Spent>,
    ) -> Option<u64> {
        let mut scarce = None;
        for one in names {
            let value = |name: Option<&http::HeaderName>| headers.get(name?).map(http::HeaderValue::as_bytes);
            let Some(remaining) = value(Some(&one.remaining)).and_then(reading::count) else { continue };
            let Some(gauge) = self.gauge(one.unit) else { continue };
            let limit = value(one.limit.as_ref()).and_then(reading::count).filter(|limit| *limit > 0);
            // Where the whole is not told, the most that was ever left stands for it.
            let limit = limit.unwrap_or_else(|| gauge.limit.load(Relaxed).max(remaining).max(1));
            let reset = value(one.reset.as_ref()).and_then(|value| reading::reset(value, unix_millis));
            let fixed = one.fixed || reset.is_none();
            let reset_at = now.saturating_add(reset.unwrap_or(NO_RESET).min(RESET_LIMIT));
            let level = Level { limit, remaining, read_at: sent, reset_at, fixed };
            let spent = before.unwrap_or_else(|| self.spent());
            if gauge.set(&level, spent.of(one.unit)) && level.is_scarce(now) {
                scarce = scarce.max(Some(reset_at));
            }
        }
        self.read_at.fetch_max(sent, Relaxed);
        self.is_news.store(true, Relaxed);
        scarce
    }

    /// What another replica read, if it is newer than what is known here; gives until when it is scarce.
    pub(super) fn take(&self, unit: LimitUnit, level: &Level, now: u64) -> Option<u64> {
        let gauge = self.gauge(unit)?;
        (gauge.set(level, self.spent().of(unit)) && level.is_scarce(now)).then_some(level.reset_at)
    }

    /// An attempt takes its part.
    pub(super) fn begin(&self, ask: &Ask, now: u64) -> Spent {
        let requests = self.requests.fetch_add(1, Relaxed) + 1;
        let tokens = self.tokens.fetch_add(ask.tokens, Relaxed) + ask.tokens;
        let part = |(unit, level): (LimitUnit, Level)| ask.of(unit).saturating_mul(1_000_000) / level.limit;
        self.shares.add(ask.client, self.levels().map(part).max().unwrap_or(1).max(1), now);
        Spent { requests, tokens }
    }

    /// What this replica may still take, now and for this request. What is left near the end is kept for clients that had
    /// less; of a bucket also for those that may come, since a bucket loses nothing by it.
    pub(super) fn room(&self, ask: &Ask, now: u64) -> Room {
        let sharers = u64::from(self.sharers.load(Relaxed)).max(1);
        let spent = self.spent();
        let (mut least, mut out, mut over) = (WHOLE, self.cooling(now), None);
        let mut newcomers = u64::from(ask.has_rivals);
        for (gauge, unit) in self.gauges.iter().zip(UNITS) {
            let Some(level) = gauge.level().filter(|level| now < level.reset_at) else { continue };
            let unseen = spent.of(unit).saturating_sub(gauge.base.load(Relaxed)).saturating_mul(1000);
            let due = |wanted: u64| level.due(wanted.saturating_add(unseen).saturating_mul(sharers)).max(now);
            let left = (level.left(now) / sharers).saturating_sub(unseen);
            let share = level.limit.saturating_mul(1000) / sharers;
            let cost = ask.of(unit).saturating_mul(1000);
            let kept = cost.saturating_add(share / RESERVE);
            if left < cost.max(1) {
                out = out.max(Some(due(cost)));
            }
            if left < kept && level.is_scarce(now) {
                over = over.max(Some(due(kept)));
                newcomers = if level.fixed { 0 } else { newcomers };
            }
            let part = left.saturating_mul(u64::from(WHOLE)) / share.max(1);
            least = least.min(u32::try_from(part).unwrap_or(WHOLE).max(1));
        }
        match (over, out) {
            (Some(until), _) if self.shares.is_over(ask.client, newcomers, now) => {
                Room::Over(until.max(out.unwrap_or(0)))
            }
            (_, Some(until)) => Room::Out(until),
            (_, None) => Room::Left(least),
        }
    }

    /// Until when nothing goes out, if so.
    pub(super) fn cooling(&self, now: u64) -> Option<u64> {
        Some(self.cooled_until.load(Relaxed)).filter(|until| *until > now)
    }

    /// Nothing before this moment; true if that is new.
    pub(super) fn cool(&self, until: u64, now: u64) -> bool {
        self.cooled_until.fetch_max(until, Relaxed) <= now
    }

    /// What is known of its limits.
    pub(super) fn levels(&self) -> impl Iterator<Item = (LimitUnit, Level)> {
        UNITS.into_iter().zip(&self.gauges).filter_map(|(unit, gauge)| Some((unit, gauge.level()?)))
    }

    fn gauge(&self, unit: LimitUnit) -> Option<&Gauge> {
        let place = UNITS.iter().position(|known| *known == unit)?;
        self.gauges.get(place)
    }

    fn spent(&self) -> Spent {
        Spent { requests: self.requests.load(Relaxed), tokens: self.tokens.load(Relaxed) }
    }
}

// === impl Gauge ===

impl Gauge {
    fn level(&self) -> Option<Level> {
        let limit = self.limit.load(Relaxed);
        (limit > 0).then(|| Level {
            limit,
            remaining: self.remaining.load(Relaxed),
            read_at: self.read_at.load(Relaxed),
            reset_at: self.reset_at.load(Relaxed),
            fixed: self.fixed.load(Relaxed),
        })
    }

    /// Keeps the newest; false where this one is older.
    fn set(&self, level: &Level, base: u64) -> bool {
        if self.read_at.fetch_max(level.read_at, Relaxed) > level.read_at {
            return false;
        }
        self.remaining.store(level.remaining, Relaxed);
        self.reset_at.store(level.reset_at, Relaxed);
        self.fixed.store(level.fixed, Relaxed);
        self.base.store(base, Relaxed);
        self.limit.store(level.limit, Relaxed);
        true
    }
}

// === impl Spent ===

impl Spent {
    fn of(self, unit: LimitUnit) -> u64 {
        match unit {
            LimitUnit::Requests => self.requests,
            LimitUnit::Tokens | LimitUnit::InputTokens => self.tokens,
            LimitUnit::OutputTokens | LimitUnit::Unspecified => 0,
        }
    }
}

// === impl Ask ===

impl Ask {
    /// What of it is known before the answer: of what the answer takes, nothing.
    fn of(&self, unit: LimitUnit) -> u64 {
        Spent { requests: 1, tokens: self.tokens }.of(unit)
    }
}
