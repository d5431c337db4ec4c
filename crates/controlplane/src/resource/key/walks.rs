//! Every walk of a few steps through a key's changes: wherever one ends, no version waits for a change that is gone.

use super::*;

const NEXT: Version = Version { epoch: 1, counter: 9 };
const LENGTH: u32 = 5;

/// What may happen to a key.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Happens {
    Rotate { staged: bool },
    Promote { probed: Option<Verdict> },
    RollBack,
    Revoke(Which),
    MoveOn,
}

/// Which versions are revoked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Which {
    Newest,
    BeforeIt,
    Oldest,
    Served,
}

const ALL: [Happens; 10] = [
    Happens::Rotate { staged: false },
    Happens::Rotate { staged: true },
    Happens::Promote { probed: None },
    Happens::Promote { probed: Some(Verdict::Rejected) },
    Happens::RollBack,
    Happens::Revoke(Which::Newest),
    Happens::Revoke(Which::BeforeIt),
    Happens::Revoke(Which::Oldest),
    Happens::Revoke(Which::Served),
    Happens::MoveOn,
];

fn begin(verb: Verb, to: Option<u32>) -> Begin {
    Begin {
        id: "r".to_owned(),
        verb,
        to,
        probe: false,
        hold: false,
        overlap_ms: 1000,
        trial: None,
        ack_timeout_ms: 2000,
        trace: String::new(),
        actor: String::new(),
    }
}

fn version(number: u32, state: KeyState) -> KeyVersion {
    serde_json::from_value(serde_json::json!({
        "version": number, "state": state, "fingerprint": "", "shown": "", "at": 0,
    }))
    .unwrap()
}

fn staged(key: &mut KeyDocument) -> u32 {
    let number = key.versions.last().map_or(1, |last| last.version + 1);
    key.versions.push(version(number, KeyState::Staged));
    number
}

/// One step of the rotation, as `next` finds it due.
fn move_on(key: &mut KeyDocument) {
    let going: Vec<u32> =
        key.versions.iter().filter(|one| one.leaving.is_some()).map(|one| one.version).collect();
    going.iter().for_each(|one| key.confirmed(*one, 1));
    let Some(rollout) = key.under_way() else { return };
    let first = NextStage { level: 0, replicas: vec!["a".to_owned()], of: 3 };
    match rollout.step {
        Step::Verified if rollout.trial.is_some() => key.try_on(first, None, NEXT, 1),
        Step::Staged | Step::Verified | Step::Trial => key.activate(NEXT, 1),
        Step::Active if key.in_state(KeyState::Retiring).next().is_some() => key.withdraw(NEXT, 1),
        _ => key.end(Step::Done, None),
    }
}

/// `None`: it may not happen now.
fn after(key: &KeyDocument, happens: Happens) -> Option<KeyDocument> {
    let mut key = key.clone();
    match happens {
        Happens::Rotate { staged: on_trial } => {
            let to = staged(&mut key);
            let trial = on_trial.then(|| Trial {
                step_ms: 1000,
                step_requests: 50,
                replicas: Vec::new(),
                stages: Vec::new(),
                undone: false,
            });
            key.begin(Begin { trial, ..begin(Verb::Rotate, Some(to)) }, 1).ok()?;
        }
        Happens::Promote { probed } => {
            let to = staged(&mut key);
            key.begin(Begin { probe: probed.is_some(), ..begin(Verb::Promote, Some(to)) }, 1).ok()?;
            if let Some(verdict) = probed {
                let (replica, reason) = (String::new(), String::new());
                key.probed(Probing { verdict, status: 401, latency_ms: 1, replica, reason }, NEXT, 1);
            }
        }
        Happens::RollBack => {
            let to = key.before().ok()?;
            key.begin(begin(Verb::Rollback, Some(to)), 1).ok()?;
        }
        Happens::Revoke(which) => {
            let doomed = doomed(&key, which);
            key.revoke(begin(Verb::Revoke, None), &doomed, (NEXT, true), 1).ok()?;
        }
        Happens::MoveOn => move_on(&mut key),
    }
    Some(key)
}

fn doomed(key: &KeyDocument, which: Which) -> Vec<u32> {
    let mut numbers: Vec<u32> = key.versions.iter().map(|one| one.version).collect();
    match which {
        Which::Newest => numbers.drain(..).next_back(),
        Which::BeforeIt => numbers.drain(..).rev().nth(1),
        Which::Oldest => numbers.drain(..).next(),
        Which::Served => {
            numbers.retain(|number| key.version(*number).is_some_and(|one| one.state.is_served()));
            return numbers;
        }
    }
    .into_iter()
    .collect()
}

fn check(before: &KeyDocument, happens: Happens, key: &KeyDocument, walk: &[Happens]) {
    let standby = key.in_state(KeyState::Retiring).next().is_some();
    assert!(!standby || key.under_way().is_some(), "{walk:?}: standby that nothing ends: {key:?}");
    if let Happens::Revoke(which) = happens {
        assert!(!standby, "{walk:?}: a revocation ends no standby later: {key:?}");
        let doomed = doomed(before, which);
        let left = before.versions.iter().any(|one| one.state.is_served() && !doomed.contains(&one.version));
        assert_eq!(key.active().is_some(), left, "{walk:?}: what was left is in use: {key:?}");
    }
}

fn walk_on(key: &KeyDocument, walk: &mut Vec<Happens>, left: u32) {
    if left == 0 {
        return;
    }
    for happens in ALL {
        let Some(next) = after(key, happens) else { continue };
        walk.push(happens);
        check(key, happens, &next, walk);
        walk_on(&next, walk, left - 1);
        walk.pop();
    }
}

#[test]
fn no_walk_leaves_standby_that_nothing_ends() {
    let made = Made { by: super::super::Way::Hand, origin: String::new(), at: 0 };
    let mut key = KeyDocument::new("main", made, None);
    key.versions = vec![version(1, KeyState::Active)];
    walk_on(&key, &mut Vec::new(), LENGTH);
}

#[test]
fn a_revocation_in_the_overlap_ends_it() {
    use KeyState::{Active, Retired, Retiring, Revoked, Withdrawn};
    for (states, doomed, left) in [
        (&[Retired, Retiring, Active][..], 1, &[Revoked, Withdrawn, Active][..]),
        (&[Retiring, Retiring, Active], 3, &[Withdrawn, Active, Revoked]),
        (&[Retiring, Retiring, Active], 2, &[Withdrawn, Revoked, Active]),
    ] {
        let made = Made { by: super::super::Way::Hand, origin: String::new(), at: 0 };
        let mut key = KeyDocument::new("main", made, None);
        key.versions = states.iter().zip(1..).map(|(state, number)| version(number, *state)).collect();
        key.revoke(begin(Verb::Revoke, None), &[doomed], (NEXT, true), 1).unwrap();
        let now: Vec<KeyState> = key.versions.iter().map(|one| one.state).collect();
        assert_eq!(now, left);
        let going: Vec<&Leaving> = key.versions.iter().filter_map(|one| one.leaving.as_ref()).collect();
        assert!(going.iter().all(|one| one.cut == (one.ends_as == Revoked)), "only what is revoked is cut");
    }
}
