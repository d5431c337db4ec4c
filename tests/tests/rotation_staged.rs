//! Staged rotations over replicas that serve: a good key comes into use step by step, one that fails more often is taken
//! back by itself and no request fails, and the control plane may be killed at each step.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{admin, text, yaml};
use keyway_e2e::frozen::Frozen;
use keyway_e2e::gateway::{CHAT, MAIN_KEY, Outcome, TOKEN, streamed};
use keyway_e2e::rotation::{Change, KEY, secret};
use keyway_e2e::traffic::Traffic;
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{Planes, Ran};
use keyway_testkit::provider::{End, Ending, Provider, Reply, Stream};
use reqwest::Method;
use serde_json::{Value, json};

/// Until something happens by itself, on a busy machine.
const BY_ITSELF: Duration = Duration::from_secs(60);
const MODEL: &str = "sim/m";
const ROLLOUT: &str = "/keys/sim/main/rollout";

/// A provider, so many replicas, and traffic on each of them.
async fn started(replicas: usize) -> Outcome<(Provider, Planes, Admin, Traffic)> {
    let provider = Provider::start()?;
    let planes = Planes::start(&yaml(&provider, ""), replicas)?;
    let (admin, traffic) =
        (admin(&planes)?, Traffic::on(&planes.replicas, MODEL, 2, Duration::from_millis(10))?);
    traffic.more(30).await?;
    Ok((provider, planes, admin, traffic))
}

/// Three of ten calls with this key fail at the provider, but not the probe; gives the count of these.
fn fails(provider: &Provider, key: &str) -> Arc<AtomicU64> {
    let (failed, asked, key) = (Arc::<AtomicU64>::default(), AtomicU64::new(0), key.to_owned());
    let counted = Arc::clone(&failed);
    provider.decide(move |seen| {
        if seen.credential() != key
            || seen.method() != "POST"
            || asked.fetch_add(1, Ordering::Relaxed) % 10 >= 3
        {
            return Reply::default();
        }
        counted.fetch_add(1, Ordering::Relaxed);
        Reply::status(500)
    });
    failed
}

/// `keyway key rotate sim/main --strategy staged …` to its end.
fn rotate(planes: &Planes, new: &str, args: &[&str]) -> Outcome<Change> {
    let began = Instant::now();
    let fixed =
        ["key", "rotate", KEY, "--from-env", "NEW_KEY", "--strategy", "staged", "--step-requests", "20"];
    let args = [&fixed, args, &["--output", "json"]].concat();
    let process = planes.begin(&args, &[("NEW_KEY", new)])?;
    Ok(Change::new(tokio::task::block_in_place(|| Ran::of(process))?, began))
}

/// The same by the API, which answers once it is on trial.
async fn begin(admin: &Admin, new: &str, step_time: &str) -> Outcome<Value> {
    let body = json!({
        "secret": new, "overlap": "0s", "strategy": "staged", "step_time": step_time, "step_requests": 20
    });
    let view = admin.post("/keys/sim/main/rotate", body).await?;
    assert_eq!(text(&view, "/step"), "trial", "{view}");
    Ok(view)
}

/// The states of versions 1 and 2.
async fn states(admin: &Admin) -> Outcome<(String, String)> {
    let key = admin.get("/keys/sim/main").await?;
    let state = |at| text(&key, &format!("/versions/{at}/state")).to_owned();
    Ok((state(0), state(1)))
}

/// Waits for this outcome of the newest change.
async fn ends(admin: &Admin, outcome: &str) -> Outcome<Value> {
    let done = |view: &Value| (text(view, "/outcome") != "running").then(|| view.clone());
    let view = admin.until(BY_ITSELF, ROLLOUT, done).await?;
    assert_eq!(text(&view, "/outcome"), outcome, "{view}");
    Ok(view)
}

/// Replicas on which version 2 was used so far.
async fn users(admin: &Admin) -> Outcome<BTreeSet<String>> {
    let history = admin.get("/keys/sim/main/history").await?;
    let used = |one: &&Value| one.pointer("/versions/2/started").and_then(Value::as_u64) > Some(0);
    let replicas = history.get("replicas").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(replicas.iter().filter(used).map(|one| text(one, "/replica").to_owned()).collect())
}

/// `(replicas, end)` of every stage.
fn stages(view: &Value) -> Vec<(u64, String)> {
    let stages = view.pointer("/trial/stages").and_then(Value::as_array).cloned().unwrap_or_default();
    let of = |one: &Value| {
        (one.get("replicas").and_then(Value::as_u64).unwrap_or_default(), text(one, "/end").to_owned())
    };
    stages.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_good_key_comes_into_use_on_one_replica_then_on_half_then_on_all() -> Outcome {
    let (provider, planes, admin, traffic) = started(5).await?;
    let begun = begin(&admin, &secret(1), "3s").await?;
    assert_eq!(stages(&begun), [(1, "running".into())], "{begun}");
    let chosen = text(&begun, "/trial/replicas/0").to_owned();
    let counted =
        |view: &Value| view.pointer("/trial/stages/0/new/started").and_then(Value::as_u64) >= Some(20);
    admin.until(BY_ITSELF, ROLLOUT, |view| counted(view).then_some(())).await?;
    assert_eq!(users(&admin).await?, BTreeSet::from([chosen]), "the others go on with the old one");
    let view = ends(&admin, "retired").await?;
    assert_eq!(stages(&view), [(1, "proven".into()), (3, "proven".into())], "{view}");
    assert_eq!(states(&admin).await?, ("retired".into(), "active".into()));
    provider.refuse_key(MAIN_KEY, 401);
    traffic.more(50).await?;
    let saw = traffic.stop().await;
    assert_eq!(provider.keys().get(MAIN_KEY).map(|one| one.refused), Some(0), "used after it was retired");
    println!("{} requests served, failed {:?}: {view}", saw.ok, saw.failed);
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    drop(planes);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_key_that_fails_more_often_is_rolled_back_by_itself_and_no_request_fails() -> Outcome {
    let (provider, planes, admin, traffic) = started(10).await?;
    let new = secret(1);
    let failed = fails(&provider, &new);
    let change = rotate(&planes, &new, &["--overlap", "0s", "--step-time", "10s", "--wait"])?;
    assert_eq!((change.code, change.text("outcome")), (Some(1), "rolled_back"), "{change:?}");
    assert!(change.stderr.contains("fails more often"), "{change:?}");
    assert_eq!(stages(&change.view), [(1, "worse".into())], "{change:?}");
    assert_eq!(states(&admin).await?, ("active".into(), "rolled_back".into()));
    assert_eq!(users(&admin).await?.len(), 1, "one replica alone tried it");
    let met = failed.load(Ordering::Relaxed);
    traffic.more(100).await?;
    assert_eq!(failed.load(Ordering::Relaxed), met, "it is still used");
    let saw = traffic.stop().await;
    println!(
        "rolled back {:?} after the command; {met} attempts of {} failed at the provider; {} requests served, failed {:?}",
        change.took,
        provider.keys().get(&new).map_or(0, |one| one.requests),
        saw.ok,
        saw.failed
    );
    assert!(met >= 3 && saw.failed.is_empty(), "{:?}", saw.failed);
    let history = admin.get("/keys/sim/main/history").await?;
    let actions = history.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
    assert!(actions.iter().any(|one| text(one, "/action") == "key.stage.rollback"), "{history}");
    assert!(text(&history, "/rollout/failure").contains("fails more often"), "{history}");
    // The next one is not held up by it.
    begin(&admin, &secret(2), "200ms").await?;
    ends(&admin, "retired").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn killed_at_each_step_a_good_key_comes_and_a_bad_one_goes() -> Outcome {
    let (provider, mut planes, admin, traffic) = started(3).await?;
    let mut version = 1;
    for moment in ["stage 1", "stage 2", "active", "withdrawn"] {
        begin(&admin, &secret(version), "1500ms").await?;
        let there = |view: &Value| {
            let here = match moment {
                "stage 1" => stages(view).len() == 1,
                "stage 2" => stages(view).len() == 2,
                step => text(view, "/step") == step || text(view, "/outcome") == "retired",
            };
            here.then_some(())
        };
        admin.until(BY_ITSELF, ROLLOUT, there).await?;
        planes.control.kill()?;
        traffic.more(20).await?;
        tokio::task::block_in_place(|| planes.start_control())?;
        let view = ends(&admin, "retired").await?;
        // A start at which the replicas on trial come back late has others try, and says so.
        let proven = stages(&view).iter().filter(|(_, end)| end == "proven").count();
        assert_eq!(proven, 2, "{moment}: {view}");
        println!("killed at {moment}: {:?}", stages(&view));
        version += 1;
    }
    let bad = secret(version);
    let failed = fails(&provider, &bad);
    begin(&admin, &bad, "20s").await?;
    planes.control.kill()?;
    traffic.more(60).await?;
    tokio::task::block_in_place(|| planes.start_control())?;
    let view = ends(&admin, "rolled_back").await?;
    let saw = traffic.stop().await;
    println!(
        "the bad one failed {} times; {} served, failed {:?}",
        failed.load(Ordering::Relaxed),
        saw.ok,
        saw.failed
    );
    assert!(text(&view, "/failure").contains("fails more often"), "{view}");
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_frozen_replica_hands_its_trial_on_and_is_named() -> Outcome {
    let (_provider, _planes, admin, traffic) = started(3).await?;
    traffic.stop().await;
    let begun = begin(&admin, &secret(1), "2s").await?;
    let chosen = text(&begun, "/trial/replicas/0").to_owned();
    let fleet = admin.get("/fleet").await?;
    let found = fleet.as_array().into_iter().flatten().find(|one| text(one, "/id") == chosen);
    let pid = found.and_then(|one| one.get("pid")).and_then(Value::as_u64).ok_or("no such replica")?;
    let frozen = Frozen::new(u32::try_from(pid)?)?;
    let withdrawn = |view: &Value| (text(view, "/step") == "withdrawn").then(|| view.clone());
    let view = admin.until(BY_ITSELF, ROLLOUT, withdrawn).await?;
    assert_eq!(stages(&view).first(), Some(&(1, "lost".into())), "{view}");
    assert!(stages(&view).iter().skip(1).all(|(_, end)| end == "unproven"), "without traffic: {view}");
    let named = |view: &Value| {
        let silent = view.get("silent").and_then(Value::as_array)?;
        silent.contains(&json!(chosen)).then_some(())
    };
    admin.until(BY_ITSELF, ROLLOUT, named).await?;
    assert_eq!(states(&admin).await?, ("withdrawn".into(), "active".into()));
    drop(frozen);
    ends(&admin, "retired").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_operator_may_end_a_trial_either_way_and_nobody_begins_a_second_one() -> Outcome {
    let (provider, planes, admin, traffic) = started(3).await?;
    let call = |verb: &'static str, body: Value| {
        let admin = admin.clone();
        async move { admin.call(Method::POST, &format!("/keys/sim/main/{verb}"), Some(&body)).await }
    };
    begin(&admin, &secret(1), "30s").await?;
    let second = call("rotate", json!({ "secret": secret(9) })).await?;
    assert_eq!((second.status, second.code()), (409, "rotation_in_progress"), "{second:?}");
    call("rollback", json!({})).await?.good()?;
    ends(&admin, "rolled_back").await?;
    assert_eq!(states(&admin).await?, ("active".into(), "rolled_back".into()));

    begin(&admin, &secret(2), "30s").await?;
    call("promote", json!({ "overlap": "0s" })).await?.good()?;
    ends(&admin, "retired").await?;
    assert_eq!(states(&admin).await?.0, "retired");

    // The old one is revoked while the new one is on trial: the new one takes over everywhere at once.
    begin(&admin, &secret(3), "30s").await?;
    call("revoke", json!({ "version": 3 })).await?.good()?;
    ends(&admin, "revoked").await?;
    let asked = |key: &str| provider.keys().get(key).map_or(0, |one| one.requests);
    let old = asked(&secret(2));
    traffic.more(60).await?;
    assert_eq!(asked(&secret(2)), old, "a revoked version is used");
    let saw = traffic.stop().await;
    println!("{} served, failed {:?}", saw.ok, saw.failed);
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    drop(planes);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_streams_break_after_they_began_is_rolled_back_by_itself() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::start(&yaml(&provider, ""), 2)?;
    let (admin, new) = (admin(&planes)?, secret(1));
    let bad = new.clone();
    provider.decide(move |seen| {
        let breaks = seen.credential() == bad && seen.method() == "POST";
        let cut = Stream { end: End::Cut { events: 2, ending: Ending::Reset }, ..Stream::default() };
        if breaks { Reply::Stream(cut) } else { Reply::default() }
    });
    begin(&admin, &new, "60s").await?;
    let until = Instant::now() + BY_ITSELF;
    let (mut broken, mut whole) = (0, 0);
    while text(&admin.get(ROLLOUT).await?, "/outcome") == "running" {
        for replica in &planes.replicas {
            let request = post(CHAT, TOKEN, "", streamed(MODEL).as_bytes());
            let answer = Caller::connect(replica.address()?).await?.ask(&request).await?;
            assert_eq!(answer.status, 200, "{}", answer.text());
            *(if answer.text().contains("[DONE]") { &mut whole } else { &mut broken }) += 1;
        }
        assert!(Instant::now() < until, "{broken} streams broke and nothing is undone");
    }
    let view = ends(&admin, "rolled_back").await?;
    println!("rolled back after {broken} broken streams, {whole} whole ones: {view}");
    assert!(whole > 0 && broken >= 3, "{broken} broken, {whole} whole");
    assert_eq!(states(&admin).await?, ("active".into(), "rolled_back".into()));
    Ok(())
}
