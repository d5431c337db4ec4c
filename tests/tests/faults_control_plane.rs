//! A control plane that is away for a while, whose clock jumps, or that two operators change at once: P1, P15 and P19 of
//! the list of faults.

use std::fs;
use std::time::{Duration, Instant};

use keyway_e2e::admin::Admin;
use keyway_e2e::faketime;
use keyway_e2e::fleet::{PATIENCE, admin, readyz, settled, text, until, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_e2e::traffic::Traffic;
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};

/// How long the control plane is away.
const AWAY: Duration = Duration::from_secs(4);
/// Tries of one replica in that time: the pause doubles from 100 ms, so that ten are usual.
const TRIES: usize = 25;
const REPLICAS: usize = 3;

/// How much the load serves in a second: the best of three samples, because the machine may be busy with other things.
async fn rate(traffic: &Traffic) -> Outcome<f64> {
    const SAMPLE: u32 = 400;
    let mut best = 0.0_f64;
    for _ in 0..3 {
        let began = Instant::now();
        traffic.more(u64::from(SAMPLE)).await?;
        best = best.max(f64::from(SAMPLE) / began.elapsed().as_secs_f64());
    }
    Ok(best)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_without_a_control_plane_replicas_serve_on_and_come_back_one_by_one() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), REPLICAS)?;
    settled(&admin(&planes)?, REPLICAS).await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::ZERO)?;
    let with = rate(&traffic).await?;
    planes.control.kill()?;
    let killed = Instant::now();

    // Whoever tries to come back is counted here and sent away.
    let door = tokio::net::TcpListener::bind(planes.fleet_addr()).await?;
    let tries = Mutex::new(Vec::new());
    let counting = async {
        loop {
            let accepted = door.accept().await;
            tries.lock().push(killed.elapsed());
            drop(accepted);
        }
    };
    let without = async {
        let without = rate(&traffic).await?;
        let aged = || {
            let ages = planes.replicas.iter().map(|replica| {
                let (status, ready) = readyz(replica)?;
                assert_eq!(status, 200, "{ready}");
                Ok(ready["config_age_seconds"].as_u64().unwrap_or_default())
            });
            let least = ages.collect::<Outcome<Vec<_>>>()?.into_iter().min();
            Ok(least.filter(|age| *age >= AWAY.as_secs()))
        };
        until("the age of the configuration grows", PATIENCE, aged).await?;
        Outcome::Ok(without)
    };
    let without = tokio::select! {
        without = without => without?,
        () = counting => return Err("the door ended".into()),
    };
    drop(door);
    let tries = tries.into_inner();
    let late = tries.iter().filter(|at| **at > AWAY / 2).count();
    println!(
        "{with:.0} requests a second with, {without:.0} without; {} tries of {REPLICAS} replicas to come back in {:?}, {late} in its \
         second half",
        tries.len(),
        killed.elapsed()
    );
    assert!(!tries.is_empty() && tries.len() <= REPLICAS * TRIES, "{tries:?}");
    assert!(late <= tries.len() / 2, "the pauses do not grow: {tries:?}");
    // Far from full rate would be less than half; the machine may be busy with other things.
    assert!(without > with / 2.0, "{with} a second before, {without} without");

    let began = Instant::now();
    planes.start_control()?;
    settled(&admin(&planes)?, REPLICAS).await?;
    println!("all back {:?} after its start", began.elapsed());
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}

/// Whether the clocks of all replicas are so many seconds ahead of the control plane's.
fn ahead_by(fleet: &Value, seconds: i64) -> bool {
    let ahead = |one: &Value| one.get("clock_ahead_ms").and_then(Value::as_i64);
    let so = |one: &Value| ahead(one).is_some_and(|ms| (ms / 1000 - seconds).abs() < 60);
    fleet.as_array().is_some_and(|all| all.iter().all(so))
}

/// Rotates and waits for the end, which no jump may put off.
async fn rotated(admin: &Admin, secret: &str, amid: impl Future<Output = Outcome>) -> Outcome<Duration> {
    let began = Instant::now();
    admin.post("/keys/sim/main/rotate", json!({ "secret": secret, "overlap": "1s" })).await?;
    amid.await?;
    let retired = |view: &Value| (view["outcome"] == "retired").then(|| view.clone());
    let view = admin.until(PATIENCE, "/keys/sim/main/rollout", retired).await?;
    assert_eq!(view.pointer("/failed"), Some(&json!(0)), "{view}");
    Ok(began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_a_clock_that_jumps_ends_nothing() -> Outcome {
    let Some(library) = faketime::library() else {
        println!("NOT TESTED: jumps of the clock need libfaketime (Debian: faketime)");
        return Ok(());
    };
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 2)?;
    planes.configure(None)?;
    planes.control.stop()?;
    let clock = planes.folder().join("clock");
    fs::write(&clock, "+0\n")?;
    planes.control_env = vec![
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE".to_owned(), clock.display().to_string()),
        ("FAKETIME_NO_CACHE".to_owned(), "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
    ];
    planes.start_control()?;
    let admin = admin(&planes)?;
    settled(&admin, 2).await?;
    let made = json!({ "name": "ann", "scopes": ["admin"], "expires": "1d" });
    let ann = admin.post("/operators", made).await?;
    let ann = admin.with_token(text(&ann, "/token"));
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    for (number, (jump, ahead)) in [("+1h", -3600), ("-1h", 3600), ("+0", 0)].into_iter().enumerate() {
        let secret = format!("sk-sim-clock-0123456789abcdef-{number}");
        let jumping = async {
            fs::write(&clock, format!("{jump}\n"))?;
            // Replicas say what their clocks are, so that the jump is seen to have happened.
            let seen = |fleet: &Value| ahead_by(fleet, ahead).then_some(());
            ann.until(PATIENCE, "/fleet", seen).await
        };
        let took = rotated(&ann, &secret, jumping).await.map_err(|error| format!("{jump}: {error}"))?;
        println!("clock {jump}: a rotation with an overlap of 1 s took {took:?}");
        let fleet = ann.get("/fleet").await?;
        let all = fleet.as_array().cloned().unwrap_or_default();
        assert!(all.len() == 2 && all.iter().all(|one| one["state"] == "ready"), "{jump}: {fleet}");
        ann.post("/clients", json!({ "name": format!("client-{number}") })).await?;
        settled(&ann, 2).await?;
        ann.post("/audit/verify", json!({})).await?;
        traffic.more(50).await?;
    }
    let status = admin.get("/status").await?;
    assert!(status["uptime_seconds"].as_u64().is_none_or(|seconds| seconds < 600), "{status}");
    assert!(!planes.control.stderr().contains("panicked"), "{}", planes.control.stderr());
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p19_of_two_operators_at_once_the_second_is_told() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::start(&yaml(&provider, ""), 0)?;
    let admin = admin(&planes)?;
    let mut both = Vec::new();
    for name in ["ann", "bob"] {
        let made = admin.post("/operators", json!({ "name": name, "scopes": ["admin"] })).await?;
        both.push(admin.with_token(text(&made, "/token")));
    }
    let [ann, bob] = both.as_slice() else { return Err("two operators".into()) };
    let read = ann.get("/clients/tester").await?;
    let version = read["version"].as_u64().ok_or("no version")?;
    let path = "/clients/tester";
    let models = |model: &str| json!({ "models": [model] });
    ann.call_if(Method::PATCH, path, Some(&models("sim/a")), Some(version)).await?.good()?;
    let late = bob.call_if(Method::PATCH, path, Some(&models("sim/b")), Some(version)).await?;
    assert_eq!((late.status, late.code()), (409, "version_conflict"), "{}", late.json);
    assert!(late.json.to_string().contains(&(version + 1).to_string()), "{}", late.json);
    assert_eq!(admin.get(path).await?["models"], json!(["sim/a"]), "no lost update");
    bob.call_if(Method::PATCH, path, Some(&models("sim/b")), Some(version + 1)).await?.good()?;

    let audit = admin.get("/audit?subject=client/tester&limit=100").await?;
    let records = audit["records"].as_array().cloned().unwrap_or_default();
    let actors: Vec<&str> = records.iter().filter_map(|record| record["actor"].as_str()).collect();
    println!("audit of client/tester: {actors:?}");
    assert!(actors.ends_with(&["operator/ann", "operator/bob"]), "{audit}");
    Ok(())
}
