//! Counts of rollouts under way: what replicas had counted before, so that only what the change brought is shown.

use super::{
    Counts, KeyName,
    next::{id, version},
};
use crate::{
    fleet::Evidence,
    resource::{Figures, KeyDocument, Step, Verb},
};
use keyway_proto::fleet::v1::KeyUse;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Of one rollout.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Whose they are: one that interrupts another has none of its own yet.
    rollout: String,
    /// Use of every version by replica and id before the change.
    before: HashMap<(String, String), KeyUse>,
    /// When the commit that activated began.
    activated: Option<Instant>,
}

// === impl Counts ===

impl Counts {
    pub(super) fn begin(&self, name: &KeyName, key: &KeyDocument, fleet: &[Evidence]) {
        let ids: Vec<String> = key.versions.iter().map(|one| id(name, one.version)).collect();
        let mut before = HashMap::new();
        for replica in fleet {
            for one in ids.iter().filter_map(|id| replica.last_use(id)) {
                before.insert((replica.id.clone(), one.id.clone()), one.clone());
            }
        }
        let rollout = key.rollout.as_ref().map(|rollout| rollout.id.clone()).unwrap_or_default();
        self.0.lock().insert(name.clone(), Live { rollout, before, activated: None });
    }

    pub(super) fn activated(&self, name: &KeyName, began: Instant) {
        if let Some(live) = self.0.lock().get_mut(name) {
            live.activated = Some(began);
        }
    }

    /// A revocation is in force with its own commit, which began then; every other change is counted from its activation.
    pub(crate) fn committed(&self, name: &KeyName, key: &KeyDocument, fleet: &[Evidence], began: Instant) {
        let Some(rollout) = key.rollout.as_ref().filter(|rollout| rollout.verb == Verb::Revoke) else {
            return;
        };
        if self.0.lock().get(name).is_none_or(|live| live.rollout != rollout.id) {
            self.begin(name, key, fleet);
            self.activated(name, began);
        }
    }

    /// What time it is for a rollout, milliseconds since 1970: from its activation on by the monotonic clock, so that a
    /// clock that is set neither ends nor prolongs an overlap. After a restart it is the given time.
    pub(super) fn now(&self, name: &KeyName, key: &KeyDocument, unix_millis: u64) -> u64 {
        let counts = self.0.lock();
        let activated = counts.get(name).and_then(|live| live.activated);
        let since = activated.zip(key.under_way()).filter(|(_, rollout)| rollout.step == Step::Active);
        since.map_or(unix_millis, |(began, rollout)| {
            let passed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            rollout.activated.saturating_add(passed)
        })
    }

    pub(super) fn forget(&self, name: &KeyName) {
        self.0.lock().remove(name);
    }

    /// What can be told of a key's rollout now.
    pub(super) fn figures(&self, name: &KeyName, key: &KeyDocument, fleet: &[Evidence], now: u64) -> Figures {
        let Some(rollout) = &key.rollout else { return Figures::default() };
        let counts = self.0.lock();
        let live = counts.get(name).filter(|live| live.rollout == rollout.id);
        let active_in = version(rollout.active_in);
        let acked = active_in.map_or(0, |at| fleet.iter().filter(|one| one.acknowledged(at)).count());
        let last = active_in.and_then(|at| fleet.iter().filter_map(|one| one.acknowledged_at(at)).max());
        let began = live.and_then(|live| live.activated);
        let took = last.zip(began).map(|(last, began)| last.saturating_duration_since(began));
        let mut figures = Figures {
            acknowledged: acked as u64,
            ack_micros: took.map(|took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            total_ms: now.saturating_sub(rollout.begun),
            ..Figures::default()
        };
        for replica in fleet {
            let since = |version: &u32| live.map(|live| live.since(replica, &id(name, *version)));
            for old in rollout.leaving.iter().filter_map(since) {
                figures.served_old += old.started;
                figures.standby += old.standby;
                figures.failed += old.failed;
                figures.last_use_old = figures.last_use_old.max(old.last_use_unix_millis);
            }
            if let Some(new) = rollout.to.as_ref().and_then(since) {
                figures.served_new += new.started;
                figures.failed += new.failed;
            }
        }
        figures
    }
}

// === impl Live ===

impl Live {
    /// What a replica counted since the change began; a process that started later counts from zero.
    fn since(&self, replica: &Evidence, id: &str) -> KeyUse {
        let Some(now) = replica.last_use(id) else { return KeyUse::default() };
        let none = KeyUse::default();
        let before = self.before.get(&(replica.id.clone(), id.to_owned())).unwrap_or(&none);
        let before = if before.started > now.started { &none } else { before };
        let used = now.started > before.started;
        KeyUse {
            started: now.started - before.started,
            standby: now.standby.saturating_sub(before.standby),
            failed: now.failed.saturating_sub(before.failed),
            refused: now.refused.saturating_sub(before.refused),
            last_use_unix_millis: if used { now.last_use_unix_millis } else { 0 },
            ..now.clone()
        }
    }
}
