//! A trial's stages: who is next, and whether the new version fails more often than the old ones. Pure, in integers: what
//! was counted comes in.

use super::next::{Next, version};
use crate::{
    fleet::Evidence,
    resource::{Closed, NextStage, Rollout, StageEnd, Trial, Trials},
};

/// Parts of the fleet that use the new version, in percent; the first stage is one replica. All of it is no stage.
const LEVELS: [usize; 3] = [0, 10, 50];
/// A stage without enough requests is watched for so many step times, and then proves nothing.
const PATIENCE: u64 = 3;
/// Milliseconds until a fleet of which replicas may be back at once is looked at again.
const RETURN: u64 = 250;
/// Fewer errors are chance.
const ERRORS: u64 = 3;
/// A smaller difference between the two rates is not acted upon, thousandths.
const DIFFERENCE: u64 = 10;
/// Square of how many standard deviations the new rate lies above the old one's: 4 are one wrong alarm in 30,000 looks.
const DEVIATIONS_SQUARED: u128 = 16;
/// Larger counts are scaled down to this: the squares of their products fit.
const SCALE: u64 = 1 << 24;

/// What was counted since a stage began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Watched {
    /// Milliseconds, by a clock that nobody sets.
    pub(super) elapsed: u64,
    pub(super) new: Trials,
    pub(super) old: Trials,
}

/// The first stage; `None` while no replica answers and takes states.
pub(super) fn first(fleet: &[Evidence]) -> Option<NextStage> {
    next_stage(0, &[], &usable(fleet))
}

/// Replicas with which a stage can be: they answer, and did not refuse what they were sent last.
fn usable(fleet: &[Evidence]) -> Vec<&Evidence> {
    fleet.iter().filter(|one| one.answers && one.refused.is_none()).collect()
}

/// Milliseconds that a trial takes at most.
pub(super) fn longest(trial: &Trial) -> u64 {
    trial.step_ms.saturating_mul(PATIENCE).saturating_mul(LEVELS.len() as u64)
}

/// What is due while a version is on trial. `now` is for waits.
pub(super) fn due(rollout: &Rollout, trial: &Trial, fleet: &[Evidence], watched: &Watched, now: u64) -> Next {
    let Some(stage) = trial.stage() else {
        return first(fleet).map_or(Next::Wait(None), |one| Next::Try(one, None));
    };
    let closed = |end| Closed { new: watched.new, old: watched.old, end };
    if is_worse(watched.new, baseline(watched.old, trial.step_requests)) {
        return Next::Undo(worse(rollout, watched), closed(StageEnd::Worse));
    }
    // With whom the next stage is, and whether this one is lost, is not decided while some are on their way back.
    let back = fleet.iter().any(|one| one.may_return).then(|| Next::Wait(Some(now.saturating_add(RETURN))));
    let mut tries = fleet.iter().filter(|one| one.answers && trial.replicas.contains(&one.id)).peekable();
    let nobody = tries.peek().is_none();
    if !tries.any(|one| version(Some(stage.from)).is_some_and(|from| one.acknowledged(from))) {
        if !nobody && watched.elapsed < rollout.ack_timeout_ms {
            return Next::Wait(Some(now.saturating_add(rollout.ack_timeout_ms - watched.elapsed)));
        }
        return back.unwrap_or_else(|| lost(rollout, trial, fleet, closed(StageEnd::Lost)));
    }
    let enough = watched.new.started >= trial.step_requests;
    let time = if enough { trial.step_ms } else { trial.step_ms.saturating_mul(PATIENCE) };
    if watched.elapsed < time {
        // Looked at again and again meanwhile: whatever is counted wakes the loop.
        return Next::Wait(Some(now.saturating_add(time - watched.elapsed)));
    }
    if let Some(wait) = back {
        return wait;
    }
    let closed = closed(if enough { StageEnd::Proven } else { StageEnd::Unproven });
    match next_stage(stage.level + 1, &trial.replicas, &usable(fleet)) {
        Some(one) => Next::Try(one, Some(closed)),
        None => Next::Activate(Some(closed)),
    }
}

/// Nobody of the stage tries the new version: others do, unless all that answer refused the state that says so.
fn lost(rollout: &Rollout, trial: &Trial, fleet: &[Evidence], closed: Closed) -> Next {
    let level = trial.stage().map_or(0, |stage| stage.level);
    let others: Vec<&Evidence> =
        usable(fleet).into_iter().filter(|one| !trial.replicas.contains(&one.id)).collect();
    if let Some(stage) = next_stage(level, &trial.replicas, &others) {
        return Next::Try(stage, Some(closed));
    }
    let mut answering = fleet.iter().filter(|one| one.answers).peekable();
    let why = answering.peek().and_then(|one| one.refused.as_ref());
    match why {
        Some((field, reason)) if answering.all(|one| one.refused.is_some()) => {
            let to = rollout.to.unwrap_or_default();
            let why = format!("no replica takes the state with version {to} on trial: {field}: {reason}");
            Next::Undo(why, closed)
        }
        _ => Next::Wait(None),
    }
}

/// The next level that needs more replicas than those which try already. Who tries goes on with it, also where it is
/// silent now; a replica that came meanwhile is asked last only if its name says so.
fn next_stage(level: usize, tried: &[String], usable: &[&Evidence]) -> Option<NextStage> {
    let answering: Vec<&str> = usable.iter().map(|one| one.id.as_str()).collect();
    let of = answering.len();
    let have = answering.iter().filter(|id| tried.iter().any(|one| one == *id)).count();
    let (level, want) =
        (level..LEVELS.len()).map(|level| (level, size(level, of))).find(|(_, want)| *want > have)?;
    let mut replicas = tried.to_vec();
    let others = answering.iter().filter(|id| !tried.iter().any(|one| one == *id));
    replicas.extend(others.take(want - have).map(|id| (*id).to_owned()));
    Some(NextStage { level, replicas, of: of as u64 })
}

/// How many of so many replicas are tried at a level.
fn size(level: usize, of: usize) -> usize {
    LEVELS.get(level).map_or(of, |percent| (of * percent).div_ceil(100).max(1)).min(of)
}

/// What the new version is held against: where next to nothing is known of the old one, as many requests as a stage wants
/// of the new one, of which none more failed.
fn baseline(old: Trials, least: u64) -> Trials {
    Trials { started: old.started.max(least), ..old }
}

/// Whether the new version fails more often, beyond chance: the one-sided test of two proportions, in integers.
fn is_worse(new: Trials, old: Trials) -> bool {
    let (new, old) = (scaled(new), scaled(old));
    let too_few = new.errors < ERRORS || new.started == 0 || old.started == 0;
    if too_few || new.per_mille() < old.per_mille() + DIFFERENCE {
        return false;
    }
    let [n1, e1, n0, e0] = [new.started, new.errors, old.started, old.errors].map(u128::from);
    let above = (e1 * n0).saturating_sub(e0 * n1);
    let (all, errors) = (n0 + n1, e0 + e1);
    // Of p1 - p0 over the deviation of the pooled rate, squared: both sides times n0² n1² all.
    let spread = n0 * n1 * errors * all.saturating_sub(errors);
    above.saturating_mul(above).saturating_mul(all) > spread.saturating_mul(DEVIATIONS_SQUARED)
}

/// An attempt can fail twice over in the counts only by a replica that was started again in between.
fn scaled(trials: Trials) -> Trials {
    let by = trials.started.div_ceil(SCALE).max(1);
    let started = trials.started / by;
    Trials { started, errors: (trials.errors / by).min(started) }
}

fn worse(rollout: &Rollout, watched: &Watched) -> String {
    let old: Vec<String> = rollout.leaving.iter().map(u32::to_string).collect();
    format!(
        "version {} fails more often: {} of {} attempts ({}), against {} of {} ({}) on version {}",
        rollout.to.unwrap_or_default(),
        watched.new.errors,
        watched.new.started,
        percent(watched.new),
        watched.old.errors,
        watched.old.started,
        percent(watched.old),
        old.join(", "),
    )
}

fn percent(trials: Trials) -> String {
    let per_mille = trials.per_mille();
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

#[cfg(test)]
mod tests;
