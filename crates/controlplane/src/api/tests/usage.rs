//! Usage over REST: a team's token sees its team's and nothing that tells of another, pages stand still, words are checked.

use super::*;
use crate::{plane::unix_millis, resource::Scope};
use keyway_proto::{
    fleet::v1::{Attempt, Batch, Count, Frame, Outcome, Record, Spender, UsageSource},
    snapshot::v1::Meter,
};
use prost::Message;
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;
use ulid::Ulid;

struct Filled {
    plane: Arc<Plane>,
    router: Router,
    books: Arc<Books>,
}

fn record(number: u64, started: u64, team: &str) -> Record {
    let spender = Spender {
        client: format!("of-{team}"),
        team: team.to_owned(),
        provider: "openai".to_owned(),
        model: "gpt-4o".to_owned(),
        key: "openai/main/2".to_owned(),
        alias: "fast".to_owned(),
        tags: vec!["env=prod".to_owned()],
    };
    let failed = Attempt {
        provider: "openai".to_owned(),
        model: "o3".to_owned(),
        key: "openai/main/1".to_owned(),
        status: 429,
        reason: "rate_limited".to_owned(),
        micros: 12_345,
    };
    Record {
        id: Ulid::from_parts(started, u128::from(number)).to_bytes().to_vec(),
        started_unix_millis: started,
        spender: Some(spender),
        endpoint: 1,
        dialect: 1,
        asked: "fast".to_owned(),
        status: 200,
        outcome: Outcome::Served.into(),
        total_micros: 1_500,
        attempts: vec![failed.clone(), Attempt { status: 200, reason: String::new(), ..failed }],
        route: vec!["openai/o3".to_owned(), "openai/gpt-4o".to_owned()],
        counts: vec![
            Count { meter: Meter::Input.into(), count: 100 },
            Count { meter: Meter::CacheRead.into(), count: 20 },
            Count { meter: Meter::Output.into(), count: 7 },
        ],
        usage_source: UsageSource::Provider.into(),
        nano_dollars: Some(1_000_000_123),
        price_rules: vec!["list".to_owned()],
        ..Record::default()
    }
}

async fn book(books: &Books, process: &str, records: Vec<Record>) {
    let frame = Frame { first: 1, last: 1, records, sums: Vec::new() };
    let frames = vec![frame.encode_to_vec()];
    let batch = Batch { replica: "r1".to_owned(), incarnation: process.to_owned(), frames };
    books.book(batch, unix_millis()).await.unwrap();
}

/// Twenty requests of each of two teams, in turn.
async fn filled() -> Filled {
    let vault = crate::vault::Vault::ephemeral().unwrap();
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let plane = Arc::new(Plane::open(store, vault).await.unwrap());
    let books = books();
    let token = Token::new(TOKEN).unwrap();
    let router = router(Api::new(Arc::clone(&plane), Arc::default(), Arc::clone(&books), token));
    for team in ["a", "b"] {
        assert_eq!(ask(&router, TOKEN, &format!("PUT /teams/{team}"), json!({})).await.0, 200);
    }
    let now = unix_millis();
    let of =
        |number: u64| record(number, now - 60_000 - number, if number.is_multiple_of(2) { "a" } else { "b" });
    book(&books, "p", (0..40).map(of).collect()).await;
    Filled { plane, router, books }
}

// === impl Filled ===

impl Filled {
    async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        ask(&self.router, token, &format!("GET {path}"), json!({})).await
    }

    async fn bound(&self, team: &str) -> String {
        let scopes = BTreeSet::from([Scope::UsageRead]);
        let rights = Rights { scopes, team: Some(team.to_owned()), expires: None };
        operator(&self.plane, &format!("of-{team}"), rights).await
    }
}

#[tokio::test]
async fn sums_are_shown_in_full() {
    let filled = filled().await;
    let (status, page) = filled.get(TOKEN, "/usage?by=client,model,key,alias,tag:env,day&sort=tokens").await;
    assert_eq!((status, page["rows"].as_array().unwrap().len()), (200, 2), "{page}");
    let row = &page["rows"][0];
    let expected = json!({
        "model": "openai/gpt-4o", "key": "openai/main", "alias": "fast", "tag:env": "prod",
        "requests": 20, "errors": 0, "input_tokens": 2400, "output_tokens": 140, "cache_read_tokens": 400,
        "cost_nanodollars": 20_000_002_460_u64, "cost_usd": "20.000002460", "avg_ms": 1.5, "avg_first_token_ms": null,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&row[name], value, "{name} of {row}");
    }
    assert_eq!((&page["total"]["requests"], &page["next"]), (&json!(40), &Value::Null));
    let (_, page) = filled.get(TOKEN, "/usage?by=key_version,tag").await;
    assert_eq!(
        (&page["rows"][0]["key"], &page["rows"][0]["tags"]),
        (&json!("openai/main/2"), &json!({ "env": "prod" }))
    );
}

#[tokio::test]
async fn a_request_is_explained_line_by_line() {
    let filled = filled().await;
    let (_, page) = filled.get(TOKEN, "/logs?limit=1&client=of-b").await;
    let id = page["records"][0]["id"].as_str().unwrap().to_owned();
    let (status, one) = filled.get(TOKEN, &format!("/logs/{id}")).await;
    assert_eq!((status, &one["id"], &one["cost_usd"]), (200, &json!(id), &json!("1.000000123")));
    let seen =
        json!([one["endpoint"], one["dialect"], one["outcome"], one["usage_source"], one["tags"]["env"]]);
    assert_eq!(seen, json!(["/v1/chat/completions", "openai-chat", "served", "provider", "prod"]));
    let rules = one["rules"].to_string();
    for part in [
        "alias `fast`; in order: openai/o3, then openai/gpt-4o",
        "attempt 1: openai/o3",
        "429 (rate_limited)",
        "12.345 ms",
        "attempt 2",
        "provider's",
        "1.000000123 USD",
        "list",
    ] {
        assert!(rules.contains(part), "{part}: {rules}");
    }
}

#[tokio::test]
async fn a_team_sees_its_own_and_nothing_that_tells_of_another() {
    let filled = filled().await;
    let (a, b) = (filled.bound("a").await, filled.bound("b").await);
    for query in ["", "?team=b", "?client=of-b", "?by=team"] {
        let (_, page) = filled.get(&a, &format!("/usage{query}")).await;
        let text = page.to_string();
        let expected = if query.contains("=b") || query.contains("of-b") { 0 } else { 20 };
        assert_eq!(page["total"]["requests"], expected, "{query}: {text}");
        assert!(!text.contains("of-b") && !text.contains("\"b\""), "{text}");
    }
    let (_, own) = filled.get(&a, "/logs?limit=100").await;
    assert_eq!(own["records"].as_array().unwrap().len(), 20);
    assert!(own["records"].as_array().unwrap().iter().all(|one| one["team"] == "a"), "{own}");
    let (_, others) = filled.get(&b, "/logs?limit=1").await;
    let foreign = others["records"][0]["id"].as_str().unwrap();
    let (status, refused) = filled.get(&a, &format!("/logs/{foreign}")).await;
    let nowhere = Ulid::from_parts(1, 1).to_string();
    let (also, absent) = filled.get(&a, &format!("/logs/{nowhere}")).await;
    assert_eq!((status, also), (404, 404));
    assert_eq!(refused.to_string().replace(foreign, "ID"), absent.to_string().replace(&nowhere, "ID"));
    // A cursor of one team, of one question, is of no use to any other.
    let cursor = |page: &Value| page["next"].as_str().unwrap().to_owned();
    let (_, page) = filled.get(&b, "/logs?limit=1").await;
    let (logs, (_, sums)) = (cursor(&page), filled.get(&b, "/usage?by=client,minute&limit=1").await);
    assert_eq!(sums["next"], Value::Null);
    for (token, path) in [
        (&a, format!("/logs?cursor={logs}")),
        (&b, format!("/logs?client=of-b&cursor={logs}")),
        (&b, format!("/usage?cursor={logs}")),
        (&b, format!("/logs?cursor={}x", &logs[..logs.len() - 1])),
        (&b, "/logs?cursor=q.AAAA".to_owned()),
    ] {
        let (status, refused) = filled.get(token, &path).await;
        assert_eq!((status, &refused["error"]["code"]), (400, &json!("bad_cursor")), "{path}: {refused}");
    }
    assert_eq!(filled.get(&b, &format!("/logs?limit=3&cursor={logs}")).await.0, 200);
}

#[tokio::test]
async fn pages_stand_still_while_new_requests_come_in() {
    let filled = filled().await;
    let (mut path, mut seen) = ("/logs?limit=7".to_owned(), Vec::new());
    for page in 0.. {
        let (_, got) = filled.get(TOKEN, &path).await;
        seen.extend(got["records"].as_array().unwrap().iter().map(|one| one["id"].clone()));
        let Some(cursor) = got["next"].as_str() else { break };
        path = format!("/logs?limit=7&cursor={cursor}");
        let later = record(1_000 + page, unix_millis() + 60_000, "a");
        book(&filled.books, &format!("p{page}"), vec![later]).await;
    }
    assert_eq!((seen.len(), seen.iter().map(Value::to_string).collect::<BTreeSet<_>>().len()), (40, 40));
}

#[tokio::test]
async fn what_is_no_word_is_refused_with_the_nearest() {
    let filled = filled().await;
    let cases = [
        ("/usage?clint=a", "did you mean client?"),
        ("/usage?by=clients", "did you mean client?"),
        ("/usage?by=tag:", "is no dimension"),
        ("/usage?sort=costs", "did you mean cost?"),
        ("/usage?since=yesterday", "`since` is milliseconds"),
        ("/usage?since=1h&until=2h", "`since` is earlier"),
        ("/usage?limit=0", "`limit` is a number from 1 to 10000"),
        ("/logs?limit=1001", "`limit` is a number from 1 to 1000"),
        ("/logs?status=6xx", "`status` is a status like 429"),
        ("/logs?outcome=servd", "did you mean served?"),
        ("/logs?unpriced=1", "`unpriced` is true or false"),
        ("/logs?by=client", "is no name of this query"),
        ("/logs/follow?since=1h", "is no name of this query"),
    ];
    for (path, words) in cases {
        let (status, refused) = filled.get(TOKEN, path).await;
        let message = refused["error"]["message"].as_str().unwrap_or_default();
        assert_eq!((status, message.contains(words)), (400, true), "{path}: {refused}");
    }
    assert_eq!(filled.get(TOKEN, "/logs/not-an-id").await.0, 404);
}

#[tokio::test]
async fn a_stretch_without_end_is_answered() {
    let filled = filled().await;
    let end = u64::MAX;
    for by in ["minute", "hour", "day", "client"] {
        let (status, page) = filled.get(TOKEN, &format!("/usage?by={by}&since=1h&until={end}")).await;
        assert_eq!((status, &page["total"]["requests"]), (200, &json!(40)), "{page}");
        let (status, page) = filled.get(TOKEN, &format!("/usage?by={by}&since={end}&until={end}")).await;
        assert_eq!((status, &page["total"]["requests"]), (200, &json!(0)), "{page}");
    }
    let (status, page) = filled.get(TOKEN, &format!("/logs?since=1h&until={end}&limit=100")).await;
    assert_eq!((status, page["records"].as_array().map(Vec::len)), (200, Some(40)), "{page}");
}

#[tokio::test]
async fn followers_see_what_fits_as_it_is_booked_and_the_end() {
    let filled = filled().await;
    let bearer = format!("Bearer {}", filled.bound("a").await);
    let headers = [("authorization", bearer.as_str())];
    let path = format!("{PREFIX}/logs/follow?status=2xx");
    let response = call(&filled.router, "GET", &path, &headers, Body::empty()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let now = unix_millis();
    let mut refused = record(3, now, "a");
    refused.status = 500;
    book(&filled.books, "p2", vec![record(1, now, "b"), refused, record(2, now, "a")]).await;
    filled.books.end_tail();
    let mut text = String::new();
    let all = async {
        while let Some(frame) = body.frame().await {
            text += std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap();
        }
    };
    timeout(Duration::from_secs(10), all).await.unwrap();
    let events: Vec<&str> = text.split("\n\n").filter(|event| event.starts_with("event: ")).collect();
    assert_eq!(events.len(), 1, "{text}");
    let data = events[0].strip_prefix("event: record\ndata: ").unwrap();
    let shown: Value = serde_json::from_str(data).unwrap();
    assert_eq!(shown["id"], Ulid::from_parts(now, 2).to_string());
}
