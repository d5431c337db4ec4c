//! `keyway key …` against a running Keyway and a provider whose answers the test sets.

use std::os::unix::fs::PermissionsExt;

use crate::provider::Provider;
use crate::running::{Ran, Up, kill, until};
use serde_json::Value;

const FIRST: &str = "sk-first-0123456789abcdef-aaaa";
const SECOND: &str = "sk-second-0123456789abcdef-bbbb";
const THIRD: &str = "sk-third-0123456789abcdef-cccc";

fn started(arguments: &[&str]) -> (Up, Provider) {
    let (up, provider) = (Up::start(arguments), Provider::start());
    let file = up.file("keyway.yaml", &provider.file(FIRST));
    let ran = up.run(&["apply", "-f", &file, "--wait"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    (up, provider)
}

/// The last JSON line on stdout: the result.
fn result(ran: &Ran) -> Value {
    let last = ran.stdout.lines().last().unwrap_or_else(|| panic!("nothing on stdout: {}", ran.stderr));
    serde_json::from_str(last).expect("JSON")
}

#[test]
fn a_rotation_ends_with_figures_and_a_signed_report() {
    let (up, _provider) = started(&[]);
    let report = up.file("report.json", "");
    let arguments = ["key", "rotate", "own/main", "--overlap", "0", "--wait", "--report", &report];
    let ran = up.with(&[], &format!("{SECOND}\n"), &[&arguments[..], &["--output", "json"]].concat());
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    let view = result(&ran);
    assert_eq!((view["outcome"].as_str(), view["version"].as_u64()), (Some("retired"), Some(2)), "{view}");
    assert_eq!(view["probe"]["verdict"], "verified", "{view}");
    assert_eq!((view["acknowledged"].as_u64(), view["failed"].as_u64()), (Some(1), Some(0)), "{view}");
    assert!(view["silent"].as_array().is_some_and(Vec::is_empty), "{view}");
    for line in ran.stdout.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line["id"] == view["id"]), "{line}");
    }
    let mode = std::fs::metadata(&report).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&report).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert!(report["signature"].is_string() && !text.contains("0123456789abcdef"), "{report}");
    // For people: figures, on stdout where nobody waits, and states after it.
    let back = up.run(&["key", "rollback", "own/main", "--wait"]);
    assert_eq!(back.code, Some(0), "{}", back.stderr);
    for words in ["acknowledged", "1/1 replicas", "ms after activation", "old versions", "2 rolled_back"] {
        assert!(back.stderr.contains(words), "{words}: {}", back.stderr);
    }
    for verb in [&["key", "list"][..], &["key", "show", "own"], &["key", "history", "own/main"]] {
        let ran = up.run(verb);
        assert_eq!(ran.code, Some(0), "{verb:?}: {}", ran.stderr);
        assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{verb:?}:\n{}", ran.stdout);
        assert!(!ran.stdout.contains("0123456789abcdef"), "{verb:?}");
        assert!(up.json(verb).to_string().contains("rolled_back"), "{verb:?}");
    }
    assert!(up.run(&["key", "history", "own/main"]).stdout.contains("key.rollback"));
}

#[test]
fn what_the_provider_refuses_never_comes_into_use() {
    let (up, provider) = started(&[]);
    let rotate = |input: &str| up.with(&[], input, &["key", "rotate", "own", "--overlap", "0", "--wait"]);
    let version = || up.json(&["key", "show", "own/main"])["rollout"]["version"].clone();
    provider.says(401);
    let ran = rotate(SECOND);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("HTTP 401") && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    provider.says(503);
    let ran = rotate(THIRD);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let states = up.json(&["key", "show", "own/main"])["versions"].clone();
    assert_eq!(states[0]["state"], "active", "{states}");
    // An answer that says nothing of the key is no proof and no refusal.
    provider.says(429);
    let ran = rotate(THIRD);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("unproven, HTTP 429"), "{}", ran.stderr);
    assert_eq!(version(), 3);
}

#[test]
fn versions_are_held_promoted_revoked_and_destroyed() {
    let (up, _provider) = started(&[]);
    let held = up.with(&[("NEW", SECOND)], "", &["key", "rotate", "own", "--hold", "--from-env", "NEW"]);
    assert_eq!(held.code, Some(0), "{}", held.stderr);
    assert!(held.stderr.contains("keyway key promote own/main --version 2"), "{}", held.stderr);
    let promoted = up.run(&["key", "promote", "own", "--version", "2", "--overlap", "0", "--wait"]);
    assert_eq!(promoted.code, Some(0), "{}", promoted.stderr);
    let destroyed = up.run(&["key", "destroy", "own/main", "--version", "1"]);
    assert_eq!(destroyed.code, Some(0), "{}", destroyed.stderr);
    let spare = up.with(&[], THIRD, &["key", "add", "own/spare", "--weight", "2", "--wait"]);
    assert_eq!(spare.code, Some(0), "{}", spare.stderr);
    assert_eq!(up.run(&["key", "show", "own"]).code, Some(2), "which of two");
    let revoked = up.run(&["key", "revoke", "own/main", "--output", "json"]);
    assert_eq!(revoked.code, Some(0), "{}", revoked.stderr);
    let view = result(&revoked);
    assert_eq!((&view["acknowledged"], &view["version"]), (&1.into(), &Value::Null), "{view}");
    assert!(
        view["ack_micros"].as_u64().is_some_and(|micros| micros < 60_000_000),
        "counted from its commit: {view}"
    );
    let key = up.json(&["key", "show", "own/main"]);
    assert_eq!(
        (&key["versions"][0]["state"], &key["versions"][1]["state"]),
        (&"destroyed".into(), &"revoked".into())
    );
    assert_eq!(up.run(&["key", "allow-origin", "own/spare", "https://b.example"]).code, Some(0));
}

#[test]
fn a_secret_as_an_argument_is_refused_and_not_repeated() {
    let (up, _provider) = started(&[]);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["key", "rotate", "own/main", SECOND], 2, "--from-env NAME"),
        (&["key", "add", "own/other", SECOND], 2, "--from-file F"),
        (&["key", "rotate", "own/main"], 2, "is empty"),
        (&["key", "rotate", "own/none", "--from-env", "NEW"], 3, "own/none"),
        (&["key", "rollback", "own/main"], 1, "own/main"),
        (&["key", "destroy", "own/main", "--version", "1"], 1, "active"),
        (&["key", "history", "nope/x"], 3, "nope/x"),
    ];
    for (arguments, code, words) in cases {
        let ran = up.with(&[("NEW", SECOND)], "", arguments);
        assert_eq!(ran.code, Some(*code), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(words) && ran.stderr.lines().count() == 1,
            "{arguments:?}: {}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("sk-") && ran.stdout.is_empty(), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_frozen_replica_is_named_and_not_waited_for() {
    let (up, _provider) = started(&["--replicas", "2"]);
    let fleet = up.json(&["fleet", "list"]);
    let (id, pid) = (fleet[0]["id"].as_str().expect("an id"), fleet[0]["pid"].as_u64().expect("a pid"));
    kill("STOP", pid);
    let began = std::time::Instant::now();
    let arguments =
        ["key", "rotate", "own/main", "--overlap", "0", "--wait", "--ack-timeout", "1s", "--output", "json"];
    let ran = up.with(&[], SECOND, &arguments);
    let took = began.elapsed();
    kill("CONT", pid);
    assert_eq!(ran.code, Some(5), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(id) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    let view = result(&ran);
    assert_eq!((&view["silent"][0], &view["acknowledged"]), (&id.into(), &1.into()), "{view}");
    assert!(took < std::time::Duration::from_secs(20), "the timeout of 60 s was not waited for: {took:?}");
    // It goes on by itself: the replica answers again and confirms.
    let state = || up.json(&["key", "show", "own/main"])["versions"][0]["state"] == "retired";
    until("the old version is retired", || state().then_some(()));
}
