//! The audit log: who did what, who was turned away, and that nothing is done that cannot be written down.

use super::*;
use crate::store::{
    Batch, Changes, Condition, Identity, Key, Listing, Pending, Record, Revision, Verified, Versioned,
};
use parking_lot::Mutex;
use serde_json::json;

/// A store whose disk fails on demand.
#[derive(Debug, Default)]
struct Failing {
    below: Memory,
    with: Mutex<Option<StoreError>>,
}

impl Store for Failing {
    fn get<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Versioned>> {
        self.below.get(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Pending<'a, Listing> {
        self.below.list(prefix)
    }

    fn commit(&self, batch: Batch) -> Pending<'_, Revision> {
        match self.with.lock().clone() {
            Some(error) => Box::pin(async { Err(error) }),
            None => self.below.commit(batch),
        }
    }

    fn watch(&self) -> Changes {
        self.below.watch()
    }

    fn identity(&self) -> Identity {
        self.below.identity()
    }

    fn head(&self) -> (Revision, [u8; 32]) {
        self.below.head()
    }

    fn audit(&self, after: Revision, limit: usize) -> Pending<'_, Vec<Record>> {
        self.below.audit(after, limit)
    }

    fn verify(&self) -> Pending<'_, Verified> {
        self.below.verify()
    }

    fn condition(&self) -> Condition {
        self.below.condition()
    }
}

async fn log(router: &Router, query: &str) -> Vec<(String, String, String)> {
    let (status, page) = ask(router, TOKEN, &format!("GET /audit{query}"), json!({})).await;
    assert_eq!(status, 200, "{page}");
    let text = |record: &Value, field: &str| record[field].as_str().unwrap().to_owned();
    let records = page["records"].as_array().unwrap().iter();
    records.map(|one| (text(one, "actor"), text(one, "action"), text(one, "subject"))).collect()
}

#[tokio::test]
async fn says_who_did_what_in_pages() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let eve = operator(&plane, "eve", Rights::all()).await;
    ask(&router, &eve, "PUT /teams/a", json!({})).await;
    ask(&router, TOKEN, "POST /clients", json!({ "name": "c", "team": "a" })).await;
    ask(&router, TOKEN, "POST /providers/sandbox/test", json!({})).await;
    ask(&router, &eve, "GET /backup", json!({})).await;
    let all = log(&router, "").await;
    let last: Vec<_> = all.iter().rev().take(4).map(|(a, b, c)| format!("{a} {b} {c}")).collect();
    assert_eq!(
        last,
        [
            "operator/eve backup ",
            "bootstrap provider.test provider/sandbox",
            "bootstrap client.create client/c",
            "operator/eve team.put team/a"
        ]
    );
    assert_eq!(log(&router, "?limit=2").await, all[all.len() - 2..]);
    assert_eq!(log(&router, "?after=0&limit=2").await, all[..2]);
    assert_eq!(log(&router, "?after=2&limit=2").await, all[2..4]);
    assert_eq!(log(&router, "?actor=operator/eve").await.len(), 2);
    assert_eq!(log(&router, "?subject=team/a&after=0").await.len(), 1);
    let page = ask(&router, TOKEN, "GET /audit?after=0&limit=2", json!({})).await.1;
    assert_eq!((&page["next"], &page["more"]), (&json!(2), &json!(true)));
    let page = ask(&router, TOKEN, "GET /audit?after=2", json!({})).await.1;
    assert_eq!((page["next"].as_u64().unwrap(), &page["more"]), (all.len() as u64, &json!(false)));
    let hash = page["records"].as_array().unwrap().last().unwrap()["hash"].clone();
    let sound = ask(&router, TOKEN, "POST /audit/verify", json!({})).await.1;
    let unsigned = json!({ "attested": 0, "attested_revision": 0, "attested_at": 0 });
    let mut expected = json!({ "records": all.len(), "revision": all.len(), "head": hash });
    expected.as_object_mut().unwrap().extend(unsigned.as_object().unwrap().clone());
    assert_eq!(sound, expected);
    let signed = ask(&router, TOKEN, "POST /audit/attest", json!({})).await.1;
    let said: Value = serde_json::from_str(signed["evidence"].as_str().unwrap()).unwrap();
    assert_eq!((&said["revision"], &said["head"]), (&json!(all.len()), &hash));
    let sound = ask(&router, TOKEN, "POST /audit/verify", json!({})).await.1;
    assert_eq!((&sound["attested"], &sound["attested_revision"]), (&json!(1), &json!(all.len())));
    assert_eq!(sound["records"], all.len() + 1);
    assert_eq!(ask(&router, TOKEN, "GET /audit?limit=many", json!({})).await.0, 400);
}

#[tokio::test]
async fn who_is_turned_away_is_written_once_a_minute() {
    let (plane, router) = on(Arc::new(Memory::default())).await;
    let weak = Rights {
        scopes: ["config:read"].iter().flat_map(|word| crate::resource::Scope::named(word)).collect(),
        ..Rights::all()
    };
    let weak = operator(&plane, "weak", weak).await;
    for _ in 0..5 {
        ask(&router, &weak, "PUT /teams/a", json!({})).await;
        ask(&router, "wrong", "PUT /teams/a", json!({})).await;
        ask(&router, "wrong", "GET /teams", json!({})).await;
    }
    let page = ask(&router, TOKEN, "GET /audit", json!({})).await.1;
    let records = page["records"].as_array().unwrap().iter().filter(|one| one["action"] == "denied");
    let seen: Vec<_> = records.map(|one| (one["actor"].clone(), one["detail"].clone())).collect();
    let detail = |code: &str| json!({ "action": "team.put", "code": code, "count": 1 });
    assert_eq!(
        seen,
        [(json!("operator/weak"), detail("forbidden")), (json!("nobody"), detail("unauthorized"))]
    );
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let store = Arc::new(Failing::default());
    let (_, router) = on(Arc::clone(&store) as Arc<dyn Store>).await;
    let before = ask(&router, TOKEN, "GET /export", json!({})).await;
    for (error, status, code) in [
        (StoreError::Full, 507, "storage_full"),
        (StoreError::Failed("EIO".to_owned()), 500, "storage_failed"),
        (StoreError::ReadOnly("a test".to_owned()), 503, "storage_read_only"),
    ] {
        *store.with.lock() = Some(error);
        for (line, body) in [
            ("PUT /teams/a", json!({})),
            ("POST /clients", json!({ "name": "c" })),
            ("POST /apply", json!({ "file": { "teams": { "a": {} } } })),
            ("POST /operators", json!({ "name": "o", "scopes": ["viewer"] })),
            ("POST /providers/sandbox/test", json!({})),
            ("GET /backup", json!({})),
        ] {
            let (found, answer) = ask(&router, TOKEN, line, body).await;
            assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)), "{line}");
        }
        assert_eq!(ask(&router, "wrong", "PUT /teams/a", json!({})).await.0, 401);
        assert_eq!(ask(&router, TOKEN, "GET /export", json!({})).await, before);
    }
    *store.with.lock() = None;
    assert_eq!(ask(&router, TOKEN, "PUT /teams/a", json!({})).await.0, 200);
}

/// Fails after it has begun.
#[derive(Debug)]
struct Breaks;

impl Backup for Breaks {
    fn begin(&self, _: bool) -> Result<Begun, StoreError> {
        Ok(Box::new(|out| {
            out.write_all(&vec![7; 1 << 20]).map_err(|error| StoreError::Failed(error.to_string()))?;
            Err(StoreError::Failed("EIO".to_owned()))
        }))
    }
}

/// Says whether something may be changed while it begins, and while it writes.
#[derive(Debug)]
struct Looks(Arc<Plane>);

fn is_still(plane: &Plane) -> bool {
    let asked = std::pin::pin!(plane.still());
    asked.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending()
}

impl Backup for Looks {
    fn begin(&self, _: bool) -> Result<Begun, StoreError> {
        let (plane, begun) = (Arc::clone(&self.0), is_still(&self.0));
        Ok(Box::new(move |out| {
            let said = format!("{begun} {}", is_still(&plane));
            out.write_all(said.as_bytes()).map_err(|error| StoreError::Failed(error.to_string()))
        }))
    }
}

#[tokio::test]
async fn a_backup_begins_while_nothing_changes_and_is_written_while_all_may() {
    let (plane, _) = on(Arc::new(Memory::default())).await;
    let api = Api::new(Arc::clone(&plane), Arc::default(), books(), Token::new(TOKEN).unwrap());
    let router = router(api.backing_up(Arc::new(Looks(plane))));
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    let response = call(&router, "GET", &format!("{PREFIX}/backup"), &headers, Body::empty()).await;
    let said = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(said, "true false");
}

#[tokio::test]
async fn a_backup_is_whole_or_breaks_off() {
    let (plane, _) = on(Arc::new(Memory::default())).await;
    let bearer = format!("Bearer {TOKEN}");
    let mut ends = Vec::new();
    for backup in [Arc::new(OneWord) as Arc<dyn Backup>, Arc::new(Breaks), Arc::new(NoBackup)] {
        let api = Api::new(Arc::clone(&plane), Arc::default(), books(), Token::new(TOKEN).unwrap());
        let router = router(api.backing_up(backup));
        let headers = [("authorization", bearer.as_str())];
        let response = call(&router, "GET", &format!("{PREFIX}/backup"), &headers, Body::empty()).await;
        let status = response.status().as_u16();
        ends.push((status, response.into_body().collect().await.map(|all| all.to_bytes().len()).ok()));
    }
    assert_eq!(ends[..2], [(200, Some(10)), (200, None)]);
    assert_eq!(ends[2].0, 503);
}
