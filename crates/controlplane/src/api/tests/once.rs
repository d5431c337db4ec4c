//! A change with an idempotency key is made once: across a restart, across the moment between a change and its answer, within
//! bounds of number, age and size.

use super::*;
use crate::{
    plane::unix_millis,
    resource::{ANSWER_KEPT_MS, ANSWERS, AnswerDocument, Asked, Body as DocumentBody, Kind},
    vault::{RootKey, Vault},
};
use serde_json::json;
use tempfile::TempDir;

const KEY: [(&str, &str); 1] = [("idempotency-key", "k")];

/// A store and a vault that outlive the plane over them.
struct Home {
    dir: TempDir,
    store: Arc<Memory>,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = RootKey::make(&dir.path().join("root.key")).unwrap();
        Vault::create(dir.path(), &root, "c", 0).unwrap();
        Self { dir, store: Arc::default() }
    }

    /// As after kill -9: nothing is known but what the store and the vault hold.
    async fn start(&self) -> (Arc<Plane>, Router) {
        let sources = crate::vault::Sources { home: self.dir.path().to_owned(), ..Default::default() };
        let root = RootKey::find(&sources).unwrap().unwrap();
        let vault = Vault::unlock(self.dir.path(), &root, "c").unwrap();
        let store: Arc<dyn Store> = Arc::clone(&self.store) as _;
        let plane = Arc::new(Plane::open(store, vault).await.unwrap());
        let api = Api::new(Arc::clone(&plane), Arc::default(), books(), Token::new(TOKEN).unwrap());
        (plane, router(api))
    }
}

async fn send(router: &Router, line: &str, body: &Value) -> (u16, Value, String) {
    let (method, path) = line.split_once(' ').unwrap();
    let bearer = format!("Bearer {TOKEN}");
    let headers = [&[("authorization", bearer.as_str())], &KEY[..]].concat();
    let response =
        call(router, method, &format!("{PREFIX}{path}"), &headers, Body::from(body.to_string())).await;
    let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default(), tag.unwrap_or_default())
}

/// Every document that is neither an answer nor about one.
fn documents(plane: &Plane) -> Vec<(String, u64)> {
    let state = plane.state();
    let all = state.all().filter(|(key, _)| Kind::of(key) != Some(Kind::Answer));
    all.map(|(key, held)| (key.to_string(), held.version)).collect()
}

#[tokio::test]
async fn the_same_request_after_a_restart_gets_the_same_answer_and_changes_nothing() {
    let home = Home::new();
    let calls = [
        ("POST /clients", json!({ "name": "c", "make_key_pair": true }), 201),
        ("POST /clients/c/rotate", json!({}), 200),
        ("PATCH /clients/c", json!({ "disabled": true }), 200),
        ("PUT /teams/t", json!({}), 200),
        ("POST /operators", json!({ "name": "o", "scopes": ["config:read"] }), 201),
        ("POST /apply", json!({ "file": { "clients": { "d": {} } } }), 200),
        ("DELETE /teams/t", json!({}), 200),
        ("POST /clients/c/enable", json!({}), 200),
    ];
    let (mut plane, mut router) = home.start().await;
    let mut given = Vec::new();
    for (line, body, status) in &calls {
        let answer = send(&router, line, body).await;
        assert_eq!(answer.0, *status, "{line}: {answer:?}");
        given.push(answer);
    }
    let before = documents(&plane);
    for _ in 0..2 {
        (plane, router) = home.start().await;
        for ((line, body, _), answer) in calls.iter().zip(&given) {
            assert_eq!(send(&router, line, body).await, *answer, "{line}");
            let (status, refused, _) = send(&router, line, &json!({ "another": "body" })).await;
            assert_eq!((status, &refused["error"]["code"]), (422, &json!("idempotency_conflict")), "{line}");
        }
        assert_eq!(documents(&plane), before);
    }
    // What a token may do once is shown to nobody who reads the store.
    let token = given[0].1["token"].as_str().unwrap();
    for (key, held) in plane.state().all() {
        let bytes = held.document.encode().unwrap();
        assert!(!std::str::from_utf8(&bytes).unwrap().contains(token), "{key}");
    }
}

/// Killed between the commit of a change and that of its answer: the change is there and says whose it was.
#[tokio::test]
async fn a_change_whose_answer_was_never_given_is_answered_and_not_made_again() {
    let home = Home::new();
    let (plane, _) = home.start().await;
    let body = json!({ "name": "c", "make_key_pair": true });
    let name = asked(&plane, "POST", "/clients", &body);
    let author = Author { asked: Some(name), ..Author::system("client.create", "client/c") };
    let made = plane.change(&author, |proposal| {
        proposal.client("c", keyway_config::Client::default())?;
        proposal.make_pair("c")
    });
    let made = made.await.unwrap();
    let before = documents(&plane);
    let (plane, router) = home.start().await;
    for _ in 0..2 {
        let (status, answer, _) = send(&router, "POST /clients", &body).await;
        assert_eq!(status, 201, "{answer}");
        assert_eq!(answer["token"], made.tokens[0].token.expose());
        assert_eq!(answer["secret_access_key"], made.pair.as_ref().unwrap().secret.expose());
        assert_eq!(answer["snapshot"], made.version.to_string());
    }
    assert_eq!(documents(&plane), before);
}

/// As `dispatch` and `once` name it.
fn asked(plane: &Plane, method: &str, path: &str, body: &Value) -> Asked {
    let mut hasher = blake3::Hasher::new();
    for part in ["bootstrap", method, &format!("{PREFIX}{path}"), "k"] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let name = hasher.finalize().to_hex()[..32].to_owned();
    Asked { name, body: plane.vault().fingerprint(body.to_string().as_bytes()) }
}

#[tokio::test]
async fn what_is_too_much_to_keep_is_known_to_have_been_done() {
    let home = Home::new();
    let (_, router) = home.start().await;
    let clients: serde_json::Map<_, _> = (0..400).map(|n| (format!("c{n}"), json!({}))).collect();
    let body = json!({ "file": { "clients": clients } });
    assert_eq!(send(&router, "POST /apply", &body).await.0, 200);
    let (plane, router) = home.start().await;
    let before = documents(&plane);
    let (status, refused, _) = send(&router, "POST /apply", &body).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("idempotency_done")));
    assert_eq!(documents(&plane), before);
}

#[tokio::test]
async fn what_was_refused_may_be_sent_again() {
    let home = Home::new();
    let (_, router) = home.start().await;
    let delete = "DELETE /clients/c";
    assert_eq!(send(&router, delete, &json!({})).await.0, 404);
    let (_, router) = home.start().await;
    assert_eq!(send(&router, "POST /clients", &json!({ "name": "c" })).await.0, 201);
    assert_eq!(send(&router, delete, &json!({})).await.0, 200);
}

#[tokio::test]
async fn bounded_in_number_and_age() {
    let home = Home::new();
    let (plane, router) = home.start().await;
    let (now, author) = (unix_millis(), Author::system("test", ""));
    let kept = |at| DocumentBody::Answer(AnswerDocument { body: String::new(), at, sealed: String::new() });
    let fill = plane.change(&author, |proposal| {
        for number in 0..ANSWERS as u64 {
            // A fifth of them has had its time.
            let at = if number % 5 == 0 { now - ANSWER_KEPT_MS - 1 - number } else { now - number };
            proposal.put(Kind::Answer, &format!("{number:032}"), kept(at))?;
        }
        Ok(())
    });
    fill.await.unwrap();
    let count = || plane.state().each(Kind::Answer).count();
    let old = || {
        let state = plane.state();
        let all = state.each(Kind::Answer).filter(|(_, held)| match &held.document.body {
            DocumentBody::Answer(document) => now.saturating_sub(document.at) > ANSWER_KEPT_MS,
            _ => false,
        });
        all.count()
    };
    let mut before = (count(), old());
    while before.1 > 0 {
        let line = format!("PUT /teams/t{}", before.1);
        assert_eq!(send(&router, &line, &json!({})).await.0, 200);
        let now = (count(), old());
        assert!(now.0 <= ANSWERS && now.1 < before.1, "{before:?} then {now:?}");
        before = now;
    }
    // Full of young ones, the oldest goes for each that comes.
    let fill = plane.change(&author, |proposal| {
        for number in 0..(ANSWERS - count()) as u64 {
            proposal.put(Kind::Answer, &format!("more{number:028}"), kept(now - number))?;
        }
        Ok(())
    });
    fill.await.unwrap();
    assert_eq!(count(), ANSWERS);
    assert_eq!(send(&router, "PUT /teams/last", &json!({})).await.0, 200);
    assert_eq!(count(), ANSWERS);
}
