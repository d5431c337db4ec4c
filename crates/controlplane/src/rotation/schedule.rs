//! When a key's source is asked. Pure: document and times come in. Counts age by the wall clock, because a key's age is
//! one of days; a clock that was set back or ahead neither stops it for ever nor makes it hurry.

use super::KeyName;
use crate::resource::{KeyDocument, Step, Supply};
use keyway_config::{Rotation, SourcePlace, Span};
use std::time::Duration;

/// A watched file or variable is looked at so often.
const WATCH_HERE: Duration = Duration::from_secs(5);
/// A watched value elsewhere is looked at so often.
const WATCH_THERE: Duration = Duration::from_secs(60);
/// Keys of the same age are spread over this part of it, and over an hour at most.
const SPREAD_PART: u64 = 20;
const SPREAD_LIMIT_MS: u64 = 3_600_000;

/// What is due for one key's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before this moment (milliseconds since 1970); `None`: before something happens.
    Wait(Option<u64>),
    /// Nothing before so much time has passed.
    Look(Duration),
    /// Ask it for a secret.
    Ask,
    /// What it gave was refused by the provider.
    Refused,
    /// The version was taken in later than now: its age counts from now on.
    Recount(u32),
    /// Have it take away what nobody uses any more.
    Remove(u32),
}

/// `looked`: how long ago it was looked at; `None` = not since this process began.
pub(super) fn due(
    name: &KeyName,
    key: &KeyDocument,
    section: &Rotation,
    looked: Option<Duration>,
    now: u64,
) -> Due {
    let Some(place) = key.rotation.as_ref().and_then(|rotation| rotation.source.place()) else {
        return Due::Wait(None);
    };
    if key.supply_refused().is_some() {
        return Due::Refused;
    }
    if key.under_way().is_some_and(|rollout| rollout.step != Step::Withdrawn) {
        return Due::Wait(None);
    }
    let supply = &key.supply;
    if supply.asked > 0 {
        return Due::Ask;
    }
    // Farther away than any pause: the clock was set back.
    if now < supply.not_before && supply.not_before - now <= Supply::longest_pause() {
        return Due::Wait(Some(supply.not_before));
    }
    if supply.minting.is_some() {
        return Due::Ask;
    }
    if let (SourcePlace::AwsIam(_), Some(spent)) = (place, key.spent().next()) {
        return Due::Remove(spent);
    }
    if place.is_watched() {
        let every = if matches!(place, SourcePlace::Vault(_)) { WATCH_THERE } else { WATCH_HERE };
        return match looked {
            Some(ago) if ago < every => Due::Look(every - ago),
            _ => Due::Ask,
        };
    }
    aged(name, key, section, now)
}

/// A source that makes secrets is asked when the one in use is old enough, and when there never was one.
fn aged(name: &KeyName, key: &KeyDocument, section: &Rotation, now: u64) -> Due {
    if key.versions.is_empty() {
        return Due::Ask;
    }
    let Some(active) = key.active() else { return Due::Wait(None) };
    match at(name, key, section) {
        None => Due::Wait(None),
        Some(_) if taken_in(key) > now => Due::Recount(active.version),
        Some(at) if at > now => Due::Wait(Some(at)),
        Some(_) => Due::Ask,
    }
}

/// When the secret in use is to be replaced, milliseconds since 1970; `None` = nobody said how old it may become, or there
/// is none.
pub(crate) fn at(name: &KeyName, key: &KeyDocument, section: &Rotation) -> Option<u64> {
    let rotation = key.rotation.as_ref()?;
    let every = rotation.every.or(section.every).map(Span::millis)?;
    key.active()?;
    Some(taken_in(key) + every + spread(name, every))
}

/// From when the age of the version in use counts, milliseconds since 1970.
fn taken_in(key: &KeyDocument) -> u64 {
    let Some(active) = key.active() else { return 0 };
    let counted = key.supply.counted.filter(|(version, _)| *version == active.version);
    counted.map_or(active.at.saturating_mul(1000), |(_, since)| since)
}

/// A part of the time that belongs to the name alone.
fn spread((provider, key): &KeyName, every: u64) -> u64 {
    let hash = blake3::hash(format!("{provider}/{key}").as_bytes());
    let [high, low, ..] = *hash.as_bytes();
    let room = (every / SPREAD_PART).min(SPREAD_LIMIT_MS);
    room * u64::from(u16::from_be_bytes([high, low])) / u64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Begin, KeyState, Made, Minting, Verb, Way};
    use proptest::prelude::*;

    const DAY: u64 = 86_400_000;
    const NOW: u64 = 1000 * DAY;

    fn name() -> KeyName {
        ("sim".to_owned(), "main".to_owned())
    }

    fn key(source: &serde_json::Value, versions: &[(KeyState, u64)]) -> KeyDocument {
        let made = Made { by: Way::File, origin: String::new(), at: 0 };
        let mut key = KeyDocument::new("main", made, None);
        let rotation = serde_json::json!({ "every": "30d", "source": source });
        key.rotation = Some(keyway_config::read_json(&rotation).unwrap());
        for (place, (state, at)) in versions.iter().enumerate() {
            let version = serde_json::json!({
                "version": place + 1, "state": state, "fingerprint": "", "shown": "", "at": at / 1000,
            });
            key.versions.push(serde_json::from_value(version).unwrap());
        }
        key
    }

    fn command(versions: &[(KeyState, u64)]) -> KeyDocument {
        key(&serde_json::json!({ "command": ["/bin/new-key"] }), versions)
    }

    fn after(key: &KeyDocument, now: u64) -> Due {
        due(&name(), key, &Rotation::default(), None, now)
    }

    #[test]
    fn a_source_that_makes_secrets_is_asked_when_the_one_in_use_is_old() {
        use KeyState::{Active, Revoked};
        let young = command(&[(Active, NOW)]);
        let Due::Wait(Some(at)) = after(&young, NOW) else { panic!() };
        assert!((NOW + 30 * DAY..=NOW + 30 * DAY + SPREAD_LIMIT_MS).contains(&at), "{at}");
        assert_eq!(after(&young, at), Due::Ask);
        assert_eq!(after(&command(&[]), NOW), Due::Ask, "the first one");
        assert_eq!(
            after(&command(&[(Revoked, NOW)]), NOW + 90 * DAY),
            Due::Wait(None),
            "somebody wanted it so"
        );
        let mut no_source = command(&[(Active, NOW)]);
        no_source.rotation = None;
        assert_eq!(after(&no_source, u64::MAX), Due::Wait(None));
    }

    #[test]
    fn a_source_that_is_watched_is_looked_at_whatever_the_age() {
        let file = key(&serde_json::json!({ "file": "/run/key" }), &[(KeyState::Active, NOW)]);
        assert_eq!(after(&file, NOW), Due::Ask);
        let ago =
            |seconds| due(&name(), &file, &Rotation::default(), Some(Duration::from_secs(seconds)), NOW);
        assert_eq!((ago(1), ago(5)), (Due::Look(Duration::from_secs(4)), Due::Ask));
    }

    #[test]
    fn never_two_at_once_and_pauses_are_kept() {
        let mut key = command(&[(KeyState::Active, NOW), (KeyState::Staged, NOW)]);
        let late = NOW + 90 * DAY;
        let begin: Begin = Begin {
            trial: None,
            id: "1.1".into(),
            verb: Verb::Rotate,
            to: Some(2),
            probe: true,
            hold: false,
            overlap_ms: 0,
            ack_timeout_ms: 0,
            trace: String::new(),
            actor: String::new(),
        };
        key.begin(begin, late).unwrap();
        key.supply.asked = late;
        assert_eq!(after(&key, late), Due::Wait(None), "one is under way");
        key.end(Step::Done, None);
        assert_eq!(after(&key, late), Due::Ask);
        key.supply.failed("no", 255, late);
        assert_eq!(after(&key, late), Due::Wait(Some(late + 12_500)));
        assert_eq!(after(&key, late + 12_500), Due::Ask);
        for _ in 0..100 {
            key.supply.failed("no", 255, late);
        }
        assert_eq!(key.supply.not_before - late, Supply::longest_pause());
        assert_eq!(
            after(&key, NOW),
            Due::Wait(Some(at(&name(), &key, &Rotation::default()).unwrap())),
            "set back"
        );
        key.supply.minting = Some(Minting { at: NOW, known: Vec::new() });
        assert_eq!(after(&key, key.supply.not_before), Due::Ask, "what may have been made is looked for");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_it_for_ever() {
        let mut key = command(&[(KeyState::Active, NOW)]);
        let back = NOW - 500 * DAY;
        assert_eq!(after(&key, back), Due::Recount(1));
        key.supply.counted = Some((1, back));
        let Due::Wait(Some(at)) = after(&key, back) else { panic!() };
        assert!(at < back + 31 * DAY);
        assert_eq!(after(&key, at), Due::Ask);
    }

    proptest! {
        #[test]
        fn keys_of_one_age_are_spread(a in "[a-z]{1,8}", every in 1000_u64..10_000_000_000) {
            let of = |name: &str| spread(&("p".to_owned(), name.to_owned()), every);
            prop_assert!(of(&a) <= every / SPREAD_PART && of(&a) <= SPREAD_LIMIT_MS);
            prop_assert_eq!(of(&a), of(&a));
        }
    }
}
