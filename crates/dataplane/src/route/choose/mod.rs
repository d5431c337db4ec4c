//! The next attempt of one request: first what is healthy and untried, in order; then, once, the one that cools the
//! shortest; then what failed in passing, again.

use super::order::{Step, pick};
use crate::lease::{Due, Key, Keyring};
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
            Arc::ptr_eq(&one.key, key) && (one.step == at || one.verdict == Verdict::Refused)
        })
    };
    let mut coolest: Option<(u64, usize, &Arc<Key>)> = None;
    for (at, step) in steps.iter().enumerate() {
        let keys = keyring.of(&step.target.provider.name);
        if let [key] = keys
            && key.is_active()
            && tried.is_empty()
            && key.health.due(&step.target.model, now) == Due::Ready
        {
            return Some(Chosen { step: at, key: Arc::clone(key), again: false });
        }
        let due = |key: &Arc<Key>| key.health.due(&step.target.model, now);
        let ready = |key: &&Arc<Key>| key.is_active() && untried(at, key) && due(key) == Due::Ready;
        let weights = keys.iter().map(|key| if ready(&key) { key.weight.max(1) } else { 0 });
        if keys.iter().any(|key| ready(&key)) {
            return keys.get(pick(weights, random)).map(|key| Chosen {
                step: at,
                key: Arc::clone(key),
                again: false,
            });
        }
        for key in keys.iter().filter(|key| key.is_active() && untried(at, key)) {
            if let Due::Cooling(until) = due(key)
                && coolest.is_none_or(|(least, ..)| until < least)
            {
                coolest = Some((until, at, key));
            }
        }
    }
    let waited = |key: &Arc<Key>, step: usize| Chosen { step, key: Arc::clone(key), again: false };
    if let Some((_, step, key)) = coolest
        && tried.iter().all(|one| one.verdict != Verdict::Throttled)
    {
        return Some(waited(key, step));
    }
    standby(steps, tried, keyring).or_else(|| again(tried))
}

/// Keys that are being retired serve only requests whose active versions were all refused.
fn standby(steps: &[Step], tried: &[Tried], keyring: &Keyring) -> Option<Chosen> {
    if tried.is_empty() || tried.iter().any(|one| one.verdict != Verdict::Refused) {
        return None;
    }
    steps.iter().enumerate().find_map(|(at, step)| {
        let keys = keyring.of(&step.target.provider.name);
        let key = keys
            .iter()
            .find(|key| key.is_standby() && !tried.iter().any(|one| Arc::ptr_eq(&one.key, key)))?;
        Some(Chosen { step: at, key: Arc::clone(key), again: false })
    })
}

/// What failed in passing, the least tried first.
fn again(tried: &[Tried]) -> Option<Chosen> {
    let passing = tried.iter().filter(|one| one.verdict == Verdict::Passing && one.key.is_active());
    let times =
        |of: &Tried| tried.iter().filter(|one| one.step == of.step && Arc::ptr_eq(&one.key, &of.key)).count();
    passing.min_by_key(|one| times(one)).map(|one| Chosen {
        step: one.step,
        key: Arc::clone(&one.key),
        again: true,
    })
}

#[cfg(test)]
mod tests;
