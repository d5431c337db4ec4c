//! A control plane whose disk is full (P9) or fails (P10, P18): nothing that changes is answered well, nothing is half
//! done, and everything else goes on.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, admin, ask, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_e2e::tmpfs::Tmpfs;
use keyway_e2e::traffic::Traffic;
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use reqwest::Method;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

const DISK_MIB: u32 = 48;
const NEW_KEY: &str = "sk-sim-second-0123456789abcdef";

/// Fills the disk to its last byte.
fn fill(ballast: &Path) -> Outcome {
    let mut file = fs::File::create(ballast)?;
    let piece = vec![0; 64 << 10];
    let full = loop {
        if let Err(error) = file.write_all(&piece) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    Ok(())
}

fn sealed_files(data_dir: &Path) -> std::io::Result<usize> {
    fn count(folder: &Path) -> std::io::Result<usize> {
        let mut found = 0;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            found += if path.is_dir() { count(&path)? } else { 1 };
        }
        Ok(found)
    }
    count(&data_dir.join("vault/secrets"))
}

/// What must be the same before and after calls that were refused.
async fn state(admin: &Admin) -> Outcome<(Value, Value, Value)> {
    let status = admin.get("/status").await?;
    let version = status.get("version").cloned().unwrap_or_default();
    Ok((version, admin.get("/export").await?, admin.get("/operators").await?))
}

/// Everything that changes something, once.
fn changes() -> Vec<(Method, &'static str, Value)> {
    let provider = json!({ "dialect": "openai-chat", "base_url": "https://api.example.com" });
    let alias = json!({ "targets": [{ "provider": "sim", "model": "m" }] });
    let file = json!({ "file": { "clients": { "other": {} } } });
    vec![
        (Method::POST, "/apply", file),
        (Method::POST, "/clients", json!({ "name": "new" })),
        (Method::PATCH, "/clients/tester", json!({ "models": ["sim/x"] })),
        (Method::POST, "/clients/tester/disable", json!({})),
        (Method::POST, "/clients/tester/rotate", json!({})),
        (Method::DELETE, "/clients/tester", json!({})),
        (Method::PUT, "/teams/red", json!({})),
        (Method::PUT, "/models/fast", alias),
        (Method::PUT, "/providers/other", provider),
        (Method::DELETE, "/providers/sim", json!({})),
        (Method::POST, "/operators", json!({ "name": "ann", "scopes": ["viewer"] })),
        (Method::POST, "/keys/sim/main/rotate", json!({ "secret": NEW_KEY })),
        (Method::POST, "/keys/sim/second", json!({ "secret": NEW_KEY })),
        (Method::POST, "/keys/sim/main/revoke", json!({})),
        (Method::POST, "/fleet/replica-1/drain", json!({})),
        (Method::POST, "/fleet/replica-1/evict", json!({})),
    ]
}

/// Asserts that each is refused with one of these codes, and that nothing has happened.
async fn all_refused(admin: &Admin, planes: &Planes, codes: &[(u16, &str)]) -> Outcome {
    let before = (state(admin).await?, sealed_files(planes.data_dir())?);
    for (method, path, body) in changes() {
        let answer = admin.call(method.clone(), path, Some(&body)).await?;
        let got = (answer.status, answer.code());
        assert!(codes.contains(&got), "{method} {path}: {got:?}: {}", answer.json);
    }
    let after = (state(admin).await?, sealed_files(planes.data_dir())?);
    assert_eq!(before, after, "something was half done");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_on_a_full_disk_nothing_changes_and_everything_goes_on() -> Outcome {
    let Some(disk) = Tmpfs::mount(DISK_MIB)? else {
        println!("NOT TESTED: a full disk needs root, who may mount a small one");
        return Ok(());
    };
    let provider = Provider::start()?;
    let setup = Planes::of(yaml(&provider, "")).data_dir(disk.path().join("home"));
    let mut planes = setup.start(2)?;
    let admin = admin(&planes)?;
    let traffic =
        Traffic::on(planes.replicas.get(..1).unwrap_or_default(), "sim/m", 2, Duration::from_millis(5))?;
    traffic.more(50).await?;
    let ballast = disk.path().join("ballast");
    for round in 0..2 {
        fill(&ballast)?;
        all_refused(&admin, &planes, &[(507, "storage_full")]).await?;
        // A replica that comes back now gets what is in force.
        let back = planes.replicas.last_mut().ok_or("no replica")?;
        back.process.kill()?;
        back.start_again()?;
        back.until_ready()?;
        assert_eq!(ask(back, "sim/m").await?.status, 200);
        traffic.more(50).await?;
        fs::remove_file(&ballast)?;
        admin.post("/clients", json!({ "name": format!("after-{round}") })).await?;
        let secret = format!("{NEW_KEY}-{round}");
        let rotated =
            admin.post("/keys/sim/main/rotate", json!({ "secret": secret, "overlap": "0s" })).await?;
        // In use at least; perhaps further already.
        assert!(rotated["version"].is_u64() && rotated["failure"].is_null(), "{rotated}");
        let retired = |view: &Value| (view["outcome"] == "retired").then_some(());
        admin.until(PATIENCE, "/keys/sim/main/rollout", retired).await?;
        admin.post("/audit/verify", json!({})).await?;
    }
    let saw = traffic.stop().await;
    println!("{} requests served beside it, failed: {:?}", saw.ok, saw.failed);
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);

    // A start on a full disk serves what is there.
    let (_, export, _) = state(&admin).await?;
    planes.control.kill()?;
    fill(&ballast)?;
    planes.configure(None)?;
    planes.start_control()?;
    let (_, again, _) = state(&admin).await?;
    assert_eq!(export, again);
    Ok(())
}

/// From now on every write of that process to any file fails with EFBIG, or no more.
fn fail_writes(pid: u32, fail: bool) -> Outcome {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("no such process")?;
    let current = if fail { Some(0) } else { None };
    prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum: None })?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p18_where_the_audit_log_cannot_be_written_nothing_changes_until_the_next_start() -> Outcome {
    let provider = Provider::start()?;
    // Without the signal a write beyond the limit is an error like that of a failing disk.
    let setup = Planes::of(yaml(&provider, "")).under(&["env", "--ignore-signal=XFSZ"]);
    let mut planes = setup.start(2)?;
    let admin = admin(&planes)?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    traffic.more(50).await?;
    fail_writes(planes.control.pid(), true)?;
    let failed = [(500, "storage_failed"), (503, "storage_read_only")];
    all_refused(&admin, &planes, &failed).await?;
    fail_writes(planes.control.pid(), false)?;
    // Whether the disk is well again is for the next start to find out.
    all_refused(&admin, &planes, &[(503, "storage_read_only")]).await?;
    let doctor = admin.get("/doctor").await?;
    assert!(doctor.to_string().contains("takes no writes"), "{doctor}");
    traffic.more(50).await?;

    let (_, export, _) = state(&admin).await?;
    planes.control.kill()?;
    planes.start_control()?;
    let (_, again, _) = state(&admin).await?;
    assert_eq!(export, again);
    admin.post("/clients", json!({ "name": "after" })).await?;
    admin.post("/audit/verify", json!({})).await?;
    let saw = traffic.stop().await;
    println!("{} requests served beside it, failed: {:?}", saw.ok, saw.failed);
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}
