//! A new version on trial: some replicas use it while the others stay with the old one, and the more the longer it does
//! not fail more often. One snapshot says for all who is who, so that a version of it never stands for two states.

use super::{KeyDocument, KeyState, Rollout, Step};
use keyway_snapshot::Version;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The trial of a rollout's new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// How long each stage is watched, milliseconds.
    pub step_ms: u64,
    /// Requests on the new version without which a stage proves nothing.
    pub step_requests: u64,
    /// Replicas that use the new version.
    pub replicas: Vec<String>,
    /// What was tried, oldest first; the last one may be under way.
    pub stages: Vec<Stage>,
    /// It came to a bad end: the old versions were never given up.
    pub undone: bool,
}

/// One stage of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// Its place in the plan: one replica, 10 %, 50 %.
    pub level: usize,
    /// Replicas that used the new version.
    pub replicas: u64,
    /// Of so many.
    pub of: u64,
    /// The snapshot that began it, `(epoch, counter)`.
    pub from: (u64, u64),
    /// When it began, milliseconds since 1970.
    pub begun: u64,
    /// When it ended, milliseconds since 1970; 0 = it has not.
    pub ended: u64,
    /// Counted on the new version.
    pub new: Trials,
    /// Counted on the old versions meanwhile, or since their replicas started where that was too little.
    pub old: Trials,
    /// What it came to.
    pub end: StageEnd,
}

/// Attempts at providers, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trials {
    /// Attempts that began.
    pub started: u64,
    /// Of these: 5xx, 401, 402, 403, 429, no connection, no answer in time, an answer that cannot be used.
    pub errors: u64,
}

/// What a stage came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageEnd {
    /// It is under way.
    #[default]
    Running,
    /// Enough requests, and the new version did not fail more often.
    Proven,
    /// Too few requests to tell.
    Unproven,
    /// The new version failed more often.
    Worse,
    /// No replica of it answered any more; others took over.
    Lost,
}

/// A stage that is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextStage {
    /// Its place in the plan.
    pub level: usize,
    /// Who uses the new version.
    pub replicas: Vec<String>,
    /// Of so many.
    pub of: u64,
}

/// How a stage is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Counted on the new version.
    pub new: Trials,
    /// Counted on the old ones.
    pub old: Trials,
    /// What it came to.
    pub end: StageEnd,
}

// === impl Trials ===

impl Trials {
    /// In thousandths, `0` of none.
    #[must_use]
    pub fn per_mille(self) -> u64 {
        self.errors.saturating_mul(1000).checked_div(self.started).unwrap_or(0)
    }
}

// === impl Trial ===

impl Trial {
    /// The stage that is under way.
    #[must_use]
    pub fn stage(&self) -> Option<&Stage> {
        self.stages.last().filter(|stage| stage.ended == 0)
    }

    /// Ends the stage that is under way.
    fn close(&mut self, closed: Option<Closed>, now: u64) {
        let running = self.stages.last_mut().filter(|stage| stage.ended == 0);
        if let (Some(stage), Some(Closed { new, old, end })) = (running, closed) {
            (stage.ended, stage.new, stage.old, stage.end) = (now, new, old, end);
        }
    }
}

// === impl KeyDocument ===

impl KeyDocument {
    /// The trial that is under way, with the version that is tried.
    #[must_use]
    pub fn on_trial(&self) -> Option<(u32, &Rollout, &Trial)> {
        let rollout = self.rollout.as_ref().filter(|rollout| rollout.step == Step::Trial)?;
        Some((rollout.to?, rollout, rollout.trial.as_ref()?))
    }

    /// A stage begins: the new version is active on these replicas and standby on the others, the old ones the other way
    /// round. Since the old ones stay, nothing has to be done where it is cut off here.
    pub fn try_on(&mut self, stage: NextStage, closed: Option<Closed>, from: Version, now: u64) {
        let Some(rollout) = &mut self.rollout else { return };
        let (Some(trial), Some(to)) = (&mut rollout.trial, rollout.to) else { return };
        trial.close(closed, now);
        trial.stages.push(Stage {
            level: stage.level,
            replicas: stage.replicas.len() as u64,
            of: stage.of,
            from: (from.epoch, from.counter),
            begun: now,
            ended: 0,
            new: Trials::default(),
            old: Trials::default(),
            end: StageEnd::Running,
        });
        trial.replicas = stage.replicas;
        rollout.step = Step::Trial;
        rollout.active_in = Some((from.epoch, from.counter));
        if let Some(version) = self.version_mut(to).filter(|one| one.state != KeyState::Active) {
            version.leaving = None;
            version.set(KeyState::Active, now);
        }
    }

    /// The last stage ended well; `activate` follows in the same commit.
    pub fn tried(&mut self, closed: Closed, now: u64) {
        if let Some(trial) = self.rollout.as_mut().and_then(|rollout| rollout.trial.as_mut()) {
            trial.close(Some(closed), now);
        }
    }

    /// The new version goes out of use; the old ones are active everywhere again.
    pub fn undo(&mut self, why: String, closed: Option<Closed>, without: Version, now: u64) {
        let Some(rollout) = &mut self.rollout else { return };
        let (Some(trial), Some(to)) = (&mut rollout.trial, rollout.to) else { return };
        trial.close(closed, now);
        trial.undone = true;
        (rollout.step, rollout.failure, rollout.activated) = (Step::Withdrawn, Some(why), now);
        rollout.active_in = Some((without.epoch, without.counter));
        if let Some(version) = self.version_mut(to) {
            version.go(KeyState::Withdrawn, KeyState::RolledBack, (without, false), now);
        }
    }

    /// A change interrupts a trial: what was tried becomes standby, unless it is what the change wants.
    pub(super) fn leave_trial(&mut self, wanted: Option<u32>, now: u64) {
        let Some(tried) = self.on_trial().map(|(tried, ..)| tried) else { return };
        if Some(tried) != wanted
            && let Some(version) = self.version_mut(tried)
        {
            version.set(KeyState::Retiring, now);
        }
    }
}
