//! What is due for one key. Pure: document, what is known of the replicas and the time come in.

use super::{
    KeyName,
    stages::{self, Watched},
};
use crate::{
    fleet::Evidence,
    resource::{Closed, KeyDocument, KeyState, Leaving, NextStage, Rollout, Step},
};
use keyway_snapshot::Version;

/// Standby that was used so lately is still needed, milliseconds.
pub(super) const STANDBY_QUIET_MS: u64 = 5000;

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask the provider about this version.
    Probe(u32),
    /// Try the new version on these replicas; what came before is closed so.
    Try(NextStage, Option<Closed>),
    /// Take the version that is on trial out of use, for that reason.
    Undo(String, Closed),
    /// Bring the new version into use everywhere; its last trial is closed so.
    Activate(Option<Closed>),
    /// Take the old versions out of the snapshots.
    Withdraw,
    /// Nothing more is to come.
    End,
    /// Something has to happen first, or this moment has to come (milliseconds since 1970).
    Wait(Option<u64>),
}

pub(super) fn next(
    name: &KeyName,
    key: &KeyDocument,
    fleet: &[Evidence],
    now: u64,
    watched: &Watched,
) -> Next {
    let Some(rollout) = key.under_way() else { return Next::Wait(None) };
    match rollout.step {
        Step::Staged => rollout.to.map_or(Next::End, Next::Probe),
        Step::Verified if rollout.trial.is_some() && !rollout.hold => {
            stages::first(fleet).map_or(Next::Wait(None), |stage| Next::Try(stage, None))
        }
        Step::Verified => Next::Activate(None),
        Step::Trial => match &rollout.trial {
            Some(trial) => stages::due(rollout, trial, fleet, watched, now),
            None => Next::Activate(None),
        },
        Step::Active => active(name, key, rollout, fleet, now),
        Step::Withdrawn if going(key).next().is_none() => Next::End,
        Step::Withdrawn => Next::Wait(None),
        Step::Done | Step::Failed | Step::Superseded => Next::Wait(None),
    }
}

/// The new version is in use: the old ones stay as standby until the overlap is over and nobody needs them.
fn active(name: &KeyName, key: &KeyDocument, rollout: &Rollout, fleet: &[Evidence], now: u64) -> Next {
    if key.in_state(KeyState::Retiring).next().is_none() {
        let Some(active_in) = version(rollout.active_in) else { return Next::End };
        let deadline = rollout.activated + rollout.ack_timeout_ms;
        let answered = fleet.iter().all(|one| one.acknowledged(active_in));
        return if answered || now >= deadline { Next::End } else { Next::Wait(Some(deadline)) };
    }
    let over = rollout.activated + rollout.overlap_ms;
    if now < over {
        return Next::Wait(Some(over));
    }
    let quiet = last_standby_use(name, rollout, fleet) + STANDBY_QUIET_MS;
    // A clock that was set back does not keep old versions for ever: the last use is never later than now.
    if now < quiet.min(now + STANDBY_QUIET_MS) && quiet > STANDBY_QUIET_MS {
        return Next::Wait(Some(quiet.min(now + STANDBY_QUIET_MS)));
    }
    Next::Withdraw
}

/// When an old version was last used because the new one was refused; 0 = never.
fn last_standby_use(name: &KeyName, rollout: &Rollout, fleet: &[Evidence]) -> u64 {
    let ids: Vec<String> = rollout.leaving.iter().map(|version| id(name, *version)).collect();
    let uses = fleet.iter().flat_map(|one| ids.iter().filter_map(|id| one.uses.get(id)));
    uses.filter(|one| one.standby > 0).map(|one| one.last_use_unix_millis).max().unwrap_or(0)
}

/// Versions on their way out that every replica whose books are open is rid of.
pub(super) fn rid_of(name: &KeyName, key: &KeyDocument, fleet: &[Evidence]) -> Vec<u32> {
    let rid = |(number, leaving): &(u32, &Leaving)| {
        let ids = [id(name, *number)];
        fleet.iter().all(|one| one.is_rid_of(leaving.without(), &ids))
    };
    going(key).filter(rid).map(|(number, _)| number).collect()
}

/// Versions that are in no snapshot and not confirmed.
pub(super) fn going(key: &KeyDocument) -> impl Iterator<Item = (u32, &Leaving)> {
    key.versions.iter().filter_map(|one| one.leaving.as_ref().map(|leaving| (one.version, leaving)))
}

/// As replicas name it.
pub(super) fn id((provider, key): &KeyName, version: u32) -> String {
    format!("{provider}/{key}/{version}")
}

pub(super) fn version(stored: Option<(u64, u64)>) -> Option<Version> {
    stored.map(|(epoch, counter)| Version { epoch, counter })
}
