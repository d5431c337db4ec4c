//! A control plane whose every write takes five seconds: P2 of the list of faults. Streams and requests notice nothing, and
//! whoever changes something is answered at a deadline. And one whose books lie on a disk that answers nothing: only they wait.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use keyway_e2e::fleet::{PATIENCE, admin, settled, text, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_e2e::traffic::Traffic;
use keyway_testkit::process::{Planes, Process};
use keyway_testkit::provider::Provider;
use reqwest::Method;
use serde_json::{Value, json};

/// What each fsync takes, as strace is told it: microseconds.
const SYNC_MICROS: u32 = 5_000_000;
const REPLICAS: usize = 2;
/// Changes at once, made one after the other: the last are late.
const CHANGES: usize = 10;
/// An admin call is answered in this time, and a busy machine may take some more.
const DEADLINE: Duration = Duration::from_secs(20);
const MORE: Duration = Duration::from_secs(5);
/// All changes go on by themselves, each in a few fsyncs.
const ALL_MADE: Duration = Duration::from_secs(120);

/// What a disk that answers nothing does to each write of the books, as long as anybody waits: microseconds.
const FROZEN_MICROS: u32 = 600_000_000;
/// A change and a look take some milliseconds; a busy machine may take this.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Makes each fsync of that process slow until it is dropped; `None` where this process may not.
fn slowed(pid: u32) -> Outcome<Option<Process>> {
    delayed(pid, "fsync,fdatasync", SYNC_MICROS, &[])
}

/// Delays these calls, of these files alone if any are named.
fn delayed(pid: u32, calls: &str, micros: u32, files: &[&Path]) -> Outcome<Option<Process>> {
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:delay_enter={micros}"));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", &trace, "-e", &inject, "-p", &pid.to_string()]);
    for file in files {
        strace.arg("-P").arg(file);
    }
    let Ok(mut strace) = Process::start("strace", &mut strace) else { return Ok(None) };
    let attached = strace.until(PATIENCE, "attached", |one| one.stderr().contains("attached").then_some(()));
    Ok(attached.is_ok().then_some(strace))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_slow_control_plane_slows_nobody_and_answers_at_its_deadline() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::start(&yaml(&provider, ""), REPLICAS)?;
    let admin = admin(&planes)?;
    settled(&admin, REPLICAS).await?;
    let before = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    before.more(1000).await?;
    let before = before.stop().await;
    let Some(slow) = slowed(planes.control.pid())? else {
        println!("NOT TESTED: a slow disk needs strace, and the right to trace (root)");
        return Ok(());
    };
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    let changes = (0..CHANGES).map(|number| {
        let admin = admin.clone();
        tokio::spawn(async move {
            let (began, body) = (Instant::now(), json!({ "name": format!("slow-{number}") }));
            let answer = admin.call(Method::POST, "/clients", Some(&body)).await?;
            Outcome::Ok((answer.status, text(&answer.json, "/error/code").to_owned(), began.elapsed()))
        })
    });
    let (mut made, mut late) = (0, 0);
    for change in Vec::from_iter(changes) {
        // Looks are answered at once meanwhile, and no replica is lost sight of.
        let began = Instant::now();
        let fleet = admin.get("/fleet").await?;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        let seen = |one: &Value| matches!(text(one, "/state"), "ready" | "syncing");
        assert!(fleet.as_array().is_some_and(|all| all.len() == REPLICAS && all.iter().all(seen)), "{fleet}");
        let (status, code, took) = change.await??;
        match (status, code.as_str()) {
            (200..300, _) => made += 1,
            (504, "deadline_exceeded") => late += 1,
            other => return Err(format!("answered with {other:?}").into()),
        }
        assert!(took < DEADLINE + MORE, "{took:?}");
    }
    println!("{made} changes were answered in time, {late} with 504");
    assert!(made > 0 && late > 0, "{made} in time, {late} late");
    let amid = traffic.stop().await;
    assert!(amid.failed.is_empty(), "{:?}", amid.failed);
    let worst = |saw: &keyway_e2e::traffic::Saw| {
        saw.each.iter().map(|one| one.quantile(0.99)).max().unwrap_or_default()
    };
    let (usual, amid) = (worst(&before), worst(&amid));
    println!("p99 of requests: {usual:?} before, {amid:?} meanwhile");
    assert!(amid < usual * 3 + Duration::from_millis(100), "{usual:?} before, {amid:?} meanwhile");

    drop(slow);
    let all_made = |clients: &Value| {
        let slow = clients.as_array()?.iter().filter(|one| text(one, "/name").starts_with("slow-")).count();
        (slow == CHANGES).then_some(())
    };
    admin.until(ALL_MADE, "/clients", all_made).await?;
    settled(&admin, REPLICAS).await?;
    Ok(())
}

/// The books' disk hangs: whoever changes, looks or rotates notices nothing, and what was counted meanwhile is booked afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_on_a_disk_that_hangs_hold_up_nothing_else() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::start(&yaml(&provider, ""), REPLICAS)?;
    let admin = admin(&planes)?;
    settled(&admin, REPLICAS).await?;
    let [file, log] = ["usage.db", "usage.db-wal"].map(|name| planes.data_dir().join(name));
    let calls = "pwrite64,write,fsync,fdatasync";
    let Some(frozen) = delayed(planes.control.pid(), calls, FROZEN_MICROS, &[&file, &log])? else {
        println!("NOT TESTED: a disk that hangs needs strace, and the right to trace (root)");
        return Ok(());
    };
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    traffic.more(200).await?;
    let mut slowest = Duration::ZERO;
    for number in 0..CHANGES {
        let began = Instant::now();
        admin.post("/clients", json!({ "name": format!("c-{number}") })).await?;
        let rotate = json!({ "secret": format!("sk-sim-frozen-{number:04}-0123456789ab"), "overlap": 0 });
        admin.post("/keys/sim/main/rotate", rotate).await?;
        admin.get("/fleet").await?;
        admin.get("/audit?limit=1").await?;
        admin.get("/usage").await?;
        slowest = slowest.max(began.elapsed());
        assert!(slowest < AT_ONCE, "round {number}: {slowest:?}");
    }
    traffic.more(200).await?;
    let booked = |usage: &Value| usage.pointer("/total/requests").and_then(Value::as_u64);
    let while_frozen = booked(&admin.get("/usage").await?).unwrap_or_default();
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    assert!(while_frozen < saw.ok, "the books were never frozen: {while_frozen} of {}", saw.ok);
    drop(frozen);
    let all = |usage: &Value| booked(usage).filter(|count| *count == saw.ok);
    admin.until(PATIENCE, "/usage", all).await?;
    println!(
        "{CHANGES} rounds of changes, rotations and looks, the slowest {slowest:?}; {while_frozen} of {} requests were booked by then, all of them soon after",
        saw.ok
    );
    Ok(())
}
