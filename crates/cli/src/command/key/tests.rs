//! Argument forms, names, and when waiting ends: tables over views.

use clap::Parser;
use serde_json::{Value, json};
use std::time::Duration;

use super::name::Name;
use super::view::View;
use super::wait::{Decision, Goal, decide, limit};
use crate::args::{Cli, Verb};

fn view(fields: Value) -> View {
    let mut view = json!({
        "id": "1", "key": "p/k", "verb": "rotate", "step": "active", "outcome": "running", "replicas": 3,
        "acknowledged": 3, "begun": 1000, "activated": 1500, "total_ms": 600, "ack_timeout_ms": 2000, "overlap_ms": 10_000,
    });
    for (name, value) in fields.as_object().expect("fields") {
        view[name] = value.clone();
    }
    View::read(&view).expect("a view")
}

fn names(names: &[&str]) -> Decision {
    Decision::Unconfirmed(names.iter().map(|name| (*name).to_owned()).collect())
}

#[rustfmt::skip]
#[test]
fn waiting_ends_when_nothing_more_is_to_be_expected() {
    use Goal::{Acked, Committed, Retired};
    let two = || json!({ "acknowledged": 2 });
    let with = |mut base: Value, more: Value| {
        for (name, value) in more.as_object().expect("fields") {
            base[name] = value.clone();
        }
        base
    };
    let late = json!({ "total_ms": 2500 });
    let waits = json!({ "step": "withdrawn", "total_ms": 12_500, "unconfirmed": ["c"] });
    let cases = [
        ("not in use yet", json!({ "step": "staged" }), Committed, Decision::GoOn),
        ("verified is not in use", json!({ "step": "verified" }), Acked, Decision::GoOn),
        ("in use is committed", two(), Committed, Decision::Done),
        ("held back", json!({ "step": "done", "outcome": "verified", "acknowledged": 0 }), Retired, Decision::Done),
        ("all acknowledged", json!({}), Acked, Decision::Done),
        ("no replicas at all", json!({ "replicas": 0, "acknowledged": 0 }), Acked, Decision::Done),
        ("one is owing and in time", two(), Acked, Decision::GoOn),
        ("one is owing and away", with(two(), json!({ "silent": ["c"] })), Acked, names(&["c"])),
        ("one refused", with(two(), json!({ "refused": ["c: f: bad"] })), Acked, names(&["c: f: bad"])),
        ("two owe, one refused", json!({ "acknowledged": 1, "refused": ["c: f: bad"] }), Acked, Decision::GoOn),
        ("too late", with(two(), with(late.clone(), json!({ "silent": ["c"], "refused": ["c: f: bad"] }))), Acked, names(&["c: f: bad"])),
        ("within the overlap", with(late, json!({ "silent": ["c"], "unconfirmed": ["c"] })), Retired, Decision::GoOn),
        ("draining on one that answers", waits.clone(), Retired, Decision::GoOn),
        ("only a silent one is left", with(waits.clone(), json!({ "silent": ["c"] })), Retired, names(&["c"])),
        ("a silent one and one that answers", with(waits, json!({ "silent": ["c"], "unconfirmed": ["b", "c"] })), Retired, Decision::GoOn),
        ("silent, but the deadline is not over", json!({ "step": "withdrawn", "unconfirmed": ["c"], "silent": ["c"] }), Retired, Decision::GoOn),
        ("retired", json!({ "step": "done", "outcome": "retired", "silent": ["c"] }), Retired, Decision::Done),
        ("revoked", json!({ "step": "done", "outcome": "revoked" }), Retired, Decision::Done),
        ("a first version", json!({ "step": "done", "outcome": "active" }), Retired, Decision::Done),
        ("a first version that one lacks", json!({ "step": "done", "outcome": "active", "acknowledged": 2, "silent": ["c"] }), Retired, names(&["c"])),
        ("one that came after the end", json!({ "step": "done", "outcome": "active", "acknowledged": 2 }), Retired, Decision::Done),
        ("failed", json!({ "step": "failed", "outcome": "rejected", "failure": "no" }), Committed, Decision::Failed("no".into())),
        ("superseded", json!({ "step": "superseded" }), Committed, Decision::Replaced),
        ("another one", json!({ "id": "2", "step": "done" }), Committed, Decision::Replaced),
    ];
    for (what, fields, goal, expected) in cases {
        assert_eq!(decide(&view(fields), "1", goal), expected, "{what}");
    }
}

#[test]
fn exit_codes_tell_done_failed_and_not_confirmed_apart() {
    let cases = [
        (Decision::Done, None),
        (Decision::Failed("no".into()), Some(1)),
        (Decision::Replaced, Some(1)),
        (names(&["c"]), Some(5)),
        (Decision::TimedOut, Some(5)),
    ];
    for (decision, code) in cases {
        for goal in [Goal::Committed, Goal::Acked, Goal::Retired] {
            let end = decision.clone().end(&view(json!({})), goal).err();
            let expected = code.map(|code: u8| format!("{:?}", std::process::ExitCode::from(code)));
            assert_eq!(end.as_ref().map(|end| format!("{:?}", end.code())), expected, "{decision:?}");
            let line = end.map(|end| end.to_string()).unwrap_or_default();
            assert!(!line.contains('\n') && !line.contains("  "), "{line}");
            assert!(!matches!(decision, Decision::Unconfirmed(_)) || line.contains(" c;"), "{line}");
        }
    }
}

#[test]
fn a_wait_is_bounded_by_what_the_change_takes_itself_and_the_timeout() {
    let (view, timeout) = (view(json!({})), Duration::from_secs(60));
    for (goal, seconds) in [(Goal::Committed, 60), (Goal::Acked, 62), (Goal::Retired, 72)] {
        assert_eq!(limit(&view, goal, timeout), Duration::from_secs(seconds));
    }
}

#[test]
fn names_are_completed_only_where_that_is_clear() {
    let keys = json!([
        { "provider": "one", "name": "main" },
        { "provider": "two", "name": "a" }, { "provider": "two", "name": "default" },
        { "provider": "many", "name": "a" }, { "provider": "many", "name": "b" },
    ]);
    let chosen = |typed: &str| Name::choose(Name::new(typed).expect("a name"), &keys);
    for (typed, expected) in [("one", "one/main"), ("two", "two/default"), ("none", "none/default")] {
        assert_eq!(chosen(typed).expect("clear").to_string(), expected);
    }
    let open = chosen("many").expect_err("open").to_string();
    assert!(open.contains("many/a, many/b"), "{open}");
    for wrong in [
        "",
        "/",
        "a/",
        "/b",
        "sk-proj-0123456789abcdefghij0123456789abcdefghij",
        "openai/sk-ant-api03-0123456789abcdefghij0123456789",
    ] {
        let refused = Name::new(wrong).expect_err("no name").to_string();
        assert!(!refused.contains("0123456789"), "{refused}");
    }
    assert_eq!(Name::new("a b/ü").expect("a name").path("/rotate"), "/keys/a%20b/%C3%BC/rotate");
}

#[test]
fn forms_of_the_verbs() {
    let good: &[&[&str]] = &[
        &["list"],
        &["show", "openai"],
        &["rotate", "openai/main", "--from-env", "K", "--wait"],
        &[
            "rotate",
            "openai/main",
            "--wait",
            "acked",
            "--timeout",
            "5",
            "--overlap",
            "10m",
            "--ack-timeout",
            "250ms",
        ],
        &["rotate", "--wait=retired", "openai/main", "--report", "r.json", "--no-verify", "--hold"],
        &["add", "openai/spare", "--weight", "2", "--from-file", "f", "--strategy", "instant"],
        &["promote", "openai/main", "--version", "2", "--wait"],
        &["rollback", "openai/main", "--wait", "committed"],
        &["revoke", "openai/main", "--graceful", "--version", "1"],
        &["destroy", "openai/main", "--version", "1"],
        &["allow-origin", "openai/main", "https://api.example.com"],
        &["history", "openai/main", "--report", "r.json"],
    ];
    let wrong: &[&[&str]] = &[
        &["rotate"],
        &["rotate", "openai/main", "--secret", "sk-1"],
        &["rotate", "openai/main", "--overlap", "soon"],
        &["rotate", "openai/main", "--wait", "forever"],
        &["rotate", "openai/main", "--from-env", "K", "--from-file", "f"],
        &["destroy", "openai/main"],
        &["promote", "openai/main", "2"],
    ];
    let parse = |arguments: &[&str]| Cli::try_parse_from([&["keyway", "key"], arguments].concat());
    for arguments in good {
        let parsed = parse(arguments).map(|cli| matches!(cli.verb, Verb::Key(_)));
        assert!(parsed.as_ref().is_ok_and(|key| *key), "{arguments:?}: {parsed:?}");
    }
    for arguments in wrong {
        assert_eq!(parse(arguments).map(|_| ()).expect_err("refused").exit_code(), 2, "{arguments:?}");
    }
}
