//! Moves rollouts on: one loop looks at every key that has something under way, asks `next` what is due and does it by
//! an ordinary change of the plane. Nothing is kept here that matters: after a restart it goes on from the documents.

pub(crate) mod handovers;
mod live;
mod mint;
mod next;
mod refused;
pub(crate) mod schedule;
#[cfg(feature = "simulation")]
mod simulation;
mod stages;
pub(crate) mod supply;
#[cfg(test)]
mod tests;
mod view;

#[cfg(feature = "simulation")]
pub use simulation::{Key, Moved};
pub use view::RolloutView;

use crate::{
    Plane,
    fleet::{Asked, Evidence, Probed},
    plane::unix_millis,
    resource::{Author, Body, KeyDocument, Kind, Probing, Refusal, Rollout, Step, Verdict},
};
use live::Live;
use next::{Next, next, rid_of};
use parking_lot::Mutex;
use refused::Refused;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet, time::sleep};

/// A key by its names.
pub(crate) type KeyName = (String, String);

/// Looked at so often at least, whatever happens.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How many times what a pass cost is waited before the next: the more replicas, the rarer, and never more than a
/// fifth of the time.
const PACE: u32 = 4;
/// A step that the store refused is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// Replicas find who leads within this time after that began: their longest pause is 15 s.
const REJOIN: Duration = Duration::from_secs(20);
/// Probes under way at one time.
const PROBES: usize = 16;

/// What is counted of rollouts under way; gone with the process, and then not shown.
#[derive(Debug, Default)]
pub struct Counts(Mutex<HashMap<KeyName, Live>>);

/// The loop's own.
struct Rotation {
    plane: Arc<Plane>,
    /// When this began, which it does with each term of leadership: before, nobody who serves elsewhere was heard here.
    began: Instant,
    counts: Arc<Counts>,
    probes: JoinSet<(KeyName, u32, Probing)>,
    probing: Vec<KeyName>,
    refused: Refused,
    confirming: JoinSet<()>,
}

/// Runs until `stop` says so.
pub(crate) async fn run(plane: Arc<Plane>, counts: Arc<Counts>, mut stop: watch::Receiver<bool>) {
    let (mut keys, mut fleet) = (plane.key_changes(), plane.fleet().changes());
    let mut rotation = Rotation {
        plane,
        began: Instant::now(),
        counts,
        probes: JoinSet::new(),
        probing: Vec::new(),
        refused: Refused::default(),
        confirming: JoinSet::new(),
    };
    loop {
        let began = Instant::now();
        let wait = rotation.pass().await;
        if !wait.is_zero() {
            sleep(began.elapsed().saturating_mul(PACE).min(LOOK_AGAIN)).await;
        }
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => return,
            changed = keys.changed() => if changed.is_err() { return },
            changed = fleet.changed() => if changed.is_err() { return },
            Some(_) = rotation.confirming.join_next() => {}
            Some(Ok(probed)) = rotation.probes.join_next() => rotation.probed(probed).await,
            () = sleep(wait) => {}
        }
    }
}

// === impl Rotation ===

impl Rotation {
    /// Does whatever is due now and says when to look again.
    async fn pass(&mut self) -> Duration {
        let mut wait = LOOK_AGAIN;
        let under_way = under_way(&self.plane);
        let looks = self.refused.is_due();
        if under_way.is_empty() && !looks {
            return wait;
        }
        let fleet = self.plane.fleet().evidence();
        for (name, key) in under_way {
            match self.move_on(&name, &key, &fleet).await {
                Ok(due) => wait = wait.min(due),
                Err(refusal) => {
                    tracing::error!(key = key.name, %refusal, "a rotation cannot go on; it is tried again");
                    wait = wait.min(TRY_AGAIN);
                }
            }
        }
        if looks {
            refused::look(self, &fleet);
            handovers::look(&self.plane, &fleet, self.began.elapsed()).await;
        }
        wait
    }

    /// At most one step of one key.
    async fn move_on(
        &mut self,
        name: &KeyName,
        key: &KeyDocument,
        fleet: &[Evidence],
    ) -> Result<Duration, Refusal> {
        let gone = rid_of(name, key, fleet);
        if !gone.is_empty() {
            let confirm =
                |doc: &mut KeyDocument, _, now| gone.iter().for_each(|one| doc.confirmed(*one, now));
            self.step(name, "key.retire", confirm).await?;
            return Ok(Duration::ZERO);
        }
        let now = self.counts.now(name, key, unix_millis());
        let watched = self.counts.watched(name, key, fleet);
        match next(name, key, fleet, now, &watched) {
            Next::Probe(version) => {
                if !rejoining(fleet, self.began.elapsed())
                    && !self.probing.contains(name)
                    && self.probes.len() < PROBES
                {
                    self.ask(name, version);
                }
            }
            Next::Try(stage, closed) => {
                self.counts.begin(name, key, fleet);
                self.step(name, "key.stage", at(key, |doc, next, now| doc.try_on(stage, closed, next, now)))
                    .await?;
                return Ok(Duration::ZERO);
            }
            Next::Undo(why, closed) => {
                tracing::warn!(
                    key = format!("{}/{}", name.0, name.1),
                    why,
                    "a staged rotation is rolled back"
                );
                let undo = at(key, |doc: &mut KeyDocument, next, now| doc.undo(why, Some(closed), next, now));
                self.step(name, "key.stage.rollback", undo).await?;
                return Ok(Duration::ZERO);
            }
            Next::Activate(closed) => {
                self.counts.begin(name, key, fleet);
                let began = Instant::now();
                let activate = at(key, |doc: &mut KeyDocument, next, now| {
                    closed.into_iter().for_each(|closed| doc.tried(closed, now));
                    doc.activate(next, now);
                });
                self.step(name, "key.activate", activate).await?;
                self.counts.activated(name, began);
                return Ok(Duration::ZERO);
            }
            Next::Withdraw => {
                self.step(name, "key.withdraw", at(key, |doc, next, now| doc.withdraw(next, now))).await?;
                return Ok(Duration::ZERO);
            }
            Next::End => {
                let figures = self.counts.figures(name, key, fleet, unix_millis());
                let end = at(key, |doc: &mut KeyDocument, _, _| {
                    if let Some(rollout) = &mut doc.rollout {
                        rollout.figures = Some(figures);
                    }
                    doc.end(Step::Done, None);
                });
                self.step(name, "key.done", end).await?;
                self.counts.forget(name);
            }
            Next::Wait(until) => {
                return Ok(
                    until.map_or(LOOK_AGAIN, |until| Duration::from_millis(until.saturating_sub(now).max(1)))
                );
            }
        }
        Ok(LOOK_AGAIN)
    }

    /// One commit. What came in between knows better: a step that is not due any more does nothing.
    async fn step(
        &self,
        (provider, key): &KeyName,
        action: &str,
        step: impl FnOnce(&mut KeyDocument, keyway_snapshot::Version, u64),
    ) -> Result<(), Refusal> {
        let author = Author::system(action, &format!("key/{provider}/{key}"));
        let author = Author { trace: trace_of(&self.plane, provider, key), ..author };
        self.plane.change(&author, |proposal| proposal.step_key((provider, key), step)).await.map(drop)
    }

    /// Has a replica try a version that is in no snapshot.
    fn ask(&mut self, name: &KeyName, version: u32) {
        self.probing.push(name.clone());
        let (plane, name) = (Arc::clone(&self.plane), name.clone());
        self.probes.spawn(async move {
            let probing = match plane.secret_of(&name, version) {
                Ok(secret) => {
                    let (provider, key) = (name.0.as_str(), name.1.as_str());
                    let asked = Asked { provider, key, version, secret: Some(&secret) };
                    probing(plane.fleet().probe(&asked).await.map_err(|failed| failed.to_string()))
                }
                Err(refusal) => probing(Err(refusal.to_string())),
            };
            (name, version, probing)
        });
    }

    async fn probed(&mut self, (name, version, probing): (KeyName, u32, Probing)) {
        self.probing.retain(|one| *one != name);
        let verdict = probing.verdict;
        let told = self.step(&name, "key.probe", |doc, next, now| {
            // It may have been interrupted meanwhile.
            let asked =
                doc.under_way().is_some_and(|one| one.step == Step::Staged && one.to == Some(version));
            if asked {
                doc.probed(probing, next, now);
            }
        });
        if let Err(refusal) = told.await {
            tracing::error!(key = name.1, ?verdict, %refusal, "what a provider said could not be written down");
        }
    }
}

/// Whether replicas that were known before `leading` began have not had the time to come back: that nobody can be asked
/// then says nothing of the key.
fn rejoining(fleet: &[Evidence], leading: Duration) -> bool {
    let away = !fleet.is_empty() && !fleet.iter().any(|one| one.answers);
    away && leading < REJOIN
}

/// The step, if the key is still where it was seen.
fn at<F>(seen: &KeyDocument, step: F) -> impl FnOnce(&mut KeyDocument, keyway_snapshot::Version, u64) + use<F>
where
    F: FnOnce(&mut KeyDocument, keyway_snapshot::Version, u64),
{
    let place = |key: &KeyDocument| {
        let stages = |rollout: &Rollout| rollout.trial.as_ref().map_or(0, |trial| trial.stages.len());
        key.rollout.as_ref().map(|rollout| (rollout.id.clone(), rollout.step, stages(rollout)))
    };
    let seen = place(seen);
    move |doc, next, now| {
        if place(doc) == seen {
            step(doc, next, now);
        }
    }
}

/// Keys that have something to be done, with their names.
fn under_way(plane: &Plane) -> Vec<(KeyName, KeyDocument)> {
    let state = plane.state();
    let mut found = Vec::new();
    for (provider, held) in state.each(Kind::Provider) {
        let Body::Provider { keys, .. } = &held.document.body else { continue };
        let busy = |key: &&KeyDocument| {
            key.under_way().is_some() || key.versions.iter().any(|version| version.leaving.is_some())
        };
        let busy = keys.iter().filter(busy);
        found.extend(busy.map(|key| ((provider.to_owned(), key.name.clone()), key.clone())));
    }
    found
}

fn trace_of(plane: &Plane, provider: &str, key: &str) -> String {
    let state = plane.state();
    let keys = state.provider(provider).map(|(_, keys)| keys).unwrap_or_default();
    let rollout = keys.iter().find(|one| one.name == key).and_then(|key| key.rollout.as_ref());
    rollout.map(|rollout| rollout.trace.clone()).unwrap_or_default()
}

/// What an answer, or none, means.
pub(crate) fn probing(answer: Result<Probed, String>) -> Probing {
    match answer {
        Ok(probed) => Probing {
            verdict: Verdict::of(probed.status, probed.key_invalid),
            status: probed.status,
            latency_ms: u64::try_from(probed.latency.as_millis()).unwrap_or(u64::MAX),
            replica: probed.replica,
            reason: probed.reason,
        },
        Err(reason) => Probing {
            verdict: Verdict::Unreachable,
            status: 0,
            latency_ms: 0,
            replica: String::new(),
            reason,
        },
    }
}
