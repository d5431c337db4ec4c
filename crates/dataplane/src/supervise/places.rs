//! Names and directories of a host's places, which of their processes are proven gone, and how many replicas the fleet
//! wants here: kept in a file, so that a start without the control plane runs as many.

use super::{
    SuperviseError,
    plan::{PLACES, Phase, Plan},
    process::{Process, hold, lock},
};
use keyway_proto::fleet::v1::{EndedReplica, HostReplica, HostReplicaState, HostReport};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
};

const LOCK: &str = "supervisor.lock";
const WANTED: &str = "wanted";

#[derive(Debug)]
pub(super) struct Places {
    dir: PathBuf,
    prefix: String,
    /// Processes that are gone, by place: the last of each.
    ended: BTreeMap<u32, u32>,
    /// Held by a replica of an earlier supervisor, which finishes there.
    left: BTreeSet<u32>,
    /// One supervisor at a time.
    _lock: File,
}

// === impl Places ===

impl Places {
    /// Takes the directory. What an earlier supervisor left there and nobody holds any more is proven gone.
    ///
    /// # Errors
    /// The system refused something, or another supervisor has it.
    pub(super) fn open(dir: PathBuf, prefix: String) -> Result<Self, SuperviseError> {
        let failed = |error| SuperviseError::Dir(dir.clone(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        let held = lock(&dir.join(LOCK)).map_err(failed)?;
        let held = held.ok_or_else(|| SuperviseError::InUse(dir.clone()))?;
        let mut places = Self { dir, prefix, ended: BTreeMap::new(), left: BTreeSet::new(), _lock: held };
        places.left = (1..=PLACES).filter(|number| places.dir(*number).is_dir()).collect();
        places.look_at_left();
        Ok(places)
    }

    pub(super) fn id(&self, number: u32) -> String {
        format!("{}{number}", self.prefix)
    }

    pub(super) fn dir(&self, number: u32) -> PathBuf {
        self.dir.join(format!("replica-{number}"))
    }

    /// Whether no process runs there. One that cannot be asked is tried, and the fault is shown then.
    pub(super) fn is_free(&self, number: u32) -> bool {
        let dir = self.dir(number);
        !dir.is_dir() || !matches!(hold(&dir), Ok(None))
    }

    /// Whether a replica of an earlier supervisor may still finish.
    pub(super) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Whoever let go of its place is gone; one that cannot be asked may be there still.
    pub(super) fn look_at_left(&mut self) {
        let has_let_go = |number: &u32| matches!(hold(&self.dir(*number)), Ok(Some(_)));
        let gone: Vec<u32> = self.left.iter().copied().filter(has_let_go).collect();
        for number in gone {
            self.left.remove(&number);
            self.ended.insert(number, 0);
        }
    }

    pub(super) fn started(&mut self, number: u32) {
        self.left.remove(&number);
        self.ended.remove(&number);
    }

    pub(super) fn ended(&mut self, number: u32, pid: u32) {
        self.ended.insert(number, pid);
    }

    /// What the fleet wanted here last.
    pub(super) fn wanted(&self) -> Option<u32> {
        fs::read_to_string(self.dir.join(WANTED)).ok()?.trim().parse().ok().filter(|wanted| *wanted > 0)
    }

    /// Whole or not at all; if not, the control plane says it again.
    pub(super) fn keep_wanted(&self, wanted: u32) {
        let coming = self.dir.join("wanted.new");
        let kept = fs::write(&coming, format!("{wanted}\n"));
        let kept: io::Result<()> = kept.and_then(|()| fs::rename(&coming, self.dir.join(WANTED)));
        if let Err(error) = kept {
            tracing::warn!(%error, "it could not be written down how many replicas are wanted here");
        }
    }

    /// What the control plane is told.
    pub(super) fn report(&self, plan: &Plan, running: &BTreeMap<u32, Process>, newer: bool) -> HostReport {
        let replica = |(number, place): (u32, &super::plan::Place)| HostReplica {
            id: self.id(number),
            pid: running.get(&number).map_or(0, Process::number),
            state: state(place.phase).into(),
            restarts: place.restarts,
        };
        let ended = self.ended.iter().map(|(number, pid)| EndedReplica { id: self.id(*number), pid: *pid });
        HostReport {
            wanted: plan.wanted(),
            replicas: plan.places().map(replica).collect(),
            ended: ended.collect(),
            rolling: plan.is_rolling(),
            fault: plan.fault().unwrap_or_default().to_owned(),
            newer_program: newer,
        }
    }
}

fn state(phase: Phase) -> HostReplicaState {
    match phase {
        Phase::Starting => HostReplicaState::Starting,
        Phase::Ready => HostReplicaState::Ready,
        Phase::Finishing { .. } => HostReplicaState::Draining,
        Phase::Waiting { .. } => HostReplicaState::Waiting,
        Phase::Away => HostReplicaState::Away,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_place_whose_lock_was_had_is_reported_as_ended() {
        let root = tempfile::tempdir().unwrap();
        let of = |number: u32| root.path().join(format!("replica-{number}"));
        (1..=3).for_each(|number| fs::create_dir(of(number)).unwrap());
        let held = hold(&of(2)).unwrap().unwrap();
        // As out of descriptors: the lock cannot be asked for.
        fs::create_dir(of(3).join("process.lock")).unwrap();
        let mut places = Places::open(root.path().to_owned(), "h~".to_owned()).unwrap();
        let ended = |places: &Places| {
            let report = places.report(&Plan::new(1, Duration::ZERO), &BTreeMap::new(), false);
            report.ended.into_iter().map(|one| one.id).collect::<Vec<_>>()
        };
        assert_eq!(ended(&places), ["h~1"]);
        drop(held);
        places.look_at_left();
        assert_eq!(ended(&places), ["h~1", "h~2"]);
        assert!(places.has_left());
    }
}
