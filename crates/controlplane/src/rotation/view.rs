//! A rollout as the API shows it while it is under way and after.

use super::{
    Counts, KeyName,
    next::{going, version},
};
use crate::{
    Plane,
    fleet::Evidence,
    plane::unix_millis,
    resource::{Figures, KeyDocument, KeyState, Probing, Rollout, Step, Trial, Verb},
};
use schemars::JsonSchema;
use serde::Serialize;

/// A change of a key's versions.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RolloutView {
    /// Unique.
    pub id: String,
    /// `provider/key`.
    pub key: String,
    /// What was asked for.
    pub verb: Verb,
    /// How far it is.
    pub step: Step,
    /// `running`, `retired`, `active`, `verified`, `revoked`, `rolled_back`, `rejected`, `failed`.
    pub outcome: &'static str,
    /// The version that comes into use; absent = none.
    pub version: Option<u32>,
    /// Versions that go out of use, with their states.
    pub old: Vec<OldVersion>,
    /// The first snapshot with the new version in use; absent = not yet.
    pub snapshot: Option<String>,
    /// What the provider said; absent = it was not asked.
    pub probe: Option<Probing>,
    /// Replicas whose books are open.
    pub replicas: usize,
    /// Replicas that have not acknowledged though the deadline is over, or do not answer.
    pub silent: Vec<String>,
    /// Replicas that refused the snapshot, with field and reason.
    pub refused: Vec<String>,
    /// Replicas that have not confirmed yet that they are rid of the old versions.
    pub unconfirmed: Vec<String>,
    /// Attempts that use the old versions now.
    pub in_flight_old: u64,
    /// Counts since the change began.
    #[serde(flatten)]
    pub figures: Figures,
    /// When it began, milliseconds since 1970.
    pub begun: u64,
    /// When the new version came into use, milliseconds since 1970; 0 = not yet.
    pub activated: u64,
    /// Milliseconds that the old versions stay as standby.
    pub overlap_ms: u64,
    /// After this a replica that has not acknowledged is silent, milliseconds.
    pub ack_timeout_ms: u64,
    /// How the new version was tried before all replicas use it, with its counts until now; absent = it was not.
    pub trial: Option<Trial>,
    /// Milliseconds that its stages take at most from the beginning.
    pub trial_ms: u64,
    /// Why it failed; absent = it did not.
    pub failure: Option<String>,
}

/// A version that goes out of use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OldVersion {
    version: u32,
    state: KeyState,
}

impl RolloutView {
    /// The newest rollout of a key; `None` if there never was one, or no such key.
    #[must_use]
    pub fn of(plane: &Plane, counts: &Counts, provider: &str, key: &str) -> Option<Self> {
        let state = plane.state();
        let (_, keys) = state.provider(provider)?;
        let key = keys.iter().find(|one| one.name == key)?;
        let name = (provider.to_owned(), key.name.clone());
        Self::new(&name, key, &plane.fleet().evidence(), counts, unix_millis())
    }

    pub(crate) fn new(
        name: &KeyName,
        key: &KeyDocument,
        fleet: &[Evidence],
        counts: &Counts,
        now: u64,
    ) -> Option<Self> {
        let rollout = key.rollout.as_ref()?;
        let active_in = version(rollout.active_in);
        let in_force = in_force(rollout);
        let late = in_force > 0 && now >= in_force + rollout.ack_timeout_ms;
        let owes = |one: &&Evidence| active_in.is_some_and(|at| !one.acknowledged(at));
        let silent =
            fleet.iter().filter(|one| (late && owes(one)) || (!one.answers && owes_proof(name, key, one)));
        let ids =
            |versions: &[u32]| versions.iter().map(|one| super::next::id(name, *one)).collect::<Vec<_>>();
        let undone = rollout.trial.as_ref().is_some_and(|trial| trial.undone);
        let leaving = if undone { ids(rollout.to.as_slice()) } else { ids(&rollout.leaving) };
        let uses = fleet.iter().flat_map(|one| leaving.iter().filter_map(|id| one.uses.get(id)));
        let in_flight_old = uses.map(|one| one.in_flight).sum();
        let old = rollout.leaving.iter().filter_map(|number| {
            key.version(*number).map(|one| OldVersion { version: *number, state: one.state })
        });
        let refused = fleet.iter().filter(owes).filter_map(|one| {
            one.refused.as_ref().map(|(field, reason)| format!("{}: {field}: {reason}", one.id))
        });
        let figures = rollout.figures.unwrap_or_else(|| counts.figures(name, key, fleet, now));
        let full = format!("{}/{}", name.0, name.1);
        Some(Self {
            id: rollout.id.clone(),
            key: full,
            verb: rollout.verb,
            step: rollout.step,
            outcome: outcome(key),
            version: rollout.to,
            old: old.collect(),
            snapshot: active_in.map(|at| at.to_string()),
            probe: rollout.probed.clone(),
            replicas: fleet.len(),
            silent: silent.map(|one| one.id.clone()).collect(),
            refused: refused.collect(),
            unconfirmed: fleet
                .iter()
                .filter(|one| owes_proof(name, key, one))
                .map(|one| one.id.clone())
                .collect(),
            in_flight_old,
            figures,
            begun: rollout.begun,
            activated: rollout.activated,
            overlap_ms: rollout.overlap_ms,
            ack_timeout_ms: rollout.ack_timeout_ms,
            trial: trial(name, key, fleet, counts),
            trial_ms: rollout.trial.as_ref().map_or(0, super::stages::longest),
            failure: rollout.failure.clone(),
        })
    }
}

/// When what replicas are to acknowledge came into force, milliseconds since 1970; 0 = not yet.
fn in_force(rollout: &Rollout) -> u64 {
    let stage = rollout.trial.as_ref().and_then(Trial::stage).map_or(0, |stage| stage.begun);
    stage.max(rollout.activated)
}

/// The trial as it stands, what is counted of its stage included.
fn trial(name: &KeyName, key: &KeyDocument, fleet: &[Evidence], counts: &Counts) -> Option<Trial> {
    let mut trial = key.rollout.as_ref()?.trial.clone()?;
    if key.on_trial().is_some()
        && let Some(stage) = trial.stages.last_mut()
    {
        let watched = counts.watched(name, key, fleet);
        (stage.new, stage.old) = (watched.new, watched.old);
    }
    Some(trial)
}

/// Whether a replica has not confirmed yet that it is rid of what goes.
fn owes_proof(name: &KeyName, key: &KeyDocument, replica: &Evidence) -> bool {
    going(key)
        .any(|(number, leaving)| !replica.is_rid_of(leaving.without(), &[super::next::id(name, number)]))
}

fn outcome(key: &KeyDocument) -> &'static str {
    let Some(rollout) = &key.rollout else { return "running" };
    let to = rollout.to.and_then(|to| key.version(to)).map(|version| version.state);
    match rollout.step {
        Step::Staged | Step::Verified | Step::Trial | Step::Active | Step::Withdrawn | Step::Superseded => {
            "running"
        }
        Step::Failed if to == Some(KeyState::Rejected) => "rejected",
        Step::Failed => "failed",
        Step::Done if rollout.hold => "verified",
        Step::Done if rollout.trial.as_ref().is_some_and(|trial| trial.undone) => "rolled_back",
        Step::Done => match rollout.ends_as {
            _ if rollout.leaving.is_empty() => "active",
            KeyState::RolledBack => "rolled_back",
            KeyState::Revoked => "revoked",
            _ => "retired",
        },
    }
}
