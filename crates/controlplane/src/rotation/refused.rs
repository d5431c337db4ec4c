//! Keys that a provider refuses while they are in use. A replica benches such a key by itself and says so; here another
//! real call confirms it, and then the key goes out of use everywhere, unless it is the last one that is left.

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

/// What is known of refusals.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Refusals that were looked at, by key version, and when.
    seen: HashMap<String, (u64, Instant)>,
}

/// A version that may have to go.
struct Suspect {
    name: KeyName,
    version: u32,
    /// The version that the newest rollout replaced and that is still standby.
    standby: Option<u32>,
    /// Another version of the provider is in use.
    spare: bool,
}

/// Looks at what replicas counted since the last look.
pub(super) fn look(rotation: &mut Rotation, fleet: &[Evidence]) {
    for suspect in suspects(rotation, fleet) {
        if rotation.confirming.len() < PROBES {
            rotation.confirming.spawn(confirm(Arc::clone(&rotation.plane), suspect));
        }
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
                if rotation.refused.is_news(id, refused) {
                    let standby = key.in_state(KeyState::Retiring).max();
                    found.push(Suspect { name: name.clone(), version, standby, spare: in_use > 1 });
                }
            }
        }
    }
    found
}

async fn confirm(plane: Arc<Plane>, suspect: Suspect) {
    let Suspect { name: (provider, key), version, standby, spare } = suspect;
    let asked = Asked { provider: &provider, key: &key, version, secret: None };
    let answer = probing(plane.fleet().probe(&asked).await.map_err(|failed| failed.to_string()));
    let full = format!("{provider}/{key}");
    if answer.verdict != Verdict::Rejected {
        tracing::warn!(key = full, version, verdict = ?answer.verdict, "a provider refused a key; asked again it did not");
        return;
    }
    let action = match (standby, spare) {
        (Some(_), _) => "key.refused.rollback",
        (None, true) => "key.refused.withdraw",
        (None, false) => "key.refused",
    };
    tracing::error!(key = full, version, action, "a provider refuses a key that is in use");
    let author = Author::system(action, &format!("key/{full}"));
    let done = plane.change(&author, |proposal| {
        let begin = proposal.back(standby);
        proposal.step_key((&provider, &key), |doc, next, now| match (standby, spare) {
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
    /// Whether there are more refusals than at the last look, and that look was long enough ago.
    fn is_news(&mut self, id: String, refused: u64) -> bool {
        let now = Instant::now();
        let (before, at) = self.seen.get(&id).copied().unwrap_or((0, now));
        let first = !self.seen.contains_key(&id);
        // A replica that started again counts from zero.
        let more = refused > before || (refused > 0 && refused < before);
        let news = more && (first || now.saturating_duration_since(at) >= ASK_EVERY);
        if news || refused == 0 {
            self.seen.insert(id, (refused, now));
        }
        news
    }
}

impl crate::resource::Proposal<'_> {
    /// What undoing a change begins with.
    fn back(&self, to: Option<u32>) -> Begin {
        let how = crate::resource::How { unverified: true, overlap_ms: Some(0), ..Default::default() };
        Begin { to, ..self.begin(Verb::Rollback, &how) }
    }
}
