//! `keyway doctor`, `fleet evict` and `provider test`: what is said of what is there.

use std::os::unix::fs::PermissionsExt;

use crate::provider::Provider;
use crate::running::Up;
use serde_json::Value;

/// Area, level and words of each.
fn findings(report: &Value) -> Vec<(&str, &str, &str)> {
    let all = report["findings"].as_array().expect("findings").iter();
    all.map(|one| {
        assert!(one["what_to_do"].is_string(), "{one}");
        let [area, level, what] = ["area", "level", "what"].map(|name| one[name].as_str().expect("text"));
        (area, level, what)
    })
    .collect()
}

#[test]
fn a_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let up = Up::start(&[]);
    let well = up.run(&["--output", "json", "doctor", "--deep"]);
    let well: Value = serde_json::from_str(&well.stdout).expect("JSON");
    let areas: Vec<&str> = findings(&well).iter().map(|one| one.0).collect();
    for area in
        ["token", "tls", "connection", "build", "clock", "seal", "store", "replicas", "keys", "configuration"]
    {
        assert!(areas.contains(&area), "{area}: {well}");
    }
    // How full this machine's disk is is not what is tested.
    let space = |what: &str| what.contains("of its disk is free");
    assert!(findings(&well).iter().all(|one| one.1 != "fail" || space(one.2)), "{well}");
    let text = up.run(&["doctor"]);
    assert!(text.stdout.lines().all(|line| line.chars().count() <= 80), "{}", text.stdout);
    let token = up.home.join("admin.token");
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).expect("changed");
    let cache = up.file("cache.yaml", "cache: { enabled: true }\n");
    assert_eq!(up.run(&["apply", "-f", &cache]).code, Some(0));
    let ran = up.run(&["doctor", "--output", "json"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let bad: Vec<_> = findings(&report).into_iter().filter(|one| one.1 != "ok").collect();
    assert!(
        bad.iter().any(|one| (one.0, one.1) == ("token", "fail") && one.2.contains("admin.token")),
        "{bad:?}"
    );
    assert!(
        bad.iter().any(|one| (one.0, one.1) == ("configuration", "warn") && one.2.contains("cache")),
        "{bad:?}"
    );
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).expect("changed");
    let cases = [
        ("KEYWAY_ADMIN_TOKEN", "wrong-token-0123456789", "token"),
        ("KEYWAY_SERVER", "http://127.0.0.1:1", "connection"),
    ];
    for (name, value, area) in cases {
        let ran = up.with(&[(name, value)], "", &["doctor", "--output", "json"]);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert!(findings(&report).iter().any(|one| (one.0, one.1) == (area, "fail")), "{area}: {report}");
    }
}

#[test]
fn an_evicted_replica_is_told_with_the_keys_that_it_holds() {
    let (up, provider) = (Up::start(&[]), Provider::start());
    let file = up.file("keyway.yaml", &provider.file("sk-first-0123456789abcdef-aaaa"));
    assert_eq!(up.run(&["apply", "-f", &file, "--wait"]).code, Some(0));
    let fleet = up.json(&["fleet", "list"]);
    let id = fleet[0]["id"].as_str().expect("an id");
    let shown = up.run(&["fleet", "show", id]).stdout;
    assert!(shown.contains("clock ahead ms") && shown.contains("kept"), "{shown}");
    assert_eq!(up.run(&["fleet", "evict", "nope"]).code, Some(3));
    let ran = up.run(&["fleet", "evict", id]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "own/main/1\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("rotate"), "{}", ran.stderr);
}

#[test]
fn a_test_of_a_provider_tells_no_proof_from_a_refusal() {
    let (up, provider) = (Up::start(&[]), Provider::start());
    let file = up.file("keyway.yaml", &provider.file("sk-first-0123456789abcdef-aaaa"));
    assert_eq!(up.run(&["apply", "-f", &file, "--wait"]).code, Some(0));
    let cases = [
        (200, 0, " ok "),
        (404, 1, " unproven "),
        (429, 1, " unproven "),
        (401, 1, " rejected "),
        (503, 1, " unreachable "),
    ];
    for (status, code, word) in cases {
        provider.says(status);
        let ran = up.run(&["provider", "test", "own"]);
        assert_eq!(ran.code, Some(code), "{status}: {}", ran.stderr);
        assert!(ran.stdout.contains(word), "{status}: {}", ran.stdout);
    }
}
