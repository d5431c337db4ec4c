//! Tables: what a file does to keys, and every way through the steps.

use super::{merge::Merging, *};
use crate::{resource::Way, vault::Vault};
use keyway_config::Key;

const NEXT: Version = Version { epoch: 1, counter: 9 };

fn begin(verb: Verb, to: Option<u32>) -> Begin {
    Begin {
        id: "r".to_owned(),
        verb,
        to,
        probe: verb == Verb::Rotate,
        hold: false,
        overlap_ms: 1000,
        trial: None,
        ack_timeout_ms: 2000,
        trace: String::new(),
        actor: "operator/a".to_owned(),
    }
}

thread_local! {
    static VAULT: Vault = Vault::ephemeral().unwrap();
}

fn put(
    keys: &mut Vec<KeyDocument>,
    secret: Option<&str>,
    origin: &str,
) -> Result<merge::Merged, merge::Unmerged> {
    VAULT.with(|vault| put_with(vault, keys, secret, origin))
}

fn put_with(
    vault: &Vault,
    keys: &mut Vec<KeyDocument>,
    secret: Option<&str>,
    origin: &str,
) -> Result<merge::Merged, merge::Unmerged> {
    let made = Made { by: Way::File, origin: "f".to_owned(), at: 5 };
    let origins = BTreeSet::from([origin.to_owned()]);
    let with = Merging {
        provider: "openai",
        origins: &origins,
        vault,
        made: &made,
        now: 5000,
        next: NEXT,
        begin: &|verb| Begin { probe: false, ..begin(verb, None) },
    };
    let secret = secret.map(|text| keyway_config::Secret::new(text.to_owned()));
    merge::merge(
        keys,
        &Key {
            name: "main".to_owned(),
            secret,
            weight: None,
            prices: BTreeMap::new(),
            discount: None,
            quota: None,
            rotation: None,
        },
        &with,
    )
}

fn states(key: &KeyDocument) -> Vec<KeyState> {
    key.versions.iter().map(|version| version.state).collect()
}

/// A key whose second version has just come into use.
fn rotated() -> KeyDocument {
    let mut keys = Vec::new();
    put(&mut keys, Some("one"), "a").unwrap();
    put(&mut keys, Some("two"), "a").unwrap();
    keys.remove(0)
}

fn step(key: &KeyDocument) -> Step {
    key.rollout.as_ref().unwrap().step
}

#[test]
fn a_secret_never_seen_is_the_next_version_and_an_old_one_never_comes_back() {
    use KeyState::{Active, Retiring};
    let mut keys = Vec::new();
    assert_eq!(put(&mut keys, None, "a").unwrap_err(), merge::Unmerged::NoSecret);
    assert_eq!(put(&mut keys, Some("one"), "a").unwrap().secret.unwrap().0.version, 1);
    for same in [Some("one"), None] {
        let merged = put(&mut keys, same, "a").unwrap();
        assert!(merged.secret.is_none() && !merged.seen_before);
        assert_eq!(states(&keys[0]), [Active]);
    }
    assert_eq!(put(&mut keys, Some("two"), "a").unwrap().secret.unwrap().0.version, 2);
    assert_eq!((states(&keys[0]), step(&keys[0])), (vec![Retiring, Active], Step::Active));
    let leaving = put(&mut keys, Some("one"), "a").unwrap();
    assert!(
        leaving.seen_before && leaving.secret.is_none(),
        "who enters it is told that it does not come back"
    );
    assert_eq!(states(&keys[0]), [Retiring, Active]);
    let third = put(&mut keys, Some("three"), "a").unwrap_err();
    let running = Barred::UnderWay { verb: Verb::Rotate, step: Step::Active, by: "operator/a".to_owned() };
    assert_eq!(third, merge::Unmerged::Barred(running));
    keys[0].withdraw(NEXT, 1);
    keys[0].confirmed(1, 2);
    let back = put(&mut keys, Some("one"), "a").unwrap();
    assert!(back.seen_before && back.secret.is_none());
    assert_eq!(states(&keys[0]), [KeyState::Retired, Active]);
}

#[test]
fn entered_again_it_may_go_where_the_provider_went() {
    let mut keys = Vec::new();
    put(&mut keys, Some("one"), "https://a:443").unwrap();
    let again = put(&mut keys, Some("one"), "https://b:443").unwrap();
    assert_eq!(again.secret.unwrap().0.version, 1);
    assert_eq!(keys[0].versions[0].origins, BTreeSet::from(["https://b:443".to_owned()]));
}

#[test]
fn what_a_provider_says_decides() {
    for (status, invalid, verdict) in [
        (200, false, Verdict::Verified),
        (204, false, Verdict::Verified),
        (401, false, Verdict::Rejected),
        (400, true, Verdict::Rejected),
        (400, false, Verdict::Unproven),
        (403, false, Verdict::Unproven),
        (404, false, Verdict::Unproven),
        (429, false, Verdict::Unproven),
        (500, false, Verdict::Unreachable),
        (302, false, Verdict::Unreachable),
        (0, false, Verdict::Unreachable),
    ] {
        assert_eq!(Verdict::of(status, invalid), verdict, "{status} {invalid}");
    }
}

#[test]
fn a_whole_rotation() {
    use KeyState::{Active, Retired, Retiring, Staged, Verified, Withdrawn};
    let mut key = rotated();
    key.withdraw(NEXT, 1);
    key.confirmed(1, 2);
    key.end(Step::Done, None);
    key.versions.push(KeyVersion { version: 3, ..key.versions[0].clone() });
    key.versions[2].set(Staged, 3);
    key.begin(begin(Verb::Rotate, Some(3)), 4).unwrap();
    assert_eq!((states(&key), step(&key)), (vec![Retired, Active, Staged], Step::Staged));
    let taken = Probing {
        verdict: Verdict::Verified,
        status: 200,
        latency_ms: 1,
        replica: "r".to_owned(),
        reason: String::new(),
    };
    key.probed(taken, NEXT, 5);
    assert_eq!((states(&key), step(&key)), (vec![Retired, Active, Verified], Step::Verified));
    key.activate(NEXT, 6);
    assert_eq!((states(&key), step(&key)), (vec![Retired, Retiring, Active], Step::Active));
    key.withdraw(NEXT, 7);
    assert_eq!((states(&key), step(&key)), (vec![Retired, Withdrawn, Active], Step::Withdrawn));
    key.confirmed(2, 8);
    assert_eq!(states(&key), [Retired, Retired, Active]);
}

#[test]
fn back_during_the_overlap_and_after_it() {
    use KeyState::{Active, Destroyed, Retired, Retiring, RolledBack, Withdrawn};
    let mut key = rotated();
    assert_eq!(key.before(), Ok(1));
    key.begin(begin(Verb::Rollback, Some(1)), 1).unwrap();
    assert_eq!(step(&key), Step::Verified, "it was in use before");
    key.activate(NEXT, 2);
    assert_eq!(states(&key), [Active, Retiring]);
    key.withdraw(NEXT, 3);
    assert_eq!(states(&key), [Active, Withdrawn]);
    key.confirmed(2, 4);
    assert_eq!(states(&key), [Active, RolledBack]);
    assert_eq!(key.before(), Err(Barred::Nothing));

    let mut key = rotated();
    key.withdraw(NEXT, 1);
    key.confirmed(1, 2);
    key.end(Step::Done, None);
    assert_eq!(states(&key), [Retired, Active]);
    key.destroy(1, 3).unwrap();
    assert_eq!(states(&key), [Destroyed, Active]);
    assert_eq!(key.before(), Err(Barred::NoSecret(vec![1])));
    assert_eq!(key.begin(begin(Verb::Promote, Some(1)), 4), Err(Barred::NoSecret(vec![1])));
    assert_eq!(key.destroy(2, 4), Err(Barred::State(2, Active)));
    assert_eq!(key.destroy(7, 4), Err(Barred::NoVersion(7)));
}

#[test]
fn revoked_is_out_at_once() {
    use KeyState::{Active, Revoked};
    let mut key = rotated();
    key.revoke(begin(Verb::Revoke, None), &[1], (NEXT, true), 1).unwrap();
    assert_eq!((states(&key), step(&key)), (vec![Revoked, Active], Step::Withdrawn));
    assert!(key.versions[0].is_cut());
    key.confirmed(1, 2);
    assert!(!key.versions[0].is_cut());
    assert_eq!(key.revoke(begin(Verb::Revoke, None), &[1], (NEXT, true), 3), Err(Barred::Nothing));
    assert_eq!(key.revoke(begin(Verb::Revoke, None), &[9], (NEXT, true), 3), Err(Barred::NoVersion(9)));
}

#[test]
fn a_refused_version_never_comes_and_an_unreachable_provider_changes_nothing() {
    let probing = |verdict| Probing {
        verdict,
        status: 401,
        latency_ms: 1,
        replica: String::new(),
        reason: String::new(),
    };
    for (verdict, state) in
        [(Verdict::Rejected, KeyState::Rejected), (Verdict::Unreachable, KeyState::Staged)]
    {
        let mut key = rotated();
        key.end(Step::Done, None);
        key.versions.push(KeyVersion { version: 3, state: KeyState::Staged, ..key.versions[0].clone() });
        key.begin(begin(Verb::Rotate, Some(3)), 4).unwrap();
        key.probed(probing(verdict), NEXT, 5);
        assert_eq!((states(&key)[2], step(&key)), (state, Step::Failed));
        assert_eq!(key.active().unwrap().version, 2);
        assert!(key.rollout.as_ref().unwrap().failure.is_some());
    }
}

/// A key whose second version is on trial on replica `a`.
fn tried() -> KeyDocument {
    let mut keys = Vec::new();
    put(&mut keys, Some("one"), "a").unwrap();
    let mut key = keys.remove(0);
    let mut two = key.versions[0].clone();
    (two.version, two.state) = (2, KeyState::Verified);
    key.versions.push(two);
    let trial =
        Trial { step_ms: 1000, step_requests: 50, replicas: Vec::new(), stages: Vec::new(), undone: false };
    key.begin(Begin { trial: Some(trial), probe: false, ..begin(Verb::Rotate, Some(2)) }, 1).unwrap();
    key.try_on(NextStage { level: 0, replicas: vec!["a".to_owned()], of: 3 }, None, NEXT, 2);
    key
}

#[test]
fn on_trial_both_sides_are_active_and_another_rotation_waits() {
    let key = tried();
    assert_eq!((states(&key), step(&key)), (vec![KeyState::Active; 2], Step::Trial));
    assert_eq!(key.on_trial().map(|(version, ..)| version), Some(2));
    let barred = key.clone().begin(begin(Verb::Rotate, None), 3).unwrap_err();
    assert!(matches!(barred, Barred::UnderWay { step: Step::Trial, .. }), "{barred:?}");
}

#[test]
fn every_way_out_of_a_trial_leaves_a_version_in_use() {
    use KeyState::{Active, Retiring, Revoked, Withdrawn};
    let instant = |verb, to| Begin { probe: false, ..begin(verb, to) };
    let closed = Closed { new: Trials::default(), old: Trials::default(), end: StageEnd::Worse };

    let mut undone = tried();
    undone.undo("worse".to_owned(), Some(closed), NEXT, 3);
    assert_eq!((states(&undone), step(&undone)), (vec![Active, Withdrawn], Step::Withdrawn));
    undone.confirmed(2, 4);
    assert_eq!(states(&undone), [Active, KeyState::RolledBack]);

    let mut back = tried();
    let old = back.before().unwrap();
    assert_eq!(old, 1);
    back.begin(instant(Verb::Rollback, Some(old)), 3).unwrap();
    assert_eq!((states(&back), step(&back)), (vec![Active, Retiring], Step::Verified));
    back.activate(NEXT, 4);
    back.withdraw(NEXT, 5);
    assert_eq!(states(&back), [Active, Withdrawn]);

    let mut on = tried();
    on.begin(instant(Verb::Promote, Some(2)), 3).unwrap();
    assert_eq!((states(&on), step(&on)), (vec![Active, Active], Step::Verified));
    on.activate(NEXT, 4);
    assert_eq!(states(&on), [Retiring, Active]);

    for (doomed, left) in [(1, vec![Revoked, Active]), (2, vec![Active, Revoked])] {
        let mut revoked = tried();
        revoked.revoke(instant(Verb::Revoke, None), &[doomed], (NEXT, true), 3).unwrap();
        assert_eq!(states(&revoked), left);
    }
}
