//! The next attempt of one request: first what is healthy and untried, in order; then, once, the one that cools the
//! shortest; then what failed in passing, again.

use super::order::{Step, pick};
use crate::lease::{Due, Key, Keyring, Take};
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

/// The next attempt; `None` when nothing is left to try.
pub(crate) fn choose(
    steps: &[Step],
    tried: &[Tried],
    keyring: &Keyring,
    now: u64,
    random: u64,
) -> Option<Chosen> {
    let untried = |at: usize, key: &Arc<Key>| {
        !tried.iter().any(|one| {
            // A refused credential is refused at every target of its provider's.
            one.key.number == key.number && (one.step == at || one.verdict == Verdict::Refused)
        })
    };
    let mut coolest: Option<(u64, usize, &Arc<Key>, Take)> = None;
    for (at, step) in steps.iter().enumerate().filter(|(_, step)| !step.barred) {
        let keys = keyring.of(&step.target.provider.name);
        if let [key] = keys
            && key.is_active()
            && tried.is_empty()
            && key.health.due(&step.target.model, now) == Due::Ready
        {
            return Some(Chosen { step: at, key: Arc::clone(key), take: Take::Active, again: false });
        }
        // Where a provider has no active version at all, those that wait to go are what it has.
        let none_active = keys.iter().all(|key| !key.is_active());
        let may = |key: &Arc<Key>| key.is_active() || (none_active && key.is_standby());
        let take = if none_active { Take::Standby } else { Take::Active };
        let due = |key: &Arc<Key>| key.health.due(&step.target.model, now);
        let ready = |key: &&Arc<Key>| may(key) && untried(at, key) && due(key) == Due::Ready;
        let weights = keys.iter().map(|key| if ready(&key) { key.weight().max(1) } else { 0 });
        if keys.iter().any(|key| ready(&key)) {
            return keys.get(pick(weights, random)).map(|key| Chosen {
                step: at,
                key: Arc::clone(key),
                take,
                again: false,
            });
        }
        for key in keys.iter().filter(|key| may(key) && untried(at, key)) {
            if let Due::Cooling(until) = due(key)
                && coolest.is_none_or(|(least, ..)| until < least)
            {
                coolest = Some((until, at, key, take));
            }
        }
    }
    if let Some((_, step, key, take)) = coolest
        && tried.iter().all(|one| one.verdict != Verdict::Throttled)
    {
        return Some(Chosen { step, key: Arc::clone(key), take, again: false });
    }
    standby(steps, tried, keyring, now).or_else(|| again(tried))
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

#[cfg(test)]
mod tests;
