//! Secrets that operators put into places where none belongs.

use keyway_e2e::gateway::Outcome;
use keyway_e2e::leaks::{Marker, Operator, Secrets};
use serde_json::json;

/// Secrets in places where none belongs.
pub(super) async fn mistakes(operator: &mut Operator, secrets: &mut Secrets) -> Outcome {
    for (kind, prefix) in [("key", "sk-leak-"), ("text", "")] {
        let key = secrets.keep(Marker::new(&format!("mistake/{kind}"), prefix)?)?;
        let mut bodies = vec![
            ("POST", "/api/v1/keys/sim/x".to_owned(), json!({ "secret": { "value": key } }).to_string()),
            ("POST", "/api/v1/keys/sim/x".to_owned(), json!({ "secret": [key] }).to_string()),
            (
                "POST",
                "/api/v1/keys/sim/x".to_owned(),
                json!({ "secret": "short", "weight": key }).to_string(),
            ),
            ("POST", "/api/v1/keys/sim/x".to_owned(), format!("secret={key}")),
            ("POST", "/api/v1/keys/sim/x".to_owned(), format!("\"{key}\"")),
            ("POST", "/api/v1/keys/sim/x".to_owned(), format!("{{\"secret\":\"{key}")),
            ("POST", "/api/v1/keys/sim/main/destroy".to_owned(), json!({ "version": key }).to_string()),
            ("POST", "/api/v1/keys/sim/main/allow-origin".to_owned(), json!({ "origin": key }).to_string()),
            ("PUT", "/api/v1/providers/x".to_owned(), json!({ "api_key": { "a": key } }).to_string()),
            ("PUT", "/api/v1/providers/x".to_owned(), json!({ "keys": [{ "name": key }] }).to_string()),
            ("PUT", "/api/v1/providers/x".to_owned(), json!({ "keys": key }).to_string()),
            ("PUT", "/api/v1/providers/x".to_owned(), json!({ "dialect": key }).to_string()),
            ("PUT", "/api/v1/models/x".to_owned(), json!({ "strategy": key }).to_string()),
            ("POST", "/api/v1/operators".to_owned(), json!({ "name": "x", "scopes": [key] }).to_string()),
            (
                "POST",
                "/api/v1/clients".to_owned(),
                json!({ "name": "x", "token": 1, "expires": key }).to_string(),
            ),
            ("POST", "/api/v1/apply".to_owned(), json!({ "file": { "providers": key } }).to_string()),
            ("GET", format!("/api/v1/audit?limit={key}"), String::new()),
        ];
        if kind == "key" {
            bodies.extend(names(&key));
        }
        for (method, path, body) in bodies {
            operator.call(method, &path, &body).await?;
        }
        operator.call_as(&key, "GET", "/api/v1/status", "").await?;
        operator
            .cli(&["apply", "-f", ".stdin"], &format!("providers:\n  x: {{ api_key: {{ a: {key} }} }}\n"))?;
        operator.cli(&["apply", "-f", ".stdin"], &format!("providers: [ {key}\n"))?;
        operator.cli(&["provider", "add", "x"], &key)?;
    }
    Ok(())
}

/// In the place of a name: what does not look like a key is taken for one, and names are shown.
fn names(key: &str) -> Vec<(&'static str, String, String)> {
    vec![
        ("POST", "/api/v1/keys/sim/x".to_owned(), json!({ key: "x" }).to_string()),
        ("POST", "/api/v1/explain".to_owned(), json!({ "model": key }).to_string()),
        ("POST", format!("/api/v1/keys/sim/{key}"), json!({ "secret": "not-a-real-secret" }).to_string()),
        ("PUT", format!("/api/v1/providers/{key}"), json!({}).to_string()),
        ("GET", format!("/api/v1/keys/sim/{key}"), String::new()),
        ("GET", format!("/api/v1/providers/{key}"), String::new()),
        ("GET", format!("/api/v1/{key}"), String::new()),
        ("GET", format!("/api/v1/audit?subject={key}"), String::new()),
        ("POST", "/api/v1/apply".to_owned(), json!({ "file": { "providers": { key: {} } } }).to_string()),
        (
            "PUT",
            "/api/v1/providers/x".to_owned(),
            json!({ "headers": { "authorization": format!("Bearer {key}") } }).to_string(),
        ),
        (
            "PUT",
            "/api/v1/providers/x".to_owned(),
            json!({ "base_url": format!("https://a.example/{key}/v1") }).to_string(),
        ),
    ]
}
