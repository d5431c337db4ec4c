//! Configuration that would hurt a data plane is refused at the admin API, whole and with the place at fault: P7 of the list of
//! faults. What is large goes through the API itself, since a careful client would not send it.

use std::time::{Duration, Instant};

use keyway_e2e::admin::{Admin, Answered};
use keyway_e2e::fleet::{admin, ask, settled, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_e2e::states::sent;
use keyway_e2e::traffic::Traffic;
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// Routes of the alias that has too many; `KEYWAY_LONG`: a million, which an unoptimised control plane reads for long.
const ROUTES: usize = 100_000;
const LONG_ROUTES: usize = 1_000_000;
/// Aliases of the file that has too many.
const ALIASES: usize = 20_000;

fn target() -> Value {
    json!({ "provider": "sim", "model": "m" })
}

/// A file that holds something good beside what is poisoned, which must not come into force either.
fn beside(good: usize, poisoned: Value) -> Value {
    let mut file = poisoned;
    if let Value::Object(sections) = &mut file {
        sections.insert("teams".to_owned(), json!({ format!("good-{good}"): {} }));
    }
    json!({ "file": file })
}

fn poisons() -> Vec<(&'static str, Value, &'static str)> {
    let alias = |spec: Value| json!({ "models": { "bad": spec } });
    let client = |models: Value| json!({ "clients": { "bad": { "models": models } } });
    let routes = if std::env::var_os("KEYWAY_LONG").is_some() { LONG_ROUTES } else { ROUTES };
    let many: Map<String, Value> =
        (0..ALIASES).map(|number| (format!("a{number}"), json!({ "targets": [target()] }))).collect();
    vec![
        (
            "very many routes of one alias",
            alias(json!({ "targets": vec![target(); routes] })),
            "models.bad.targets",
        ),
        ("20,000 aliases", json!({ "models": many }), "models"),
        (
            "an unknown strategy",
            alias(json!({ "targets": [target()], "strategy": "luckiest" })),
            "models.bad.strategy",
        ),
        (
            "an unknown dialect",
            json!({ "providers": { "bad": { "dialect": "esperanto", "base_url": "http://127.0.0.1:9" } } }),
            "providers.bad.dialect",
        ),
        ("an unknown field", alias(json!({ "targets": [target()], "regex": "(a+)+$" })), "models.bad.regex"),
        (
            "a number out of range",
            alias(json!({ "targets": [target()], "retries": 4_000_000_000u32 })),
            "models.bad.retries",
        ),
        (
            "an alias that falls back to itself",
            alias(json!({ "targets": [target()], "fallback": ["bad"] })),
            "models.bad.fallback",
        ),
        ("a pattern as wide as a book", client(json!(["*a".repeat(10_000)])), "clients.bad.models[0]"),
        ("100,000 patterns", client(json!(vec!["*"; 100_000])), "clients.bad.models"),
        (
            "one alias larger than a message",
            json!({ "models": { "bad": { "targets": vec![json!({ "provider": "sim", "model": "m".repeat(200_000) }); 6] } } }),
            "models.bad.targets[0].model",
        ),
    ]
}

async fn apply(admin: &Admin, body: &Value) -> Outcome<Answered> {
    admin.call(Method::POST, "/apply", Some(body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_poisoned_configuration_is_refused_whole_and_named_by_its_place() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::start(&yaml(&provider, ""), 1)?;
    let admin = admin(&planes)?;
    let version = settled(&admin, 1).await?;
    let before = sent(&admin).await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(10))?;
    for (at, (what, poisoned, field)) in poisons().into_iter().enumerate() {
        let (body, began) = (beside(at, poisoned), Instant::now());
        let answered = apply(&admin, &body).await?;
        let took = began.elapsed();
        let error = &answered.json["error"];
        println!("{what}: {} {} {} in {took:?}", answered.status, error["field"], error["message"]);
        assert_eq!((answered.status, answered.code()), (422, "invalid_config"), "{what}: {error}");
        assert_eq!(error["field"], field, "{what}: {error}");
        let told = error["problems"].as_array().map_or(0, Vec::len);
        assert!(told <= 50, "{what}: {told} problems are told");
    }
    // Wide, and no harm: matching a name is linear in both.
    let wide =
        json!({ "file": { "clients": { "wide": { "models": ["*a".repeat(100), "*".repeat(200)] } } } });
    assert_eq!(apply(&admin, &wide).await?.status, 200);

    let teams = admin.get("/teams").await?;
    assert_eq!(teams, json!([]), "a poisoned file came into force in part");
    let now = sent(&admin).await?;
    assert_eq!((now.refused, now.whole), (before.refused, before.whole), "no replica ever saw any of it");
    assert_ne!(settled(&admin, 1).await?, version, "what is good is taken after it");
    traffic.more(20).await?;
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    assert_eq!(ask(planes.replicas.first().ok_or("no replica")?, "sim/m").await?.status, 200);
    Ok(())
}
