//! Keys that share a provider's limit: switched before the 429, cooled together on every replica, shared fairly.

use bytes::Bytes;
use keyway_e2e::admin::Admin;
use keyway_e2e::gateway::{CHAT, Gateway, Outcome, TOKEN, chat};
use keyway_testkit::load::{Check, Counts, Load, wants_ok};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::{KeyUse, Limit, Provider};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Key and credential; the first two are of one organisation, the others of another.
const KEYS: [(&str, &str); 4] = [
    ("a1", "sk-sim-a1-0123456789abcdef"),
    ("a2", "sk-sim-a2-0123456789abcdef"),
    ("b1", "sk-sim-b1-0123456789abcdef"),
    ("b2", "sk-sim-b2-0123456789abcdef"),
];
const QUIET: &str = "kw-e2e-quiet-0123456789abcdefghij";
/// How long anything that must come by itself may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two organisations with two keys each; `knows`: the file says so.
fn yaml(provider: &Provider, weights: [u32; 4], knows: bool) -> String {
    let key = |((name, secret), weight): (&(&str, &str), u32)| {
        let org = name.get(..1).unwrap_or_default();
        let quota = if knows { format!(", quota: org-{org}") } else { String::new() };
        format!("{{ name: {name}, secret: {secret}, weight: {weight}{quota} }}")
    };
    let keys: Vec<String> = KEYS.iter().zip(weights).map(key).collect();
    format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{}\", keys: [{}] }}\n\
         clients:\n  tester: {{ token: {TOKEN} }}\n  quiet: {{ token: {QUIET} }}\n",
        provider.base_url(),
        keys.join(", ")
    )
}

fn organisations(provider: &Provider, limit: Limit) {
    provider.organisation(&[KEYS[0].1, KEYS[1].1], limit);
    provider.organisation(&[KEYS[2].1, KEYS[3].1], limit);
}

fn load(gateway: &Gateway, token: &str, callers: usize, pause: Duration, check: Check) -> Load {
    let body = Bytes::from(chat("sim/m"));
    Load { to: gateway.address, callers, path: CHAT.to_owned(), token: token.to_owned(), body, pause, check }
}

fn sums(provider: &Provider) -> (u64, u64) {
    let keys = provider.keys();
    let sum = |of: fn(&KeyUse) -> u64| keys.values().map(of).sum();
    (sum(|key| key.requests), sum(|key| key.throttled))
}

fn admin(keyway: &Keyway) -> Outcome<Admin> {
    Admin::new(keyway.admin_url(), &keyway.admin_token()?)
}

/// Three replicas, nine tenths of the traffic meant for one organisation, in all more than one of them allows and less
/// than both.
async fn overload(knows: bool) -> Outcome<(Counts, u64, u64)> {
    let provider = Provider::start()?;
    organisations(&provider, Limit { requests: 60, fills_in: Duration::from_secs(3), is_told: knows });
    let up = Keyway::up().config(yaml(&provider, [9, 9, 1, 1], knows)).replicas(3);
    let gateway = Gateway::of(up)?;
    let running = load(&gateway, TOKEN, 6, Duration::from_millis(200), wants_ok()).start();
    tokio::time::sleep(Duration::from_secs(15)).await;
    let counts = running.stop().await;
    let (asked, throttled) = sums(&provider);
    if knows {
        shown(&gateway).await?;
    }
    Ok((counts, asked, throttled))
}

/// Domain, limit, what is left, reset and age stand wherever a key, a provider or a model is shown.
async fn shown(gateway: &Gateway) -> Outcome {
    let admin = admin(&gateway.keyway)?;
    let key = admin.get("/keys/sim/a1").await?;
    assert_eq!(key.get("quota").and_then(Value::as_str), Some("sim/org-a"), "{key}");
    for (path, place) in [("/keys/sim/a1", "/limits/0"), ("/providers/sim", "/limits/0")] {
        let shown = admin.get(path).await?;
        let one = shown.pointer(place).ok_or_else(|| format!("{path}: {shown}"))?;
        assert_eq!(one.pointer("/model").and_then(Value::as_str), Some("m"), "{one}");
        assert_eq!(one.pointer("/limits/0/unit").and_then(Value::as_str), Some("requests"), "{one}");
        assert_eq!(one.pointer("/limits/0/limit").and_then(Value::as_u64), Some(60), "{one}");
        for field in ["remaining", "reset_ms", "age_ms"] {
            assert!(one.pointer(&format!("/limits/0/{field}")).is_some_and(Value::is_u64), "{one}");
        }
    }
    let ran = gateway.keyway.cli(&["key", "show", "sim/a1"])?;
    assert!(ran.stdout.contains("quota domain sim/org-a"), "{}", ran.stdout);
    assert!(ran.stdout.contains("WHOLE IN"), "{}", ran.stdout);
    let ran = gateway.keyway.cli(&["explain", "--client", "tester", "--model", "sim/m"])?;
    assert!(ran.stdout.contains("quota domain `sim/org-a`: "), "{}", ran.stdout);
    Ok(())
}

#[tokio::test]
async fn keys_are_switched_before_the_429() -> Outcome {
    let (counts, asked, throttled) = overload(false).await?;
    println!(
        "not told: callers {} ok, {:?}; {throttled} of {asked} attempts were 429",
        counts.ok, counts.failed
    );
    assert!(throttled > 0, "the load is no test");
    let (counts, asked, throttled) = overload(true).await?;
    println!("told: callers {} ok, {:?}; {throttled} of {asked} attempts were 429", counts.ok, counts.failed);
    assert_eq!(counts.failures(), 0, "{:?}", counts.failed);
    assert_eq!(throttled, 0, "429s that the provider answered");
    Ok(())
}

#[tokio::test]
async fn near_the_limit_a_noisy_client_gives_way_to_a_quiet_one() -> Outcome {
    let provider = Provider::start()?;
    let all: Vec<&str> = KEYS.iter().map(|(_, secret)| *secret).collect();
    provider.organisation(&all, Limit { requests: 100, fills_in: Duration::from_secs(5), is_told: true });
    let yaml = yaml(&provider, [1; 4], false).replace("secret: sk-", "quota: org, secret: sk-");
    let gateway = Gateway::of(Keyway::up().config(yaml))?;
    let exact: Check = Arc::new(|done| match done.status.as_u16() {
        200 => Ok(()),
        429 => {
            let body: Value = serde_json::from_slice(done.body).unwrap_or_default();
            let code = body.pointer("/error/code").and_then(Value::as_str).unwrap_or("the provider's");
            let wait =
                done.headers.get("retry-after").and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
            match (code, wait) {
                ("rate_limit_exceeded", Some(1..=5)) => Err("429 of ours".to_owned()),
                other => Err(format!("429 {other:?}")),
            }
        }
        other => Err(format!("status {other}")),
    });
    let noisy = load(&gateway, TOKEN, 8, Duration::from_millis(10), exact).start();
    let quiet = load(&gateway, QUIET, 1, Duration::from_millis(250), wants_ok()).start();
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (noisy, quiet) = (noisy.stop().await, quiet.stop().await);
    let (_, throttled) = sums(&provider);
    println!(
        "noisy: ok {}, refused {:?}; quiet: ok {}, refused {:?}; provider's 429s {throttled}",
        noisy.ok, noisy.failed, quiet.ok, quiet.failed
    );
    assert!(noisy.failures() > 50, "the load is no test: {:?}", noisy.failed);
    assert!(noisy.ok > 200, "what is left is still its own: {}", noisy.ok);
    assert!(quiet.ok >= 40 && quiet.failures() == 0, "{} {:?}", quiet.ok, quiet.failed);
    Ok(())
}

/// Replicas that keep requests back from the first organisation.
async fn cooled(gateway: &Gateway) -> Outcome<usize> {
    let text = reqwest::get(format!("{}/metrics", gateway.keyway.ops_url())).await?.text().await?;
    let lines = text.lines().filter(|line| line.starts_with("keyway_quota_cooling{"));
    Ok(lines.filter(|line| line.contains("sim/org-a") && line.ends_with(" 1")).count())
}

#[tokio::test]
async fn a_429_cools_the_other_keys_of_its_domain_on_every_replica() -> Outcome {
    let provider = Provider::start()?;
    provider.organisation(
        &[KEYS[0].1, KEYS[1].1],
        Limit { requests: 1, fills_in: Duration::from_secs(60), is_told: false },
    );
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider, [1000, 1000, 1, 1], true)).replicas(3))?;
    for _ in 0..4 {
        assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    }
    let is_cool = |keys: &Value| {
        let cooling = keys.pointer("/limits/0/cooling_ms").and_then(Value::as_u64)?;
        (cooling > 0).then_some(())
    };
    admin(&gateway.keyway)?.until(PATIENCE, "/keys/sim/a2", is_cool).await?;
    // Word is on its way to replicas that were not asked yet.
    let end = Instant::now() + PATIENCE;
    while cooled(&gateway).await? < 3 {
        assert!(Instant::now() < end, "not every replica knows");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (_, before) = sums(&provider);
    for _ in 0..60 {
        assert_eq!(gateway.ask(CHAT, &chat("sim/m")).await?.status, 200);
    }
    let (_, after) = sums(&provider);
    assert_eq!(after, before, "no key of that organisation was asked again, on no replica");
    Ok(())
}
