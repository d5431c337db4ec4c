//! An evicted node that hears of it holds nothing any more: no state on its disk, none in use, no request under way. D13 of the
//! list of faults.

use std::fs;
use std::path::PathBuf;

use keyway_e2e::expect::openai_reason;
use keyway_e2e::fleet::{PATIENCE, admin, ask, readyz, settled, text, until, yaml};
use keyway_e2e::gateway::{self, CHAT, Gateway, Outcome, TOKEN, chat, streamed};
use keyway_e2e::inspect::children;
use keyway_e2e::nodes::asked;
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{Keyway, Planes, Replica};
use keyway_testkit::provider::{End, Provider, Reply, Stream};

/// Files that hold a state.
const STATE: [&str; 5] = ["last-good", "last-good.1", "changes", "changes.1", "newest"];

/// The file of the key that a replica's disk is sealed with.
fn key_file(replica: &Replica) -> Outcome<PathBuf> {
    let dir = replica.state_dir();
    let beside = dir.parent().ok_or("no parent")?.join("node-keys");
    Ok(beside.join(format!("{}.key", replica.id)))
}

/// Waits until it serves nothing, and nothing of a state lies on its disk nor what would open a copy of it.
async fn forgets(replica: &Replica, sealed_with: &[u8]) -> Outcome {
    until("it forgets what it holds", PATIENCE, || {
        let (status, ready) = readyz(replica)?;
        let kept: Vec<&str> =
            STATE.into_iter().filter(|name| replica.state_dir().join(name).exists()).collect();
        // Between the old key and the new one there is none for a moment.
        let same_key = fs::read(key_file(replica)?).map_or(true, |key| key == sealed_with);
        let forgotten = status == 503 && kept.is_empty() && !same_key;
        if forgotten { Ok(Some(())) } else { Err(format!("{kept:?} {same_key} {ready}").into()) }
    })
    .await?;
    let (_, ready) = readyz(replica)?;
    assert!(text(&ready, "/control_plane/rejected").contains("evicted"), "{ready}");
    openai_reason(&ask(replica, "sim/m").await?, 503, "overloaded", "not_configured");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d13_an_evicted_node_that_hears_of_it_forgets_its_keys_and_its_state() -> Outcome {
    let provider = Provider::start()?;
    let held = Stream { end: End::Hold { events: 2 }, ..Stream::default() };
    provider.script("held").always(Reply::Stream(held));
    let mut planes = Planes::start(&yaml(&provider, ""), 3)?;
    settled(&admin(&planes)?, 3).await?;
    let ids: Vec<String> = planes.replicas.iter().map(|replica| replica.id.clone()).collect();
    let keys: Vec<Vec<u8>> =
        planes.replicas.iter().map(|one| Ok(fs::read(key_file(one)?)?)).collect::<Outcome<_>>()?;
    let [told, late, _] = planes.replicas.as_mut_slice() else { return Err("three were started".into()) };
    let mut caller = Caller::connect(told.address()?).await?;
    caller.send(&post(CHAT, TOKEN, "", streamed("sim/held").as_bytes())).await?;
    let head = caller.head().await?;
    // Another waits for its first byte: nothing is left to try it with.
    provider.script("silent").always(Reply::Silent);
    let mut waits = Caller::connect(told.address()?).await?;
    waits.send(&post(CHAT, TOKEN, "", chat("sim/silent").as_bytes())).await?;
    let both = |seen: &[keyway_testkit::provider::Seen]| seen.len() >= 2;
    provider.until(PATIENCE, both).await.map_err(|seen| format!("{} requests came", seen.len()))?;
    // The second one is away: it hears of it when it comes back with what is on its disk.
    late.process.kill()?;
    for id in ids.iter().take(2) {
        asked(&planes, &["fleet", "evict", id, "--yes"])?;
    }
    let answer = caller.after(head).await?;
    assert!(!answer.text().contains("[DONE]") && answer.text().contains("revoked"), "{}", answer.text());
    openai_reason(&waits.answer().await?, 503, "overloaded", "not_configured");
    let [told, late, stays] = planes.replicas.as_mut_slice() else { return Err("three were started".into()) };
    forgets(told, &keys[0]).await?;
    late.start_again()?;
    forgets(late, &keys[1]).await?;
    // A start finds nothing either, with the control plane and without.
    planes.control.kill()?;
    for replica in [&mut *told, &mut *late] {
        replica.process.stop()?;
        replica.start_again()?;
        let (status, ready) = readyz(replica)?;
        assert_eq!((status, text(&ready, "/config_source")), (503, "none"), "{ready}");
    }
    assert_eq!(ask(stays, "sim/m").await?.status, 200);
    assert!(stays.state_dir().join("newest").exists(), "the others keep what is theirs");
    Ok(())
}

/// Of `keyway up` itself it ends, and nobody is answered by it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d13_an_evicted_data_plane_of_keyway_up_ends_and_the_others_serve_on() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::of(Keyway::up().config(gateway::yaml(&provider)).replicas(2))?;
    let pid = gateway.keyway.pid();
    assert_eq!(children(pid)?.len(), 2);
    let evicted = gateway.keyway.cli(&["fleet", "evict", "replica-1", "--yes"])?;
    assert!(evicted.code == Some(0) && evicted.stdout.contains("sim/main/1"), "{evicted:?}");
    until("its process ends", PATIENCE, || Ok((children(pid)?.len() == 1).then_some(()))).await?;
    for _ in 0..20 {
        gateway.goes_on(None).await?;
    }
    let listed = gateway.keyway.cli(&["fleet", "list"])?;
    assert!(listed.stdout.contains("replica-2") && !listed.stdout.contains("replica-1"), "{listed:?}");
    Ok(())
}
