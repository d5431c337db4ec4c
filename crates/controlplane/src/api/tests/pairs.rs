//! Key pairs of clients: shown once, kept in the vault as long as a document names them, and nobody's twice.

use super::*;
use serde_json::json;

const ID: &str = "KEYPAIROFTHETEST0001";
const SECRET: &str = "the-secret-access-key-of-this-test";

/// The secret that replicas would check this access key by.
fn served(plane: &Plane, id: &str) -> Option<String> {
    let snapshot = plane.snapshot();
    let pair = snapshot.clients.by_access_key(id)?;
    assert!(snapshot.clients.admits(&pair.digest), "it lets its client in");
    Some(String::from_utf8(pair.secret.expose().to_vec()).unwrap())
}

fn text(answer: &Value, path: &str) -> String {
    answer.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_made_pair_is_shown_once_and_replaced() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let made = ask(&router, TOKEN, "POST /clients", json!({ "name": "c", "make_key_pair": true })).await.1;
    let first = (text(&made, "/sigv4/access_key_id"), text(&made, "/secret_access_key"));
    assert!(text(&made, "/token").starts_with("kw_") && !first.1.is_empty(), "{made}");
    assert_eq!(served(&plane, &first.0).as_ref(), Some(&first.1));
    for line in ["GET /clients/c", "GET /clients", "GET /export", "GET /audit"] {
        let answer = ask(&router, TOKEN, line, json!({})).await.1;
        assert!(!answer.to_string().contains(&first.1), "{line}");
    }

    // What is said of other fields leaves it.
    ask(&router, TOKEN, "PATCH /clients/c", json!({ "models": ["a"] })).await;
    ask(&router, TOKEN, "POST /clients/c/rotate", json!({})).await;
    assert_eq!(served(&plane, &first.0).as_ref(), Some(&first.1));

    let (status, made) = ask(&router, TOKEN, "POST /clients/c/key-pair", json!({})).await;
    let second = (text(&made, "/access_key_id"), text(&made, "/secret_access_key"));
    assert_eq!((status, served(&plane, &first.0)), (200, None));
    assert_eq!(served(&plane, &second.0).as_ref(), Some(&second.1));
    let held = plane.vault().ids().unwrap();
    assert_eq!(held, plane.state().secrets().collect::<Vec<_>>(), "the old one is erased");
    assert!(held.len() == 1 && plane.state().names(&held[0]));

    ask(&router, TOKEN, "DELETE /clients/c", json!({})).await;
    assert_eq!((served(&plane, &second.0), plane.vault().ids().unwrap().len()), (None, 0));
}

#[tokio::test]
async fn a_file_names_a_pair_and_leaves_its_secret_out() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let apply = async |pair: Value| {
        let file = json!({ "file": { "clients": { "c": { "sigv4": pair } } } });
        ask(&router, TOKEN, "POST /apply", file).await
    };
    let (status, answer) = apply(json!({ "access_key_id": ID })).await;
    assert_eq!(
        (status, text(&answer, "/error/field")),
        (422, "clients.c.sigv4.secret_access_key".to_owned())
    );
    let whole = json!({ "access_key_id": ID, "secret_access_key": SECRET });
    assert_eq!(apply(whole.clone()).await.0, 200);
    assert_eq!(served(&plane, ID).as_deref(), Some(SECRET));
    let version = plane.version();
    for same in [whole.clone(), json!({ "access_key_id": ID })] {
        apply(same).await;
        assert_eq!(
            (plane.version(), served(&plane, ID).as_deref()),
            (version, Some(SECRET)),
            "nothing changed"
        );
    }

    let (status, answer) = ask(&router, TOKEN, "POST /clients", json!({ "name": "d", "sigv4": whole })).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer.to_string().contains("access key") && !answer.to_string().contains(SECRET), "{answer}");
    for wrong in
        [json!({ "access_key_id": "a/b" }), json!({ "access_key_id": ID, "secret_access_key": "short" })]
    {
        assert_eq!(apply(wrong).await.0, 422);
    }

    let file = json!({ "file": { "clients": { "c": {} } } });
    ask(&router, TOKEN, "POST /apply", file).await;
    assert_eq!((served(&plane, ID), plane.vault().ids().unwrap().len()), (None, 0), "left out, it is gone");
}
