//! The next attempt of one request: first what is healthy, untried and has room in its limits, in order; then what is
//! out of room; then, once, the one that cools the shortest; then what failed in passing, again.

use super::order::{Step, pick};
use crate::{
    lease::{Due, Key, Keyring, Take},
    quota::{Ask, Room},
};
use std::sync::Arc;

/// How an attempt failed, as far as the next choice needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No connection, a 5xx, a broken reply: may pass.
    Passing,
    /// 429: not again now.
    Throttled,
    /// The credential was refused.
    Refused,
    /// It answers what no provider should: not again.
    Broken,
}

/// An attempt that failed.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    pub(crate) step: usize,
    pub(crate) key: Arc<Key>,
    pub(crate) verdict: Verdict,
}

/// What to try.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) step: usize,
    pub(crate) key: Arc<Key>,
    pub(crate) take: Take,
    /// The same target and key again: needs the retry budget's consent.
    pub(crate) again: bool,
}

/// What comes next for a request.
#[derive(Debug)]
pub(crate) enum Choice {
    Attempt(Chosen),
    /// Limits are nearly used up, and this client has had its share of them: not before this moment.
    Wait(u64),
    Nothing,
}

/// What a choice depends on beside targets, keys and what failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) now: u64,
    pub(crate) random: u64,
}

/// Of keys that are no good choice now the one that will be one first.
#[derive(Debug, Default)]
struct Soonest<'a>(Option<(u64, usize, &'a Arc<Key>, Take)>);

/// The next attempt. Keys whose limits have room come first, by weight and by what is left of them.
pub(crate) fn choose(steps: &[Step], tried: &[Tried], keyring: &Keyring, moment: Moment<'_>) -> Choice {
    let Moment { ask, now, random } = moment;
    let untried = |at: usize, key: &Arc<Key>| {
        !tried.iter().any(|one| {
            // A refused credential is refused at every target of its provider's.
            one.key.number == key.number && (one.step == at || one.verdict == Verdict::Refused)
        })
    };
    let (mut coolest, mut dry, mut over) = (Soonest::default(), Soonest::default(), None);
    for (at, step) in steps.iter().enumerate().filter(|(_, step)| !step.barred) {
        let (keys, model) = (keyring.of(&step.target.provider.name), &*step.target.model);
        if let [key] = keys
            && key.is_active()
            && tried.is_empty()
            && key.is_free(model, now)
        {
            return Choice::taken(at, key, Take::Active);
        }
        // Where a provider has no active version at all, those that wait to go are what it has.
        let none_active = keys.iter().all(|key| !key.is_active());
        let may = |key: &Arc<Key>| key.is_active() || (none_active && key.is_standby());
        let take = if none_active { Take::Standby } else { Take::Active };
        let share = |key: &Arc<Key>| {
            let is_ready = may(key) && untried(at, key) && key.due(model, now) == Due::Ready;
            match is_ready.then(|| key.room(model, ask, now)) {
                Some(Room::Left(left)) => u64::from(key.weight().max(1)) * u64::from(left),
                Some(Room::Over(_) | Room::Out(_)) | None => 0,
            }
        };
        if let Some(key) = pick(keys.iter().map(share), random).and_then(|place| keys.get(place)) {
            return Choice::taken(at, key, take);
        }
        for key in keys.iter().filter(|key| may(key) && untried(at, key)) {
            match (key.due(model, now), key.room(model, ask, now)) {
                (Due::Benched, _) => {}
                (Due::Ready | Due::Cooling(_), Room::Over(until)) => {
                    over = Some(over.map_or(until, |least: u64| least.min(until)));
                }
                (Due::Cooling(until), _) => coolest.offer(until, at, key, take),
                (Due::Ready, Room::Out(until)) => dry.offer(until, at, key, take),
                (Due::Ready, Room::Left(_)) => dry.offer(now, at, key, take),
            }
        }
    }
    // What is known of a limit orders and does not refuse: the provider has the last word.
    let coolest = coolest.0.filter(|_| tried.iter().all(|one| one.verdict != Verdict::Throttled));
    if let Some((_, at, key, take)) = dry.0.or(coolest) {
        return Choice::taken(at, key, take);
    }
    if let Some(until) = over.filter(|_| tried.is_empty()) {
        return Choice::Wait(until);
    }
    standby(steps, tried, keyring, now).or_else(|| again(tried)).map_or(Choice::Nothing, Choice::Attempt)
}

/// A key that is being retired serves a request whose active versions at that provider were all refused: to this
/// request, or so lately that they rest. A version on trial need only have failed.
fn standby(steps: &[Step], tried: &[Tried], keyring: &Keyring, now: u64) -> Option<Chosen> {
    steps.iter().enumerate().filter(|(_, step)| !step.barred).find_map(|(at, step)| {
        let keys = keyring.of(&step.target.provider.name);
        let was = |key: &Arc<Key>| tried.iter().find(|one| one.key.number == key.number);
        let benched = |key: &Arc<Key>| key.health.due(&step.target.model, now) == Due::Benched;
        let refused = |key: &Arc<Key>| match was(key) {
            Some(one) => one.verdict == Verdict::Refused || key.is_on_trial(),
            None => benched(key),
        };
        if !keys.iter().filter(|key| key.is_active()).all(refused) {
            return None;
        }
        let key = keys.iter().find(|key| key.is_standby() && was(key).is_none() && !benched(key))?;
        Some(Chosen { step: at, key: Arc::clone(key), take: Take::Standby, again: false })
    })
}

/// What failed in passing, the least tried first.
fn again(tried: &[Tried]) -> Option<Chosen> {
    let passing = tried.iter().filter(|one| one.verdict == Verdict::Passing && one.key.is_active());
    let times = |of: &Tried| {
        tried.iter().filter(|one| one.step == of.step && one.key.number == of.key.number).count()
    };
    passing.min_by_key(|one| times(one)).map(|one| Chosen {
        step: one.step,
        key: Arc::clone(&one.key),
        take: Take::Active,
        again: true,
    })
}

// === impl Choice ===

impl Choice {
    fn taken(step: usize, key: &Arc<Key>, take: Take) -> Self {
        Self::Attempt(Chosen { step, key: Arc::clone(key), take, again: false })
    }
}

// === impl Soonest ===

impl<'a> Soonest<'a> {
    fn offer(&mut self, until: u64, at: usize, key: &'a Arc<Key>, take: Take) {
        if self.0.is_none_or(|(least, ..)| until < least) {
            self.0 = Some((until, at, key, take));
        }
    }
}

#[cfg(test)]
mod tests;
