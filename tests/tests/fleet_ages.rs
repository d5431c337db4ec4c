//! Programs of different age in one fleet, under a change and under load: P8 of the list of faults, with real processes. An older
//! build's `keyway-controlplane` and `keyway-dataplane` are named by `KEYWAY_OLDER_BIN_DIR` (commit 22451e0 was the last
//! that sent whole states only); without it a simulated replica of the first schema stands for it, and `controlplane/tests/it/fleet.rs`.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, admin, ask, readyz, settled, simulated, text, until, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_e2e::states::{many, sent};
use keyway_e2e::traffic::Traffic;
use keyway_testkit::process::{Elsewhere, Planes, binary};
use keyway_testkit::provider::Provider;
use serde_json::{Value, json};

const OLDER: &str = "KEYWAY_OLDER_BIN_DIR";
const CLIENTS: usize = 200;
const NEW_KEY: &str = "sk-sim-newer-0123456789abcdef";

fn older() -> Option<PathBuf> {
    std::env::var_os(OLDER).map(PathBuf::from)
}

/// Runs whichever build the file names at each start.
fn by(file: &Path, program: &str) -> [String; 3] {
    let script = format!("exec \"$(cat '{}')/{program}\" \"$@\"", file.display());
    ["/bin/sh".to_owned(), "-c".to_owned(), script]
}

fn newer() -> Outcome<PathBuf> {
    Ok(binary("keyway-controlplane")?.parent().ok_or("no folder")?.to_owned())
}

/// A client goes, another comes, a key is rotated and the old one retired; everything in effect on the one replica.
async fn changes(planes: &Planes, admin: &Admin, round: usize) -> Outcome {
    admin.post(&format!("/clients/many-{round}/disable"), Value::Null).await?;
    admin.post("/clients", json!({ "name": format!("came-{round}") })).await?;
    let secret = format!("{NEW_KEY}-{round}");
    let args = [
        "key",
        "rotate",
        "sim/main",
        "--from-env",
        "NEW_KEY",
        "--no-verify",
        "--overlap",
        "0s",
        "--wait",
        "retired",
    ];
    let ran = keyway_testkit::process::Ran::of(planes.begin(&args, &[("NEW_KEY", &secret)])?)?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    settled(admin, 1).await?;
    let replica = planes.replicas.first().ok_or("no replica")?;
    assert_eq!(ask(replica, "sim/m").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_an_older_replica_serves_on_under_a_newer_control_plane_and_is_replaced() -> Outcome {
    let Some(older) = older() else {
        println!("NOT TESTED: {OLDER} names no folder with an older build");
        return Ok(());
    };
    let (provider, folder) = (Provider::start()?, tempfile::tempdir()?);
    let which = folder.path().join("build");
    std::fs::write(&which, older.display().to_string())?;
    let here = Ipv4Addr::LOCALHOST.into();
    let under = by(&which, "keyway-dataplane").to_vec();
    let elsewhere = Elsewhere { under, replicas_at: here, fleet_at: here };
    let mut planes = Planes::of(many(&provider, CLIENTS)).elsewhere(elsewhere).start(1)?;
    let admin = admin(&planes)?;
    settled(&admin, 1).await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    let before = sent(&admin).await?;
    changes(&planes, &admin, 0).await?;
    let after = sent(&admin).await?;
    println!("an older replica: {before:?} then {after:?}");
    assert!(after.whole > before.whole && after.changes == 0, "it takes whole states: {after:?}");
    assert_eq!((after.resent, after.refused), (0, 0), "{after:?}");
    let shown = admin.get("/fleet/replica-1").await?;
    assert_eq!((text(&shown, "/state"), &shown["features"]), ("ready", &json!([])), "{shown}");
    traffic.more(50).await?;
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);

    std::fs::write(&which, newer()?.display().to_string())?;
    let replica = planes.replicas.first_mut().ok_or("no replica")?;
    replica.process.stop()?;
    replica.start_again()?;
    replica.until_ready()?;
    settled(&admin, 1).await?;
    let before = sent(&admin).await?;
    changes(&planes, &admin, 1).await?;
    let after = sent(&admin).await?;
    assert!(after.changes > before.changes && after.whole == before.whole, "{before:?} then {after:?}");
    Ok(())
}

/// Until a real and a simulated replica serve the newest state: which it is. The simulated one keeps nothing on a disk.
async fn both_ready(admin: &Admin) -> Outcome<String> {
    let is_ready = |one: &&Value| text(one, "/state") == "ready";
    let both = |list: &Value| list.as_array().is_some_and(|all| all.iter().filter(is_ready).count() == 2);
    admin.until(PATIENCE, "/fleet", |list| both(list).then_some(())).await?;
    Ok(text(&admin.get("/status").await?, "/version").to_owned())
}

/// Applies the provider with these prices. By search units is what the first schema has no word for.
async fn price(admin: &Admin, provider: &Provider, prices: Value) -> Outcome {
    let sim = json!({ "dialect": "openai-chat", "base_url": provider.base_url(), "prices": prices });
    admin.post("/apply", json!({ "file": { "providers": { "sim": sim } } })).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_a_replica_that_cannot_read_a_state_is_not_sent_it_and_is_named_until_it_can() -> Outcome {
    let provider = Provider::start()?;
    let planes = Planes::start(&yaml(&provider, ""), 1)?;
    let admin = admin(&planes)?;
    let _older = simulated(&planes, &[])?;
    let before = both_ready(&admin).await?;
    let had = sent(&admin).await?;

    price(&admin, &provider, json!({ "m": { "per_search_unit": 0.002 } })).await?;
    let shown = admin
        .until(PATIENCE, "/fleet/sim~0", |shown| {
            (text(shown, "/state") == "incompatible").then(|| shown.clone())
        })
        .await?;
    assert_eq!(
        (text(&shown, "/lacks"), text(&shown, "/snapshot")),
        ("search-units", before.as_str()),
        "{shown}"
    );
    // Another change that it could read by itself follows from one that it cannot.
    admin.post("/clients", json!({ "name": "meanwhile" })).await?;
    let newest = text(&admin.get("/status").await?, "/version").to_owned();
    let one = planes.replicas.first().ok_or("no replica")?;
    until("the other one serves the newest state", PATIENCE, || {
        Ok((text(&readyz(one)?.1, "/snapshot") == newest).then_some(()))
    })
    .await?;
    let now = sent(&admin).await?;
    assert_eq!(
        (now.whole + now.changes, now.resent, now.refused),
        (had.whole + had.changes + 2, 0, 0),
        "{now:?}"
    );
    let shown = admin.get("/fleet/sim~0").await?;
    assert_eq!(
        (text(&shown, "/state"), text(&shown, "/snapshot")),
        ("incompatible", before.as_str()),
        "{shown}"
    );
    let doctor = admin.get("/doctor").await?.to_string();
    assert!(doctor.contains("sim~0 cannot read what is in force"), "{doctor}");

    price(&admin, &provider, json!({})).await?;
    both_ready(&admin).await?;
    Ok(())
}

/// A control plane of before did not sign its states: a node that was told a key takes none of them, and serves once the control
/// plane is replaced. So the control plane is upgraded first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_a_newer_replica_takes_no_unsigned_state_and_serves_once_its_control_plane_is_replaced() -> Outcome
{
    let Some(older) = older() else {
        println!("NOT TESTED: {OLDER} names no folder with an older build");
        return Ok(());
    };
    let (provider, folder) = (Provider::start()?, tempfile::tempdir()?);
    let which = folder.path().join("build");
    std::fs::write(&which, older.display().to_string())?;
    let under = by(&which, "keyway-controlplane");
    let under: Vec<&str> = under.iter().map(String::as_str).collect();
    let mut planes = Planes::of(many(&provider, CLIENTS)).under(&under).start(0)?;
    let replica = planes.add_unready()?;
    let refused = || Ok(readyz(replica)?.1.to_string().contains("signature: is missing").then_some(()));
    until("it says why it takes no state", PATIENCE, refused).await?;
    planes.control.kill()?;
    std::fs::write(&which, newer()?.display().to_string())?;
    planes.configure(None)?;
    planes.start_control()?;
    planes.replicas.first_mut().ok_or("no replica")?.until_ready()?;
    let admin = admin(&planes)?;
    settled(&admin, 1).await?;
    let before = sent(&admin).await?;
    changes(&planes, &admin, 1).await?;
    let after = sent(&admin).await?;
    println!("after the upgrade: {before:?} then {after:?}");
    assert!(after.changes > before.changes && after.whole == before.whole, "{before:?} then {after:?}");
    assert_eq!((after.resent, after.refused), (0, 0), "{after:?}");
    Ok(())
}
