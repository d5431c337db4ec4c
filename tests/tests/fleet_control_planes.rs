//! Several control planes over one etcd of three nodes: whichever dies or sleeps, what was acknowledged is there, writes are soon
//! back, replicas serve on and a rotation comes to its end. Faults P5, P16; figure N7. `KEYWAY_LONG`: a hundred kills.

use std::time::{Duration, Instant};

use keyway_e2e::fleet::readyz;
use keyway_e2e::gateway::{Outcome, yaml};
use keyway_e2e::shared::{
    LOOK, PATIENCE, admin, clients, in_sync, leader, log, serve, write, write_until_taken,
};
use keyway_testkit::process::Shared;
use keyway_testkit::provider::Provider;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

const KILLS: usize = 8;
const LONG_KILLS: usize = 100;
/// Writes are back after the end of a leader.
const BACK: Duration = Duration::from_secs(5);

fn is_long() -> bool {
    std::env::var_os("KEYWAY_LONG").is_some()
}

#[tokio::test]
async fn any_control_plane_takes_writes_and_knows_every_replica() -> Outcome {
    let provider = Provider::start()?;
    let Some(all) = Shared::start(&yaml(&provider), 2, 2)? else { return Ok(()) };
    serve(&all).await?;
    for at in [0, 1] {
        assert!(write(&all, at, &format!("by-{at}")).await?, "{}", all.controls[at].process.stderr());
        in_sync(&all, at, 2).await?;
    }
    let until = Instant::now() + PATIENCE;
    while clients(&all, 0).await? != clients(&all, 1).await? {
        assert!(Instant::now() < until, "both say the same");
        tokio::time::sleep(LOOK).await;
    }
    // Usage is booked by one of them, and told by both.
    for at in [0, 1] {
        let until = Instant::now() + PATIENCE;
        loop {
            let rows = admin(&all, at)?.get("/usage").await?;
            if rows.to_string().contains("\"requests\":2") {
                break;
            }
            assert!(Instant::now() < until, "{rows:#}");
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn writes_are_back_within_five_seconds_and_none_is_lost() -> Outcome {
    let provider = Provider::start()?;
    let Some(mut all) = Shared::start(&yaml(&provider), 2, 2)? else { return Ok(()) };
    let kills = if is_long() { LONG_KILLS } else { KILLS };
    let (mut acknowledged, mut took) = (Vec::new(), Vec::new());
    for kill in 0..kills {
        let before = format!("before-{kill}");
        write_until_taken(&all, kill % 2, &before).await?;
        acknowledged.push(before);
        let lead = leader(&all, 0).await?;
        let other = 1 - lead;
        all.controls[lead].process.kill()?;
        let after = format!("after-{kill}");
        took.push(write_until_taken(&all, other, &after).await?);
        acknowledged.push(after);
        serve(&all).await?;
        in_sync(&all, other, 2).await?;
        all.spawn_control(lead)?;
        all.until_ready(lead)?;
    }
    let there = clients(&all, leader(&all, 0).await?).await?;
    let lost: Vec<&String> = acknowledged.iter().filter(|name| !there.contains(name)).collect();
    took.sort_unstable();
    let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
    println!(
        "control plane fail-over with etcd: {kills} kills of the leader, writes back after {median:?} (median), {most:?} (most); \
         {} acknowledged writes, {} lost",
        acknowledged.len(),
        lost.len()
    );
    assert_eq!(lost, Vec::<&String>::new());
    assert!(most < BACK, "{took:?}");
    Ok(())
}

/// The answer, with the token in it, stands in the store that both have; the key names one change whoever leads.
#[tokio::test]
async fn what_was_asked_of_a_leader_that_died_is_answered_the_same_by_the_next() -> Outcome {
    let provider = Provider::start()?;
    let Some(mut all) = Shared::start(&yaml(&provider), 2, 1)? else { return Ok(()) };
    let lead = leader(&all, 0).await?;
    let body = json!({ "name": "once", "models": ["sim/*"] });
    let first = admin(&all, lead)?.post_once("/clients", &body, "k").await?;
    assert_eq!(first.status, 201, "{}", first.json);
    all.controls[lead].process.kill()?;
    let other = 1 - lead;
    write_until_taken(&all, other, "another").await?;
    let again = admin(&all, other)?.post_once("/clients", &body, "k").await?;
    assert_eq!(again, first);
    let log = admin(&all, other)?.get("/audit?after=0&subject=client/once").await?;
    assert_eq!(log["records"].as_array().map(Vec::len), Some(1), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_leader_that_slept_writes_nothing_any_more() -> Outcome {
    let provider = Provider::start()?;
    let Some(all) = Shared::start(&yaml(&provider), 2, 1)? else { return Ok(()) };
    write_until_taken(&all, 0, "first").await?;
    let lead = leader(&all, 0).await?;
    let other = 1 - lead;
    all.controls[lead].process.signal(Signal::STOP)?;
    // A write to it waits in its socket and is read when it wakes: it believes that it leads then.
    let asleep = admin(&all, lead)?;
    let stale = tokio::spawn(async move {
        let body = json!({ "name": "stale", "models": ["sim/*"] });
        asleep.call(Method::POST, "/clients", Some(&body)).await.map(|answered| answered.status)
    });
    write_until_taken(&all, other, "meanwhile").await?;
    all.controls[lead].process.signal(Signal::CONT)?;
    // Refused, or sent on to who leads: in both cases the log has one history.
    let answered = stale.await?;
    let until = Instant::now() + PATIENCE;
    while leader(&all, lead).await? != other || clients(&all, lead).await? != clients(&all, other).await? {
        assert!(Instant::now() < until, "it follows");
        tokio::time::sleep(LOOK).await;
    }
    let there = clients(&all, other).await?;
    let taken = answered.is_ok_and(|status| (200..300).contains(&status));
    assert_eq!(there.contains(&"stale".to_owned()), taken, "{there:?}");
    let verified = admin(&all, other)?.post("/audit/verify", Value::Null).await?;
    println!("a leader that slept: its write was {}; {verified}", if taken { "sent on" } else { "refused" });
    serve(&all).await
}

/// Tries to write until it is said that etcd does not answer.
async fn refused_by_etcd(all: &Shared, at: usize) -> Outcome {
    let body = json!({ "name": "one", "models": ["sim/*"] });
    let until = Instant::now() + PATIENCE;
    loop {
        let refused = admin(all, at)?.call(Method::POST, "/clients", Some(&body)).await?;
        assert_eq!(refused.status, 503, "{}", refused.json);
        if refused.code() == "store_unavailable" {
            return Ok(());
        }
        assert!(Instant::now() < until, "{}", refused.json);
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test]
async fn one_node_of_etcd_is_not_missed_and_two_make_it_read_only() -> Outcome {
    let provider = Provider::start()?;
    let Some(mut all) = Shared::start(&yaml(&provider), 2, 1)? else { return Ok(()) };
    write_until_taken(&all, 0, "three").await?;
    all.etcd[0].process.kill()?;
    let took = write_until_taken(&all, 0, "two").await?;
    println!("one node of etcd killed: the next write took {took:?}");
    all.etcd[1].process.kill()?;
    for at in [0, 1] {
        refused_by_etcd(&all, at).await?;
    }
    assert!(clients(&all, 0).await?.contains(&"two".to_owned()), "reads go on");
    serve(&all).await?;
    // Nobody leads, so there is nowhere to send a replica.
    let ready = readyz(&all.replicas[0])?.1;
    assert_eq!(ready["control_plane"]["connected"], true, "{ready}");
    assert!([0, 1].into_iter().all(|at| !log(&all, at).contains("sent away")));
    all.start_node(0)?;
    all.start_node(1)?;
    let took = write_until_taken(&all, 0, "back").await?;
    println!("two nodes back: writes after {took:?}");
    assert!(clients(&all, 0).await?.contains(&"two".to_owned()));
    serve(&all).await
}

#[tokio::test]
async fn a_rotation_whose_leader_dies_comes_to_its_end() -> Outcome {
    let provider = Provider::start()?;
    let Some(mut all) = Shared::start(&yaml(&provider), 2, 2)? else { return Ok(()) };
    let lead = leader(&all, 0).await?;
    let other = 1 - lead;
    let body = json!({ "secret": "sk-sim-second-0123456789abcdef", "overlap": "2s" });
    let begun = admin(&all, other)?.call(Method::POST, "/keys/sim/main/rotate", Some(&body)).await?;
    assert!((200..300).contains(&begun.status), "{}", begun.json);
    all.controls[lead].process.kill()?;
    let until = Instant::now() + PATIENCE;
    loop {
        let seen = admin(&all, other)?.call(Method::GET, "/keys/sim/main/rollout", None).await?;
        if seen.json["step"] == "done" {
            println!("a rotation whose leader died: {}", seen.json);
            break;
        }
        assert!(Instant::now() < until, "{}\n{}", seen.json, all.controls[other].process.stderr());
        tokio::time::sleep(LOOK).await;
        serve(&all).await?;
    }
    serve(&all).await
}
