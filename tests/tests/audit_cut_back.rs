//! A journal that is cut back, or goes on otherwise from an older copy, is found out by what replicas were told of it; a restore that
//! says so in the log is not.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use keyway_e2e::admin::Admin;
use keyway_e2e::damage::copy;
use keyway_e2e::fleet::{admin, settled, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_testkit::process::{Planes, Ran};
use keyway_testkit::provider::Provider;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(100);

/// The newest record.
async fn newest(admin: &Admin) -> Outcome<u64> {
    let page = admin.get("/audit?limit=1").await?;
    Ok(page.pointer("/records/0/revision").and_then(Value::as_u64).ok_or("no record")?)
}

/// Waits until the replica was told of that record or a later one.
async fn told(admin: &Admin, revision: u64) -> Outcome {
    let end = Instant::now() + PATIENCE;
    loop {
        let list = admin.get("/fleet").await?;
        let told = list.pointer("/replicas/0/audit").or(list.pointer("/0/audit")).and_then(Value::as_str);
        let told = told.and_then(|told| told.split_once('.')?.1.parse::<u64>().ok());
        if told.is_some_and(|told| told >= revision) {
            return Ok(());
        }
        assert!(Instant::now() < end, "not told of {revision}: {list}");
        tokio::time::sleep(LOOK).await;
    }
}

async fn clients(admin: &Admin, name: &str, count: usize) -> Outcome {
    for number in 0..count {
        admin.post("/clients", json!({ "name": format!("{name}-{number}") })).await?;
    }
    Ok(())
}

/// Waits until the replica is back and says what it was told, and asks for both findings.
async fn findings(planes: &Planes) -> Outcome<[Ran; 2]> {
    let end = Instant::now() + PATIENCE;
    while !planes.cli(&["fleet", "list", "--output", "json"])?.stdout.contains("\"audit\": \"") {
        assert!(Instant::now() < end, "no replica says what it was told");
        tokio::time::sleep(LOOK).await;
    }
    Ok([planes.cli(&["audit", "verify"])?, planes.cli(&["doctor"])?])
}

fn replace(store: &Path, with: &Path) -> Outcome {
    fs::remove_dir_all(store)?;
    Ok(copy_all(with, store)?)
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    copy(from, to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn replicas_know_of_records_that_are_gone() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 1)?;
    planes.configure(None)?;
    let admin = admin(&planes)?;
    let (store, aside) = (planes.data_dir().join("store"), planes.folder().join("aside"));
    let backup = planes.folder().join("backup").display().to_string();
    assert_eq!(planes.cli(&["backup", &backup])?.code, Some(0));
    planes.control.kill()?;
    copy_all(&store, &aside)?;
    planes.start_control()?;
    settled(&admin, 1).await?;
    clients(&admin, "gone", 20).await?;
    told(&admin, newest(&admin).await?).await?;
    let [verify, doctor] = findings(&planes).await?;
    assert_eq!((verify.code, doctor.code), (Some(0), Some(0)), "{verify:?} {doctor:?}");

    planes.control.kill()?;
    replace(&store, &aside)?;
    planes.start_control()?;
    let [verify, doctor] = findings(&planes).await?;
    println!("{}{}", verify.stderr, doctor.stdout);
    assert_eq!((verify.code, doctor.code), (Some(1), Some(1)), "{verify:?} {doctor:?}");
    assert!(verify.stderr.contains("its end was cut off"), "{verify:?}");

    // It grows beyond what the replica knows: that is another record now, and the replica was told none of it.
    clients(&admin, "other", 30).await?;
    let [verify, doctor] = findings(&planes).await?;
    assert!(verify.code == Some(1) && verify.stderr.contains("written anew"), "{verify:?}");
    assert!(doctor.code == Some(1) && doctor.stdout.contains("written anew"), "{doctor:?}");

    // A restore raises the epoch, and the log says so itself.
    planes.control.kill()?;
    assert_eq!(planes.cli(&["restore", &backup])?.code, Some(0));
    planes.start_control()?;
    settled(&admin, 1).await?;
    let [verify, doctor] = findings(&planes).await?;
    assert_eq!(verify.code, Some(0), "{verify:?}");
    assert!(!doctor.stdout.contains("was told"), "{doctor:?}");
    Ok(())
}
