//! A secret where it would be shown is refused, repeated nowhere and never written down. Ordinary names pass.

use super::*;
use keyway_catalog::Catalog;
use serde_json::json;

const KEY: &str = "sk-proj-abcdefghijklmnop1234567890";

#[tokio::test]
async fn a_pasted_key_is_refused_wherever_it_would_be_shown() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let vllm = json!({ "dialect": "openai-chat", "base_url": "http://127.0.0.1:9/v1" });
    let with = |field: &str, value: Value| {
        let mut provider = vllm.clone();
        provider[field] = value;
        provider
    };
    let cases = [
        (format!("PUT /providers/{KEY}"), vllm.clone(), "name"),
        (format!("GET /clients/{KEY}"), json!({}), "name"),
        (format!("DELETE /teams/{KEY}"), json!({}), "name"),
        (format!("GET /catalog/models?provider={KEY}"), json!({}), "provider"),
        (
            "PUT /providers/v".to_owned(),
            with("base_url", json!(format!("https://h/{KEY}"))),
            "providers.v.base_url",
        ),
        ("PUT /providers/v".to_owned(), with("headers", json!({ "x-a": KEY })), "providers.v.headers.x-a"),
        (
            "PUT /providers/v".to_owned(),
            with("headers", json!({ KEY: "a" })),
            "providers.v.headers.(withheld)",
        ),
        ("PUT /providers/v".to_owned(), with("dialect", json!(KEY)), "providers.v.dialect"),
        ("PUT /providers/v".to_owned(), with(KEY, json!(1)), "providers.v.(withheld)"),
        (
            "PUT /providers/v".to_owned(),
            with("prices", json!({ KEY: "free" })),
            "providers.v.prices.(withheld)",
        ),
        (
            "PUT /models/m".to_owned(),
            json!({ "targets": [{ "provider": KEY, "model": "m" }] }),
            "models.m.targets[0].provider",
        ),
        ("POST /clients".to_owned(), json!({ "name": KEY }), "name"),
        ("POST /clients".to_owned(), json!({ "name": "c", "models": [KEY] }), "models[0]"),
        ("PATCH /clients/c".to_owned(), json!({ "team": KEY }), "team"),
        ("POST /price".to_owned(), json!({ "model": KEY }), "model"),
        ("POST /explain".to_owned(), json!({ "client": "c", "model": KEY }), "model"),
        ("POST /operators".to_owned(), json!({ "name": "o", "scopes": [KEY] }), "scopes[0]"),
        ("POST /diff".to_owned(), json!({ "file": { "teams": { KEY: {} } } }), "teams.(withheld)"),
        ("POST /apply".to_owned(), json!({ "file": { "policies": { "a": [KEY] } } }), "policies.a[0]"),
        ("POST /apply".to_owned(), json!({ "file": {}, "origin": KEY }), "origin"),
        ("POST /apply".to_owned(), json!({ "file": {}, KEY: 1 }), "(withheld)"),
    ];
    ask(&router, TOKEN, "POST /clients", json!({ "name": "c" })).await;
    for (line, body, field) in cases {
        let (status, answer) = ask(&router, TOKEN, &line, body).await;
        let error = &answer["error"];
        assert_eq!(
            (status, &error["code"], &error["field"]),
            (422, &json!("secret_in_plain_field"), &json!(field)),
            "{line}: {answer}"
        );
        assert!(!answer.to_string().contains("abcdefgh"), "{answer}");
    }
    let log = ask(&router, TOKEN, "GET /audit", json!({})).await.1;
    assert!(!format!("{log} {:?}", plane.state()).contains("abcdefgh"));
}

#[tokio::test]
async fn fields_for_secrets_and_ordinary_names_pass() {
    let router = api().await;
    let cases = [
        ("PUT /providers/openai", json!({ "api_key": KEY })),
        (
            "PUT /providers/sk-team",
            json!({ "dialect": "openai-chat", "base_url": "http://127.0.0.1:9/v1", "auth": "none" }),
        ),
        (
            "PUT /models/tuned",
            json!({ "targets": [{ "provider": "openai", "model": "ft:gpt-4o:org::abc" }] }),
        ),
        ("POST /clients", json!({ "name": "550e8400-e29b-41d4-a716-446655440000", "token": KEY })),
    ];
    for (line, body) in cases {
        let (status, answer) = ask(&router, TOKEN, line, body).await;
        assert!(matches!(status, 200 | 201), "{line}: {answer}");
    }
}

#[test]
fn nothing_that_is_known_is_taken_for_a_secret() {
    let catalog = Catalog::embedded();
    for row in catalog.providers() {
        let models = catalog.models(&row.id).iter().map(|model| model.id.as_str());
        for name in models.chain([row.id.as_str()]) {
            assert_eq!(keyway_config::secret_pattern(name), None, "{name}");
        }
    }
}
