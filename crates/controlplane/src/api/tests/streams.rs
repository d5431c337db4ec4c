//! Open streams: signs of life whatever else happens, and an end with the reader and with its token.

use super::*;
use crate::resource::Scope;
use serde_json::json;
use std::time::Duration;
use tokio::time::{sleep, timeout};

async fn open(router: &Router, token: &str, path: &str) -> Response {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    call(router, "GET", &format!("{PREFIX}{path}"), &headers, Body::empty()).await
}

/// What comes next; `None` = the end.
async fn next(body: &mut Body) -> Option<String> {
    let frame = timeout(Duration::from_secs(60), body.frame()).await.expect("a sign of life");
    Some(String::from_utf8(frame?.unwrap().data_ref().unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_stream_of_requests_ends_with_its_token() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let eve = operator(&plane, "eve", Rights::all()).await;
    let mut streams = Vec::new();
    for token in [eve.as_str(), TOKEN] {
        let mut body = open(&router, token, "/logs/follow").await.into_body();
        assert_eq!(next(&mut body).await.as_deref(), Some(": following\n\n"));
        streams.push(body);
    }
    for body in &mut streams {
        assert_eq!(next(body).await.as_deref(), Some(":\n\n"));
    }
    assert_eq!(ask(&router, TOKEN, "POST /operators/eve/rotate", json!({})).await.0, 200);
    // One may have been on its way.
    let rest = [next(&mut streams[0]).await, next(&mut streams[0]).await];
    assert!(rest.contains(&None), "{rest:?}");
    assert_eq!(next(&mut streams[1]).await.as_deref(), Some(":\n\n"));
}

#[tokio::test]
async fn a_reader_that_left_is_noticed_at_once() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let before = Arc::strong_count(&plane);
    let body = open(&router, TOKEN, "/logs/follow?client=nobody").await.into_body();
    assert!(Arc::strong_count(&plane) > before);
    drop(body);
    let gone = async {
        while Arc::strong_count(&plane) > before {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn a_stream_of_a_rollout_ends_with_its_token() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let scopes = [Scope::KeysRead].into_iter().collect();
    let eve = operator(&plane, "eve", Rights { scopes, ..Rights::all() }).await;
    // Nobody carries it on here, so that it never ends.
    let body = json!({ "secret": "sk-first-0123456789abcdef-aaaa", "verify": false });
    let adds = router.clone();
    let adding = tokio::spawn(async move { ask(&adds, TOKEN, "POST /keys/openai/main", body).await });
    let mut body = loop {
        let response = open(&router, &eve, "/keys/openai/main/events").await;
        if response.status() == StatusCode::OK {
            break response.into_body();
        }
        assert!(!adding.is_finished(), "it was not made");
        tokio::task::yield_now().await;
    };
    assert!(next(&mut body).await.is_some_and(|event| event.starts_with("data: ")));
    assert_eq!(ask(&router, TOKEN, "POST /operators/eve/disable", json!({})).await.0, 200);
    let rest = [next(&mut body).await, next(&mut body).await];
    assert!(rest.contains(&None), "{rest:?}");
    adding.abort();
}
