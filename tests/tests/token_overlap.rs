//! A client changes its token while it is used: both are valid for a while, and the old one ends once callers are seen on
//! the new one alone, or by its time, with its last users named.

use std::time::Duration;

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{admin, text, yaml};
use keyway_e2e::gateway::{CHAT, Outcome, TOKEN, chat};
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use serde_json::{Value, json};

const BY_ITSELF: Duration = Duration::from_secs(30);
const TESTER: &str = "/clients/tester";

/// The status with that token on every replica, which must be the same.
async fn ask(planes: &Planes, token: &str) -> Outcome<u16> {
    let mut seen = Vec::new();
    for replica in &planes.replicas {
        let request = post(CHAT, token, "", chat("sandbox/echo").as_bytes());
        seen.push(Caller::connect(replica.address()?).await?.ask(&request).await?.status);
    }
    seen.dedup();
    let [status] = seen.as_slice() else { return Err(format!("replicas differ: {seen:?}").into()) };
    Ok(*status)
}

async fn rotate(admin: &Admin, body: Value) -> Outcome<String> {
    Ok(text(&admin.post(&format!("{TESTER}/rotate"), body).await?, "/token").to_owned())
}

async fn ended(admin: &Admin) -> Outcome<Value> {
    admin
        .until(BY_ITSELF, TESTER, |client| {
            client.pointer("/handover/ended").filter(|end| !end.is_null()).cloned()
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_tokens_work_until_callers_are_seen_on_the_new_one_alone() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 2)?;
    let admin = admin(&planes)?;
    let new = rotate(&admin, json!({ "overlap": "10m", "quiet": "4s" })).await?;
    assert_eq!((ask(&planes, TOKEN).await?, ask(&planes, &new).await?), (200, 200));
    let old_used = |client: &Value| {
        let replicas = client.pointer("/old_tokens/replicas").and_then(Value::as_array).map(Vec::len);
        let from = client.pointer("/old_tokens/sources/0").and_then(Value::as_str);
        (replicas == Some(2) && from == Some("127.0.0.1")).then_some(())
    };
    admin.until(BY_ITSELF, TESTER, old_used).await?;

    // The file that is applied at the start still names the old token, and takes nothing back.
    planes.control.kill()?;
    assert_eq!((ask(&planes, TOKEN).await?, ask(&planes, &new).await?), (200, 200));
    tokio::task::block_in_place(|| planes.start_control())?;
    assert_eq!((ask(&planes, TOKEN).await?, ask(&planes, &new).await?), (200, 200));
    let end = ended(&admin).await?;
    println!("{end}");
    assert_eq!(end.get("over"), Some(&json!(false)), "{end}");
    assert!(end.get("last_use_old").and_then(Value::as_u64) > Some(0), "{end}");
    admin
        .until(BY_ITSELF, "/fleet", |fleet| {
            fleet.as_array()?.iter().all(|one| text(one, "/state") == "ready").then_some(())
        })
        .await?;
    assert_eq!((ask(&planes, TOKEN).await?, ask(&planes, &new).await?), (401, 200));

    // By its time, with whoever still uses it named.
    let next = rotate(&admin, json!({ "overlap": "3s", "quiet": "1m" })).await?;
    assert_eq!((ask(&planes, &new).await?, ask(&planes, &next).await?), (200, 200));
    let end = ended(&admin).await?;
    assert_eq!((end.get("over"), text(&end, "/sources/0")), (Some(&json!(true)), "127.0.0.1"), "{end}");

    // Without an overlap at once, as ever.
    let last = rotate(&admin, json!({})).await?;
    assert_eq!((ask(&planes, &next).await?, ask(&planes, &last).await?), (401, 200));
    Ok(())
}
