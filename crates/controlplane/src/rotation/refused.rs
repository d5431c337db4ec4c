//! Keys that a provider refuses while they are in use. A replica benches such a key by itself and says so; here another
//! real call confirms it, and then the key goes out of use everywhere, unless it is the last one that is left. That a
//! standby was needed is written down too.

use super::{KeyName, PROBES, Rotation, next::id, probing};
use crate::{
    Plane,
    fleet::{Asked, Evidence},
    resource::{Author, Begin, Body, KeyState, Kind, Verb, Verdict},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// One key version is asked about at most so often.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// Replicas' counts are looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is known of refusals.
#[derive(Debug, Default)]
pub(super) struct Refused {
    looked: Option<Instant>,
    /// Refusals that were looked at, by key version, and when.
    seen: HashMap<String, (u64, Instant)>,
    /// The same of uses as standby.
    standby: HashMap<String, (u64, Instant)>,
}

/// A version that may have to go.
struct Suspect {
    name: KeyName,
    version: u32,
    /// The version that the newest rollout replaced and that is still standby.
    standby: Option<u32>,
    /// Another version of the provider is in use.
    spare: bool,
    /// It is on trial: the version before is in use too.
    on_trial: bool,
}

/// Looks at what replicas counted since the last look.
pub(super) fn look(rotation: &mut Rotation, fleet: &[Evidence]) {
    for suspect in suspects(rotation, fleet) {
        if rotation.confirming.len() < PROBES {
            rotation.confirming.spawn(confirm(Arc::clone(&rotation.plane), suspect));
        }
    }
    for name in needed(rotation, fleet) {
        if rotation.confirming.len() < PROBES {
            rotation.confirming.spawn(note_standby(Arc::clone(&rotation.plane), name));
        }
    }
}

/// Keys whose standby served requests since the last look.
fn needed(rotation: &mut Rotation, fleet: &[Evidence]) -> Vec<KeyName> {
    let state = rotation.plane.state();
    let mut found = Vec::new();
    for (provider, key) in state.keys() {
        let name = (provider.to_owned(), key.name.clone());
        for version in key.in_state(KeyState::Retiring) {
            let id = id(&name, version);
            let used = fleet.iter().filter_map(|one| one.uses.get(&id)).map(|one| one.standby).sum();
            if is_news(&mut rotation.refused.standby, id, used) {
                found.push(name.clone());
            }
        }
    }
    found
}

async fn note_standby(plane: Arc<Plane>, (provider, key): KeyName) {
    let full = format!("{provider}/{key}");
    tracing::warn!(key = full, "a version that is to be retired served requests: the newer one was refused");
    let author = Author::system("key.standby", &format!("key/{full}"));
    if let Err(refusal) = plane.note(&author).await {
        tracing::error!(key = full, %refusal, "the use of a standby could not be written down");
    }
}

fn suspects(rotation: &mut Rotation, fleet: &[Evidence]) -> Vec<Suspect> {
    let state = rotation.plane.state();
    let mut found = Vec::new();
    for (provider, held) in state.each(Kind::Provider) {
        let Body::Provider { keys, .. } = &held.document.body else { continue };
        let in_use = keys.iter().flat_map(|key| key.in_state(KeyState::Active)).count();
        for key in keys {
            let name = (provider.to_owned(), key.name.clone());
            for version in key.in_state(KeyState::Active) {
                let id = id(&name, version);
                let refused = fleet.iter().filter_map(|one| one.uses.get(&id)).map(|one| one.refused).sum();
                if is_news(&mut rotation.refused.seen, id, refused) {
                    let standby = key.in_state(KeyState::Retiring).max();
                    let on_trial = key.on_trial().is_some_and(|(tried, ..)| tried == version);
                    let (name, spare) = (name.clone(), in_use > 1);
                    found.push(Suspect { name, version, standby, spare, on_trial });
                }
            }
        }
    }
    found
}

async fn confirm(plane: Arc<Plane>, suspect: Suspect) {
    let Suspect { name: (provider, key), version, standby, spare, on_trial } = suspect;
    let asked = Asked { provider: &provider, key: &key, version, secret: None };
    let answer = probing(plane.fleet().probe(&asked).await.map_err(|failed| failed.to_string()));
    let full = format!("{provider}/{key}");
    if answer.verdict != Verdict::Rejected {
        tracing::warn!(key = full, version, verdict = ?answer.verdict, "a provider refused a key; asked again it did not");
        return;
    }
    let action = match (standby, spare) {
        _ if on_trial => "key.stage.rollback",
        (Some(_), _) => "key.refused.rollback",
        (None, true) => "key.refused.withdraw",
        (None, false) => "key.refused",
    };
    tracing::error!(key = full, version, action, "a provider refuses a key that is in use");
    let author = Author::system(action, &format!("key/{full}"));
    let done = plane.change(&author, |proposal| {
        let begin = proposal.back(standby);
        proposal.step_key((&provider, &key), |doc, next, now| match (standby, spare) {
            _ if doc.on_trial().is_some_and(|(tried, ..)| tried == version) => {
                doc.undo("the provider refuses the new version".to_owned(), None, next, now);
            }
            (Some(_), _) => {
                // A change that came meanwhile knows better.
                let _ = doc.begin(begin, now);
            }
            (None, true) => doc.refuse(version, next, now),
            (None, false) => {}
        })
    });
    let done = match done.await {
        Ok(outcome) if outcome.changes.is_empty() => plane.note(&author).await,
        other => other.map(drop),
    };
    if let Err(refusal) = done {
        tracing::error!(key = full, version, %refusal, "a refused key could not be taken out of use");
    }
}

// === impl Refused ===

impl Refused {
    /// Whether it is time for another look; then it counts as taken.
    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_EVERY);
        if due {
            self.looked = Some(now);
        }
        due
    }
}

/// Whether there is more than at the last look, and that look was long enough ago.
fn is_news(seen: &mut HashMap<String, (u64, Instant)>, id: String, count: u64) -> bool {
    let now = Instant::now();
    let last = seen.get(&id).copied();
    let before = last.map_or(0, |(before, _)| before);
    // A replica that started again counts from zero.
    let more = count > before || (count > 0 && count < before);
    let news = more && last.is_none_or(|(_, at)| now.saturating_duration_since(at) >= ASK_EVERY);
    if news {
        seen.insert(id, (count, now));
    } else if count == 0 {
        seen.remove(&id);
    }
    news
}

impl crate::resource::Proposal<'_> {
    /// What undoing a change begins with.
    fn back(&self, to: Option<u32>) -> Begin {
        let how = crate::resource::How { unverified: true, overlap_ms: Some(0), ..Default::default() };
        Begin { to, trial: None, ..self.begin(Verb::Rollback, &how) }
    }
}
