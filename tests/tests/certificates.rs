//! Certificates end, are renewed, and change their root, while callers are served. R7, P20 and N19 of the list of faults, with
//! lives of seconds.

use std::time::Duration;

use bytes::Bytes;
use keyway_e2e::fleet::{PATIENCE, ask, readyz, text, until, yaml};
use keyway_e2e::gateway::{CHAT, Outcome, TOKEN, chat};
use keyway_e2e::nodes::{asked, node, root_of};
use keyway_testkit::load::{Load, wants_ok};
use keyway_testkit::process::{Planes, Setup};
use keyway_testkit::provider::Provider;

/// Seconds that a node's certificate lasts here.
const LIFE: &str = "4";

fn short(provider: &Provider) -> Setup {
    Planes::of(yaml(provider, "")).env("KEYWAY_NODE_CERTIFICATE_LIFE", LIFE)
}

fn load(to: std::net::SocketAddr) -> Load {
    Load {
        to,
        callers: 4,
        path: CHAT.to_owned(),
        token: TOKEN.to_owned(),
        body: Bytes::from(chat("sim/m")),
        pause: Duration::from_millis(1),
        check: wants_ok(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r7_a_root_is_changed_under_load_and_no_node_is_refused() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = short(&provider).start(3)?;
    // Away over the whole change: it knows the old root alone.
    planes.replicas.last_mut().ok_or("no replica")?.process.kill()?;
    let running = load(planes.replicas.first().ok_or("no replica")?.address()?).start();
    let rotated = asked(&planes, &["ca", "rotate"])?;
    assert_eq!(rotated["roots"].as_array().map(Vec::len), Some(2), "{rotated}");
    let again = planes.cli(&["ca", "rotate"])?;
    assert!(again.code != Some(0) && again.stderr.contains("ca show"), "{again:?}");
    // What it has begun goes on after a crash.
    planes.control.kill()?;
    planes.start_control()?;
    for name in ["replica-1", "replica-2"] {
        until("it is on the new root", PATIENCE, || Ok((root_of(&planes, name)? == 2).then_some(()))).await?;
    }
    until("the old root is dropped", PATIENCE, || {
        let shown = asked(&planes, &["ca", "show"])?;
        let roots = shown["roots"].as_array().map(Vec::len);
        if roots == Some(1) { Ok(Some(())) } else { Err(shown.to_string().into()) }
    })
    .await?;
    for replica in &planes.replicas[..2] {
        let (status, ready) = readyz(replica)?;
        assert_eq!((status, &ready["node_error"]), (200, &serde_json::Value::Null), "{ready}");
    }
    let counts = running.stop().await;
    println!("{} requests served over a change of the root, failed: {:?}", counts.ok, counts.failed);
    assert!(counts.ok > 100 && counts.failures() == 0, "{:?}", counts.failed);
    let away = planes.replicas.last_mut().ok_or("no replica")?;
    away.start_again()?;
    away.until_ready()?;
    until("it took the new root", PATIENCE, || Ok((root_of(&planes, "replica-3")? == 2).then_some(())))
        .await?;
    let away = planes.replicas.last().ok_or("no replica")?;
    until("it is connected", PATIENCE, || {
        let (_, ready) = readyz(away)?;
        if ready["control_plane"]["connected"] == true { Ok(Some(())) } else { Err(ready.to_string().into()) }
    })
    .await?;
    // None of them was told that its certificate does not hold.
    for replica in &planes.replicas {
        let said = replica.process.stderr();
        assert!(!said.contains("no certificate was given"), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n19_certificates_are_renewed_under_load_and_no_request_fails() -> Outcome {
    let provider = Provider::start()?;
    let planes = short(&provider).start(1)?;
    let replica = planes.replicas.first().ok_or("no replica")?;
    let running = load(replica.address()?).start();
    let first = text(&node(&planes, "replica-1")?, "/expires").to_owned();
    let renewals = || replica.process.stderr().matches("has a new certificate").count();
    until("it has renewed three times", PATIENCE, || Ok((renewals() >= 4).then_some(()))).await?;
    let counts = running.stop().await;
    println!("{} requests served over {} renewals, failed: {:?}", counts.ok, renewals() - 1, counts.failed);
    assert!(counts.ok > 100 && counts.failures() == 0, "{:?}", counts.failed);
    assert_ne!(text(&node(&planes, "replica-1")?, "/expires"), first);
    let metrics = replica.ops("/metrics")?.1;
    let left = metrics.lines().find_map(|line| line.strip_prefix("keyway_certificate_seconds_left "));
    assert!(left.is_some_and(|left| left.parse::<u64>().is_ok_and(|left| left <= 4)), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn p20_a_node_whose_certificate_has_expired_serves_on_and_comes_back_by_itself() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = short(&provider).start(1)?;
    planes.control.kill()?;
    let replica = planes.replicas.first().ok_or("no replica")?;
    until("its certificate has expired", PATIENCE, || {
        let (_, ready) = readyz(replica)?;
        Ok((ready["node"]["certificate_seconds_left"] == 0).then_some(()))
    })
    .await?;
    let (status, ready) = readyz(replica)?;
    assert_eq!(status, 200, "{ready}");
    assert!(text(&ready, "/node_error").contains("refused"), "{ready}");
    assert_eq!(ask(replica, "sim/m").await?.status, 200);
    planes.start_control()?;
    let replica = planes.replicas.first().ok_or("no replica")?;
    until("it is back", PATIENCE, || {
        let (_, ready) = readyz(replica)?;
        let back = ready["control_plane"]["connected"] == true && ready["node_error"].is_null();
        if back { Ok(Some(())) } else { Err(ready.to_string().into()) }
    })
    .await?;
    assert_eq!(text(&node(&planes, "replica-1")?, "/state"), "joined");
    Ok(())
}
