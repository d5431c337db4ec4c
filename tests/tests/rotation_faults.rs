//! Rotations that meet requests in flight (R1), a bad new key (R2), and a key that died at the provider (R10).

use std::time::Duration;

use keyway_e2e::gateway::{CHAT, Gateway, MAIN_KEY, Outcome, SPARE_KEY, TOKEN, chat};
use keyway_e2e::held;
use keyway_e2e::rotation::{KEY, actions, rotate, secret, shown, state, until, yaml, yaml_of};
use keyway_testkit::load::{Load, Running, wants_ok};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::{KeyUse, Provider};
use serde_json::Value;

/// Until the control plane does something by itself, on a busy machine.
const BY_ITSELF: Duration = Duration::from_secs(30);

const REPLICAS: u32 = 2;

fn used(provider: &Provider, key: &str) -> KeyUse {
    provider.keys().get(key).copied().unwrap_or_default()
}

/// A closed loop that must not notice anything.
fn load(gateway: &Gateway) -> Running {
    Load {
        to: gateway.address,
        callers: 8,
        path: CHAT.to_owned(),
        token: TOKEN.to_owned(),
        body: chat("sim/m").into(),
        pause: Duration::from_millis(2),
        check: wants_ok(),
    }
    .start()
}

/// Waits until so many more requests came to the provider.
async fn more(provider: &Provider, count: usize) -> Outcome {
    let goal = provider.requests() + count;
    until(BY_ITSELF, &format!("{count} more requests"), || Ok(provider.requests() >= goal)).await
}

// === R1 ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_500_requests_in_flight_finish_on_the_old_key_and_new_ones_use_the_new() -> Outcome {
    const EACH: usize = 250;
    let provider = Provider::start()?;
    provider.accept_only(&[MAIN_KEY]);
    held::script(&provider);
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(REPLICAS))?;
    let streams = held::streams(&gateway, TOKEN, EACH).await?;
    let mut replies = Vec::new();
    for _ in 0..EACH {
        replies.push(held::whole(&gateway, TOKEN).await?);
    }
    until(BY_ITSELF, "all are in flight", || Ok(provider.requests() == 2 * EACH)).await?;

    let new = secret(1);
    provider.accept_key(&new);
    let change = rotate(&gateway.keyway, &new, &["--overlap", "0s", "--wait", "acked"])?;
    // From the last acknowledgement on no new request may take it; those in flight are not asked again.
    provider.refuse_key(MAIN_KEY, 401);
    assert_eq!(change.code, Some(0), "{change:?}");
    for _ in 0..20 {
        assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    }
    assert!(used(&provider, &new).requests >= 20, "{:?}", provider.keys());
    until(BY_ITSELF, "those in flight are counted on the old key", || {
        let now = shown(&gateway.keyway)?;
        let in_flight = now.pointer("/use/1/in_flight").and_then(Value::as_u64);
        Ok(state(&now, 1) == "withdrawn" && in_flight == Some(2 * EACH as u64))
    })
    .await?;

    provider.release();
    for stream in streams {
        let answer = stream.end().await?;
        assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    }
    for mut reply in replies {
        let answer = reply.answer().await?;
        assert!(answer.complete && answer.status == 200, "{}", answer.text());
    }
    let old = used(&provider, MAIN_KEY);
    assert_eq!((old.requests, old.refused), (2 * EACH as u64, 0), "{old:?}");
    until(BY_ITSELF, "the old version is retired", || Ok(state(&shown(&gateway.keyway)?, 1) == "retired"))
        .await?;
    let after = shown(&gateway.keyway)?;
    let figure = |name: &str| after.pointer(&format!("/rollout/{name}")).and_then(Value::as_u64);
    println!(
        "last ACK {:?} after activation; on old {:?}, on new {:?}, failed {:?}",
        change.last_ack(),
        figure("served_old"),
        figure("served_new"),
        figure("failed")
    );
    assert_eq!((figure("failed"), figure("standby")), (Some(0), Some(0)), "{after}");
    Ok(())
}

// === R2 ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_a_new_key_that_the_provider_refuses_never_comes_into_use() -> Outcome {
    let provider = Provider::start()?;
    provider.accept_only(&[MAIN_KEY]);
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(REPLICAS))?;
    let load = load(&gateway);
    more(&provider, 50).await?;
    let bad = secret(1);
    let change = rotate(&gateway.keyway, &bad, &["--overlap", "0s", "--wait"])?;
    assert_eq!((change.code, change.stderr.lines().count()), (Some(1), 1), "{change:?}");
    assert!(change.stderr.contains("HTTP 401") && !change.stderr.contains(&bad), "{change:?}");
    more(&provider, 50).await?;
    let counts = load.stop().await;
    assert_eq!(counts.failures(), 0, "{:?}", counts.failed);
    assert_eq!(used(&provider, &bad).requests, 1, "the probe alone");
    let now = shown(&gateway.keyway)?;
    assert_eq!((state(&now, 1), state(&now, 2)), ("active".into(), "rejected".into()), "{now}");

    let url = format!("{}/api/v1/keys/{KEY}/rotate", gateway.keyway.admin_url());
    let body = serde_json::json!({ "secret": secret(2) }).to_string();
    let request = reqwest::Client::builder().no_proxy().build()?.post(url).body(body);
    let request = request.header("content-type", "application/json");
    let answer = request.bearer_auth(gateway.keyway.admin_token()?).send().await?;
    let (status, text) = (answer.status().as_u16(), answer.text().await?);
    assert_eq!(status, 422, "{text}");
    assert!(text.contains(r#""code":"key_probe_failed""#) && !text.contains(&secret(2)), "{text}");
    assert!(!text.contains("Incorrect API key"), "the provider's own text: {text}");
    gateway.goes_on(None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_a_new_key_that_turns_bad_inside_the_overlap_is_rolled_back_and_nobody_notices() -> Outcome {
    let provider = Provider::start()?;
    provider.accept_only(&[MAIN_KEY]);
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(REPLICAS))?;
    let load = load(&gateway);
    more(&provider, 50).await?;
    let new = secret(1);
    provider.accept_key(&new);
    let change = rotate(&gateway.keyway, &new, &["--overlap", "10m", "--wait", "acked"])?;
    assert_eq!(change.code, Some(0), "{change:?}");
    until(BY_ITSELF, "the new key is used", || Ok(used(&provider, &new).requests > 20)).await?;

    provider.refuse_key(&new, 401);
    until(BY_ITSELF, "the control plane rolls back", || {
        Ok(actions(&gateway.keyway)?.iter().any(|action| action == "key.refused.rollback"))
    })
    .await?;
    until(BY_ITSELF, "the roll back is over", || {
        let now = shown(&gateway.keyway)?;
        Ok((state(&now, 1), state(&now, 2)) == ("active".to_owned(), "rolled_back".to_owned()))
    })
    .await?;
    let bad = used(&provider, &new);
    more(&provider, 200).await?;
    let counts = load.stop().await;
    assert_eq!(counts.failures(), 0, "{:?}", counts.failed);
    println!("{} requests, {} of them met the key that had turned bad", counts.ok, bad.refused);
    assert_eq!(used(&provider, &new).requests, bad.requests, "it is still used");
    assert!(bad.refused <= TRIES, "the refused key was tried {} times", bad.refused);
    assert!(
        actions(&gateway.keyway)?.iter().any(|action| action == "key.standby"),
        "no event of the standby"
    );
    gateway.goes_on(None).await
}

// === R10 ===

/// Uses of a dead key at most: what was on its way on each of the callers' connections when it died, and per core of
/// each replica and for the control plane's question one more try or two.
const TRIES: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_a_key_that_dies_at_the_provider_goes_out_of_use_everywhere_and_nobody_notices() -> Outcome {
    let provider = Provider::start()?;
    provider.accept_only(&[MAIN_KEY, SPARE_KEY]);
    let keys = [("main", MAIN_KEY), ("spare", SPARE_KEY)];
    let gateway = Gateway::of(Keyway::up().config(yaml_of(&provider, &keys)).replicas(REPLICAS))?;
    let load = load(&gateway);
    until(BY_ITSELF, "both keys are used", || {
        Ok(used(&provider, MAIN_KEY).requests > 20 && used(&provider, SPARE_KEY).requests > 20)
    })
    .await?;

    provider.refuse_key(MAIN_KEY, 401);
    until(BY_ITSELF, "the control plane takes it out of use", || {
        Ok(actions(&gateway.keyway)?.iter().any(|action| action == "key.refused.withdraw"))
    })
    .await?;
    until(BY_ITSELF, "every replica is rid of it", || Ok(state(&shown(&gateway.keyway)?, 1) == "rejected"))
        .await?;
    let dead = used(&provider, MAIN_KEY);
    more(&provider, 200).await?;
    let counts = load.stop().await;
    assert_eq!(counts.failures(), 0, "{:?}", counts.failed);
    println!("{} requests, {} of them met the dead key", counts.ok, dead.refused);
    assert_eq!(used(&provider, MAIN_KEY).requests, dead.requests, "it is still used");
    assert!(dead.refused <= TRIES, "the dead key was tried {} times", dead.refused);
    gateway.goes_on(None).await
}
