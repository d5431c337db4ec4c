//! What is true, seen from above: what was published, what each replica serves, keeps and uses; and what must hold of it.

use crate::dice::Dice;
use keyway_controlplane::rotation::Key;
use keyway_snapshot::{CredentialState, Snapshot, StateHash, Version};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) const REPLICAS: usize = 4;
pub(crate) const CONTROL: &str = "control";
/// Milliseconds since 1970 at the beginning.
const EPOCH_MS: u64 = 1_700_000_000_000;

pub(crate) type World = Rc<RefCell<Truth>>;

/// Everything.
pub(crate) struct Truth {
    pub(crate) dice: Dice,
    pub(crate) disk: Disk,
    /// The disk as it was once.
    pub(crate) backup: Option<Disk>,
    pub(crate) orders: Vec<Order>,
    pub(crate) replicas: Vec<Local>,
    pub(crate) published: BTreeMap<Version, StateHash>,
    /// The newest state of the control plane's latest life.
    pub(crate) newest: Option<(Version, StateHash)>,
    /// Said to be out of use everywhere.
    retired: BTreeSet<u32>,
    pub(crate) counted: Counted,
    /// The first thing that did not hold.
    pub(crate) broken: Option<String>,
    base: Instant,
}

/// What the control plane keeps over its end.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) epoch: u64,
    pub(crate) counter: u64,
    pub(crate) key: Key,
    pub(crate) members: BTreeSet<String>,
    /// Some setting, so that states differ in more than keys.
    pub(crate) setting: u64,
}

/// What an operator asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Rotate { overlap_ms: u64 },
    RollBack,
    Revoke,
    Change,
}

/// One replica, over all of its processes.
#[derive(Default)]
pub(crate) struct Local {
    /// Written before an end of its process.
    pub(crate) kept: Option<Arc<Snapshot>>,
    /// What the process serves.
    pub(crate) serving: Option<Arc<Snapshot>>,
    /// Attempts by key version.
    pub(crate) in_flight: BTreeMap<u32, u64>,
    /// Revoked in a state that this process acknowledged.
    revoked: BTreeSet<u32>,
    /// Counts its processes.
    pub(crate) process: u64,
}

/// What happened, for whoever doubts that anything did.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counted {
    pub(crate) published: u64,
    pub(crate) applied: u64,
    pub(crate) refused: u64,
    pub(crate) streams: u64,
    pub(crate) crashes: u64,
    pub(crate) cuts: u64,
    pub(crate) restores: u64,
    pub(crate) rotations: u64,
    pub(crate) revocations: u64,
    pub(crate) retired: u64,
    pub(crate) uses: u64,
}

// === impl Counted ===

impl Counted {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            published,
            applied,
            refused,
            streams,
            crashes,
            cuts,
            restores,
            rotations,
            revocations,
            retired,
            uses,
        } = self;
        *published += other.published;
        *applied += other.applied;
        *refused += other.refused;
        *streams += other.streams;
        *crashes += other.crashes;
        *cuts += other.cuts;
        *restores += other.restores;
        *rotations += other.rotations;
        *revocations += other.revocations;
        *retired += other.retired;
        *uses += other.uses;
    }

    pub(crate) fn is_rich(&self) -> bool {
        [self.applied, self.crashes, self.cuts, self.restores, self.rotations, self.revocations, self.retired]
            .iter()
            .all(|count| *count > 10)
    }
}

// === impl Truth ===

impl Truth {
    pub(crate) fn new(seed: u64) -> Self {
        let disk =
            Disk { epoch: 1, counter: 0, key: Key::new("p", "main"), members: BTreeSet::new(), setting: 0 };
        Self {
            dice: Dice::new(seed),
            disk,
            backup: None,
            orders: Vec::new(),
            replicas: (0..REPLICAS).map(|_| Local::default()).collect(),
            published: BTreeMap::new(),
            newest: None,
            retired: BTreeSet::new(),
            counted: Counted::default(),
            broken: None,
            base: Instant::now(),
        }
    }

    /// This moment, as pure code takes it: of the simulation's clock.
    pub(crate) fn now(&self) -> (Instant, u64) {
        let since = turmoil::sim_elapsed().unwrap_or_default();
        (self.base + since, EPOCH_MS + u64::try_from(since.as_millis()).unwrap())
    }

    pub(crate) fn pause(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.dice.between(least, most))
    }

    fn demand(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            let at = turmoil::sim_elapsed().unwrap_or_default();
            self.broken = Some(format!("at {at:?}: {}", what()));
        }
    }

    /// The control plane publishes a state: no version ever stands for two.
    pub(crate) fn publishes(&mut self, version: Version, hash: StateHash) {
        self.counted.published += 1;
        let before = self.published.insert(version, hash);
        self.demand(before.is_none_or(|before| before == hash), || {
            format!("{version} stands for two states")
        });
        self.newest = Some((version, hash));
    }

    /// A replica's process starts from its disk.
    pub(crate) fn starts(&mut self, replica: usize) -> Option<Arc<Snapshot>> {
        let one = &mut self.replicas[replica];
        one.process += 1;
        (one.in_flight, one.revoked) = (BTreeMap::new(), BTreeSet::new());
        one.serving = one.kept.clone();
        one.kept.clone()
    }

    /// A replica serves this from now on.
    pub(crate) fn serves(&mut self, replica: usize, snapshot: &Arc<Snapshot>) {
        self.counted.applied += 1;
        let (version, hash) = (snapshot.version, snapshot.hash);
        let published = self.published.get(&version).copied();
        self.demand(published == Some(hash), || {
            format!("replica {replica} serves {version} and not what was published")
        });
        let before = self.replicas[replica].serving.as_ref().map(|before| before.version);
        self.demand(before.is_none_or(|before| before < version), || {
            format!("replica {replica} goes from {before:?} to {version}")
        });
        let one = &mut self.replicas[replica];
        // What was still on its way at a restore may have come after it: a later life begins with nothing revoked.
        if before.is_some_and(|before| before.epoch < version.epoch) {
            one.revoked.clear();
        }
        one.serving = Some(Arc::clone(snapshot));
        let revoked: Vec<u32> = versions(snapshot, CredentialState::Revoked);
        // What is revoked is cut with the swap.
        revoked.iter().for_each(|number| drop(one.in_flight.remove(number)));
        one.revoked.extend(revoked);
    }

    /// A state is whole on a replica's disk.
    pub(crate) fn keeps(&mut self, replica: usize, snapshot: Arc<Snapshot>) {
        let before = self.replicas[replica].kept.as_ref().map(|before| before.version);
        let version = snapshot.version;
        self.demand(before.is_none_or(|before| before <= version), || {
            format!("replica {replica}'s disk goes from {before:?} to {version}")
        });
        self.replicas[replica].kept = Some(snapshot);
    }

    /// A request takes a key; `None`: there is none that it may take.
    pub(crate) fn takes(&mut self, replica: usize) -> Option<u32> {
        let snapshot = self.replicas[replica].serving.clone()?;
        let mut usable = versions(&snapshot, CredentialState::Active);
        if usable.is_empty() {
            usable = versions(&snapshot, CredentialState::Retiring);
        }
        let number = *usable.get(usize::try_from(self.dice.below(usable.len() as u64)).unwrap())?;
        self.counted.uses += 1;
        *self.replicas[replica].in_flight.entry(number).or_default() += 1;
        let retired = self.retired.contains(&number);
        self.demand(!retired, || format!("replica {replica} uses version {number}, which is retired"));
        let revoked = self.replicas[replica].revoked.contains(&number);
        self.demand(!revoked, || {
            format!("replica {replica} uses version {number} after it acknowledged its end")
        });
        Some(number)
    }

    /// The request is over.
    pub(crate) fn gives_back(&mut self, replica: usize, number: u32) {
        let in_flight = &mut self.replicas[replica].in_flight;
        // Cut requests are over already.
        let left = in_flight.get(&number).copied().unwrap_or_default();
        match left {
            0 | 1 => drop(in_flight.remove(&number)),
            more => drop(in_flight.insert(number, more - 1)),
        }
    }

    /// The control plane says that nobody uses these any more.
    pub(crate) fn confirms(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.counted.retired += 1;
            for replica in 0..REPLICAS {
                let one = &self.replicas[replica];
                let served = one.serving.as_ref().is_some_and(|state| can_use(state, *number));
                let kept = one.kept.as_ref().is_some_and(|state| can_use(state, *number));
                let in_flight = one.in_flight.contains_key(number);
                self.demand(!served && !kept && !in_flight, || {
                    format!(
                        "version {number} is called out of use, and replica {replica} serves it ({served}), keeps it \
                         ({kept}) or uses it ({in_flight})"
                    )
                });
            }
            self.retired.insert(*number);
        }
    }

    /// A version comes back by an operator's word.
    pub(crate) fn comes_back(&mut self, number: u32) {
        self.retired.remove(&number);
    }

    /// An old disk comes back, under a higher epoch than any before: what was retired since may be in use again.
    pub(crate) fn restores(&mut self) {
        let Some(backup) = self.backup.clone() else { return };
        let epoch = self.disk.epoch + 1;
        self.disk = Disk { epoch, ..backup };
        self.retired.clear();
        self.replicas.iter_mut().for_each(|one| one.revoked.clear());
        self.counted.restores += 1;
    }

    /// Whether everything has come to rest, and if not, why.
    pub(crate) fn unrest(&self) -> Option<String> {
        let Some(newest) = self.newest else { return Some("nothing was published".to_owned()) };
        for (number, one) in self.replicas.iter().enumerate() {
            let serves = one.serving.as_ref().map(|state| (state.version, state.hash));
            if serves != Some(newest) {
                return Some(format!("replica {number} serves {serves:?} and not {newest:?}"));
            }
        }
        let (busy, going) = (self.disk.key.is_busy(), self.disk.key.going());
        (busy || !going.is_empty())
            .then(|| format!("the key is busy ({busy}), {going:?} are on their way out"))
    }
}

fn versions(snapshot: &Snapshot, state: CredentialState) -> Vec<u32> {
    let all = snapshot.credentials.get("p").into_iter().flatten();
    all.filter(|one| one.state == state).map(|one| one.version).collect()
}

/// Whether a request could take that version, or would after a restart.
fn can_use(snapshot: &Snapshot, number: u32) -> bool {
    let usable = [CredentialState::Active, CredentialState::Retiring];
    usable.iter().any(|state| versions(snapshot, *state).contains(&number))
}
