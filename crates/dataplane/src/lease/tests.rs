//! Versions of a key through their lives, and the proof that one is out of use.

use super::{Key, Keyring, Take};
use bytes::Bytes;
use keyway_proto::{
    fleet::v1::KeyUse,
    snapshot::v1::{self as wire, CredentialState as State, Kind, Resource},
};
use keyway_snapshot::{Snapshot, Version};
use prost::Message;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

fn resource(kind: Kind, name: &str, body: &impl Message) -> Resource {
    Resource {
        kind: kind as i32,
        name: name.to_owned(),
        body: Bytes::from(body.encode_to_vec()),
        ..Resource::default()
    }
}

/// A state with provider `p` and these versions of its key `main`.
pub(crate) fn snapshot(counter: u64, versions: &[(u32, State)]) -> Snapshot {
    Snapshot::build(Version { epoch: 1, counter }, &resources(versions)).unwrap()
}

pub(crate) fn resources(versions: &[(u32, State)]) -> Vec<Resource> {
    let settings = wire::Settings {
        digest_key: vec![1; 32],
        body_limit: 1,
        bodies_in_flight_limit: 1,
        ..wire::Settings::default()
    };
    let surface = wire::Surface {
        dialect: wire::Dialect::OpenaiChat as i32,
        base_url: "http://localhost:1/v1".to_owned(),
        ..wire::Surface::default()
    };
    let auth = wire::Auth {
        scheme: wire::AuthScheme::Header as i32,
        name: "authorization".to_owned(),
        prefix: "Bearer ".to_owned(),
        ..wire::Auth::default()
    };
    let provider = wire::Provider {
        name: "p".to_owned(),
        surfaces: vec![surface],
        auth: Some(auth),
        ..wire::Provider::default()
    };
    let mut all =
        vec![resource(Kind::Settings, "settings", &settings), resource(Kind::Provider, "p", &provider)];
    for (version, state) in versions {
        let secret = if *state == State::Revoked { String::new() } else { format!("sk-{version}") };
        let body = wire::Credential {
            provider: "p".to_owned(),
            key: "main".to_owned(),
            version: *version,
            state: *state as i32,
            weight: 1,
            secret: secret.into_bytes(),
            ..wire::Credential::default()
        };
        all.push(resource(Kind::Credential, &format!("p/main/{version}"), &body));
    }
    all
}

fn next(ring: &Keyring, versions: &[(u32, State)]) -> Keyring {
    let (ring, changes) = Keyring::build(&snapshot(1, versions), ring);
    changes.grant();
    changes.take_away();
    ring
}

fn first(versions: &[(u32, State)]) -> Keyring {
    next(&Keyring::default(), versions)
}

fn key(ring: &Keyring, version: u32) -> Arc<Key> {
    ring.find("p", &format!("p/main/{version}")).unwrap()
}

fn row(ring: &Keyring, version: u32) -> Option<KeyUse> {
    ring.report().into_iter().find(|row| row.id == format!("p/main/{version}"))
}

#[test]
fn what_may_be_taken_in_which_state() {
    for (state, active, standby) in
        [(State::Active, true, true), (State::Retiring, false, true), (State::Revoked, false, false)]
    {
        let ring = first(&[(1, State::Active)]);
        let old = key(&ring, 1);
        let _ring = next(&ring, &[(1, state)]);
        assert_eq!(old.lease(Take::Active).is_some(), active, "{state:?}");
        assert_eq!(old.lease(Take::Standby).is_some(), standby, "{state:?}");
        assert_eq!(old.lease(Take::Probe).is_some(), standby, "{state:?}");
        assert_eq!(old.in_flight(), 0, "what is refused is given back");
    }
}

#[test]
fn rights_are_gained_before_the_swap_and_lost_after_it() {
    let ring = first(&[(1, State::Active), (2, State::Retiring)]);
    let (newer, changes) = Keyring::build(&snapshot(2, &[(1, State::Retiring), (2, State::Active)]), &ring);
    changes.grant();
    assert!(key(&ring, 1).is_active() && key(&ring, 2).is_active(), "no moment without an active version");
    changes.take_away();
    assert!(!key(&newer, 1).is_active() && key(&newer, 2).is_active());
}

#[test]
fn a_withdrawn_version_is_reported_until_its_last_attempt_was_told_of() {
    let ring = first(&[(1, State::Active)]);
    let lease = key(&ring, 1).lease(Take::Active).unwrap();
    let ring = next(&ring, &[(2, State::Active)]);
    assert_eq!(ring.awaited(), (true, false));
    let told = row(&ring, 1).unwrap();
    assert_eq!((told.state(), told.in_flight, told.started), (State::Unspecified, 1, 1));
    assert!(told.last_use_unix_millis > 1_700_000_000_000, "milliseconds since 1970");
    drop(lease);
    assert_eq!(ring.awaited(), (true, true));
    let ring = next(&ring, &[(2, State::Active)]);
    assert_eq!(row(&ring, 1).unwrap().in_flight, 0, "a state in between loses nothing");
    assert_eq!(ring.awaited(), (false, false));
    assert!(row(&ring, 1).is_none());
    let ring = next(&ring, &[(2, State::Active)]);
    assert_eq!(ring.everything().count(), 1, "and then it is forgotten");
}

#[test]
fn a_retiring_version_that_is_taken_again_is_awaited_again() {
    let ring = first(&[(1, State::Retiring), (2, State::Active)]);
    assert_eq!(row(&ring, 1).unwrap().in_flight, 0);
    assert_eq!(ring.awaited(), (false, false));
    let lease = key(&ring, 1).lease(Take::Standby).unwrap();
    assert_eq!(ring.awaited(), (true, false));
    drop(lease);
    assert_eq!(ring.awaited(), (true, true));
    assert_eq!(row(&ring, 1).unwrap().standby, 1);
    assert_eq!(ring.awaited(), (false, false));
}

#[test]
fn a_revoked_version_is_named_as_long_as_the_state_names_it() {
    let ring = first(&[(1, State::Active), (2, State::Active)]);
    let (old, _lease) = (key(&ring, 1), key(&ring, 1).lease(Take::Active).unwrap());
    let ring = next(&ring, &[(1, State::Revoked), (2, State::Active)]);
    assert!(ring.is_revoked(old.number) && !ring.is_revoked(key(&ring, 2).number));
    assert_eq!(ring.of("p").len(), 1, "never chosen");
    assert_eq!(row(&ring, 1).map(|row| (row.state(), row.in_flight)), Some((State::Revoked, 1)));
    let ring = next(&ring, &[(2, State::Active)]);
    assert!(ring.is_revoked(old.number), "what is cut stays cut");
    let fresh = first(&[(1, State::Revoked), (2, State::Active)]);
    assert_eq!(row(&fresh, 1).map(|row| row.state()), Some(State::Revoked), "also where it never was used");
}

#[test]
fn counts_outlive_a_version_that_comes_back() {
    let ring = first(&[(1, State::Active)]);
    drop(key(&ring, 1).lease(Take::Active));
    let ring = next(&ring, &[(2, State::Active)]);
    let ring = next(&ring, &[(1, State::Active), (2, State::Retiring)]);
    assert_eq!(row(&ring, 1).map(|row| (row.state(), row.started)), Some((State::Active, 1)));
    assert!(key(&ring, 1).lease(Take::Active).is_some());
}

#[test]
fn without_word_from_the_control_plane_no_secret_is_given_out() {
    let ring = first(&[(1, State::Active)]);
    let lapsed = ring.lapse(true);
    assert!(lapsed.of("p").is_empty() && lapsed.is_lapsed());
    assert_eq!(lapsed.report().len(), 1, "but it is still told of");
    assert!(next(&lapsed, &[(1, State::Active)]).is_lapsed(), "a new state changes nothing of it");
    assert_eq!(lapsed.lapse(false).of("p").len(), 1);
}

/// The race that the whole proof rests on: after "state changed, then count read as 0" nobody uses the key.
#[test]
fn no_use_begins_after_the_count_was_read_as_0() {
    const ROUNDS: u32 = 300;
    for round in 0..ROUNDS {
        let ring = first(&[(1, State::Active)]);
        let one = key(&ring, 1);
        let (proven, wrong, done) = (AtomicBool::new(false), AtomicU64::new(0), AtomicBool::new(false));
        let use_it = || {
            while !done.load(Ordering::SeqCst) {
                let late = one.lease(Take::Active).is_some_and(|_lease| proven.load(Ordering::SeqCst));
                wrong.fetch_add(u64::from(late), Ordering::SeqCst);
            }
        };
        thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(use_it)));
            if round % 2 == 0 {
                thread::yield_now();
            }
            let ring = next(&ring, &[(2, State::Active)]);
            while row(&ring, 1).is_some_and(|row| row.in_flight > 0) {
                std::hint::spin_loop();
            }
            proven.store(true, Ordering::SeqCst);
            thread::yield_now();
            done.store(true, Ordering::SeqCst);
        });
        assert_eq!(wrong.load(Ordering::SeqCst), 0);
    }
}

/// Version 2 is on trial on replica `a`.
#[test]
fn on_trial_each_replica_has_one_active_version_and_the_other_stands_by() {
    let on_trial = |version: u32| {
        let credential = wire::Credential {
            provider: "p".to_owned(),
            key: "main".to_owned(),
            version,
            state: State::Active as i32,
            weight: 1,
            secret: format!("sk-{version}").into_bytes(),
            active_on: if version == 2 { vec!["a".to_owned()] } else { Vec::new() },
            standby_on: if version == 1 { vec!["a".to_owned()] } else { Vec::new() },
            ..wire::Credential::default()
        };
        resource(Kind::Credential, &format!("p/main/{version}"), &credential)
    };
    let all = [resources(&[]), vec![on_trial(1), on_trial(2)]].concat();
    let trial = Snapshot::build(Version { epoch: 1, counter: 2 }, &all).unwrap();
    for (replica, active, standby) in [("a", 2, 1), ("b", 1, 2)] {
        let (ring, changes) =
            Keyring::build(&snapshot(1, &[(1, State::Active)]), &Keyring::of_replica(replica));
        changes.grant();
        changes.take_away();
        let (ring, changes) = Keyring::build(&trial, &ring);
        changes.grant();
        assert!(key(&ring, active).is_active(), "no moment without");
        changes.take_away();
        assert!(key(&ring, active).is_active() && key(&ring, standby).is_standby(), "{replica}");
        assert_eq!(key(&ring, 2).is_on_trial(), replica == "a");
        let (after, changes) =
            Keyring::build(&snapshot(3, &[(1, State::Retiring), (2, State::Active)]), &ring);
        changes.grant();
        changes.take_away();
        assert!(key(&after, 2).is_active() && !key(&after, 2).is_on_trial() && key(&after, 1).is_standby());
    }
}
