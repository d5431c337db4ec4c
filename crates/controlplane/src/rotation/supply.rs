//! Keys that rotate by themselves: one loop asks `schedule` what is due, asks the source outside the loop, and takes in
//! what it gives by the same change as `key rotate`. Few at a time, and one after the other where time alone says so.

use super::{KeyName, mint, schedule};
use crate::{
    Plane,
    plane::unix_millis,
    resource::{Author, KeyDocument, Refusal},
    source::{SourceError, Sources},
};
use keyway_config::{Secret, SourcePlace};
use schedule::{Due, due};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Sources that are asked at one time.
const AT_ONCE: usize = 4;
/// Between two rotations that begin because of their time alone: after a clock jumped ahead they come one by one.
const APART: Duration = Duration::from_secs(1);
/// All calls for one new access key, patience with AWS among them.
const MINT_LIMIT: Duration = Duration::from_secs(120);
/// Looked at so often at least.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The loop's own.
struct Supplying {
    plane: Arc<Plane>,
    sources: Sources,
    /// When each was asked last.
    looked: HashMap<KeyName, Instant>,
    running: BTreeSet<KeyName>,
    asking: JoinSet<KeyName>,
    /// When the last one began because of its time.
    began: Option<Instant>,
}

/// Runs until `stop` says so.
pub(crate) async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    let mut keys = plane.key_changes();
    let sources = plane.sources().clone();
    let mut supplying = Supplying {
        plane,
        sources,
        looked: HashMap::new(),
        running: BTreeSet::new(),
        asking: JoinSet::new(),
        began: None,
    };
    loop {
        let wait = supplying.pass().await;
        tokio::select! {
            () = crate::serve::stopped(&mut stop) => break,
            changed = keys.changed() => if changed.is_err() { break },
            Some(asked) = supplying.asking.join_next() => {
                if let Ok(name) = asked {
                    supplying.running.remove(&name);
                }
            }
            () = sleep(wait) => {}
        }
    }
    supplying.asking.shutdown().await;
}

// === impl Supplying ===

impl Supplying {
    /// Begins whatever is due and may begin; says when to look again.
    async fn pass(&mut self) -> Duration {
        let (state, now) = (self.plane.state(), unix_millis());
        let section = state.rotation();
        let mut wait = LOOK_AGAIN;
        let with_source = state.keys().filter(|(_, key)| key.rotation.is_some());
        let all: Vec<(KeyName, KeyDocument)> = with_source
            .map(|(provider, key)| ((provider.to_owned(), key.name.clone()), key.clone()))
            .collect();
        self.looked.retain(|name, _| all.iter().any(|(one, _)| one == name));
        for (name, key) in all {
            if self.running.contains(&name) {
                continue;
            }
            let looked = self.looked.get(&name).map(Instant::elapsed);
            match due(&name, &key, &section, looked, now) {
                Due::Wait(until) => {
                    wait = until
                        .map_or(wait, |at| wait.min(Duration::from_millis(at.saturating_sub(now).max(1))));
                }
                Due::Look(within) => wait = wait.min(within),
                Due::Refused => self.refused(&name, &key).await,
                Due::Recount(version) => {
                    self.note(&name, "key.source.clock", |doc, now| {
                        doc.supply.counted = Some((version, now))
                    })
                    .await;
                }
                Due::Ask => self.begin(name, key, None),
                Due::Remove(version) => self.begin(name, key, Some(version)),
            }
        }
        wait
    }

    /// Asks one source, or has it remove a version, if it may begin now.
    fn begin(&mut self, name: KeyName, key: KeyDocument, remove: Option<u32>) {
        let place = key.rotation.as_ref().and_then(|rotation| rotation.source.place());
        let by_time = place.is_some_and(|place| !place.is_watched()) && key.supply.asked == 0;
        let now = Instant::now();
        let too_soon = self.began.is_some_and(|began| now.saturating_duration_since(began) < APART);
        if self.asking.len() >= AT_ONCE || (by_time && too_soon) {
            return;
        }
        if by_time {
            self.began = Some(now);
        }
        self.looked.insert(name.clone(), now);
        self.running.insert(name.clone());
        let asked = Asked { plane: Arc::clone(&self.plane), sources: self.sources.clone(), name, key };
        self.asking.spawn(asked.run(remove));
    }

    /// What the source gave did not come into use.
    async fn refused(&self, name: &KeyName, key: &KeyDocument) {
        let failure = key.supply_refused().and_then(|rollout| rollout.failure.clone()).unwrap_or_default();
        tracing::warn!(key = full(name), failure, "the secret that a source gave did not come into use");
        let jitter = jitter();
        self.note(name, "key.source.refused", |doc, now| {
            if doc.supply_refused().is_some() {
                doc.supply.failed(&format!("its newest secret: {failure}"), jitter, now);
            }
        })
        .await;
    }

    async fn note(&self, name: &KeyName, action: &str, step: impl FnOnce(&mut KeyDocument, u64)) {
        if let Err(refusal) = write_down(&self.plane, name, action, step).await {
            tracing::error!(key = full(name), %refusal, "what a source came to could not be written down");
        }
    }
}

/// One source that is asked.
pub(super) struct Asked {
    pub(super) plane: Arc<Plane>,
    sources: Sources,
    pub(super) name: KeyName,
    /// As it was when it was due.
    pub(super) key: KeyDocument,
}

// === impl Asked ===

impl Asked {
    async fn run(self, remove: Option<u32>) -> KeyName {
        let done = match remove {
            None => self.take_in().await,
            Some(version) => self.remove(version).await,
        };
        if let Err(fault) = done {
            let words = fault.to_string();
            tracing::warn!(key = full(&self.name), words, "a key's source gave no new secret");
            let jitter = jitter();
            let told = write_down(&self.plane, &self.name, "key.source.failed", |doc, now| {
                doc.supply.failed(&words, jitter, now);
            });
            if let Err(refusal) = told.await {
                tracing::error!(key = full(&self.name), %refusal, "that a source failed could not be written down");
            }
        }
        self.name
    }

    async fn take_in(&self) -> Result<(), Fault> {
        let rotation = self.key.rotation.as_ref().ok_or(SourceError::NotThere)?;
        let place = rotation.source.place().ok_or(SourceError::NotThere)?;
        let secret = match place {
            SourcePlace::AwsIam(at) => {
                timeout(MINT_LIMIT, mint::mint(self, at)).await.map_err(|_| SourceError::TooSlow)??
            }
            _ => self.sources.ask(place).await?,
        };
        if place.is_watched() && self.is_news_to_nobody(&secret) {
            return Ok(());
        }
        self.rotate(&secret, place).await
    }

    async fn remove(&self, version: u32) -> Result<(), Fault> {
        let place = self.key.rotation.as_ref().and_then(|rotation| rotation.source.place());
        let Some(SourcePlace::AwsIam(at)) = place else { return Ok(()) };
        timeout(MINT_LIMIT, mint::remove(self, at, version)).await.map_err(|_| SourceError::TooSlow)?
    }

    /// As people name the key.
    pub(super) fn full(&self) -> String {
        full(&self.name)
    }

    /// The secret in use, with nothing to be said of it.
    fn is_news_to_nobody(&self, secret: &Secret) -> bool {
        let fingerprint = self.plane.vault().fingerprint(secret.expose().as_bytes());
        let supply = &self.key.supply;
        self.key.active().is_some_and(|active| active.fingerprint == fingerprint)
            && supply.failures == 0
            && supply.asked == 0
    }

    async fn rotate(&self, secret: &Secret, place: SourcePlace<'_>) -> Result<(), Fault> {
        let (provider, key) = (self.name.0.as_str(), self.name.1.as_str());
        let author = Author::system("key.source.rotate", &format!("key/{provider}/{key}"));
        let (watched, jitter) = (place.is_watched(), jitter());
        let change = |proposal: &mut crate::resource::Proposal<'_>| {
            proposal.supply_key((provider, key), secret, (watched, jitter))
        };
        Ok(self.plane.change(&author, change).await.map(drop)?)
    }
}

/// Why a source gave nothing, or what it gave was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("what it gave was not taken in: {0}")]
    Refused(#[from] Refusal),
}

pub(super) async fn write_down(
    plane: &Plane,
    (provider, key): &KeyName,
    action: &str,
    step: impl FnOnce(&mut KeyDocument, u64),
) -> Result<(), Refusal> {
    let author = Author::system(action, &format!("key/{provider}/{key}"));
    let change =
        plane.change(&author, |proposal| proposal.step_key((provider, key), |doc, _, now| step(doc, now)));
    change.await.map(drop)
}

fn full((provider, key): &KeyName) -> String {
    format!("{provider}/{key}")
}

/// A random part of a pause; without randomness pauses are all the same.
fn jitter() -> u8 {
    let mut byte = [0];
    getrandom::fill(&mut byte).map_or(0, |()| byte[0])
}
