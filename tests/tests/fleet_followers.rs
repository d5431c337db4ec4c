//! Control planes that do not lead: nodes join and renew at them, and what their supervisors and replicas say is known to the
//! one that leads.

use std::time::{Duration, Instant};

use keyway_e2e::fleet::text;
use keyway_e2e::gateway::{MAIN_KEY, Outcome, yaml};
use keyway_e2e::hosts::runs;
use keyway_e2e::shared::{LOOK, PATIENCE, admin, in_sync, leader, log, serve, status, write_until_taken};
use keyway_testkit::process::Shared;
use keyway_testkit::provider::{Limit, Provider};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Seconds of nodes' certificates: short enough to see one renewed.
const LIFE: &str = "6";

/// Between two requests of one caller.
const APART: Duration = Duration::from_millis(30);

/// When that node's certificate ends, as that control plane knows it, seconds since 1970.
async fn expires(all: &Shared, at: usize, node: &str) -> Outcome<Value> {
    let nodes = admin(all, at)?.get("/nodes").await?;
    let found = nodes.as_array().into_iter().flatten().find(|one| text(one, "/name") == node);
    found.and_then(|one| one.get("expires")).cloned().ok_or_else(|| format!("{node}: {nodes}").into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_and_renews_at_a_control_plane_that_does_not_lead() -> Outcome {
    let provider = Provider::start()?;
    let setup = Shared::of(&yaml(&provider)).control(&["--node-certificate-life", LIFE]);
    let Some(mut all) = setup.start(2, 0)? else { return Ok(()) };
    let lead = leader(&all, 0).await?;
    let follower = 1 - lead;
    let id = all.add_replica_of(follower)?.id.clone();
    let first = expires(&all, lead, &id).await?;
    let until = Instant::now() + PATIENCE;
    // By way of the one that follows, and written down by the one that leads.
    while expires(&all, lead, &id).await? == first {
        assert!(Instant::now() < until, "no renewal is written down\n{}", log(&all, follower));
        tokio::time::sleep(LOOK).await;
    }
    // Without a leader the other one takes over, and a renewal is not held up by it.
    all.controls[lead].process.kill()?;
    let renewed = expires(&all, follower, &id).await?;
    let until = Instant::now() + PATIENCE;
    while expires(&all, follower, &id).await? == renewed {
        assert!(Instant::now() < until, "no renewal\n{}", log(&all, follower));
        tokio::time::sleep(LOOK).await;
    }
    write_until_taken(&all, follower, "after").await?;
    in_sync(&all, follower, 1).await?;
    serve(&all).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_at_a_control_plane_that_does_not_lead_is_known_to_all_and_takes_orders() -> Outcome {
    let provider = Provider::start()?;
    let Some(all) = Shared::start(&yaml(&provider), 2, 0)? else { return Ok(()) };
    let lead = leader(&all, 0).await?;
    let follower = 1 - lead;
    let mut host = all.host("h", follower, &["--replicas", "2"])?;
    for at in [lead, follower] {
        runs(&admin(&all, at)?, "h", 2).await?;
    }
    let scaled = admin(&all, lead)?.post("/hosts/h/scale", json!({ "replicas": 3 })).await?;
    assert_eq!(scaled["wanted"], 3, "{scaled}");
    let pids = runs(&admin(&all, lead)?, "h", 3).await?;
    // One that is killed is proven to be gone: nobody waits for it, and another comes in its place.
    let victim = pids.first().and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)).ok_or("no process")?;
    kill_process(victim, Signal::KILL)?;
    let other = |one: &Value| {
        let replicas = one.get("replicas")?.as_array()?;
        let is_there = replicas.iter().any(|one| one["pid"] == pids[0]);
        (replicas.len() == 3 && !is_there && replicas.iter().all(|one| one["state"] == "ready")).then_some(())
    };
    admin(&all, lead)?.until(PATIENCE, "/hosts/h", other).await?;
    let fleet = in_sync(&all, lead, 3).await?;
    assert_eq!(fleet.as_array().map(Vec::len), Some(3), "{fleet:#}");
    host.process.stop()?;
    let gone = |hosts: &Value| hosts.as_array()?.iter().all(|one| one["state"] != "connected").then_some(());
    admin(&all, lead)?.until(PATIENCE, "/hosts", gone).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_told_of_one_control_plane_takes_orders_of_another_when_that_is_gone() -> Outcome {
    let provider = Provider::start()?;
    let Some(mut all) = Shared::start(&yaml(&provider), 2, 0)? else { return Ok(()) };
    let lead = leader(&all, 0).await?;
    let other = 1 - lead;
    let _host = all.host_told_of("h", lead, &["--replicas", "1"])?;
    runs(&admin(&all, other)?, "h", 1).await?;
    all.controls[lead].process.kill()?;
    write_until_taken(&all, other, "after").await?;
    let left = admin(&all, other)?;
    let is_there = |one: &Value| (one["state"] == "connected").then_some(());
    left.until(PATIENCE, "/hosts/h", is_there).await?;
    left.post("/hosts/h/scale", json!({ "replicas": 2 })).await?;
    runs(&left, "h", 2).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_reads_of_a_limit_is_known_at_every_control_plane_and_its_replicas() -> Outcome {
    let provider = Provider::start()?;
    provider
        .organisation(&[MAIN_KEY], Limit { requests: 10, fills_in: Duration::from_secs(60), is_told: true });
    let Some(mut all) = Shared::start(&yaml(&provider), 2, 0)? else { return Ok(()) };
    let lead = leader(&all, 0).await?;
    for at in [lead, 1 - lead] {
        all.add_replica_of(at)?;
    }
    let [at_leader, at_follower] = all.replicas.as_slice() else { return Err("two were started".into()) };
    let cooling = "keyway_quota_cooling{domain=\"sim/main\",model=\"m\"} 1";
    // Each reads of it alone, in turn; the other one hears so. Of replies that come together only the first is read.
    let mut pace = tokio::time::interval(APART);
    for _ in 0..9 {
        pace.tick().await;
        assert_eq!(status(at_follower).await?, 200);
    }
    let known = |key: &Value| key.pointer("/limits/0/limits/0/remaining").and_then(Value::as_u64);
    let read = |key: &Value| known(key).filter(|left| *left <= 1).map(drop);
    admin(&all, lead)?.until(PATIENCE, "/keys/sim/main", read).await?;
    let until = Instant::now() + PATIENCE;
    while status(at_follower).await? == 200 {
        assert!(Instant::now() < until, "its limit is never reached");
    }
    while !at_leader.ops("/metrics")?.1.contains(cooling) {
        assert!(
            Instant::now() < until,
            "it does not hear of the other's 429: {}",
            at_leader.ops("/metrics")?.1
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
