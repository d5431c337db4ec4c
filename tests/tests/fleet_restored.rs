//! The control plane's machine is lost while its fleet serves: a backup is brought back to an empty one, and every replica
//! takes the new epoch, whatever it had seen that the backup does not hold.

use std::fs;
use std::time::Duration;

use keyway_e2e::fleet::{admin, ask, settled, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_e2e::rotation::secret;
use keyway_e2e::traffic::{Traffic, version};
use keyway_testkit::process::{Planes, Ran};
use keyway_testkit::provider::Provider;
use serde_json::json;

const REPLICAS: usize = 3;
/// Kept elsewhere by whoever runs this: what opens the backup, and what operators show. The authority of nodes is in it.
const ELSEWHERE: [&str; 2] = ["root.key", "admin.token"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_brought_to_an_empty_machine_is_taken_by_every_replica() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), REPLICAS)?;
    planes.configure(None)?;
    let admin = admin(&planes)?;
    let backup = planes.folder().join("backup").display().to_string();
    assert_eq!(planes.cli(&["backup", &backup])?.code, Some(0));
    // After the backup: more versions than the restored one will count, and a key that it does not know.
    for number in 0..5 {
        admin.post("/clients", json!({ "name": format!("later-{number}") })).await?;
    }
    let args = ["key", "rotate", "sim/main", "--from-env", "NEW_KEY", "--overlap", "0s", "--wait", "retired"];
    let ran = Ran::of(planes.begin(&args, &[("NEW_KEY", &secret(1))])?)?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let newest = settled(&admin, REPLICAS).await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    traffic.more(50).await?;

    planes.control.kill()?;
    let (lost, home) = (planes.folder().join("lost"), planes.data_dir().to_owned());
    fs::rename(&home, &lost)?;
    fs::create_dir(&home)?;
    for name in ELSEWHERE {
        fs::copy(lost.join(name), home.join(name))?;
    }
    traffic.more(50).await?;
    let ran = planes.cli(&["restore", &backup])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    planes.start_control()?;
    let restored = settled(&admin, REPLICAS).await?;
    println!("{newest} before, {restored} restored");
    assert!(version(&restored) > version(&newest) && restored.starts_with("2."), "{restored}");
    traffic.more(50).await?;
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    for replica in &planes.replicas {
        let answer = ask(replica, "sim/m").await?;
        assert_eq!((answer.status, answer.header("x-keyway-snapshot")), (200, Some(restored.as_str())));
    }
    let ran = planes.cli(&["fleet", "list", "--output", "json"])?;
    assert!(!ran.stdout.contains("\"ahead\""), "{ran:?}");
    Ok(())
}
