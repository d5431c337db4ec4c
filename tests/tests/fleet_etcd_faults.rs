//! What becomes of control planes whose etcd goes wrong: the one that leads is cut from it (P4 of the list of faults), and it
//! is full or has forgotten its history (P16).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use keyway_e2e::fleet::text;
use keyway_e2e::gateway::{Outcome, yaml};
use keyway_e2e::shared::{
    Etcd, LOOK, PATIENCE, admin, clients, in_sync, leader, log, serve, write_until_taken,
};
use keyway_e2e::traffic::{Traffic, Version, version};
use keyway_e2e::wire::Wire;
use keyway_testkit::process::Shared;
use keyway_testkit::provider::Provider;
use reqwest::Method;
use serde_json::{Value, json};

/// Bytes that etcd may take, and of one value that fills it.
const QUOTA: &str = "8388608";
const BALLAST: usize = 1 << 20;

/// What replicas were seen to serve.
#[derive(Default)]
struct Served {
    hashes: BTreeMap<Version, String>,
    last: BTreeMap<String, Version>,
}

impl Served {
    /// No version stands for two states, and no replica goes back.
    fn look(&mut self, all: &Shared) -> Outcome {
        for replica in &all.replicas {
            let now: Value = serde_json::from_str(&replica.ops("/snapshot")?.1)?;
            let (at, hash) = (version(text(&now, "/version")).ok_or("no version")?, text(&now, "/hash"));
            let known = self.hashes.entry(at).or_insert_with(|| hash.to_owned());
            assert_eq!(known, hash, "{at:?} stands for two states");
            let before = self.last.insert(replica.id.clone(), at);
            assert!(before.is_none_or(|before| before <= at), "{} went back to {at:?}", replica.id);
        }
        Ok(())
    }
}

/// Tries to write at a control plane that is cut off, until it says that it cannot.
async fn refused(all: &Shared, at: usize) -> Outcome {
    let body = json!({ "name": "cut-off", "models": ["sim/*"] });
    let until = Instant::now() + PATIENCE;
    loop {
        let answered = admin(all, at)?.call(Method::POST, "/clients", Some(&body)).await;
        if let Ok(answered) = answered {
            assert!(!(200..300).contains(&answered.status), "it wrote: {}", answered.json);
            if answered.status == 503 {
                assert!(["store_unavailable", "not_leader"].contains(&answered.code()), "{}", answered.json);
                return Ok(());
            }
        }
        assert!(Instant::now() < until, "not refused\n{}", log(all, at));
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_leader_that_is_cut_from_etcd_writes_nothing_and_another_goes_on() -> Outcome {
    let provider = Provider::start()?;
    let Some(mut all) = Shared::start(&yaml(&provider), 0, 0)? else { return Ok(()) };
    let mut wires = Vec::new();
    for node in &all.etcd {
        wires.push(Wire::to(node.client()).await?);
    }
    all.add_control(all.store_at(&wires.iter().map(Wire::here).collect::<Vec<_>>()))?;
    all.add_control(all.store())?;
    for _ in 0..2 {
        all.add_replica()?;
    }
    assert_eq!(leader(&all, 1).await?, 0);
    let (traffic, mut served) =
        (Traffic::on(&all.replicas, "sim/m", 2, Duration::from_millis(5))?, Served::default());
    traffic.more(50).await?;
    write_until_taken(&all, 0, "before").await?;
    in_sync(&all, 0, 2).await?;
    served.look(&all)?;

    wires.iter().for_each(Wire::cut);
    let took = write_until_taken(&all, 1, "meanwhile").await?;
    println!("the leader is cut from etcd: writes are back after {took:?}");
    refused(&all, 0).await?;
    for number in 0..5 {
        write_until_taken(&all, 1, &format!("meanwhile-{number}")).await?;
        served.look(&all)?;
        serve(&all).await?;
    }
    // Its replicas would hear of nothing that is decided now: they are sent to the one that leads.
    in_sync(&all, 1, 2).await?;
    for replica in &all.replicas {
        let now: Value = serde_json::from_str(&replica.ops("/snapshot")?.1)?;
        let newest = text(&admin(&all, 1)?.get("/status").await?, "/version").to_owned();
        assert_eq!(text(&now, "/version"), newest, "{}", replica.id);
    }
    assert!(log(&all, 0).contains("replicas are sent away"), "{}", log(&all, 0));
    let cut_off = clients(&all, 0).await?;
    assert!(cut_off.contains(&"before".to_owned()), "reads go on: {cut_off:?}");
    assert!(!cut_off.iter().any(|name| name.starts_with("meanwhile")), "{cut_off:?}");
    // What it wants to be told from is history by the time it comes back.
    Etcd::of(&all)?.compact().await?;
    traffic.more(50).await?;

    wires.iter().for_each(Wire::mend);
    let until = Instant::now() + PATIENCE;
    while leader(&all, 0).await? != 1 || clients(&all, 0).await? != clients(&all, 1).await? {
        assert!(Instant::now() < until, "it does not follow\n{}", log(&all, 0));
        tokio::time::sleep(LOOK).await;
    }
    in_sync(&all, 0, 2).await?;
    served.look(&all)?;
    let there = clients(&all, 1).await?;
    assert!(!there.contains(&"cut-off".to_owned()), "{there:?}");
    assert!(there.contains(&"meanwhile-4".to_owned()), "{there:?}");
    let verified = admin(&all, 0)?.post("/audit/verify", Value::Null).await?;
    traffic.more(50).await?;
    let saw = traffic.stop().await;
    println!("{} requests; {} versions seen; {verified}", saw.ok, served.hashes.len());
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p16_a_full_etcd_refuses_writes_and_all_else_goes_on_until_there_is_room() -> Outcome {
    let provider = Provider::start()?;
    let setup = Shared::of(&yaml(&provider)).etcd(&["--quota-backend-bytes", QUOTA]);
    let Some(all) = setup.start(2, 1)? else { return Ok(()) };
    write_until_taken(&all, 0, "before").await?;
    let traffic = Traffic::on(&all.replicas, "sim/m", 2, Duration::from_millis(5))?;
    let etcd = Etcd::of(&all)?;
    // Somebody else fills it.
    let ballast = vec![b'x'; BALLAST];
    let mut puts = 0;
    while etcd.put("ballast", &ballast).await? {
        puts += 1;
        assert!(puts < 100, "it is never full");
    }
    let body = json!({ "name": "no-room", "models": ["sim/*"] });
    for at in [0, 1] {
        let refused = admin(&all, at)?.call(Method::POST, "/clients", Some(&body)).await?;
        assert_eq!((refused.status, refused.code()), (507, "storage_full"), "{}", refused.json);
        assert!(clients(&all, at).await?.contains(&"before".to_owned()), "reads go on");
    }
    serve(&all).await?;
    traffic.more(50).await?;
    etcd.make_room().await?;
    let took = write_until_taken(&all, 0, "after").await?;
    println!("etcd was full after {puts} MiB; there is room: the next write took {took:?}");
    in_sync(&all, 1, 1).await?;
    let there = clients(&all, 1).await?;
    assert!(there.contains(&"after".to_owned()) && !there.contains(&"no-room".to_owned()), "{there:?}");
    traffic.more(50).await?;
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}
