//! States of many clients on their way to real replicas: what a change of one costs in bytes, what a replica is sent that was
//! away, and what is done with a state on its disk that is not what was written.

use std::fs;
use std::path::Path;
use std::time::Duration;

use keyway_e2e::admin::Admin;
use keyway_e2e::damage::{copy, flip};
use keyway_e2e::fleet::{PATIENCE, admin, ask, readyz, settled, text, until, waits, yaml};
use keyway_e2e::gateway::{CHAT, Outcome, chat};
use keyway_e2e::inspect::resident_kib;
use keyway_e2e::states::{many, sent, taken, token};
use keyway_e2e::traffic::Traffic;
use keyway_testkit::caller::{Caller, post};
use keyway_testkit::process::{Planes, Replica};
use keyway_testkit::provider::Provider;
use serde_json::{Map, Value, json};

/// As many as the issue of the fleet names.
const CLIENTS: usize = 100_000;
/// Applied in one call: an unoptimised control plane on a busy machine takes its time.
const AT_ONCE: usize = 5_000;
/// What a change of one of them may take to each replica.
const CHANGE_LIMIT: u64 = 64 << 10;
/// Clients of a state that a replica keeps as a file and a log.
const FEW: usize = 4_000;
/// Changes that the control plane remembers.
const REMEMBERED: usize = 256;

/// What a request with that client's token is answered.
async fn status_of(replica: &Replica, client: usize) -> Outcome<u16> {
    let request = post(CHAT, &token(client), "", chat("sim/m").as_bytes());
    Ok(Caller::connect(replica.address()?).await?.ask(&request).await?.status)
}

async fn switch(admin: &Admin, client: usize, what: &str) -> Outcome<Value> {
    admin.post(&format!("/clients/many-{client}/{what}"), Value::Null).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_one_of_100000_clients_is_small_and_in_effect_everywhere() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 0)?;
    let admin = admin(&planes)?;
    for first in (0..CLIENTS).step_by(AT_ONCE) {
        let clients: Map<String, Value> = (first..first + AT_ONCE)
            .map(|number| (format!("many-{number}"), json!({ "token": token(number), "models": ["sim/*"] })))
            .collect();
        admin.post("/apply", json!({ "file": { "clients": clients } })).await?;
    }
    planes.add()?;
    planes.add()?;
    settled(&admin, 2).await?;
    let whole = sent(&admin).await?;
    println!(
        "{CLIENTS} clients: {} bytes to each of {} replicas",
        whole.whole_bytes / whole.whole,
        whole.whole
    );
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(2))?;
    traffic.more(200).await?;
    for (client, what, status) in [(0, "disable", 401), (CLIENTS / 2, "disable", 401), (0, "enable", 200)] {
        let before = sent(&admin).await?;
        let had = planes.replicas.iter().map(taken).collect::<Outcome<Vec<_>>>()?;
        switch(&admin, client, what).await?;
        settled(&admin, 2).await?;
        let after = sent(&admin).await?;
        assert_eq!((after.whole, after.changes), (before.whole, before.changes + 2), "{after:?}");
        assert_eq!((after.resent, after.refused), (0, 0), "{after:?}");
        let each = (after.change_bytes - before.change_bytes) / 2;
        println!("{what} of one: {each} bytes to each replica, state made in {:?}", after.build);
        assert!(each > 0 && each < CHANGE_LIMIT, "{each} bytes");
        for (replica, had) in planes.replicas.iter().zip(had) {
            let now = taken(replica)?;
            assert_eq!((now.applied, now.changes), (had.applied + 1, had.changes + 1), "{now:?}");
            let kept = now.kept_bytes - had.kept_bytes;
            println!(
                "  {}: {} bytes came, applied in {:?}, {kept} bytes to its disk",
                replica.id,
                now.bytes - had.bytes,
                now.apply
            );
            assert!(
                now.bytes - had.bytes == each && kept < CHANGE_LIMIT,
                "{now:?}, {kept} bytes to its disk"
            );
            assert_eq!(status_of(replica, client).await?, status, "{what} on {}", replica.id);
            assert_eq!(status_of(replica, client + 1).await?, 200, "{}", replica.id);
        }
    }
    traffic.more(200).await?;
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    println!(
        "{} requests beside it; p99 of each replica: {:?}",
        saw.ok,
        saw.each.iter().map(|one| one.quantile(0.99)).collect::<Vec<_>>()
    );
    println!("control plane {} KiB resident", resident_kib(planes.control.pid())?);
    for replica in &planes.replicas {
        println!("{} {} KiB resident", replica.id, resident_kib(replica.process.pid())?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_is_sent_what_changed_as_long_as_that_is_remembered() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&many(&provider, FEW), 2)?;
    let admin = admin(&planes)?;
    settled(&admin, 2).await?;
    for (changes, is_whole) in [(10, false), (REMEMBERED + 1, true)] {
        planes.replicas.last_mut().ok_or("no replica")?.process.kill()?;
        switch(&admin, changes, "disable").await?;
        for number in 1..changes {
            admin.post("/clients", json!({ "name": format!("new-{changes}-{number}") })).await?;
        }
        let first = planes.replicas.first().ok_or("no replica")?;
        let version = text(&admin.get("/status").await?, "/version").to_owned();
        let serves = || Ok((text(&readyz(first)?.1, "/snapshot") == version).then_some(()));
        until("the other one serves the newest state", PATIENCE, serves).await?;
        let before = sent(&admin).await?;
        let back = planes.replicas.last_mut().ok_or("no replica")?;
        back.start_again()?;
        settled(&admin, 2).await?;
        let (after, back) = (sent(&admin).await?, planes.replicas.last().ok_or("no replica")?);
        let counts = (after.whole - before.whole, after.changes - before.changes);
        let bytes = (after.whole_bytes - before.whole_bytes) + (after.change_bytes - before.change_bytes);
        println!("{changes} changes away: (whole, changes) sent {counts:?}, {bytes} bytes");
        assert_eq!(counts, if is_whole { (1, 0) } else { (0, 1) });
        assert_eq!(is_whole, bytes > CHANGE_LIMIT, "{bytes}");
        let now = taken(back)?;
        assert_eq!((now.applied, now.changes), (1, u64::from(!is_whole)), "{now:?}");
        assert_eq!(status_of(back, changes).await?, 401);
        assert_eq!(ask(back, "sim/m").await?.status, 200);
    }

    // Versions start anew with the control plane, and nobody is sent anything: all hold what is in force.
    planes.control.kill()?;
    planes.configure(None)?;
    planes.start_control()?;
    let admin = self::admin(&planes)?;
    settled(&admin, 2).await?;
    let now = sent(&admin).await?;
    assert_eq!((now.whole, now.changes, now.change_bytes), (0, 2, 0), "{now:?}");
    Ok(())
}

/// What is done to a state that lies on disk as a file and a log.
struct Damage {
    what: &'static str,
    /// Gets the state directory, and that as it was two changes earlier.
    harm: fn(&Path, &Path) -> std::io::Result<()>,
    /// Served: 0 = the newest version, by another way; 1 = the one before; none = nothing is.
    serves: Option<usize>,
    /// Part of the log is no whole change.
    tears: bool,
}

const FILE: &str = "last-good";
const LOG: &str = "changes";

const DAMAGES: [Damage; 6] = [
    Damage {
        what: "the newest change flipped",
        harm: |dir, _| flip(&dir.join(LOG), 1),
        serves: Some(1),
        tears: true,
    },
    Damage {
        what: "the newest change cut",
        harm: |dir, _| cut(&dir.join(LOG), 9),
        serves: Some(1),
        tears: true,
    },
    Damage {
        what: "an older change flipped",
        harm: |dir, _| flip_first(&dir.join(LOG)),
        serves: None,
        tears: true,
    },
    Damage { what: "no log", harm: |dir, _| fs::remove_file(dir.join(LOG)), serves: None, tears: false },
    Damage {
        what: "the log of two changes before",
        harm: |dir, old| fs::copy(old.join(LOG), dir.join(LOG)).map(drop),
        serves: None,
        tears: false,
    },
    Damage {
        what: "the file below the log flipped",
        harm: |dir, _| flip(&dir.join(FILE), 100),
        serves: Some(0),
        tears: false,
    },
];

/// Of changes that the start passed over.
fn torn_bytes(replica: &Replica) -> Outcome<u64> {
    let metrics = replica.ops("/metrics")?.1;
    let line = metrics.lines().find_map(|line| line.strip_prefix("keyway_last_good_torn_bytes_total "));
    Ok(line.ok_or("no such metric")?.parse()?)
}

/// One bit of the first sealed piece: behind its length, magic and head.
fn flip_first(path: &Path) -> std::io::Result<()> {
    let length = fs::read(path)?.len();
    flip(path, length.saturating_sub(40))
}

fn cut(path: &Path, bytes: u64) -> std::io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.set_len(file.metadata()?.len().saturating_sub(bytes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_a_log_on_disk_that_was_tampered_with_never_becomes_a_state() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&many(&provider, FEW), 1)?;
    settled(&admin(&planes)?, 1).await?;
    planes.configure(None)?;
    for (at, Damage { what, harm, serves, tears }) in DAMAGES.into_iter().enumerate() {
        let (admin, old) = (admin(&planes)?, tempfile::tempdir()?);
        let mut versions = Vec::new();
        for number in 0..4 {
            admin.post("/clients", json!({ "name": format!("new-{at}-{number}") })).await?;
            versions.push(settled(&admin, 1).await?);
            if number == 1 {
                copy(&planes.replicas.first().ok_or("no replica")?.state_dir(), old.path())?;
            }
        }
        planes.control.kill()?;
        let replica = planes.replicas.first_mut().ok_or("no replica")?;
        replica.process.kill()?;
        assert!(replica.state_dir().join(LOG).exists(), "{what}: there is no log to be harmed");
        harm(&replica.state_dir(), old.path()).map_err(|error| format!("{what}: {error}"))?;
        replica.start_again()?;
        match serves.and_then(|place| versions.iter().rev().nth(place)) {
            Some(version) => {
                let (status, ready) = readyz(replica)?;
                let seen = (status, text(&ready, "/config_source"), text(&ready, "/snapshot"));
                assert_eq!(seen, (200, "disk", version.as_str()), "{what}: {ready}");
                assert_eq!(ask(replica, "sim/m").await?.status, 200, "{what}");
            }
            None => waits(replica, "").await.map_err(|error| format!("{what}: {error}"))?,
        }
        let (why, torn) = (text(&readyz(replica)?.1, "/last_good_error").to_owned(), torn_bytes(replica)?);
        assert_eq!(
            (torn > 0, why.contains("no whole change")),
            (tears, tears),
            "{what}: {torn} bytes, {why}"
        );
        assert_eq!(replica.process.stderr().contains("no whole change"), tears, "{what}: it is in the log");
        planes.start_control()?;
        let admin = self::admin(&planes)?;
        settled(&admin, 1).await?;
        let (now, replica) = (sent(&admin).await?, planes.replicas.first().ok_or("no replica")?);
        println!("{what}: {now:?}");
        assert_eq!((now.resent, now.refused), (0, 0), "{what}: {now:?}");
        // After its start a control plane remembers no change; who has the newest state is sent nothing of it.
        let whole = u64::from(serves != Some(0));
        assert_eq!((now.whole, now.changes, now.change_bytes), (whole, 1 - whole, 0), "{what}: {now:?}");
        assert_eq!(ask(replica, "sim/m").await?.status, 200, "{what}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_a_state_that_another_cluster_signed_is_not_served() -> Outcome {
    let provider = Provider::start()?;
    let mut ours = Planes::start(&yaml(&provider, ""), 1)?;
    let mut others = Planes::start(&yaml(&provider, ""), 1)?;
    for planes in [&mut ours, &mut others] {
        settled(&admin(planes)?, 1).await?;
        planes.control.kill()?;
        planes.replicas.first_mut().ok_or("no replica")?.process.kill()?;
    }
    let (from, replica) =
        (others.replicas.first().ok_or("no replica")?, ours.replicas.first_mut().ok_or("no replica")?);
    // Theirs opens with their node's key, and what this node was told when it joined stays.
    copy(&from.state_dir(), &replica.state_dir())?;
    let key = |of: &Path| of.with_file_name("node-keys").join("replica-1.key");
    fs::copy(key(&from.state_dir()), key(&replica.state_dir()))?;
    replica.start_again()?;
    waits(replica, "is of a key that is not known here").await?;
    ours.start_control()?;
    let replica = ours.replicas.first_mut().ok_or("no replica")?;
    replica.until_ready()?;
    assert_eq!(ask(replica, "sim/m").await?.status, 200);
    settled(&admin(&ours)?, 1).await?;
    Ok(())
}
