//! Every verb against a running Keyway: what it prints, what it changes, how it ends.

use std::os::unix::fs::PermissionsExt;

use crate::running::{LIMIT, Up};
use serde_json::{Value, json};

const FILE: &str = "\
providers:
  openai: { keys: [{ name: main, secret: '${MAIN}', weight: 2 }], prices: { gpt-4o-mini: { input: 0.15 } } }
  local: { dialect: openai-chat, base_url: 'http://10.0.0.7:8000', auth: none, price: free, models: [small] }
models:
  fast: { targets: [{ provider: openai, model: gpt-4o-mini }], fallback: [local/small], timeout: 60s }
teams: { red: { budget: { usd: 500, per: month } } }
clients:
  one: { token: '${ONE}', team: red, models: [fast, 'openai/*'] }
  two: {}
cache: { enabled: true }
";
const MAIN: &str = "sk-main-0123456789abcdef-1234";
const VARIABLES: &[(&str, &str)] = &[("MAIN", MAIN), ("ONE", "one-0123456789-0123456789")];

fn applied() -> (Up, String) {
    let up = Up::start(&[]);
    let file = up.file("keyway.yaml", FILE);
    let ran = up.with(VARIABLES, "", &["apply", "-f", &file, "--wait"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("+ provider openai\n") && ran.stdout.contains("token of client two"),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("keyway.yaml:10: cache: accepted, but not enforced yet\n"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("cache").count(), 1, "each warning once: {}", ran.stderr);
    (up, file)
}

#[test]
fn what_was_applied_or_exported_changes_nothing_when_applied_again() {
    let (up, file) = applied();
    let again = up.with(VARIABLES, "", &["apply", "-f", &file]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "no changes\n"), "{}", again.stderr);
    let exported = up.run(&["export"]).stdout;
    assert!(!exported.contains(MAIN) && exported.contains("openai"), "{exported}");
    let again = up.with(&[], &exported, &["apply", "-f", "-"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "no changes\n"), "{}", again.stderr);
}

#[test]
fn diff_says_what_apply_does_and_prune_deletes_only_what_a_file_made() {
    let (up, _) = applied();
    assert_eq!(up.run(&["client", "create", "by-hand"]).code, Some(0));
    let file = up.file("small.yaml", "clients: { two: { disabled: true } }\n");
    let without = up.run(&["diff", "-f", &file]);
    assert_eq!((without.code, without.stdout.as_str()), (Some(0), "~ client two\n"));
    let expected = "- client one\n~ client two\n- model fast\n- provider local\n- provider openai\n- section cache\n- team red\n";
    assert_eq!(up.run(&["diff", "-f", &file, "--prune"]).stdout, expected);
    assert_eq!(up.run(&["apply", "-f", &file, "--prune"]).stdout, expected);
    let clients = up.json(&["client", "list"]);
    let names: Vec<&str> =
        clients.as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["by-hand", "default", "two"]);
}

#[test]
fn what_only_the_control_plane_finds_wrong_has_file_and_line_too() {
    let (up, _) = applied();
    let file = up.file("wrong.yaml", "clients:\n  three:\n    team: rde\nmodels:\n  m:\n    targets:\n      - { provider: opnai, model: x }\n");
    let ran = up.run(&["apply", "-f", &file]);
    let expected = "wrong.yaml:7: models.m.targets[0].provider: names no configured provider; did you mean openai?\n\
                    wrong.yaml:3: clients.three.team: names no team; did you mean red?\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), expected));
}

#[tokio::test]
async fn a_token_is_alone_on_stdout_and_works_until_it_is_rotated_or_disabled() {
    let up = Up::start(&[]);
    let made = up.run(&["client", "create", "app", "--models", "sandbox/*"]);
    let token = made.stdout.strip_suffix('\n').expect("a line").to_owned();
    assert!(token.starts_with("kw_") && !token.contains(char::is_whitespace), "{token}");
    eventually(&up, &token, 200).await;
    let rotated = up.run(&["client", "rotate", "app"]).stdout.trim().to_owned();
    eventually(&up, &rotated, 200).await;
    eventually(&up, &token, 401).await;
    assert_eq!(up.run(&["client", "disable", "app"]).code, Some(0));
    eventually(&up, &rotated, 401).await;
    assert_eq!(up.run(&["client", "enable", "app"]).code, Some(0));
    eventually(&up, &rotated, 200).await;
    assert_eq!(up.run(&["client", "delete", "app"]).code, Some(0));
    eventually(&up, &rotated, 401).await;
    let own = up.with(
        &[("OWN", "my-own-token-0123456789-0")],
        "",
        &["client", "create", "own", "--from-env", "OWN", "--output", "json"],
    );
    let own: Value = serde_json::from_str(&own.stdout).expect("JSON");
    assert_eq!(
        (own["name"].as_str(), own.get("token")),
        (Some("own"), None),
        "a token that was given is not shown"
    );
}

/// A request with that token is answered with that status, once the change has reached the data plane.
async fn eventually(up: &Up, token: &str, status: u16) {
    let deadline = std::time::Instant::now() + LIMIT;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let body = json!({ "model": "sandbox/echo", "messages": [{ "role": "user", "content": "hi" }] });
    let url = format!("{}/v1/chat/completions", up.fact("base_url"));
    loop {
        let got =
            http.post(&url).bearer_auth(token).json(&body).send().await.expect("an answer").status().as_u16();
        if got == status {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{got} instead of {status}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Variables, arguments, exit code, words of the one line.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str], i32, &'static str);

#[test]
fn exit_codes_tell_what_went_wrong_in_one_line() {
    let (up, _) = applied();
    const WRONG: &[(&str, &str)] = &[("KEYWAY_ADMIN_TOKEN", "wrong-token-0123456789")];
    const NOWHERE: &[(&str, &str)] = &[("KEYWAY_SERVER", "http://127.0.0.1:1")];
    const ELSEWHERE: &[(&str, &str)] = &[("KEYWAY_SERVER", "https://keyway.invalid")];
    let cases: &[Case] = &[
        (&[], &["client", "show", "noe"], 3, "did you mean one"),
        (&[], &["fleet", "drain", "nope"], 3, "nope"),
        (&[], &["model", "show", "nope"], 3, "keyway model list"),
        (&[], &["client", "create", "one"], 1, "exists"),
        (&[], &["team", "delete", "red"], 1, "one"),
        (&[], &["apply", "-f", "/nowhere.yaml"], 1, "/nowhere.yaml"),
        (&[], &["client", "create", "UPPER"], 1, "lowercase"),
        (&[], &["model", "add", "m", "--target", "nonsense"], 2, "PROVIDER/MODEL"),
        (&[], &["provider", "add", "openai", "--from-env", "UNSET"], 2, "UNSET"),
        (WRONG, &["client", "list"], 4, "keyway login"),
        (NOWHERE, &["client", "list"], 1, "keyway up"),
        (ELSEWHERE, &["client", "list"], 4, "keyway login --server https://keyway.invalid"),
    ];
    for (variables, arguments, code, words) in cases {
        let ran = up.with(variables, "", arguments);
        assert_eq!(ran.code, Some(*code), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(words) && ran.stderr.lines().count() == 1,
            "{arguments:?}: {}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[test]
fn lists_and_shows_fit_80_columns_and_give_json() {
    let (up, _) = applied();
    let verbs: &[&[&str]] = &[
        &["provider", "list"],
        &["provider", "list", "--catalog"],
        &["provider", "show", "openai"],
        &["provider", "show", "mistral"],
        &["model", "list"],
        &["model", "list", "--catalog", "--search", "claude"],
        &["model", "show", "fast"],
        &["model", "show", "openai/gpt-4o"],
        &["model", "price", "fast"],
        &["client", "list"],
        &["client", "show", "one"],
        &["team", "list"],
        &["team", "show", "red"],
        &["fleet", "list"],
        &["explain", "--client", "one", "--model", "fast"],
    ];
    for verb in verbs {
        let ran = up.run(verb);
        assert_eq!(ran.code, Some(0), "{verb:?}: {}", ran.stderr);
        let widest = ran.stdout.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest > 3 && widest <= 80), "{verb:?}:\n{}", ran.stdout);
        assert!(!ran.stdout.contains(MAIN), "{verb:?}");
        let json = up.json(verb);
        assert!(json.is_object() || json.as_array().is_some_and(|all| !all.is_empty()), "{verb:?}: {json}");
        assert!(!json.to_string().contains(MAIN), "{verb:?}");
    }
}

#[test]
fn a_price_says_who_gave_it() {
    let (up, _) = applied();
    let price = |name: &str| up.json(&["model", "price", name])[0].clone();
    let own = price("fast");
    assert_eq!(
        (own["price_from"].as_str(), own["price"]["input"].as_str()),
        (Some("configuration"), Some("0.15"))
    );
    assert_eq!(price("local/small")["price"], "free");
    let known = price("openai/gpt-4o");
    assert_eq!(known["price_from"], "catalogue");
    assert!(known["price"]["output"].is_string(), "{known}");
}

#[test]
fn a_key_is_read_from_stdin_and_shown_only_by_its_end() {
    let up = Up::start(&[]);
    let ran = up.with(&[], "  gsk_0123456789abcdef\n", &["provider", "add", "groq"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let shown = up.run(&["provider", "show", "groq"]).stdout;
    assert!(shown.contains("cdef") && !shown.contains("0123456789abcdef"), "{shown}");
    assert_eq!(up.run(&["provider", "delete", "groq"]).code, Some(0));
    assert_eq!(up.run(&["provider", "delete", "groq"]).code, Some(3));
}

#[test]
fn tokens_are_shown_though_the_wait_for_replicas_fails() {
    let up = Up::start(&[]);
    let file = up.file("keyway.yaml", "clients: { new: {} }\n");
    let ran = up.run(&["apply", "-f", &file, "--wait", "--timeout", "0", "--output", "json"]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert!(answer["tokens"]["new"].as_str().is_some_and(|token| token.starts_with("kw_")), "{answer}");
    let again = up.json(&["apply", "-f", &file, "--wait"]);
    assert_eq!((again["replicas"].as_u64(), &again["lost"]), (Some(1), &json!([])), "{again}");
}

#[test]
fn login_finds_the_server_as_every_verb_does() {
    let up = Up::start(&[]);
    let token = std::fs::read_to_string(up.fact("admin_token_file")).expect("a token");
    // What was kept before cannot be read any more; the machine's own server is found all the same.
    std::fs::write(up.home.join("login.json"), "nonsense").expect("written");
    for _ in 0..2 {
        let ran = up.with(&[("KEYWAY_SERVER", "")], &token, &["login"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains(up.fact("admin_url")), "{}", ran.stderr);
    }
}

#[test]
fn login_is_kept_privately_and_used_from_then_on() {
    let up = Up::start(&[]);
    let token = std::fs::read_to_string(up.fact("admin_token_file")).expect("a token");
    let other = tempfile::tempdir().expect("a home");
    let home = other.path().display().to_string();
    let refused = up.with(&[("KEYWAY_HOME", &home)], "wrong-token-0123456789", &["login"]);
    assert_eq!((refused.code, other.path().join("login.json").exists()), (Some(4), false));
    let ran = up.with(&[("KEYWAY_HOME", &home)], &token, &["login"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let kept = other.path().join("login.json").metadata().expect("kept").permissions().mode();
    assert_eq!(kept & 0o777, 0o600);
    let list = crate::running::keyway(other.path()).args(["fleet", "list"]).output().expect("runs");
    assert_eq!(list.status.code(), Some(0));
}
