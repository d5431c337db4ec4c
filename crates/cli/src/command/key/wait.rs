//! When waiting for a rollout is over, and with what. Pure: views come in, also those of the future.

use std::time::Duration;

use clap::ValueEnum;

use super::view::{Step, View};
use crate::failure::Failure;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Goal {
    /// The old versions are proven out of use
    Retired,
    /// Every replica uses the new state, or is named
    Acked,
    /// The change is stored and in force
    Committed,
}

/// Whether it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Not yet.
    GoOn,
    Done,
    /// All that can be had is there, and these replicas have not confirmed.
    Unconfirmed(Vec<String>),
    /// It came to nothing, for that reason.
    Failed(String),
    /// Another change took its place.
    Replaced,
    /// It takes longer than was allowed.
    TimedOut,
}

/// Where the rollout of that id stands.
pub(super) fn decide(view: &View, id: &str, goal: Goal) -> Decision {
    match view.step {
        _ if view.id != id => Decision::Replaced,
        Step::Superseded => Decision::Replaced,
        Step::Failed => Decision::Failed(view.failure.clone().unwrap_or_else(|| "it failed".into())),
        Step::Staged | Step::Verified => Decision::GoOn,
        // In force on the replicas that try it; the rest is for the trial to say.
        Step::Trial if goal == Goal::Committed => Decision::Done,
        Step::Trial => Decision::GoOn,
        Step::Withdrawn if goal == Goal::Retired && view.undone().is_some() => retired(view),
        Step::Withdrawn | Step::Done if let Some(why) = view.undone() => Decision::Failed(why.to_owned()),
        Step::Done if view.outcome == "verified" => Decision::Done,
        Step::Active | Step::Withdrawn | Step::Done => match goal {
            Goal::Committed => Decision::Done,
            Goal::Acked => acked(view),
            Goal::Retired => retired(view),
        },
    }
}

/// Every replica that can still be expected to has acknowledged, or the deadline is over.
fn acked(view: &View) -> Decision {
    let (owing, laggards) = (view.replicas.saturating_sub(view.acknowledged), view.laggards());
    if owing == 0 || (laggards.is_empty() && view.step == Step::Done) {
        return Decision::Done;
    }
    if view.is_late() || owing <= laggards.len() as u64 {
        return Decision::Unconfirmed(laggards);
    }
    Decision::GoOn
}

/// The outcome is final, or only replicas that do not answer keep it from being so.
fn retired(view: &View) -> Decision {
    match view.outcome.as_str() {
        "running" if view.step == Step::Withdrawn && view.is_late() && view.awaits_only_laggards() => {
            Decision::Unconfirmed(view.laggards())
        }
        "running" => Decision::GoOn,
        // There was no old version: what is left to prove is that all have the new one.
        "active" => acked(view),
        _ => Decision::Done,
    }
}

/// How long may be waited: what the change takes by itself, and `timeout` for what then is still to end.
pub(super) fn limit(view: &View, goal: Goal, timeout: Duration) -> Duration {
    let own = match goal {
        Goal::Committed => 0,
        Goal::Acked => view.ack_timeout_ms.saturating_add(view.trial_ms),
        Goal::Retired => view.overlap_ms.saturating_add(view.ack_timeout_ms).saturating_add(view.trial_ms),
    };
    timeout.saturating_add(Duration::from_millis(own))
}

// === impl Decision ===

impl Decision {
    /// What the command ends with.
    pub(super) fn end(self, view: &View, goal: Goal) -> Result<(), Failure> {
        let key = &view.key;
        let (acked, all) = (view.acknowledged, view.replicas);
        match (self, goal) {
            (Self::Done | Self::GoOn, _) => Ok(()),
            (Self::Failed(why), _) => Err(Failure::Other(format!(
                "{why}; the version in use stays, and nothing else has to be done"
            ))),
            (Self::Replaced, _) => {
                let what = "another change of this key took the place of this one";
                Err(Failure::Other(format!("{what}; see `keyway key history {key}`")))
            }
            (Self::Unconfirmed(names), Goal::Retired) => Err(Failure::TimedOut(format!(
                "old versions of {key} are NOT proven out of use on {}; it goes on by itself: `keyway key show {key}`, or \
                 `keyway fleet evict` a replica that is gone for good",
                named(&names)
            ))),
            (Self::Unconfirmed(names), _) => Err(Failure::TimedOut(format!(
                "{acked} of {all} replicas have acknowledged the change of {key}; not {}; see `keyway fleet list`",
                named(&names)
            ))),
            (Self::TimedOut, Goal::Committed) => Err(Failure::TimedOut(format!(
                "the change of {key} is not in force yet; it goes on by itself: `keyway key show {key}`"
            ))),
            (Self::TimedOut, _) => Err(Failure::TimedOut(format!(
                "gave up waiting for {}, {} requests in flight on old versions of {key}; it goes on by itself: `keyway key \
                 show {key}`",
                named(&view.unconfirmed),
                view.in_flight_old
            ))),
        }
    }
}

fn named(ids: &[String]) -> String {
    if ids.is_empty() { "the control plane".into() } else { ids.join(", ") }
}
