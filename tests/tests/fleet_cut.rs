//! The network between the planes is cut under load: replicas in a network namespace of their own serve on, nothing fails, and
//! after it they are in sync with what was changed meanwhile.

use std::time::{Duration, Instant};

use keyway_e2e::apart::Apart;
use keyway_e2e::fleet::{PATIENCE, admin, settled, text};
use keyway_e2e::gateway::{Outcome, TOKEN};
use keyway_e2e::traffic::Traffic;
use keyway_testkit::process::Planes;
use serde_json::{Value, json};

const REPLICAS: usize = 3;
/// How long it is cut, and the same under `cargo xtask test --long`.
const CUT: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(600));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_cut_between_the_planes_fails_no_request_and_after_it_all_are_in_sync() -> Outcome {
    let Some(apart) = Apart::make()? else {
        println!("NOT TESTED: a network that is cut needs a namespace of its own, and so root and iproute2");
        return Ok(());
    };
    let yaml = format!("clients:\n  tester: {{ token: {TOKEN}, models: [\"sandbox/*\"] }}\n");
    let planes = Planes::of(yaml).elsewhere(apart.elsewhere()).start(REPLICAS)?;
    let admin = admin(&planes)?;
    let before = settled(&admin, REPLICAS).await?;
    let traffic = Traffic::on(&planes.replicas, "sandbox/echo", 2, Duration::from_millis(5))?;
    traffic.more(100).await?;

    let began = Instant::now();
    let cut = if std::env::var_os("KEYWAY_LONG").is_some() { CUT.1 } else { CUT.0 };
    apart.cut()?;
    admin.post("/clients", json!({ "name": "meanwhile" })).await?;
    let lost = |fleet: &Value| {
        let all = fleet.as_array()?;
        all.iter().all(|one| matches!(text(one, "/state"), "silent" | "lost")).then_some(())
    };
    admin.until(PATIENCE, "/fleet", lost).await?;
    while began.elapsed() < cut {
        traffic.more(100).await?;
        for replica in &planes.replicas {
            assert_eq!(replica.ops("/readyz")?.0, 200, "what it has is good");
        }
    }
    for replica in &planes.replicas {
        let serves = replica.ops("/snapshot")?.1;
        assert!(serves.contains(&before), "nothing came through: {serves}");
    }
    let mended = Instant::now();
    apart.mend()?;
    let after = settled(&admin, REPLICAS).await?;
    println!("cut for {:?}; all in sync {:?} after it was mended", mended - began, mended.elapsed());
    assert_ne!(after, before);
    traffic.more(100).await?;
    let saw = traffic.stop().await;
    println!("{} requests", saw.ok);
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}
