//! Exit codes, tables, YAML.

use std::process::ExitCode;

use keyway_config::{File, Problem, load, wire};
use reqwest::StatusCode;
use serde_json::json;

use crate::connection::{base_url, is_local};
use crate::failure::Failure;
use crate::print::{Table, withheld, yaml};
use crate::server::segment;

#[test]
fn exit_codes_are_those_of_the_contract() {
    let answered = |status| Failure::Answered { status, message: String::new() };
    let cases = [
        (Failure::Other(String::new()), 1),
        (Failure::Problems(vec![Problem::new("a", "b")]), 1),
        (Failure::Unreachable { server: String::new(), reason: String::new() }, 1),
        (answered(StatusCode::CONFLICT), 1),
        (answered(StatusCode::UNPROCESSABLE_ENTITY), 1),
        (Failure::Usage(String::new()), 2),
        (answered(StatusCode::NOT_FOUND), 3),
        (answered(StatusCode::UNAUTHORIZED), 4),
        (answered(StatusCode::FORBIDDEN), 4),
        (Failure::TimedOut(String::new()), 5),
    ];
    for (failure, code) in cases {
        assert_eq!(format!("{:?}", failure.code()), format!("{:?}", ExitCode::from(code)), "{failure:?}");
    }
}

#[test]
fn tables_fit_80_columns_and_lose_nothing() {
    let mut table = Table::new(&["NAME", "BASE URL", "KEYS"], "none");
    let url = "https://a-very-long-host-name-of-some-provider.region-seven.example.com/with/a/long/path/v1";
    for name in ["openai", "my-provider-with-a-rather-long-name-that-goes-on"] {
        table.row([
            name.into(),
            url.into(),
            "main, spare, another, and-one-more-key, and-the-last-one".into(),
        ]);
    }
    let text = table.text(Some(80));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
    let joined: String = text.split_whitespace().collect();
    for part in ["openai", "and-one-more-key", "keys"] {
        assert!(joined.to_lowercase().contains(part), "{text}");
    }
}

#[test]
fn an_empty_table_says_what_to_do() {
    assert_eq!(Table::new(&["A"], "nothing here; add it").text(Some(80)), "nothing here; add it");
}

#[test]
fn exported_yaml_is_read_back_as_the_same() {
    let value = json!({
        "providers": {
            "openai": { "keys": [{ "name": "main", "weight": 2 }, { "name": "spare" }], "prices": { "gpt-4.1": { "input": "0.15" } } },
            "ollama": {},
            "vllm": { "dialect": "openai-chat", "base_url": "http://10.0.0.7:8000", "headers": { "x-a": "${HOME} # no: comment", "x-b": "true" } },
        },
        "models": { "fast": { "targets": [{ "provider": "openai", "model": "a:\"c\"#d'e" }, { "provider": "vllm", "model": "1.50" }], "fallback": ["x", "null"], "timeout": "1m" } },
        "clients": { "c": { "models": [], "disabled": true }, "d": { "models": ["openai/*", "*"] } },
        "policies": { "deep": [[1, 2], [], { "a": null, "b": [{ "c": -1.5 }] }], "text": "two\nlines\t" },
    });
    let text = yaml(&value);
    let loaded = load(&text, "export.yaml", |_| None);
    let file: File = keyway_config::read_json(&value).expect("the value is a file");
    let read: File = match loaded {
        Ok(loaded) => loaded.file,
        Err(problems) => panic!("{text}\n{problems:?}"),
    };
    assert_eq!(wire(&read), wire(&file), "{text}");
}

#[test]
fn servers_may_be_typed_short() {
    let cases = [
        ("127.0.0.1:8600", "http://127.0.0.1:8600"),
        ("localhost:8600/", "http://localhost:8600"),
        ("[::1]:8600", "http://[::1]:8600"),
        ("keyway.internal", "https://keyway.internal"),
        ("http://h:1/api/v1", "http://h:1"),
    ];
    for (typed, expected) in cases {
        assert_eq!(base_url(typed).expect("a server"), expected);
    }
    assert!(base_url("").is_err() && base_url("ftp://x").is_err());
}

#[test]
fn what_only_looks_like_this_machine_gets_no_token_of_it() {
    for local in ["http://localhost:80", "http://127.0.0.1", "https://[::1]:8600", "http://LOCALHOST:1/x"] {
        assert!(is_local(local), "{local}");
    }
    for typed in ["localhost:80@evil.example", "127.0.0.1@evil.example", "u:p@localhost:8600", ":p@localhost"]
    {
        assert!(!is_local(&format!("http://{typed}")), "{typed}");
        for typed in [typed.to_owned(), format!("http://{typed}"), format!("https://{typed}/x")] {
            let failure = base_url(&typed).expect_err("holds a user");
            assert!(matches!(failure, Failure::Usage(_)) && !failure.to_string().contains('@'), "{failure}");
        }
    }
    assert!(!is_local("http://localhost.evil.example") && !is_local("http://10.0.0.7:8600"));
}

#[test]
fn names_are_one_segment_whatever_they_hold() {
    assert_eq!(segment("a/b?c#d e%é"), "a%2Fb%3Fc%23d%20e%25%C3%A9");
}

#[test]
fn what_looks_like_a_secret_is_not_repeated() {
    let secret = "sk-proj-4fT9xQ2mLw8ZrB6yKd3VnH5s".to_owned();
    let given = || ["keyway", "login", &secret].map(str::to_owned).into_iter();
    let said = withheld(&format!("unexpected argument '{secret}' found"), given());
    assert_eq!(said.as_deref(), Some("unexpected argument '(withheld)' found"));
    assert_eq!(withheld("no client is named `login`", given()), None);
}
