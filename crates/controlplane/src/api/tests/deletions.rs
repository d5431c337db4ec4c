//! What is still used is not deleted, and whoever wants it gone learns what uses it.

use super::*;
use crate::resource::{Scope, Scopes};
use serde_json::json;

const LOCAL: &str = "http://127.0.0.1:9/v1";

fn file() -> Value {
    let provider = json!({ "dialect": "openai-chat", "base_url": LOCAL, "auth": "none" });
    json!({
        "providers": { "local": provider, "spare": provider, "own": provider },
        "models": { "fast": { "targets": [{ "provider": "local", "model": "m" }], "fallback": ["spare/m"] } },
        "teams": { "red": {}, "blue": {}, "free": {} },
        "clients": { "filed": { "team": "blue", "passthrough": { "own": ["GET /v1/x"] } } },
    })
}

/// The file is in force, and by hand there are an alias, six clients and an operator that use what it made.
async fn used() -> Router {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let put = |line: &'static str, body: Value| {
        let router = &router;
        async move {
            let (status, answer) = ask(router, TOKEN, line, body).await;
            assert!(status < 300, "{line}: {answer}");
        }
    };
    put("POST /apply", json!({ "file": file() })).await;
    put(
        "PUT /models/smart",
        json!({ "targets": [{ "provider": "local", "model": "m" }], "fallback": ["fast"] }),
    )
    .await;
    for number in 1..=6 {
        put("POST /clients", json!({ "name": format!("c{number}"), "team": "red" })).await;
    }
    let scopes = Scopes::from_iter([Scope::ConfigRead]);
    operator(&plane, "ops", Rights { scopes, team: Some("blue".into()), expires: None }).await;
    router
}

#[tokio::test]
async fn a_refused_deletion_names_who_uses_it_and_what_to_do() {
    let router = used().await;
    let cases = [
        (
            "teams/red",
            "is still used by client c1 (its team), client c2 (its team), client c3 (its team), client c4 (its team), \
             client c5 (its team) and 1 more; give each another team, or delete it first: keyway client delete c1",
        ),
        (
            "teams/blue",
            "is still used by client filed (its team), operator ops (its team); give each another team, or delete it \
             first: keyway client delete filed",
        ),
        (
            "providers/local",
            "is still used by alias fast (a target), alias smart (a target); give each another provider, or delete it \
             first: keyway model delete fast",
        ),
        (
            "providers/spare",
            "is still used by alias fast (a fallback); give each another provider, or delete it first: keyway model \
             delete fast",
        ),
        (
            "providers/own",
            "is still used by client filed (passthrough); give each another provider, or delete it first: keyway client \
             delete filed",
        ),
        (
            "models/fast",
            "is still used by alias smart (a fallback); give each another model, or delete it first: keyway model delete \
             smart",
        ),
    ];
    for (path, message) in cases {
        let (status, answer) = ask(&router, TOKEN, &format!("DELETE /{path}"), json!({})).await;
        let error = &answer["error"];
        let field = path.replace('/', ".");
        assert_eq!((status, &error["field"]), (422, &json!(field)), "{error}");
        assert_eq!(error["message"], message);
    }
    for free in ["clients/c1", "models/smart", "teams/free"] {
        let (status, answer) = ask(&router, TOKEN, &format!("DELETE /{free}"), json!({})).await;
        assert_eq!(status, 200, "{free}: {answer}");
    }
}

#[tokio::test]
async fn a_file_that_leaves_out_what_stays_in_use_prunes_nothing() {
    let router = used().await;
    let without = |part: &[(&str, &str)]| {
        let mut file = file();
        for (section, name) in part {
            file[section].as_object_mut().unwrap().remove(*name);
        }
        file
    };
    let gone = |used: &str, other: &str, removal: &str| {
        format!(
            "is not in the file and would be deleted, but is still used by {used}; keep it in the file, give each another \
             {other}, or delete it first: keyway {removal}"
        )
    };
    let smart = "alias smart (a fallback)";
    let cases = [
        (&[("models", "fast")][..], vec![("models.fast", gone(smart, "model", "model delete smart"))]),
        (
            &[("models", "fast"), ("teams", "blue")],
            vec![
                ("models.fast", gone(smart, "model", "model delete smart")),
                ("teams.blue", gone("operator ops (its team)", "team", "operator delete ops")),
                ("clients.filed.team", "names no team; add it under teams".to_owned()),
            ],
        ),
        // Who uses it stands in the file, and is named there.
        (
            &[("providers", "spare")],
            vec![(
                "models.fast.fallback[0]",
                "is neither an alias nor provider/model with a configured provider".to_owned(),
            )],
        ),
        (&[("teams", "free")], vec![]),
    ];
    for (part, expected) in cases {
        for path in ["diff", "apply"] {
            let body = json!({ "file": without(part), "prune": true });
            let (_, answer) = ask(&router, TOKEN, &format!("POST /{path}"), body).await;
            let error = &answer["error"];
            let one = [json!({ "field": error["field"], "message": error["message"] })];
            let all = error["problems"].as_array().map_or(&one[..], Vec::as_slice);
            let all = if error.is_null() { &[] } else { all };
            let expected: Vec<Value> = expected
                .iter()
                .map(|(field, message)| json!({ "field": field, "message": message }))
                .collect();
            assert_eq!(all, expected, "{path} without {part:?}");
        }
    }
}
