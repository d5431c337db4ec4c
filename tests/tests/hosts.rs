//! A host's supervisor with real processes: D1 of the list of faults with several replicas on one socket, scaling, and what
//! outlives whom.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, admin, text, until, yaml};
use keyway_e2e::frozen::Frozen;
use keyway_e2e::gateway::{CHAT, Outcome, TOKEN, chat, streamed};
use keyway_e2e::hosts::{Fresh, alive, runs};
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{Host, Planes, binary};
use keyway_testkit::provider::{End, Provider, Reply, Stream};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn kill(pid: u64) -> Outcome {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no such process")?;
    Ok(kill_process(pid, Signal::KILL)?)
}

async fn host(planes: &Planes, admin: &Admin, replicas: usize, more: &[&str]) -> Outcome<(Host, Vec<u64>)> {
    let count = replicas.to_string();
    let args = [&["--replicas", &count], more].concat();
    let host = planes.host("h", &args)?;
    let pids = runs(admin, "h", replicas).await?;
    Ok((host, pids))
}

/// Ids in the fleet's list.
fn ids(fleet: &Value) -> BTreeSet<String> {
    fleet.as_array().into_iter().flatten().map(|one| text(one, "/id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d1_a_replica_that_is_killed_or_frozen_costs_no_new_connection_and_is_known_to_be_gone() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::start(&yaml(&provider, ""), 0)?;
    let admin = admin(&planes)?;
    let (mut host, before) = host(&planes, &admin, 3, &[]).await?;
    let fresh = Fresh::start(host.address()?, "sim/m", 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for victim in &before {
        kill(*victim)?;
        let gone = |one: &Value| {
            let all = one.get("replicas")?.as_array()?;
            let pids: Vec<u64> = all.iter().filter_map(|replica| replica.get("pid")?.as_u64()).collect();
            let ready = all.iter().filter(|replica| text(replica, "/state") == "ready").count();
            (ready == 3 && !pids.contains(victim)).then_some(())
        };
        admin.until(PATIENCE, "/hosts/h", gone).await?;
    }
    let (good, failed) = fresh.stop().await;
    println!("{good} answered while 3 were killed; failed: {failed:?}");
    assert!(good > 100 && failed.len() <= 30, "more than were under way: {failed:?}");
    let refused = |why: &&String| why.contains("refused");
    assert_eq!(failed.iter().filter(refused).count(), 0, "{failed:?}");
    let after = runs(&admin, "h", 3).await?;
    assert!(alive(&before).is_empty() && after.iter().all(|pid| !before.contains(pid)));
    let fleet = admin.get("/fleet").await?;
    assert_eq!(ids(&fleet), ["h~1", "h~2", "h~3"].map(String::from).into(), "{fleet}");
    assert!(fleet.as_array().into_iter().flatten().all(|one| text(one, "/supervisor") == "h"));

    // Frozen, it holds what it has accepted and takes nothing more: the others do.
    let frozen = Frozen::new(u32::try_from(*after.first().ok_or("no replica")?)?)?;
    let fresh = Fresh::start(host.address()?, "sim/m", 100);
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(frozen);
    let (good, failed) = fresh.stop().await;
    println!("{good} answered while one was frozen; failed: {failed:?}");
    assert!(good > 50 && failed.is_empty(), "{failed:?}");
    host.process.stop()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_scaled_under_load_without_a_failed_request_and_both_sides_remember() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 0)?;
    let operator = admin(&planes)?;
    let (mut host, _) = host(&planes, &operator, 2, &[]).await?;
    let fresh = Fresh::start(host.address()?, "sim/m", 200);
    for replicas in ["4", "1", "3"] {
        let ran = planes.cli(&["fleet", "scale", "--host", "h", "--replicas", replicas])?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        runs(&operator, "h", replicas.parse()?).await?;
    }
    let (good, failed) = fresh.stop().await;
    println!("{good} answered while it was scaled; failed: {failed:?}");
    assert!(good > 30 && failed.is_empty(), "{failed:?}");
    let bad = operator.post("/hosts/h/scale", json!({ "replicas": 65 })).await;
    assert!(bad.is_err_and(|why| why.to_string().contains("422")));
    assert_eq!(planes.cli(&["fleet", "scale", "--host", "nobody", "--replicas", "2"])?.code, Some(3));

    // Started with 2, it runs the 3 that stand in the store; also where nobody tells it.
    planes.control.kill()?;
    host.process.stop()?;
    host.start_again()?;
    let all = until("three replicas serve without the control plane", PATIENCE, || {
        let (_, body) = host.ops("/readyz")?;
        let ready: Value = serde_json::from_str(&body)?;
        let serving = ready["replicas"].as_array().into_iter().flatten().filter(|one| one["ready"] == true);
        Ok((serving.count() == 3).then_some(3))
    });
    assert_eq!(all.await?, 3);
    planes.start_control()?;
    let operator = admin(&planes)?;
    runs(&operator, "h", 3).await?;
    assert_eq!(operator.get("/hosts/h").await?["wanted"], 3);
    let list = planes.cli(&["fleet", "hosts"])?;
    assert!(list.stdout.contains("connected"), "{list:?}");

    // Drained by an operator, one stays away, doctor says so, and the same number brings it back.
    assert_eq!(planes.cli(&["fleet", "drain", "h~2"])?.code, Some(0));
    let away = |one: &Value| {
        let states = one.get("replicas")?.as_array()?.iter().map(|one| text(one, "/state"));
        (states.filter(|state| *state == "away").count() == 1).then_some(())
    };
    operator.until(PATIENCE, "/hosts/h", away).await?;
    let doctor = planes.cli(&["doctor"])?;
    assert!(doctor.stdout.contains("h runs 2 of 3 replicas"), "{doctor:?}");
    assert_eq!(planes.cli(&["fleet", "scale", "--host", "h", "--replicas", "3"])?.code, Some(0));
    runs(&operator, "h", 3).await?;
    host.process.stop()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_supervisors_replicas_finish_and_the_next_one_does_not_wait_for_them() -> Outcome {
    let provider = Provider::start()?;
    let held = Stream { end: End::Hold { events: 2 }, ..Stream::default() };
    provider.script("held").always(Reply::Stream(held));
    let planes = Planes::start(&yaml(&provider, ""), 0)?;
    let admin = admin(&planes)?;
    let (mut host, before) = host(&planes, &admin, 2, &[]).await?;
    let mut stream = Caller::connect(host.address()?).await?;
    stream.send(&post(CHAT, TOKEN, "", streamed("sim/held").as_bytes())).await?;
    let head = stream.head().await?;
    host.process.kill()?;
    let ended = |left: usize| {
        let before = before.clone();
        until("they end", PATIENCE, move || Ok((alive(&before).len() == left).then_some(())))
    };
    ended(1).await?;
    host.start_again()?;
    host.until_ready()?;
    runs(&admin, "h", 2).await?;
    let request = post(CHAT, TOKEN, "", chat("sim/m").as_bytes());
    let answer = Caller::connect(host.address()?).await?.ask(&request).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(alive(&before).len(), 1, "the one that has a stream still serves it");
    provider.release();
    let answer = stream.after(head).await?;
    assert!(answer.complete && answer.text().contains("[DONE]"), "{}", answer.text());
    ended(0).await?;
    let only_new = |fleet: &Value| (fleet.as_array()?.len() == 2).then_some(());
    admin.until(PATIENCE, "/fleet", only_new).await?;
    host.process.stop()?;
    admin.until(PATIENCE, "/fleet", |fleet| fleet.as_array()?.is_empty().then_some(())).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_again_and_again_is_started_later_each_time_and_doctor_names_it() -> Outcome {
    let planes = Planes::start("{}\n", 0)?;
    let admin = admin(&planes)?;
    let (mut host, _) = host(&planes, &admin, 2, &[]).await?;
    let began = Instant::now();
    for failures in 1..=5_u64 {
        let (victim, restarts) = admin.until(PATIENCE, "/hosts/h", running).await?;
        assert_eq!(restarts, failures - 1);
        kill(victim)?;
        let failed = |one: &Value| (one["replicas"][0]["restarts"].as_u64()? == failures).then_some(());
        admin.until(PATIENCE, "/hosts/h", failed).await?;
    }
    let doctor = planes.cli(&["doctor"])?;
    assert!(doctor.stdout.contains("h~1 failed 5 times and does not serve"), "{doctor:?}");
    admin.until(PATIENCE, "/hosts/h", running).await?;
    println!("back after 5 failures, {:?} after the first", began.elapsed());
    // 0.1 + 0.2 + 0.4 + 0.8 + 1.6 s of waits.
    assert!(began.elapsed() >= Duration::from_millis(3100), "{:?}", began.elapsed());
    host.process.stop()?;
    Ok(())
}

/// Process and restarts of the first replica, once it runs.
fn running(one: &Value) -> Option<(u64, u64)> {
    let first = one.get("replicas")?.get(0)?;
    let pid = first.get("pid")?.as_u64().filter(|pid| *pid > 0)?;
    Some((pid, first.get("restarts")?.as_u64()?))
}

#[test]
fn a_taken_port_and_a_taken_directory_are_one_clear_line() -> Outcome {
    let planes = Planes::start("{}\n", 0)?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.to_string();
    let mut command = Command::new(binary("keyway-dataplane")?);
    command.env_clear().args(["--supervise", "--ops-listen", "127.0.0.1:0", "--listen", &port]);
    command.arg("--data-dir").arg(planes.data_dir());
    let ran = command.output()?;
    let said = String::from_utf8(ran.stderr)?;
    let expected = format!("{port} is taken by another program; choose another with --listen");
    assert!(ran.status.code() == Some(1) && said.contains(&expected), "{said}");

    let mut host = planes.host("h", &[])?;
    // It has joined then: who never did is told that first.
    host.until_ready()?;
    let mut command = Command::new(host.program());
    command.env_clear().args([
        "--supervise",
        "--ops-listen",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
        "--id",
        "h",
    ]);
    command.arg("--data-dir").arg(planes.folder().join("h"));
    let ran = command.output()?;
    let said = String::from_utf8(ran.stderr)?;
    assert!(ran.status.code() == Some(1) && said.contains("is in use by another supervisor"), "{said}");
    Ok(())
}
