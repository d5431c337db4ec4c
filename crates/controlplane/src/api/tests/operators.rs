//! Who may what: every scope at every route, teams, ends, and that nobody makes more of itself.

use super::*;
use crate::{
    plane::unix_millis,
    resource::{Scope, Scopes},
};
use serde_json::json;

fn rights(scopes: &[Scope], team: Option<&str>) -> Rights {
    Rights { scopes: Scopes::from_iter(scopes.iter().copied()), team: team.map(str::to_owned), expires: None }
}

/// A plane with teams a and b, each with one client.
async fn with_teams() -> (Arc<Plane>, Router) {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    for team in ["a", "b"] {
        assert_eq!(ask(&router, TOKEN, &format!("PUT /teams/{team}"), json!({})).await.0, 200);
        let client = json!({ "name": format!("of-{team}"), "team": team });
        assert_eq!(ask(&router, TOKEN, "POST /clients", client).await.0, 201);
    }
    (plane, router)
}

#[tokio::test]
async fn each_route_wants_its_scope_and_no_other() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let mut tokens = Vec::new();
    for scope in Scope::ALL {
        let name = scope.word().replace(':', "-");
        tokens.push((scope, operator(&plane, &name, rights(&[scope], None)).await));
    }
    for route in ROUTES {
        let (method, path) = (route.method.word().to_uppercase(), filled(route.path));
        for (scope, token) in &tokens {
            let bearer = format!("Bearer {token}");
            let response =
                call(&router, &method, &path, &[("authorization", bearer.as_str())], Body::from("{}")).await;
            let status = response.status().as_u16();
            if *scope == route.scope {
                assert!(!matches!(status, 401 | 403 | 405 | 500..), "{route:?} with {scope}: {status}");
                continue;
            }
            assert_eq!(status, 403, "{route:?} with {scope}");
            let error = error(response).await;
            assert_eq!(error["code"], "forbidden");
            assert!(error["message"].as_str().unwrap().contains(route.scope.word()), "{error}");
        }
    }
}

#[tokio::test]
async fn another_team_is_not_there() {
    let (plane, router) = with_teams().await;
    let bound = operator(&plane, "bound", rights(&Scope::ALL, Some("a"))).await;
    operator(&plane, "foreign", rights(&[], Some("b"))).await;
    for route in ROUTES {
        let kind = match route.owner {
            Owner::Everyone => {
                // The status alone: one that follows has no end.
                let (method, bearer) = (route.method.word().to_uppercase(), format!("Bearer {bound}"));
                let headers = [("authorization", bearer.as_str())];
                let answer = call(&router, &method, &filled(route.path), &headers, Body::from("{}")).await;
                assert_eq!(
                    answer.status().as_u16() == 403,
                    !route.for_teams,
                    "{route:?}: {}",
                    answer.status()
                );
                continue;
            }
            Owner::Team => ["b", "c"],
            Owner::TeamOfClient => ["of-b", "of-c"],
            Owner::TeamOfOperator => ["foreign", "foreigm"],
        };
        let mut seen = Vec::new();
        for name in kind {
            let line =
                format!("{} {}", route.method.word().to_uppercase(), route.path.replace("{name}", name));
            let (status, body) = ask(&router, &bound, &line, json!({})).await;
            assert_eq!((status, &body["error"]["code"]), (404, &json!("not_found")), "{line}");
            seen.push(body.to_string().replace(&format!("`{name}`"), "NAME"));
        }
        assert_eq!(seen[0], seen[1], "{route:?}: what is another's differs from what is not there");
    }
}

#[tokio::test]
async fn a_team_sees_and_makes_its_own_only() {
    let (plane, router) = with_teams().await;
    let bound = operator(&plane, "bound", rights(&Scope::ALL, Some("a"))).await;
    let names = |body: Value| -> Vec<String> {
        body.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(ask(&router, &bound, "GET /clients", json!({})).await.1), ["of-a"]);
    assert_eq!(names(ask(&router, &bound, "GET /teams", json!({})).await.1), ["a"]);
    assert_eq!(names(ask(&router, &bound, "GET /operators", json!({})).await.1), ["bound"]);
    let (status, made) = ask(&router, &bound, "POST /clients", json!({ "name": "new" })).await;
    assert_eq!((status, &made["team"]), (201, &json!("a")));
    for (line, body) in [
        ("POST /clients", json!({ "name": "other", "team": "b" })),
        ("PATCH /clients/new", json!({ "team": "b" })),
        ("PATCH /clients/new", json!({ "team": null })),
    ] {
        let (status, refused) = ask(&router, &bound, line, body).await;
        assert_eq!(status, 422, "{line}: {refused}");
    }
    assert_eq!(ask(&router, &bound, "POST /clients/new/disable", json!({})).await.0, 200);
    assert_eq!(ask(&router, TOKEN, "DELETE /teams/b", json!({})).await.0, 422, "a client belongs to it");
    assert_eq!(ask(&router, TOKEN, "DELETE /clients/of-a", json!({})).await.0, 200);
    assert_eq!(ask(&router, TOKEN, "DELETE /clients/new", json!({})).await.0, 200);
    let (status, refused) = ask(&router, TOKEN, "DELETE /teams/a", json!({})).await;
    assert_eq!((status, &refused["error"]["field"]), (422, &json!("teams.a")));
}

#[tokio::test]
async fn a_token_ends_and_is_turned_off_with_words() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let now = unix_millis() / 1000;
    let ended = Rights { expires: Some(now - 1), ..rights(&Scope::ALL, None) };
    let ended = operator(&plane, "ended", ended).await;
    for route in ROUTES {
        let line = format!("{} {}", route.method.word().to_uppercase(), &filled(route.path)[PREFIX.len()..]);
        let (status, body) = ask(&router, &ended, &line, json!({})).await;
        assert_eq!((status, &body["error"]["code"]), (401, &json!("token_expired")), "{line}");
    }
    let (status, made) =
        ask(&router, TOKEN, "POST /operators", json!({ "name": "eve", "scopes": ["viewer"] })).await;
    assert_eq!((status, &made["state"]), (201, &json!("enabled")), "{made}");
    let eve = made["token"].as_str().unwrap();
    let shown = ask(&router, TOKEN, "GET /operators/eve", json!({})).await.1;
    assert!(shown.get("last_used").is_none() && shown.get("token").is_none(), "{shown}");
    assert_eq!(ask(&router, eve, "GET /status", json!({})).await.0, 200);
    assert!(ask(&router, TOKEN, "GET /operators/eve", json!({})).await.1["last_used"].is_string());
    assert_eq!(ask(&router, TOKEN, "POST /operators/eve/disable", json!({})).await.0, 200);
    let (status, body) = ask(&router, eve, "GET /status", json!({})).await;
    assert_eq!((status, &body["error"]["code"]), (401, &json!("token_disabled")));
    assert_eq!(ask(&router, TOKEN, "POST /operators/eve/enable", json!({})).await.0, 200);
    let rotated = ask(&router, TOKEN, "POST /operators/eve/rotate", json!({})).await.1;
    assert_eq!(ask(&router, eve, "GET /status", json!({})).await.0, 401);
    let eve = rotated["token"].as_str().unwrap();
    assert_eq!(ask(&router, eve, "GET /status", json!({})).await.0, 200);
    assert_eq!(ask(&router, TOKEN, "DELETE /operators/eve", json!({})).await.0, 200);
    assert_eq!(ask(&router, eve, "GET /status", json!({})).await.0, 401);
}

#[tokio::test]
async fn nobody_makes_more_of_itself() {
    let (plane, router) = with_teams().await;
    let now = unix_millis() / 1000;
    let maker = rights(&[Scope::OperatorsWrite, Scope::ConfigRead], None);
    let maker = operator(&plane, "maker", Rights { expires: Some(now + 1000), ..maker }).await;
    let bound = operator(&plane, "bound", rights(&Scope::ALL, Some("a"))).await;
    operator(&plane, "first", rights(&Scope::ALL, None)).await;
    let make = |name: &str, scopes: &[&str], rest: Value| {
        let mut body = json!({ "name": name, "scopes": scopes });
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        body
    };
    let refused = [
        (&maker, make("x", &["admin"], json!({}))),
        (&maker, make("x", &["config:write"], json!({}))),
        (&maker, make("x", &["config:read"], json!({ "expires": "never" }))),
        (&maker, make("x", &["config:read"], json!({ "expires": "1d" }))),
        (&bound, make("x", &["config:read"], json!({ "team": "b" }))),
    ];
    for (token, body) in refused {
        let (status, answer) = ask(&router, token, "POST /operators", body.clone()).await;
        assert_eq!((status, &answer["error"]["code"]), (403, &json!("forbidden")), "{body}");
    }
    for line in ["POST /operators/first/rotate", "POST /operators/first/disable", "DELETE /operators/first"] {
        for (token, status) in [(&maker, 403), (&bound, 404)] {
            assert_eq!(ask(&router, token, line, json!({})).await.0, status, "{line}");
        }
    }
    let (status, made) =
        ask(&router, &maker, "POST /operators", make("y", &["config:read"], json!({}))).await;
    assert_eq!((status, made["scopes"].clone()), (201, json!(["config:read"])));
    let (status, made) = ask(&router, &bound, "POST /operators", make("z", &["viewer"], json!({}))).await;
    assert_eq!((status, &made["team"]), (201, &json!("a")));
    for (body, field) in [
        (make("y", &["root"], json!({})), "scopes[0]"),
        (make("y", &[], json!({})), "scopes"),
        (make("Not A Name", &["viewer"], json!({})), "name"),
        (make("w", &["viewer"], json!({ "expires": "soon" })), "expires"),
        (make("w", &["viewer"], json!({ "expires": "2001-01-01" })), "expires"),
        (make("w", &["viewer"], json!({ "team": "none" })), "team"),
    ] {
        let (status, answer) = ask(&router, TOKEN, "POST /operators", body.clone()).await;
        assert_eq!((status, &answer["error"]["field"]), (422, &json!(field)), "{body}");
    }
    assert_eq!(ask(&router, TOKEN, "POST /operators", make("y", &["viewer"], json!({}))).await.0, 409);
}

#[tokio::test]
async fn operators_are_in_no_file() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let token = operator(&plane, "eve", rights(&Scope::ALL, None)).await;
    let exported = ask(&router, &token, "GET /export", json!({})).await.1;
    assert_eq!(exported, json!({}));
    assert_eq!(ask(&router, &token, "POST /apply", json!({ "file": {}, "prune": true })).await.0, 200);
    assert_eq!(ask(&router, &token, "GET /operators/eve", json!({})).await.0, 200);
    assert_eq!(ask(&router, &token, "GET /status", json!({})).await.1["resources"], 0);
}

#[tokio::test]
async fn nobody_gets_the_answer_that_another_was_given() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let other = operator(&plane, "other", rights(&Scope::ALL, None)).await;
    let mut made = Vec::new();
    for (token, status) in [(TOKEN, 201), (TOKEN, 201), (&other, 409)] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
        let body = Body::from(r#"{"name":"c"}"#);
        let response = call(&router, "POST", &format!("{PREFIX}/clients"), &headers, body).await;
        assert_eq!(response.status().as_u16(), status);
        made.push(response.into_body().collect().await.unwrap().to_bytes());
    }
    assert_eq!(made[0], made[1]);
}

#[tokio::test]
async fn a_request_is_the_same_with_and_without_scheme_and_host() {
    let router = api().await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
    let mut made = Vec::new();
    for front in ["", "https://keyway.internal:8600", "http://admin"] {
        let body = Body::from(r#"{"name":"c"}"#);
        let response = call(&router, "POST", &format!("{front}{PREFIX}/clients"), &headers, body).await;
        assert_eq!(response.status().as_u16(), 201, "{front}");
        made.push(response.into_body().collect().await.unwrap().to_bytes());
    }
    assert!(made.iter().all(|one| *one == made[0]));
}
