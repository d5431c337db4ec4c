//! One request's attempts, as a table of what failed and what comes next.

use super::{Choice, Moment, Tried, Verdict, choose};
use crate::{
    lease::{Keyring, Take},
    quota::{Ask, Domain},
    random::Random,
    route::{Step, steps},
};
use bytes::Bytes;
use keyway_proto::{
    fleet::v1::{Quota, QuotaLevel},
    snapshot::v1::{self as wire, Kind, LimitUnit, Resource},
};
use keyway_snapshot::{Snapshot, Version};
use prost::Message;
use std::{sync::Arc, time::Duration};

fn resource(kind: Kind, name: &str, body: &impl Message) -> Resource {
    Resource {
        kind: kind as i32,
        name: name.to_owned(),
        body: Bytes::from(body.encode_to_vec()),
        ..Resource::default()
    }
}

fn provider(name: &str) -> Resource {
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
    let body = wire::Provider {
        name: name.to_owned(),
        surfaces: vec![surface],
        auth: Some(auth),
        ..wire::Provider::default()
    };
    resource(Kind::Provider, name, &body)
}

fn key(provider: &str, key: &str, state: wire::CredentialState) -> Resource {
    key_in(provider, key, state, "")
}

fn key_in(provider: &str, key: &str, state: wire::CredentialState, quota: &str) -> Resource {
    let body = wire::Credential {
        provider: provider.to_owned(),
        key: key.to_owned(),
        version: 1,
        state: state as i32,
        weight: 1,
        secret: format!("sk-{key}").into_bytes(),
        quota: quota.to_owned(),
        ..wire::Credential::default()
    };
    resource(Kind::Credential, &format!("{provider}/{key}/1"), &body)
}

fn alias(targets: &[&str]) -> Resource {
    let targets = targets.iter().zip(0..).map(|(provider, priority)| wire::Target {
        provider: (*provider).to_owned(),
        model: "m".to_owned(),
        weight: 1,
        priority,
    });
    let body = wire::Model {
        name: "fast".to_owned(),
        strategy: wire::Strategy::Priority as i32,
        targets: targets.collect(),
        ..wire::Model::default()
    };
    resource(Kind::Model, "fast", &body)
}

/// Two targets in order, `a` with the given keys and `b` with one.
fn plan(keys_of_a: &[(&str, wire::CredentialState)]) -> (Vec<Step>, Keyring) {
    let snapshot = snapshot(keys_of_a.iter().map(|(name, state)| key("a", name, *state)));
    let resolved = snapshot.lookup("fast").unwrap();
    let (keyring, _) = Keyring::build(&snapshot, &Keyring::default());
    (steps(&snapshot, &resolved, &Random::new()).0, keyring)
}

/// Active keys of `a`, each with its quota domain.
fn snapshot_of(keys: &[(&str, &str)]) -> Snapshot {
    snapshot(keys.iter().map(|(name, quota)| key_in("a", name, ACTIVE, quota)))
}

fn keyring_of(keys: &[(&str, &str)]) -> Keyring {
    let (keyring, changes) = Keyring::build(&snapshot_of(keys), &Keyring::default());
    changes.grant();
    keyring
}

fn snapshot(keys_of_a: impl Iterator<Item = Resource>) -> Snapshot {
    let settings = wire::Settings {
        digest_key: vec![1; 32],
        body_limit: 1,
        bodies_in_flight_limit: 1,
        ..wire::Settings::default()
    };
    let mut all = vec![
        resource(Kind::Settings, "settings", &settings),
        provider("a"),
        provider("b"),
        key("b", "b1", wire::CredentialState::Active),
        alias(&["a", "b"]),
    ];
    all.extend(keys_of_a);
    Snapshot::build(Version { epoch: 1, counter: 1 }, &all).unwrap()
}

/// Plays a request whose every attempt fails with the verdict that its key has in the table.
fn play(steps: &[Step], keyring: &Keyring, verdicts: &[(&str, Verdict)], most: usize) -> Vec<String> {
    let mut tried = Vec::new();
    let mut order = Vec::new();
    while order.len() < most {
        let moment = Moment { ask: &Ask::default(), now: 0, random: 0 };
        let Choice::Attempt(chosen) = choose(steps, &tried, keyring, moment) else { break };
        let id = chosen.key.id.to_string();
        let again = if chosen.again { " again" } else { "" };
        let take = if chosen.take == Take::Standby { " standby" } else { "" };
        order.push(format!("{id}{again}{take}"));
        let verdict =
            verdicts.iter().find(|(name, _)| id.contains(name)).map_or(Verdict::Broken, |(_, v)| *v);
        tried.push(Tried { step: chosen.step, key: chosen.key, verdict });
    }
    order
}

const ACTIVE: wire::CredentialState = wire::CredentialState::Active;
const RETIRING: wire::CredentialState = wire::CredentialState::Retiring;

#[test]
fn the_next_target_after_a_fault_that_may_pass_and_then_the_same_again() {
    let (steps, ring) = plan(&[("a1", ACTIVE)]);
    let verdicts = [("a1", Verdict::Passing), ("b1", Verdict::Passing)];
    assert_eq!(play(&steps, &ring, &verdicts, 4), ["a/a1/1", "b/b1/1", "a/a1/1 again", "b/b1/1 again"]);
}

#[test]
fn throttled_and_broken_targets_are_not_tried_again() {
    let (steps, ring) = plan(&[("a1", ACTIVE)]);
    assert_eq!(
        play(&steps, &ring, &[("a1", Verdict::Throttled), ("b1", Verdict::Broken)], 9),
        ["a/a1/1", "b/b1/1"]
    );
}

#[test]
fn a_refused_key_gives_way_to_the_providers_other_key_then_to_other_targets_then_to_standby() {
    let (steps, ring) = plan(&[("a1", ACTIVE), ("a2", ACTIVE), ("a3", RETIRING)]);
    let order = play(&steps, &ring, &[("a/", Verdict::Refused), ("b1", Verdict::Broken)], 9);
    assert_eq!(order.len(), 4, "{order:?}");
    assert_eq!(order[3], "a/a3/1 standby");
    assert!(
        order[..2].iter().all(|id| id == "a/a1/1" || id == "a/a2/1") && order[2] == "b/b1/1",
        "{order:?}"
    );
}

#[test]
fn standby_serves_who_was_refused_everywhere() {
    let (steps, ring) = plan(&[("a1", ACTIVE), ("a3", RETIRING)]);
    let order = play(
        &steps,
        &ring,
        &[("a1", Verdict::Refused), ("b1", Verdict::Refused), ("a3", Verdict::Refused)],
        9,
    );
    assert_eq!(order, ["a/a1/1", "b/b1/1", "a/a3/1 standby"]);
}

#[test]
fn standby_stays_back_while_an_active_version_was_not_refused() {
    let (steps, ring) = plan(&[("a1", ACTIVE), ("a2", ACTIVE), ("a3", RETIRING)]);
    for verdict in [Verdict::Passing, Verdict::Throttled, Verdict::Broken] {
        let order =
            play(&steps, &ring, &[("a1", Verdict::Refused), ("a2", verdict), ("b1", Verdict::Broken)], 9);
        assert!(order.iter().all(|id| !id.contains("a3")), "{order:?}");
    }
}

#[test]
fn standby_serves_at_once_while_the_new_version_rests_since_it_was_refused() {
    let (steps, ring) = plan(&[("a1", ACTIVE), ("a3", RETIRING)]);
    let find = |id: &str| ring.find("a", id).unwrap();
    find("a/a1/1").health.bench(0);
    assert_eq!(play(&steps[..1], &ring, &[], 2), ["a/a3/1 standby"]);
    find("a/a3/1").health.bench(0);
    assert!(play(&steps[..1], &ring, &[], 2).is_empty(), "both are refused");
}

#[test]
fn where_no_version_is_active_standby_is_what_there_is() {
    let (steps, ring) = plan(&[("a2", RETIRING), ("a3", RETIRING)]);
    let order = play(&steps, &ring, &[("a/", Verdict::Refused), ("b1", Verdict::Broken)], 9);
    assert_eq!(order, ["a/a2/1 standby", "a/a3/1 standby", "b/b1/1"], "before other targets");
    let cool = ring.find("a", "a/a2/1").unwrap();
    cool.health.cool("m", 0, Some(Duration::from_secs(9)));
    ring.find("a", "a/a3/1").unwrap().health.bench(0);
    assert_eq!(play(&steps[..1], &ring, &[], 1), ["a/a2/1 standby"], "also while it cools");
}

#[test]
fn cooling_orders_and_benches_refuse() {
    let (steps, ring) = plan(&[("a1", ACTIVE)]);
    let find = |provider: &str, id: &str| ring.find(provider, id).unwrap();
    find("a", "a/a1/1").health.cool("m", 0, Some(Duration::from_secs(9)));
    assert_eq!(play(&steps, &ring, &[], 1), ["b/b1/1"], "the healthy one first");
    find("b", "b/b1/1").health.cool("m", 0, Some(Duration::from_secs(5)));
    assert_eq!(play(&steps, &ring, &[], 1), ["b/b1/1"], "all cool: the one due first");
    find("b", "b/b1/1").health.bench(0);
    assert_eq!(play(&steps, &ring, &[], 1), ["a/a1/1"], "benched ones are out");
    find("a", "a/a1/1").health.bench(0);
    assert!(play(&steps, &ring, &[], 1).is_empty());
}

#[test]
fn keys_whose_limits_have_room_come_first_and_share_by_what_is_left() {
    let (steps, ring) = plan(&[("a1", ACTIVE), ("a2", ACTIVE)]);
    let quota = |provider: &str, id: &str| Arc::clone(&ring.find(provider, id).unwrap().quota);
    let tell = |domain: &Domain, remaining| {
        let level = QuotaLevel {
            unit: LimitUnit::Requests.into(),
            limit: 1000,
            remaining,
            reset_millis: 60_000,
            age_millis: 0,
            fixed: true,
        };
        domain.hear(&Quota { model: "m".to_owned(), levels: vec![level], ..Quota::default() }, 1_000);
    };
    let hits = |keys: &str| {
        let chosen = (0..1000).filter(|random| {
            let moment = Moment { ask: &Ask::default(), now: 1_000, random: random * 7 };
            match choose(&steps, &[], &ring, moment) {
                Choice::Attempt(chosen) => chosen.key.id.contains(keys),
                Choice::Wait(_) | Choice::Nothing => false,
            }
        });
        chosen.count()
    };
    tell(&quota("a", "a/a1/1"), 400);
    tell(&quota("a", "a/a2/1"), 100);
    assert!((750..=850).contains(&hits("a1")), "{} of 1000, four to one", hits("a1"));
    tell(&quota("a", "a/a1/1"), 0);
    assert_eq!(hits("a2"), 1000, "before the 429, not after it");
    tell(&quota("a", "a/a2/1"), 0);
    assert_eq!(hits("b1"), 1000, "another target has room");
    tell(&quota("b", "b/b1/1"), 0);
    assert_eq!(hits(""), 1000, "nowhere is room, and the provider has the last word");
}

#[test]
fn a_429_of_one_key_cools_every_key_of_its_domain() {
    let (steps, ring) = plan(&[("a1", ACTIVE), ("a2", ACTIVE)]);
    let key = |id: &str| ring.find("a", id).unwrap();
    key("a/a1/1").quota.cool("m", 0, None);
    assert_eq!(play(&steps, &ring, &[], 1), ["a/a2/1"], "each is its own domain");
    let shared = keyring_of(&[("a1", "org"), ("a2", "org")]);
    let key = shared.find("a", "a/a1/1").unwrap();
    assert!(Arc::ptr_eq(&key.quota, &shared.find("a", "a/a2/1").unwrap().quota));
    key.quota.cool("m", 0, None);
    assert_eq!(play(&steps, &shared, &[], 1), ["b/b1/1"]);
    let kept = Keyring::build(&snapshot_of(&[("a1", "org"), ("a2", "other")]), &shared).0;
    let (first, second) = (kept.find("a", "a/a1/1").unwrap(), kept.find("a", "a/a2/1").unwrap());
    assert!(first.quota.cooling("m", 0).is_some(), "a domain goes on from state to state");
    assert!(second.quota.cooling("m", 0).is_none(), "and a key can leave it");
}

#[test]
fn a_target_that_cannot_be_told_what_is_asked_is_passed_over() {
    let (mut steps, keyring) = plan(&[("a1", ACTIVE), ("a2", RETIRING)]);
    steps[0].barred = true;
    assert_eq!(play(&steps, &keyring, &[], 9), ["b/b1/1"]);
    steps[1].barred = true;
    assert!(play(&steps, &keyring, &[], 9).is_empty());
}
