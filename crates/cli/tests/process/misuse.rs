//! What an unfriendly user does: one line of what, why and what to do, and the exit code that fits.

use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;

use crate::running::{Ran, Up, keyway};

/// Variables, arguments, exit code, the one line.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str], i32, &'static str);

const WANTED: &str = "HOST:PORT or PORT is wanted, like 127.0.0.1:8585 or 8585";

/// Runs them with no control plane to ask.
fn judged(cases: &[Case]) {
    let home = tempfile::tempdir().expect("a home");
    for (variables, arguments, code, line) in cases {
        let mut command = keyway(home.path());
        command.env("KEYWAY_SERVER", "http://127.0.0.1:1").env("KEYWAY_ADMIN_TOKEN", "none-0123456789");
        let ran: Ran =
            command.envs(variables.iter().copied()).args(*arguments).output().expect("runs").into();
        let line = line.replace("WANTED", WANTED);
        assert_eq!((ran.code, ran.stderr), (Some(*code), format!("keyway: {line}\n")), "{arguments:?}");
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[test]
fn what_is_mistyped_is_one_line() {
    judged(&[
        (
            &[],
            &["clients"],
            2,
            "unrecognized subcommand 'clients'; did you mean 'client'? See `keyway --help`",
        ),
        (
            &[],
            &["repl"],
            2,
            "unrecognized subcommand 'repl'; did you mean 'help' or 'explain' or 'report'? See `keyway --help`",
        ),
        (&[], &["policy", "list"], 2, "`keyway policy` is not built yet; see `keyway --help` for what is"),
        (&[], &["help", "bogus"], 2, "unrecognized subcommand 'bogus'; see `keyway --help`"),
        (
            &[],
            &["client", "create"],
            2,
            "the following required arguments were not provided: <NAME>; see `keyway client create --help`",
        ),
        (
            &[],
            &["client", "create", "x", "--model", "a"],
            2,
            "unexpected argument '--model' found; did you mean '--models'? See `keyway client create --help`",
        ),
        (
            &[],
            &["client", "list", "--output", "jsn"],
            2,
            "invalid value 'jsn' for '--output <OUTPUT>' [possible values: table, json]; did you mean 'json'? See \
             `keyway client list --help`",
        ),
        (
            &[],
            &["usage", "--limit", "many"],
            2,
            "invalid value 'many' for '--limit <N>': a number is wanted; see `keyway usage --help`",
        ),
        (&[], &["usage", "--csv", "--output", "json"], 2, "--csv and --output json exclude each other"),
        (&[], &["client", "show", ""], 2, "a name is empty; give one"),
        (&[], &["client", "delete", ".."], 2, "`..` is no name; give one with letters or digits"),
        (
            &[],
            &["client", "list", "--server", "http://h:99999"],
            2,
            "--server is no URL: invalid port number; give one like https://keyway.internal:8600",
        ),
    ]);
}

#[test]
fn a_wrong_value_is_named_by_where_it_came_from() {
    judged(&[
        (
            &[],
            &["up", "--listen", "abc"],
            2,
            "invalid value 'abc' for '--listen <ADDR>': WANTED; see `keyway up --help`",
        ),
        (
            &[("KEYWAY_LISTEN", "1")],
            &["up", "--listen=abc"],
            2,
            "invalid value 'abc' for '--listen <ADDR>': WANTED; see `keyway up --help`",
        ),
        (
            &[("KEYWAY_LISTEN", "abc")],
            &["up"],
            2,
            "invalid value 'abc' for KEYWAY_LISTEN: WANTED; see `keyway up --help`",
        ),
        (
            &[("KEYWAY_REPLICAS", "abc")],
            &["up"],
            2,
            "invalid value 'abc' for KEYWAY_REPLICAS: a number is wanted; see `keyway up --help`",
        ),
        (
            &[("KEYWAY_OUTPUT", "abc")],
            &["client", "list"],
            2,
            "invalid value 'abc' for KEYWAY_OUTPUT [possible values: table, json]; see `keyway client list --help`",
        ),
        // One that is set to nothing is not set.
        (
            &[("KEYWAY_REPLICAS", ""), ("KEYWAY_LISTEN", "")],
            &["up", "--config", "/nowhere.yaml"],
            1,
            "cannot read /nowhere.yaml: No such file or directory (os error 2); check the path",
        ),
    ]);
}

#[test]
fn a_bound_that_arguments_break_is_named() {
    const TTL: &str = "a time like 5m is wanted, at most 10m for a token that is used once";
    for (arguments, words) in [
        (&["join-token", "create", "--ttl", "1y"][..], TTL),
        (&["join-token", "create", "--ttl", "0s"], TTL),
        (&["join-token", "create", "--ttl", "1h"], "a token that is used once lasts at most 10m"),
        (
            &["join-token", "create", "--reusable", "--max-nodes", "3", "--expires", "soon"],
            "a span like 30d, at most ten years, or a day",
        ),
        (
            &["operator", "create", "a", "--scope", "viewer", "--expires", "1y"],
            "or a day like 2027-01-31 is wanted, or never",
        ),
        (&["team", "set", "a", "--budget", "-5", "--per", "month"], "US dollars above 0"),
        (&["model", "add", "a", "--target", "sandbox/echo", "--strategy", "fastest"], "least-latency"),
    ] {
        let home = tempfile::tempdir().expect("a home");
        let mut command = keyway(home.path());
        command.env("KEYWAY_SERVER", "http://127.0.0.1:1").env("KEYWAY_ADMIN_TOKEN", "none-0123456789");
        let ran: Ran = command.args(arguments).output().expect("runs").into();
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(words) && ran.stderr.lines().count() == 1,
            "{arguments:?}: {}",
            ran.stderr
        );
    }
}

#[test]
fn a_file_that_cannot_be_used_is_said_with_what_to_do() {
    judged(&[
        (&[], &["apply", "-f", "/"], 1, "cannot read /: Is a directory (os error 21); name a file"),
        (
            &[],
            &["backup", "/nowhere/b"],
            1,
            "cannot write /nowhere/b: No such file or directory (os error 2); make its directory first, or choose another",
        ),
        (
            &[],
            &["up", "--ready-file", "/nowhere/r"],
            1,
            "cannot write /nowhere/r: No such file or directory (os error 2); make its directory first, or choose another",
        ),
    ]);
}

#[test]
fn an_argument_that_is_no_text_is_refused() {
    let home = tempfile::tempdir().expect("a home");
    let wrong = std::ffi::OsStr::from_bytes(b"\xff");
    let ran: Ran = keyway(home.path()).args(["client", "show"]).arg(wrong).output().expect("runs").into();
    assert_eq!(ran.code, Some(2));
    assert_eq!(
        ran.stderr,
        "keyway: invalid UTF-8 was detected in one or more arguments; see `keyway client show --help`\n"
    );
}

#[test]
fn names_that_are_not_there_say_where_to_look_and_stay_on_one_line() {
    let up = Up::start(&[]);
    for (arguments, line) in [
        (&["client", "show", "defaul"][..], "no client is named `defaul`; did you mean default?"),
        (&["client", "show", "zzz"], "no client is named `zzz`; see `keyway client list`"),
        (&["team", "delete", "zzz"], "no team is named `zzz`; see `keyway team list`"),
        (&["key", "show", "a/zzz"], "no key is named `a/zzz`; see `keyway key list`"),
        (&["fleet", "drain", "zzz"], "no replica is named `zzz`; see `keyway fleet list`"),
        (&["fleet", "upgrade", "--host", "zzz"], "no host is named `zzz`; see `keyway fleet hosts`"),
        (&["join-token", "revoke", "zzz"], "no join token is named `zzz`; see `keyway join-token list`"),
        (
            &["client", "show", "a\nb\u{1b}[31m"],
            "no client is named `a\u{fffd}b\u{fffd}[31m`; see `keyway client list`",
        ),
    ] {
        let ran = up.run(arguments);
        assert_eq!((ran.code, ran.stderr), (Some(3), format!("keyway: {line}\n")));
    }
    let elsewhere = up.with(&[("KEYWAY_SERVER", up.fact("base_url"))], "", &["client", "list"]);
    assert_eq!(elsewhere.code, Some(4));
    assert!(elsewhere.stderr.contains("does not know this admin token"), "{}", elsewhere.stderr);
    let elsewhere = up.with(&[("KEYWAY_SERVER", up.fact("ops_url"))], "", &["client", "list"]);
    assert_eq!(elsewhere.code, Some(1), "{}", elsewhere.stderr);
    let window = up.run(&["logs", "--since", "lately"]);
    assert!(window.stderr.starts_with("keyway: `since` is "), "{}", window.stderr);
}

#[test]
fn all_faults_of_a_file_are_listed_at_once() {
    let up = Up::start(&[]);
    assert_eq!(up.run(&["team", "set", "red"]).code, Some(0));
    let text = "\
clients:
  a: { token: '${UNSET}', team: rde }
  b: { team: red }
models:
  m: { targets: [{ provider: sandbox, model: echo }], timeout: 1h30m }
";
    let file = up.file("wrong.yaml", text);
    let own = "wrong.yaml:2: clients.a.token: the environment variable UNSET is not set; set it or remove this line\n";
    let span = "wrong.yaml:5: models.m.timeout: expected a duration like 250ms, 60s, 10m, 24h, or seconds as a number\n";
    let expected = format!("{own}wrong.yaml:2: clients.a.team: names no team; did you mean red?\n{span}");
    for verb in ["apply", "diff"] {
        let ran = up.run(&[verb, "-f", &file]);
        assert_eq!((ran.code, &ran.stderr), (Some(1), &expected));
    }
    // Where nobody can be asked, what is wrong by itself is said.
    let ran = up.with(&[("KEYWAY_SERVER", "http://127.0.0.1:1")], "", &["diff", "-f", &file]);
    assert_eq!((ran.code, ran.stderr), (Some(1), format!("{own}{span}")));
    // Where nothing was kept, the file stands alone.
    let home = tempfile::tempdir().expect("a home");
    let ran: Ran = keyway(home.path()).args(["up", "--config", &file]).output().expect("runs").into();
    let alone = "wrong.yaml:2: clients.a.team: names no team; add it under teams\n\
                 wrong.yaml:3: clients.b.team: names no team; add it under teams\n";
    assert_eq!((ran.code, ran.stderr), (Some(1), format!("{own}{alone}{span}")));
}

#[test]
fn a_large_file_is_read_to_its_end_and_an_empty_one_prunes_nothing() {
    let up = Up::start(&[]);
    let filling = "# as long as a file of many clients\n".repeat(100_000);
    assert!(filling.len() > 3 << 20);
    let file = up.file("large.yaml", &format!("{filling}teams: {{ last: {{}} }}\n"));
    assert_eq!(up.run(&["apply", "-f", &file]).stdout, "+ team last\n");
    for text in ["", "\n# nothing\n---\n"] {
        let ran = up.with(&[], text, &["apply", "-f", "-", "--prune"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.contains("stdin holds nothing"), "{}", ran.stderr);
    }
    assert_eq!(up.with(&[], "{}", &["diff", "-f", "-", "--prune"]).stdout, "- team last\n");
}

#[test]
fn a_token_that_could_not_be_printed_is_no_success() {
    let up = Up::start(&[]);
    let full = OpenOptions::new().write(true).open("/dev/full").expect("there");
    let mut command = keyway(&up.home);
    command.env("KEYWAY_SERVER", up.fact("admin_url")).args(["client", "create", "a"]).stdout(full);
    let ran: Ran = command.output().expect("runs").into();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot write stdout: No space left on device"), "{}", ran.stderr);
    let file = up.file("joins", "");
    let made = up.json(&["join-token", "create", "--out", &file]);
    assert!(made["id"].is_string() && made.get("token").is_none(), "{made}");
}
