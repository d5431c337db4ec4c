//! Walks the route table: no route without the token, no route that is not reached, every route described. The files
//! beside it: who may what, the audit log, secrets in wrong places.

mod audit;
mod deletions;
mod once;
mod operators;
mod pairs;
mod plain;
mod streams;
mod usage;

use super::{
    route::{Owner, ROUTES},
    *,
};
use crate::{
    backup::Begun,
    resource::{Author, Operator, Rights},
    store::{Memory, Store, StoreError},
};
use axum::{body::Body, http::Request as HttpRequest, response::Response};
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::BTreeSet;
use tower::ServiceExt;

const TOKEN: &str = "the-admin-token-of-this-test";

/// Copies one word.
#[derive(Debug)]
struct OneWord;

impl Backup for OneWord {
    fn begin(&self, _: bool) -> Result<Begun, StoreError> {
        Ok(Box::new(|out| {
            out.write_all(b"everything").map_err(|error| StoreError::Failed(error.to_string()))
        }))
    }
}

async fn api() -> Router {
    on(Arc::new(Memory::default())).await.1
}

async fn on(store: Arc<dyn Store>) -> (Arc<Plane>, Router) {
    let vault = crate::vault::Vault::ephemeral().unwrap();
    let plane = Arc::new(Plane::open(store, vault).await.unwrap());
    let api = Api::new(Arc::clone(&plane), Arc::default(), books(), Token::new(TOKEN).unwrap());
    (plane, router(api.backing_up(Arc::new(OneWord))))
}

/// Empty ones. Open files outlive their names: nothing is left behind.
fn books() -> Arc<Books> {
    let home = tempfile::tempdir().unwrap();
    Arc::new(Books::open(home.path(), 0).unwrap())
}

/// Makes an operator without asking the API, and gives its token.
async fn operator(plane: &Plane, name: &str, rights: Rights) -> String {
    let operator = Operator { digest: String::new(), rights, disabled: false };
    let author = Author::system("test", "");
    let made = plane.change(&author, |proposal| proposal.new_operator(name, operator)).await;
    made.unwrap().tokens[0].token.expose().to_owned()
}

/// One call as whoever has that token: status and body.
async fn ask(router: &Router, token: &str, line: &str, body: Value) -> (u16, Value) {
    let (method, path) = line.split_once(' ').unwrap();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let body = Body::from(body.to_string());
    let response = call(router, method, &format!("{PREFIX}{path}"), &headers, body).await;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn call(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Response {
    let mut request = HttpRequest::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
}

async fn error(response: Response) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice::<Value>(&bytes).unwrap()["error"].clone()
}

/// A path of the table with something in place of its names.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "nothing-of-that-name" } else { part });
    format!("{PREFIX}{}", parts.collect::<Vec<_>>().join("/"))
}

#[tokio::test]
async fn no_route_without_the_token() {
    let router = api().await;
    let wrong = [
        vec![],
        vec![("authorization", "Bearer wrong")],
        vec![("authorization", "Bearer ")],
        vec![("x-api-key", TOKEN)],
    ];
    let real = ROUTES.iter().map(|route| (route.method.word().to_uppercase(), filled(route.path)));
    let others =
        [("GET", "/nothing"), ("GET", "/api/v1"), ("GET", "/api/v1/nothing"), ("PATCH", "/api/v1/fleet")];
    for (method, path) in real.chain(others.map(|(method, path)| (method.to_owned(), path.to_owned()))) {
        for headers in &wrong {
            let response = call(&router, &method, &path, headers, Body::from("{}")).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path} {headers:?}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(error(response).await["code"], "unauthorized");
        }
    }
}

#[tokio::test]
async fn every_route_is_reached_and_bounded() {
    let router = api().await;
    let bearer = format!("Bearer {TOKEN}");
    let token = [("authorization", bearer.as_str())];
    for route in ROUTES {
        let (method, path) = (route.method.word().to_uppercase(), filled(route.path));
        let response = call(&router, &method, &path, &token, Body::from("{}")).await;
        let status = response.status();
        assert!(!matches!(status.as_u16(), 401 | 405 | 500..), "{route:?}: {status}");
        if status == StatusCode::NOT_FOUND {
            let message = error(response).await["message"].to_string();
            assert!(message.contains("nothing-of-that-name"), "{route:?}: {message}");
        }
        let large = Body::from(vec![b' '; route.body_limit + 1]);
        let response = call(&router, &method, &path, &token, large).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{route:?}");
    }
}

#[tokio::test]
async fn a_version_is_looked_at_or_refused() {
    let router = api().await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("if-match", "7")];
    for route in ROUTES.iter().filter(|route| !route.action.is_empty()) {
        let (method, path) = (route.method.word().to_uppercase(), filled(route.path));
        let response = call(&router, &method, &path, &headers, Body::from("{}")).await;
        let (status, error) = (response.status().as_u16(), error(response).await);
        let refused = error["message"].as_str().is_some_and(|said| said.starts_with("`if-match` is not"));
        assert_eq!(refused, !route.looks_at_version(), "{route:?}: {error}");
        if refused {
            assert_eq!((status, &error["code"]), (400, &Value::from("invalid_request")), "{route:?}");
        } else if status != 422 {
            // Those are faults of the body, which are found first.
            assert_eq!((status, &error["code"]), (409, &Value::from("version_conflict")), "{route:?}");
        }
    }
}

#[test]
fn each_route_stands_once_and_is_described() {
    let unique: BTreeSet<_> = ROUTES.iter().map(|route| (route.path, route.method.word())).collect();
    assert_eq!(unique.len(), ROUTES.len());
    let description = openapi::description();
    let mut ids = BTreeSet::new();
    for route in ROUTES {
        let operation = &description["paths"][route.path.replace("{*", "{")][route.method.word()];
        assert_eq!(operation["summary"], route.summary, "{route:?}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{route:?}");
    }
    let text = description.to_string();
    let schemas = description["components"]["schemas"].as_object().unwrap();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is referred to and not there");
    }
}

#[test]
fn each_route_stands_in_the_documentation() {
    let text = include_str!("../../../../../docs/admin-api.md");
    for route in ROUTES {
        let written =
            format!("| `{} {}` |", route.method.word().to_uppercase(), route.path.replace("{*", "{"));
        assert!(text.contains(&written), "{written} is missing");
    }
    let is_route = |row: &&str| row.split('`').next().is_some_and(|route| route.contains(" /"));
    let rows = text.split("\n| `").skip(1).filter(is_route);
    assert_eq!(rows.count(), ROUTES.len(), "a route that does not exist");
}
