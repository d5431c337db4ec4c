//! What operators do: commands, changes of keys, every route that shows something.

use keyway_e2e::gateway::Outcome;
use keyway_e2e::leaks::{Operator, Secrets};
use keyway_testkit::provider::Provider;
use serde_json::json;

pub(super) fn commands(operator: &mut Operator, secrets: &mut Secrets) -> Outcome {
    let given = secrets.key("caller/given-token")?;
    for args in [
        &["export"][..],
        &["schema"],
        &["diff", "-f", "keyway.yaml"],
        &["apply", "-f", "keyway.yaml"],
        &["explain", "--client", "tester", "--model", "sim/m"],
        &["provider", "list"],
        &["provider", "show", "sim"],
        &["--output", "json", "provider", "show", "odd"],
        &["model", "list"],
        &["team", "list"],
        &["client", "list"],
        &["client", "show", "tester"],
        &["operator", "list"],
        &["fleet", "list"],
        &["--output", "json", "fleet", "list"],
    ] {
        operator.cli_ok(args, "")?;
    }
    let added = secrets.key("stdin/provider")?;
    let base = operator.cli_ok(&["--output", "json", "provider", "show", "sim"], "")?;
    let base: serde_json::Value = serde_json::from_str(&base)?;
    let base = base.get("base_url").and_then(serde_json::Value::as_str).ok_or("no base_url")?.to_owned();
    operator.cli_ok(&["provider", "add", "more", "--dialect", "openai-chat", "--base-url", &base], &added)?;
    operator.cli(&["provider", "test", "more"], "")?;
    operator.cli(&["provider", "test", "echo"], "")?;
    operator.cli_ok(&["client", "create", "given", "--from-file", ".stdin"], &given)?;
    for (args, name) in [
        (&["client", "create", "made"][..], "made/client"),
        (&["client", "rotate", "made"], "made/client-rotated"),
        (&["operator", "create", "viewer", "--scope", "viewer"], "made/operator"),
    ] {
        let shown = operator.cli_ok(args, "")?;
        secrets.0.push(Operator::token_in(name, &shown)?);
    }
    let token = operator.token.clone();
    operator.cli_ok(&["login"], &token)?;
    operator.cli_ok(&["backup", "whole.backup"], "")?;
    operator.cli_ok(&["restore", "whole.backup", "--home", "restored"], "")?;
    operator.cli_ok(&["audit", "list"], "")?;
    operator.cli_ok(&["audit", "verify"], "")?;
    Ok(())
}

pub(super) async fn keys(provider: &Provider, operator: &mut Operator, secrets: &mut Secrets) -> Outcome {
    let rejected = secrets.key("api/rejected")?;
    provider.refuse_key(&rejected, 401);
    let (added, rotated) = (secrets.key("api/added")?, secrets.key("api/rotated")?);
    let held = secrets.key("api/held")?;
    let at = "/api/v1/keys/sim";
    for (method, path, body, status) in [
        ("POST", format!("{at}/new"), json!({ "secret": added }), 200),
        ("POST", format!("{at}/new/rotate"), json!({ "secret": rejected }), 422),
        ("POST", format!("{at}/new/rotate"), json!({ "secret": rotated, "overlap": 0 }), 200),
        ("POST", format!("{at}/new/rotate"), json!({ "secret": held, "hold": true }), 200),
        ("GET", format!("{at}/new/history"), json!({}), 200),
        ("GET", format!("{at}/new/report"), json!({}), 200),
        ("POST", format!("{at}/new/destroy"), json!({ "version": 2 }), 200),
        ("POST", format!("{at}/spare/revoke"), json!({}), 200),
        ("POST", format!("{at}/new/destroy"), json!({ "version": 1 }), 200),
        ("GET", format!("{at}/spare/history"), json!({}), 200),
    ] {
        let answer = operator.call_in_turn(method, &path, &body.to_string()).await?;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    let made = operator.call("POST", "/api/v1/clients", r#"{"name":"by-api"}"#).await?;
    secrets.0.push(Operator::token_in("made/client-by-api", made.text())?);
    Ok(())
}

/// Every route that shows something.
pub(super) async fn every_get(operator: &mut Operator) -> Outcome {
    let fleet = operator.call("GET", "/api/v1/fleet", "").await?.json();
    let replica = fleet.pointer("/0/id").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let host = fleet.pointer("/0/host").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let api = operator.call("GET", "/api/v1/openapi.json", "").await?.json();
    let paths = api.get("paths").and_then(serde_json::Value::as_object).ok_or("no paths")?;
    let logs = operator.call("GET", "/api/v1/logs", "").await?.json();
    let record =
        logs.pointer("/records/0/id").and_then(serde_json::Value::as_str).ok_or("no record")?.to_owned();
    let mut asked = 0;
    // What follows the records has no end, and holds no more than they do.
    let ends = |path: &&String| !path.ends_with("/logs/follow");
    for path in
        paths.iter().filter(|(_, verbs)| verbs.get("get").is_some()).map(|(path, _)| path).filter(ends)
    {
        let named = |kind: &str, name: &str| {
            path.replace("{name}", if path.contains(kind) { name } else { "{name}" })
        };
        let path = [
            ("/providers", "sim"),
            ("/models", "alias-m"),
            ("/clients", "tester"),
            ("/teams", "blue"),
            ("/operators", "viewer"),
            ("/hosts", &host),
        ]
        .iter()
        .find(|(kind, _)| path.contains(kind) && path.contains("{name}"))
        .map_or_else(|| path.clone(), |(kind, name)| named(kind, name));
        let path = if path.contains("/catalog/") {
            path.replace("{provider}", "openai")
                .replace("{*id}", "gpt-4.1")
                .replace("/providers/{id}", "/providers/openai")
                .replace("{id}", "gpt-4.1")
        } else if path.contains("/logs/") {
            path.replace("{id}", &record)
        } else {
            path.replace("{provider}", "sim").replace("{key}", "new").replace("{id}", &replica)
        };
        let path = if path.starts_with("/api/v1") { path } else { format!("/api/v1{path}") };
        let answer = operator.call("GET", &path, "").await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        asked += 1;
    }
    assert!(asked > 20, "only {asked} routes");
    Ok(())
}
