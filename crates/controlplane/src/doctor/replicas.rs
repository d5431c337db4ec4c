//! Replicas: who serves what is in force, who does not and why, and whose clock is wrong.

use super::{Finding, or_ok};
use crate::fleet::{Replica, ReplicaState};

const REPLICAS: &str = "replicas";
const CLOCK: &str = "clock";
/// A clock that is off by more, milliseconds.
const OFF: u64 = 5_000;
const FAR_OFF: u64 = 300_000;

pub(crate) fn replicas(all: &[Replica]) -> Vec<Finding> {
    if all.is_empty() {
        let what_to_do = "start one: keyway-dataplane, or keyway up";
        return vec![Finding::fail(REPLICAS, "none is connected, so nobody answers callers", what_to_do)];
    }
    let found = all.iter().flat_map(|one| state(one).into_iter().chain(disk(one)));
    or_ok(found.collect(), REPLICAS, || format!("all {} serve what is in force", all.len()))
}

fn state(replica: &Replica) -> Option<Finding> {
    let (id, heard) = (&replica.id, replica.last_heard_ms / 1000);
    Some(match replica.state {
        ReplicaState::Ready | ReplicaState::Draining => return None,
        ReplicaState::Syncing => {
            let behind = replica.lag;
            let what_to_do = "look again in a moment; if it stays behind, look at its log";
            Finding::warn(REPLICAS, format!("{id} is {behind} versions behind"), what_to_do)
        }
        ReplicaState::Silent => {
            let what = format!("{id} is connected and said nothing for {heard} s");
            Finding::fail(REPLICAS, what, "its process or host hangs: look at it, or end it")
        }
        ReplicaState::Lost => {
            let what = format!("{id} is away since {heard} s; it may still hold keys and use them");
            let what_to_do = format!("bring it back, or close its books: keyway fleet evict {id}");
            Finding::warn(REPLICAS, what, what_to_do)
        }
        ReplicaState::Rejected => {
            let why = replica.refused.as_ref().map(|one| format!("{}: {}", one.field, one.reason));
            let what = format!("{id} refused what is in force: {}", why.unwrap_or_default());
            Finding::fail(REPLICAS, what, "take back what is named, or bring its program to this version")
        }
        ReplicaState::Incompatible => {
            let lacks = replica.lacks.as_deref().unwrap_or_default();
            let what =
                format!("{id} cannot read what is in force, by its build {}: {lacks}", replica.version);
            Finding::fail(
                REPLICAS,
                what,
                "bring its program to this version; until then it serves what it has",
            )
        }
        ReplicaState::Ahead => {
            let what = format!("{id} holds a state that this control plane never made");
            let what_to_do = "if its data was put back by hand, bring a backup back with `keyway restore` instead, which every replica takes";
            Finding::fail(REPLICAS, what, what_to_do)
        }
    })
}

/// What a restart would bring back.
fn disk(replica: &Replica) -> Option<Finding> {
    let (kept, served) = (replica.kept.as_deref()?, replica.snapshot.as_deref()?);
    let behind = parts(kept)? < parts(served)?;
    let what = format!("{} serves {served} and would start again with {kept}", replica.id);
    let what_to_do = "look again in a moment; if it stays so, look at its disk: old keys are kept there";
    behind.then(|| Finding::warn(REPLICAS, what, what_to_do))
}

/// `epoch.counter`.
fn parts(version: &str) -> Option<(u64, u64)> {
    let (epoch, counter) = version.split_once('.')?;
    Some((epoch.parse().ok()?, counter.parse().ok()?))
}

pub(crate) fn clocks(all: &[Replica]) -> Vec<Finding> {
    let off = |replica: &Replica| {
        let ahead = replica.clock_ahead_ms?;
        let by = ahead.unsigned_abs();
        let way = if ahead > 0 { "ahead" } else { "behind" };
        let what = format!("that of {} is {} s {way} of the control plane's", replica.id, by / 1000);
        let what_to_do = "set it by NTP; expiry of tokens and leases goes by it";
        match by {
            _ if by > FAR_OFF => Some(Finding::fail(CLOCK, what, what_to_do)),
            _ if by > OFF => Some(Finding::warn(CLOCK, what, what_to_do)),
            _ => None,
        }
    };
    or_ok(all.iter().filter_map(off).collect(), CLOCK, || "those of the replicas agree".to_owned())
}
