//! Counts of rollouts under way: what replicas had counted before, so that only what the change brought is shown.

use super::{
    Counts, KeyName,
    next::{id, version},
    stages::Watched,
};
use crate::{
    fleet::Evidence,
    resource::{Figures, KeyDocument, Step, Trials, Verb},
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
    before: Uses,
    /// When the commit that activated began.
    activated: Option<Instant>,
    /// Of the stage of a trial that is under way.
    stage: Option<Stage>,
}

/// One stage of a trial.
#[derive(Debug)]
struct Stage {
    /// The snapshot that began it.
    from: (u64, u64),
    /// When it was first looked at here: after a restart it is watched anew.
    began: Instant,
    before: Uses,
}

/// Use of versions by replica and id.
type Uses = HashMap<(String, String), KeyUse>;

// === impl Counts ===

impl Counts {
    /// Counts of a rollout begin; those that have begun go on.
    pub(super) fn begin(&self, name: &KeyName, key: &KeyDocument, fleet: &[Evidence]) {
        let rollout = key.rollout.as_ref().map(|rollout| rollout.id.clone()).unwrap_or_default();
        let mut counts = self.0.lock();
        if counts.get(name).is_none_or(|live| live.rollout != rollout) {
            let before = uses(name, key, fleet);
            counts.insert(name.clone(), Live { rollout, before, activated: None, stage: None });
        }
    }

    /// What was counted in the stage of a trial that is under way.
    pub(super) fn watched(&self, name: &KeyName, key: &KeyDocument, fleet: &[Evidence]) -> Watched {
        let Some((tried, rollout, stage)) =
            key.on_trial().and_then(|(tried, rollout, trial)| Some((tried, rollout, trial.stage()?)))
        else {
            return Watched::default();
        };
        self.begin(name, key, fleet);
        let mut counts = self.0.lock();
        let Some(live) = counts.get_mut(name) else { return Watched::default() };
        if live.stage.as_ref().is_none_or(|one| one.from != stage.from) {
            let before = uses(name, key, fleet);
            live.stage = Some(Stage { from: stage.from, began: Instant::now(), before });
        }
        let Some(stage) = &live.stage else { return Watched::default() };
        let trials = |version: u32, before: &Uses| {
            let id = id(name, version);
            fleet.iter().fold(Trials::default(), |sum, one| sum.with(&since(before, one, &id)))
        };
        let old = |before: &Uses| {
            let each = rollout.leaving.iter().map(|version| trials(*version, before));
            each.fold(Trials::default(), |sum, one| sum.and(one))
        };
        let meanwhile = old(&stage.before);
        let least = rollout.trial.as_ref().map_or(0, |trial| trial.step_requests);
        Watched {
            elapsed: u64::try_from(stage.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            new: trials(tried, &stage.before),
            // Where next to nobody uses the old ones beside it, what they did before must do.
            old: if meanwhile.started < least { old(&Uses::new()) } else { meanwhile },
        }
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
            let since = |version: &u32| live.map(|live| since(&live.before, replica, &id(name, *version)));
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

// === impl Trials ===

impl Trials {
    fn with(self, used: &KeyUse) -> Self {
        let errors = used.refused + used.faults + used.throttled + used.timeouts;
        self.and(Self { started: used.started, errors })
    }

    fn and(self, other: Self) -> Self {
        Self { started: self.started + other.started, errors: self.errors + other.errors }
    }
}

/// How every version of a key is used now.
fn uses(name: &KeyName, key: &KeyDocument, fleet: &[Evidence]) -> Uses {
    let ids: Vec<String> = key.versions.iter().map(|one| id(name, one.version)).collect();
    let mut uses = Uses::new();
    for replica in fleet {
        for one in ids.iter().filter_map(|id| replica.last_use(id)) {
            uses.insert((replica.id.clone(), one.id.clone()), one.clone());
        }
    }
    uses
}

/// What a replica counted since then; a process that started later counts from zero.
fn since(before: &Uses, replica: &Evidence, id: &str) -> KeyUse {
    let Some(now) = replica.last_use(id) else { return KeyUse::default() };
    let none = KeyUse::default();
    let before = before.get(&(replica.id.clone(), id.to_owned())).unwrap_or(&none);
    let before = if before.started > now.started { &none } else { before };
    let used = now.started > before.started;
    KeyUse {
        started: now.started - before.started,
        standby: now.standby.saturating_sub(before.standby),
        failed: now.failed.saturating_sub(before.failed),
        refused: now.refused.saturating_sub(before.refused),
        faults: now.faults.saturating_sub(before.faults),
        throttled: now.throttled.saturating_sub(before.throttled),
        timeouts: now.timeouts.saturating_sub(before.timeouts),
        last_use_unix_millis: if used { now.last_use_unix_millis } else { 0 },
        ..now.clone()
    }
}
