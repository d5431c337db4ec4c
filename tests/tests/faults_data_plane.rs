//! Replicas that are killed, that start without their control plane, whose lease ends: D1, D2, D3 and R6 of the list of faults,
//! with both planes as processes of their own.

use std::time::{Duration, Instant};

use keyway_e2e::fleet::{PATIENCE, admin, ask, readyz, settled, text, until, waits, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_e2e::traffic::Traffic;
use keyway_testkit::process::{Planes, Ran};
use keyway_testkit::provider::Provider;
use serde_json::{Value, json};

/// From its start a replica serves from its last good state within this time.
const SERVES_WITHIN: Duration = Duration::from_secs(1);
/// The lease of the test that lets it end.
const LEASE: Duration = Duration::from_secs(2);
/// What the provider's key is rotated to while a replica is away.
const NEW_KEY: &str = "sk-sim-newer-0123456789abcdef";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d1_a_killed_replica_fails_only_what_it_was_answering() -> Outcome {
    const CALLERS: usize = 4;
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 3)?;
    let admin = admin(&planes)?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", CALLERS, Duration::ZERO)?;
    traffic.more(100).await?;
    let victim = planes.replicas.first_mut().ok_or("no replica")?;
    victim.process.kill()?;
    // The others take what is left.
    traffic.more(100).await?;
    let lost = |fleet: &Value| {
        fleet.as_array()?.iter().any(|one| one["id"] == "replica-1" && one["state"] == "lost").then_some(())
    };
    admin.until(PATIENCE, "/fleet", lost).await?;
    victim.start_again()?;
    victim.until_ready()?;
    assert_eq!(ask(victim, "sim/m").await?.status, 200);
    settled(&admin, 3).await?;
    traffic.more(100).await?;
    let saw = traffic.stop().await;
    println!("{} good; failed: {:?}", saw.ok, saw.failed);
    let [first, others @ ..] = saw.each.as_slice() else { return Err("no replica".into()) };
    assert!(others.iter().all(|one| one.failed.is_empty()), "{:?}", saw.failed);
    // While it is away its port refuses, which says to a caller that nothing was begun.
    let refused = |reason: &str| reason.starts_with("connect: Connection refused");
    let cut: u64 = first.failed.iter().filter(|(reason, _)| !refused(reason)).map(|(_, times)| times).sum();
    assert!(cut <= CALLERS as u64, "more cut than were under way: {:?}", first.failed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d2_without_its_control_plane_a_replica_starts_from_its_disk_within_a_second() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 1)?;
    let version = settled(&admin(&planes)?, 1).await?;
    planes.control.kill()?;
    let replica = planes.replicas.first_mut().ok_or("no replica")?;
    replica.process.kill()?;
    let began = Instant::now();
    replica.spawn_again()?;
    let answer = loop {
        match ask(replica, "sim/m").await {
            Ok(answer) => break answer,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}: {}", replica.process.stderr()),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let took = began.elapsed();
    println!("serves {took:?} after the start of its process");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-keyway-snapshot"), Some(version.as_str()));
    assert!(took < SERVES_WITHIN, "{took:?}");
    let (status, ready) = readyz(replica)?;
    assert_eq!((status, text(&ready, "/config_source")), (200, "disk"), "{ready}");
    assert!(ready["config_age_seconds"].is_u64(), "{ready}");
    assert!(text(&ready, "/control_plane/last_error").contains("refused"), "{ready}");

    planes.start_control()?;
    settled(&admin(&planes)?, 1).await?;
    let (_, ready) = readyz(planes.replicas.first().ok_or("no replica")?)?;
    assert_eq!(text(&ready, "/config_source"), "control_plane", "{ready}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d3_a_first_start_waits_for_the_control_plane() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 0)?;
    let token = planes.folder().join("join.token");
    planes.join_token(&token, &[])?;
    planes.control.kill()?;
    waits(planes.add_with("first".to_owned(), &token)?, "").await?;
    planes.start_control()?;
    let replica = planes.replicas.first_mut().ok_or("no replica")?;
    replica.until_ready()?;
    assert_eq!(ask(replica, "sim/m").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r6_a_lease_that_ends_withholds_keys_until_the_control_plane_is_heard() -> Outcome {
    let provider = Provider::start()?;
    let lease = format!("rotation: {{ lease: {}s }}\n", LEASE.as_secs());
    let mut planes = Planes::start(&yaml(&provider, &lease), 1)?;
    settled(&admin(&planes)?, 1).await?;
    planes.control.kill()?;
    let killed = Instant::now();
    let replica = planes.replicas.first_mut().ok_or("no replica")?;
    assert_eq!(ask(replica, "sim/m").await?.status, 200, "the lease has not ended yet");
    let refused = loop {
        let answer = ask(replica, "sim/m").await?;
        if answer.status != 200 {
            break answer;
        }
        assert!(killed.elapsed() < PATIENCE, "the lease does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let took = killed.elapsed();
    println!("keys are withheld {took:?} after the control plane was killed, with a lease of {LEASE:?}");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("secrets_unavailable"), "{}", refused.text());
    assert!(took < LEASE + Duration::from_secs(2), "{took:?}");
    assert_eq!(ask(replica, "sandbox/echo").await?.status, 200, "what needs no key is answered");
    let (status, ready) = readyz(replica)?;
    assert_eq!((status, &ready["secrets_unavailable"]), (200, &json!(true)), "{ready}");

    // A start in this state is no way around the lease.
    replica.process.kill()?;
    replica.start_again()?;
    assert_eq!(ask(replica, "sim/m").await?.status, 503);
    assert_eq!(ask(replica, "sandbox/echo").await?.status, 200);

    // What was rotated while it was away is all that it uses from then on.
    replica.process.kill()?;
    planes.start_control()?;
    let rotate = ["key", "rotate", "sim/main", "--from-env", "NEW_KEY", "--no-verify", "--overlap", "0s"];
    let ran = Ran::of(planes.begin(&rotate, &[("NEW_KEY", NEW_KEY)])?)?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    provider.accept_only(&[NEW_KEY]);
    let replica = planes.replicas.first_mut().ok_or("no replica")?;
    replica.start_again()?;
    let ready =
        || Ok(readyz(replica)?.1.get("secrets_unavailable").is_some_and(|is| is == false).then_some(()));
    until("keys may be used again", PATIENCE, ready).await?;
    assert_eq!(ask(replica, "sim/m").await?.status, 200);
    let refused: u64 = provider.keys().values().map(|key| key.refused).sum();
    assert_eq!(refused, 0, "the key of before was used");
    Ok(())
}
