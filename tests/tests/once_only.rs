//! Changes under an idempotency key and kill -9 of the control plane at any moment: each is made once, and what was answered is
//! answered again. `KEYWAY_LONG`: three hundred kills.

use std::time::Duration;

use keyway_e2e::admin::{Admin, Answered};
use keyway_e2e::fleet::{admin, ask, text, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use serde_json::{Value, json};

const ROUNDS: u64 = 20;
const ROUNDS_LONG: u64 = 300;
/// A change takes some milliseconds: the kill comes at this step more after each round, so that all of it is met.
const STEP: Duration = Duration::from_micros(700);
const STEPS: u32 = 20;

/// How often the log says that it was made.
async fn made(admin: &Admin, name: &str) -> Outcome<usize> {
    let log = admin.get(&format!("/audit?after=0&subject=client/{name}")).await?;
    Ok(log.get("records").and_then(Value::as_array).map(Vec::len).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_a_change_is_made_once_and_its_answer_stays() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 1)?;
    let admin = admin(&planes)?;
    let long = std::env::var_os("KEYWAY_LONG").is_some();
    let rounds = if long { ROUNDS_LONG } else { ROUNDS };
    let (mut answered, mut made_unheard, mut not_made) = (0, 0, 0);
    for round in 0..rounds {
        let (name, key) = (format!("c{round}"), format!("k{round}"));
        let body = json!({ "name": name, "models": ["sandbox/*"] });
        let (asked, with, sent) = (admin.clone(), key.clone(), body.clone());
        let first = tokio::spawn(async move { asked.post_once("/clients", &sent, &with).await.ok() });
        let step = u32::try_from(round % u64::from(STEPS))?;
        tokio::time::sleep(STEP * step).await;
        planes.control.kill()?;
        let first: Option<Answered> = first.await?;
        planes.start_control()?;
        match made(&admin, &name).await? {
            0 => not_made += 1,
            _ if first.is_some() => answered += 1,
            _ => made_unheard += 1,
        }
        let again = admin.post_once("/clients", &body, &key).await?;
        assert_eq!(again.status, 201, "round {round}: {}", again.json);
        assert!(text(&again.json, "/token").starts_with("kw_"), "{}", again.json);
        if let Some(first) = first {
            assert_eq!(first, again, "round {round}");
        }
        assert_eq!(made(&admin, &name).await?, 1, "round {round}");
        assert_eq!(admin.post_once("/clients", &body, &key).await?, again, "round {round}");
    }
    println!(
        "{rounds} kills: {answered} after the answer, {made_unheard} between commit and answer, {not_made} before the commit; each made once"
    );
    assert_eq!(ask(&planes.replicas[0], "sandbox/echo").await?.status, 200);
    Ok(())
}
