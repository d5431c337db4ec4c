//! Provider keys: secrets that are withheld, refused or old, and changes that do not come to their end.

use super::{Finding, or_ok};
use crate::{
    resource::{KeyDocument, KeyState, KeyVersion, Proof, Step, SupplyOutcome},
    rotation::RolloutView,
};
use keyway_config::Span;
use std::collections::{BTreeMap, BTreeSet};

const KEYS: &str = "keys";
/// A version that is in use for longer is old.
const OLD_DAYS: u64 = 90;
const DAY_MS: u64 = 86_400_000;
/// A change may take so long beyond what it takes by itself, milliseconds.
const SLACK: u64 = 60_000;

/// What is known of one key.
pub(crate) struct KeyFacts<'a> {
    pub(crate) provider: &'a str,
    pub(crate) key: &'a KeyDocument,
    /// Where its provider is now.
    pub(crate) origins: &'a BTreeSet<String>,
    /// Versions whose secrets do not open, and why.
    pub(crate) closed: BTreeMap<u32, String>,
    /// Answers 401 and 403 that replicas counted, by version.
    pub(crate) refused: BTreeMap<u32, u64>,
    /// Versions that some request has used.
    pub(crate) used: BTreeSet<u32>,
    pub(crate) rollout: Option<RolloutView>,
    /// When its source is to replace it, milliseconds since 1970; absent = at no set time.
    pub(crate) due: Option<u64>,
}

/// `now`: milliseconds since 1970; `keyless`: providers that want no key, with the requests that they refused as if they did.
pub(crate) fn keys(all: &[KeyFacts<'_>], keyless: &[(&str, u64)], now: u64) -> Vec<Finding> {
    let mut found: Vec<Finding> = all.iter().flat_map(|facts| one(facts, now)).collect();
    found.extend(keyless.iter().map(|(provider, refused)| {
        let what = format!("{provider} is asked without a key and refused {refused} times (401 or 403)");
        Finding::warn(KEYS, what, format!("if it wants one: keyway key add {provider}/main"))
    }));
    or_ok(found, KEYS, || match all.len() {
        0 => "there are none".to_owned(),
        count => format!("{count}, each with a version in use"),
    })
}

fn one(facts: &KeyFacts<'_>, now: u64) -> Vec<Finding> {
    let served = facts.key.versions.iter().filter(|version| version.state.is_served());
    let mut found: Vec<Finding> =
        served.flat_map(|version| withheld(facts, version).or_else(|| worn(facts, version, now))).collect();
    let name = facts.name();
    if facts.key.active().is_none() && facts.key.under_way().is_none() {
        let what_to_do = format!("keyway key rotate {name}, or keyway key promote {name}");
        found.push(Finding::warn(KEYS, format!("{name} has no version in use"), what_to_do));
    }
    found.extend(stuck(facts, now));
    found.extend(dry(facts, now));
    found
}

/// No replica has the secret of this version.
fn withheld(facts: &KeyFacts<'_>, version: &KeyVersion) -> Option<Finding> {
    let (name, number) = (facts.name(), version.version);
    if let Some(why) = facts.closed.get(&number) {
        let what = format!("version {number} of {name} is withheld: {why}");
        return Some(Finding::fail(KEYS, what, format!("give it anew: keyway key rotate {name}")));
    }
    let origin = facts.origins.difference(&version.origins).next()?;
    let what = format!("version {number} of {name} is withheld: it was not entered for {origin}");
    let what_to_do = format!("if that address is right: keyway key allow-origin {name} {origin}");
    Some(Finding::fail(KEYS, what, what_to_do))
}

/// It is in use and should perhaps not be.
fn worn(facts: &KeyFacts<'_>, version: &KeyVersion, now: u64) -> Option<Finding> {
    if version.state != KeyState::Active {
        return None;
    }
    let (name, number) = (facts.name(), version.version);
    let refused = facts.refused.get(&number).copied().unwrap_or_default();
    if refused > 0 {
        let what = format!("{} refused version {number} of {name} {refused} times", facts.provider);
        let what_to_do =
            format!("try it: keyway provider test {}; then keyway key rotate {name}", facts.provider);
        return Some(Finding::warn(KEYS, what, what_to_do));
    }
    if version.proof == Proof::Unproven && !facts.used.contains(&number) {
        let what = format!(
            "{} could not say whether version {number} of {name} is good, and nothing has used it",
            facts.provider
        );
        return Some(Finding::warn(KEYS, what, format!("keyway provider test {}", facts.provider)));
    }
    let days = now.saturating_sub(version.at.saturating_mul(1000)) / DAY_MS;
    let what = format!("version {number} of {name} is in use for {days} days");
    (days > OLD_DAYS).then(|| Finding::warn(KEYS, what, format!("keyway key rotate {name}")))
}

/// A change that does not come to its end.
fn stuck(facts: &KeyFacts<'_>, now: u64) -> Option<Finding> {
    let view = facts.rollout.as_ref().filter(|view| !view.step.is_end())?;
    let name = facts.name();
    let takes = now.saturating_sub(view.begun);
    let own = view.overlap_ms.saturating_add(view.ack_timeout_ms).saturating_add(view.trial_ms);
    let own = own.saturating_add(SLACK);
    let verb = view.verb.word();
    let since = Span::from_millis(takes / 1000 * 1000);
    if view.step == Step::Withdrawn && !view.unconfirmed.is_empty() && takes > own - SLACK {
        let waits = view.unconfirmed.join(", ");
        let what =
            format!("{verb} of {name} is under way for {since}: old versions may still be in use on {waits}");
        let what_to_do = "bring these replicas back or close their books: keyway fleet evict";
        return Some(Finding::warn(KEYS, what, what_to_do));
    }
    let what = format!("{verb} of {name} is under way for {since}, at {}", view.step.word());
    (takes > own)
        .then(|| Finding::warn(KEYS, what, format!("keyway key show {name}; keyway key rollback {name}")))
}

/// Its source gives nothing new though it should.
fn dry(facts: &KeyFacts<'_>, now: u64) -> Option<Finding> {
    let (name, supply) = (facts.name(), &facts.key.supply);
    let place = facts.key.rotation.as_ref()?.source.place()?;
    let what_to_do = format!("put the source right, then: keyway key rotate {name} --from-source");
    let overdue = facts.due.and_then(|due| now.checked_sub(due)).filter(|late| *late > SLACK);
    let late = overdue
        .map(|late| format!(", and its rotation is overdue for {}", Span::from_millis(late / 1000 * 1000)));
    let words = supply.last.as_ref().map(|last| last.words.as_str()).unwrap_or_default();
    if supply.failures > 0 {
        let times = supply.failures;
        let what = format!(
            "the source of {name} ({place}) failed {times} times: {words}{}",
            late.as_deref().unwrap_or_default()
        );
        let finding = if overdue.is_some() { Finding::fail } else { Finding::warn };
        return Some(finding(KEYS, what, what_to_do));
    }
    if let Some(late) = late {
        let what = format!("the source of {name} ({place}) has no new secret{late}");
        return Some(Finding::warn(KEYS, what, what_to_do));
    }
    let old = supply.last.as_ref().is_some_and(|last| last.outcome == SupplyOutcome::Unchanged);
    let stale = old && words.contains("had before");
    stale.then(|| {
        Finding::warn(KEYS, format!("the source of {name} ({place}) has an old secret: {words}"), what_to_do)
    })
}

// === impl KeyFacts ===

impl KeyFacts<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.provider, self.key.name)
    }
}
