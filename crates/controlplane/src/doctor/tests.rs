//! Each check by a table: what is there, what is found.

use super::{Level, *};
use crate::{
    fleet::{Host, HostReplica, HostReplicaState, HostState, Refused, Replica, ReplicaState},
    resource::{Begin, KeyDocument, KeyState, KeyVersion, Made, Proof, Verb},
    rotation::{Counts, RolloutView},
    store::{Condition, StoreError, Verified},
};
use keyway_config::File;
use std::collections::{BTreeMap, BTreeSet};

const DAY: u64 = 86_400_000;
const NOW: u64 = 1000 * DAY;
/// A version that some request has used.
const USED: u32 = 7;
const HERE: &str = "https://api.example.com:443";

/// Level and a part of the words of what is found.
type Found = &'static [(Level, &'static str)];

#[track_caller]
fn found(what: &str, findings: &[Finding], expected: Found) {
    let levels: Vec<Level> = findings.iter().map(|one| one.level).collect();
    assert_eq!(levels, expected.iter().map(|one| one.0).collect::<Vec<_>>(), "{what}: {findings:?}");
    for (finding, (_, words)) in findings.iter().zip(expected) {
        assert!(finding.what.contains(words), "{what}: {finding:?}");
        assert_eq!(finding.what_to_do.is_empty(), finding.level == Level::Ok, "{finding:?}");
    }
}

#[test]
fn usage_is_booked_and_nothing_is_missing() {
    use crate::usage::Condition;
    let retention = crate::usage::Retention { max_size: 100, ..crate::usage::Retention::default() };
    let well = || Condition { bytes: 7, ..Condition::default() };
    let cases: [(&str, Condition, Found); 6] = [
        ("well", well(), &[(Level::Ok, "7 bytes")]),
        ("full", Condition { failing: Some("ENOSPC".to_owned()), ..well() }, &[(Level::Fail, "ENOSPC")]),
        (
            "aside",
            Condition { aside: vec!["/d/usage.db.damaged-1".into()], ..well() },
            &[(Level::Warn, "damaged-1")],
        ),
        ("lost", Condition { lost: 3, ..well() }, &[(Level::Warn, "3 frames never came")]),
        (
            "nonsense",
            Condition { overlapped: 1, malformed: 2, ..well() },
            &[(Level::Warn, "1 frames overlapped"), (Level::Warn, "2 batches")],
        ),
        ("large", Condition { bytes: 101, ..well() }, &[(Level::Warn, "more than usage.max_size")]),
    ];
    for (what, condition, expected) in cases {
        found(what, &usage(&condition, &retention), expected);
    }
}

#[test]
fn the_store_takes_writes_and_has_room() {
    let well = || Condition { space: Some((50, 100)), bytes: 7, ..Condition::default() };
    let torn = || vec!["a torn tail of 3 bytes was cut".to_owned()];
    let cases: [(&str, Condition, Found); 7] = [
        ("well", well(), &[(Level::Ok, "7 bytes")]),
        ("no disk", Condition::default(), &[(Level::Ok, "")]),
        ("a fifth", Condition { space: Some((20, 100)), ..well() }, &[(Level::Ok, "")]),
        ("less", Condition { space: Some((19, 100)), ..well() }, &[(Level::Warn, "19 %")]),
        ("least", Condition { space: Some((9, 100)), ..well() }, &[(Level::Fail, "9 %")]),
        ("repaired", Condition { repairs: torn(), ..well() }, &[(Level::Warn, "3 bytes")]),
        ("closed", Condition { read_only: Some("EIO".into()), ..well() }, &[(Level::Fail, "EIO")]),
    ];
    for (what, condition, expected) in cases {
        found(what, &store(&condition, None), expected);
    }
    let whole = Ok(Verified { records: 12, head: (12, [0; 32]) });
    found("whole", &store(&well(), Some(&whole)), &[(Level::Ok, ""), (Level::Ok, "all 12 records")]);
    let damaged = Err(StoreError::Damaged("record 3".into()));
    found("damaged", &store(&well(), Some(&damaged)), &[(Level::Fail, "record 3")]);
}

fn replica(state: ReplicaState) -> Replica {
    Replica {
        id: "a".into(),
        host: "h".into(),
        supervisor: None,
        pid: 1,
        state,
        snapshot: Some("1.9".into()),
        lag: 2,
        in_flight: 0,
        rps: 0.0,
        requests: 0,
        version: "0".into(),
        listen: String::new(),
        ops_listen: String::new(),
        last_heard_ms: 4000,
        ack_micros: None,
        refused: None,
        lacks: None,
        secrets: Some("1.9".into()),
        schema: 1,
        features: Vec::new(),
        kept: Some("1.9".into()),
        clock_ahead_ms: Some(0),
        audit: None,
    }
}

#[test]
fn replicas_serve_what_is_in_force_and_keep_it() {
    let refused = Refused { snapshot: "1.9".into(), field: "client/a".into(), reason: "bad".into() };
    let ready = || replica(ReplicaState::Ready);
    let cases: [(&str, Vec<Replica>, Found); 11] = [
        ("none", vec![], &[(Level::Fail, "nobody answers")]),
        ("ready", vec![ready()], &[(Level::Ok, "all 1")]),
        ("draining", vec![replica(ReplicaState::Draining)], &[(Level::Ok, "")]),
        ("lagging", vec![ready(), replica(ReplicaState::Syncing)], &[(Level::Warn, "2 versions behind")]),
        ("silent", vec![replica(ReplicaState::Silent)], &[(Level::Fail, "nothing for 4 s")]),
        ("lost", vec![replica(ReplicaState::Lost)], &[(Level::Warn, "away")]),
        (
            "rejected",
            vec![Replica { refused: Some(refused), ..replica(ReplicaState::Rejected) }],
            &[(Level::Fail, "client/a: bad")],
        ),
        (
            "incompatible",
            vec![Replica { lacks: Some("quota".into()), ..replica(ReplicaState::Incompatible) }],
            &[(Level::Fail, "by its build 0: quota")],
        ),
        ("ahead", vec![replica(ReplicaState::Ahead)], &[(Level::Fail, "never made")]),
        ("old disk", vec![Replica { kept: Some("1.8".into()), ..ready() }], &[(Level::Warn, "with 1.8")]),
        ("no disk", vec![Replica { kept: None, ..ready() }], &[(Level::Ok, "")]),
    ];
    for (what, all, expected) in cases {
        found(what, &replicas(&all), expected);
    }
}

fn host(replicas: &[(HostReplicaState, u32)]) -> Host {
    let one = |(number, (state, restarts)): (usize, &(HostReplicaState, u32))| HostReplica {
        id: format!("h~{}", number + 1),
        pid: 1,
        state: *state,
        restarts: *restarts,
    };
    Host {
        name: "h".into(),
        host: "machine".into(),
        state: HostState::Connected,
        wanted: None,
        keeps: 2,
        ready: replicas.iter().filter(|(state, _)| *state == HostReplicaState::Ready).count(),
        replicas: replicas.iter().enumerate().map(one).collect(),
        version: "0".into(),
        pid: 1,
        upgrading: false,
        newer_program: false,
        fault: String::new(),
        listen: String::new(),
        ops_listen: String::new(),
        last_heard_ms: Some(4000),
    }
}

#[test]
fn hosts_run_as_many_replicas_as_are_wanted_of_one_program() {
    use HostReplicaState::{Away, Ready, Starting, Waiting};
    let well = || host(&[(Ready, 7), (Ready, 0)]);
    let few = || host(&[(Ready, 0), (Starting, 0)]);
    let cases: [(&str, Host, Found); 8] = [
        ("well", well(), &[(Level::Ok, "all 1")]),
        ("fewer", few(), &[(Level::Warn, "1 of 2")]),
        ("drained", host(&[(Ready, 0), (Away, 0)]), &[(Level::Warn, "1 of 2")]),
        ("while it is upgraded", Host { upgrading: true, newer_program: true, ..few() }, &[(Level::Ok, "")]),
        ("crash loop", host(&[(Ready, 0), (Waiting, 3)]), &[(Level::Fail, "h~2 failed 3 times")]),
        (
            "stopped",
            Host { fault: "bad".into(), newer_program: true, ..well() },
            &[(Level::Fail, "stopped: bad")],
        ),
        ("newer", Host { newer_program: true, ..well() }, &[(Level::Warn, "another program")]),
        ("away", Host { state: HostState::Lost, ..few() }, &[(Level::Warn, "away since 4 s")]),
    ];
    for (what, one, expected) in cases {
        found(what, &hosts(&[one], &[]), expected);
    }
    assert!(hosts(&[], &[replica(ReplicaState::Ready)]).is_empty(), "no supervisor, no word");
    let newer = Replica { version: "1".into(), ..replica(ReplicaState::Ready) };
    let mixed = [replica(ReplicaState::Ready), newer, replica(ReplicaState::Ready)];
    found("mixed", &hosts(&[], &mixed), &[(Level::Warn, "0 (2), 1 (1)")]);
}

#[test]
fn clocks_agree() {
    let cases: [(Option<i64>, Found); 6] = [
        (None, &[(Level::Ok, "")]),
        (Some(-5000), &[(Level::Ok, "")]),
        (Some(5001), &[(Level::Warn, "5 s ahead")]),
        (Some(-6000), &[(Level::Warn, "6 s behind")]),
        (Some(-300_001), &[(Level::Fail, "300 s behind")]),
        (Some(i64::MIN), &[(Level::Fail, "behind")]),
    ];
    for (clock_ahead_ms, expected) in cases {
        let one = Replica { clock_ahead_ms, ..replica(ReplicaState::Ready) };
        found("clock", &clocks(&[one]), expected);
    }
}

fn version(number: u32, state: KeyState) -> KeyVersion {
    KeyVersion {
        version: number,
        state,
        fingerprint: String::new(),
        shown: String::new(),
        at: (NOW - DAY) / 1000,
        since: 0,
        proof: Proof::None,
        origins: BTreeSet::from([HERE.to_owned()]),
        seal: 0,
        leaving: None,
    }
}

fn key(versions: Vec<KeyVersion>) -> KeyDocument {
    let made = Made { by: crate::resource::Way::Hand, origin: String::new(), at: 0 };
    KeyDocument {
        name: "main".into(),
        made,
        weight: None,
        prices: BTreeMap::new(),
        discount: None,
        quota: None,
        versions,
        rollout: None,
        rotation: None,
        supply: crate::resource::Supply::default(),
    }
}

fn rotating(begun: u64) -> KeyDocument {
    let mut key = key(vec![version(1, KeyState::Active), version(2, KeyState::Staged)]);
    let begin = Begin {
        trial: None,
        id: "1.1".into(),
        verb: Verb::Rotate,
        to: Some(2),
        probe: true,
        hold: false,
        overlap_ms: 10_000,
        ack_timeout_ms: 2000,
        trace: String::new(),
        actor: String::new(),
    };
    key.begin(begin, begun).unwrap();
    key
}

#[test]
fn keys_are_whole_wanted_and_young() {
    let here = BTreeSet::from([HERE.to_owned()]);
    let moved = BTreeSet::from(["https://elsewhere.example:443".to_owned()]);
    let active = || key(vec![version(1, KeyState::Active)]);
    let old = KeyVersion { at: (NOW - 91 * DAY) / 1000, ..version(1, KeyState::Active) };
    let unproven = KeyVersion { proof: Proof::Unproven, ..version(1, KeyState::Active) };
    let unproven_used = KeyVersion { version: USED, ..unproven.clone() };
    let closed = || BTreeMap::from([(1, "not what was sealed".to_owned())]);
    let none = BTreeMap::new;
    type Case<'a> = (&'a str, KeyDocument, &'a BTreeSet<String>, BTreeMap<u32, String>, u64, Found);
    let cases: [Case<'_>; 11] = [
        ("well", active(), &here, none(), 0, &[(Level::Ok, "1, each")]),
        ("closed", active(), &here, closed(), 0, &[(Level::Fail, "not what was sealed")]),
        ("moved", active(), &moved, none(), 0, &[(Level::Fail, "https://elsewhere.example:443")]),
        ("refused", active(), &here, none(), 3, &[(Level::Warn, "3 times")]),
        ("unproven", key(vec![unproven]), &here, none(), 0, &[(Level::Warn, "could not say")]),
        ("unproven and used", key(vec![unproven_used]), &here, none(), 0, &[(Level::Ok, "1, each")]),
        ("old", key(vec![old]), &here, none(), 0, &[(Level::Warn, "91 days")]),
        (
            "revoked",
            key(vec![version(1, KeyState::Revoked)]),
            &here,
            none(),
            3,
            &[(Level::Warn, "no version")],
        ),
        (
            "gone",
            key(vec![version(1, KeyState::Destroyed), version(2, KeyState::Active)]),
            &moved,
            none(),
            0,
            &[(Level::Fail, "version 2")],
        ),
        ("just begun", rotating(NOW - 71_000), &here, none(), 0, &[(Level::Ok, "")]),
        ("stuck", rotating(NOW - 73_000), &here, none(), 0, &[(Level::Warn, "73s, at staged")]),
    ];
    for (what, key, origins, closed, refused, expected) in cases {
        let name = ("openai".to_owned(), "main".to_owned());
        let rollout = RolloutView::new(&name, &key, &[], &Counts::default(), NOW);
        let refused = BTreeMap::from([(1, refused)]);
        let facts = KeyFacts {
            provider: "openai",
            key: &key,
            origins,
            closed,
            refused,
            used: BTreeSet::from([USED]),
            rollout,
            due: None,
        };
        found(what, &keys(&[facts], &[], NOW), expected);
    }
    found("none", &keys(&[], &[], NOW), &[(Level::Ok, "none")]);
    found(
        "keyless",
        &keys(&[], &[("local", 3)], NOW),
        &[(Level::Warn, "local is asked without a key and refused 3 times")],
    );
}

#[test]
fn what_is_not_enforced_is_named() {
    found("empty", &configuration(&File::default()), &[(Level::Ok, "all")]);
    let file = keyway_config::read_json(&serde_json::json!({ "cache": { "enabled": true } })).unwrap();
    found("cache", &configuration(&file), &[(Level::Warn, "cache")]);
}
