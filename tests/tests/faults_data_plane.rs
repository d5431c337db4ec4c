//! Replicas that are killed, that start without their control plane, whose disk is damaged, whose lease ends: D1 to D5 of
//! the list of faults, with both planes as processes of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use keyway_e2e::expect::openai_reason;
use keyway_e2e::fleet::{PATIENCE, admin, ask, readyz, settled, until};
use keyway_e2e::gateway::{MAIN_KEY, Outcome, TOKEN};
use keyway_e2e::traffic::Traffic;
use keyway_testkit::process::{Planes, Replica};
use keyway_testkit::provider::Provider;
use serde_json::{Value, json};

/// From its start a replica serves from its last good state within this time.
const SERVES_WITHIN: Duration = Duration::from_secs(1);
const ROUNDS: u64 = 30;
/// The lease of the test that lets it end.
const LEASE: Duration = Duration::from_secs(2);
const CURRENT: &str = "last-good";
const BEFORE: &str = "last-good.1";
const COMING: &str = "coming";

fn yaml(provider: &Provider, more: &str) -> String {
    format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{}\", keys: [{{ name: main, secret: {MAIN_KEY} }}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\", \"sandbox/*\"] }}\n{more}",
        provider.base_url()
    )
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

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
    planes.control.kill()?;
    waits(planes.add_unready()?, "").await?;
    planes.start_control()?;
    let replica = planes.replicas.first_mut().ok_or("no replica")?;
    replica.until_ready()?;
    assert_eq!(ask(replica, "sim/m").await?.status, 200);
    Ok(())
}

/// Asserts that it is alive, not ready, serves nothing, and that what lies on its disk is not used for a reason that holds
/// `why`.
async fn waits(replica: &mut Replica, why: &str) -> Outcome {
    let (status, ready) = readyz(replica)?;
    assert_eq!(status, 503, "{ready}");
    assert!(text(&ready, "/reason").contains("waiting for the control plane"), "{ready}");
    assert!(text(&ready, "/last_good_error").contains(why), "{ready}");
    assert_eq!(text(&ready, "/config_source"), "none", "{ready}");
    let answer = ask(replica, "sim/m").await?;
    openai_reason(&answer, 503, "overloaded", "not_configured");
    assert_eq!(replica.ops("/healthz")?.0, 200);
    Ok(())
}

/// What is done to the disk of a replica that is away, and what must come of it.
struct Damage {
    what: &'static str,
    /// Gets the state directory, and that as it was two versions earlier.
    harm: fn(&Path, &Path) -> std::io::Result<()>,
    /// Served: 1 = the version before, none = nothing is.
    serves: Option<usize>,
    why: &'static str,
}

const DAMAGES: [Damage; 8] = [
    Damage { what: "a flipped byte", harm: |dir, _| flip(&dir.join(CURRENT)), serves: Some(1), why: CURRENT },
    Damage {
        what: "cut in half",
        harm: |dir, _| {
            let file = fs::read(dir.join(CURRENT))?;
            fs::write(dir.join(CURRENT), file.get(..file.len() / 2).unwrap_or_default())
        },
        serves: Some(1),
        why: CURRENT,
    },
    Damage { what: "gone", harm: |dir, _| fs::remove_file(dir.join(CURRENT)), serves: Some(1), why: CURRENT },
    Damage {
        what: "readable by others",
        harm: |dir, _| fs::set_permissions(dir.join(CURRENT), fs::Permissions::from_mode(0o644)),
        serves: Some(1),
        why: "mode 0600",
    },
    Damage {
        what: "an older version in its place",
        harm: |dir, old| fs::copy(old.join(CURRENT), dir.join(CURRENT)).map(drop),
        serves: Some(1),
        why: "older than what was served here",
    },
    Damage {
        what: "an older version in both places",
        harm: |dir, old| {
            fs::copy(old.join(CURRENT), dir.join(CURRENT))?;
            fs::copy(old.join(CURRENT), dir.join(BEFORE)).map(drop)
        },
        serves: None,
        why: "older than what was served here",
    },
    Damage {
        what: "both with a flipped byte",
        harm: |dir, _| flip(&dir.join(CURRENT)).and_then(|()| flip(&dir.join(BEFORE))),
        serves: None,
        why: BEFORE,
    },
    Damage {
        what: "another node key",
        harm: |dir, _| flip(&dir.with_file_name("node-keys").join("replica-1.key")),
        serves: None,
        why: "newest",
    },
];

fn flip(path: &Path) -> std::io::Result<()> {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 2;
    bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 0x10);
    fs::write(path, bytes)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_a_damaged_last_good_state_gives_way_to_the_one_before_or_to_none() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 1)?;
    for Damage { what, harm, serves, why } in DAMAGES {
        // Three versions one after the other, so that the one before is another one and an even older one is known.
        let admin = admin(&planes)?;
        let old = tempfile::tempdir()?;
        let mut versions = Vec::new();
        for number in 0..3 {
            let client = format!("{}-{number}", what.replace(' ', "-"));
            admin.post("/clients", json!({ "name": client })).await?;
            versions.insert(0, settled(&admin, 1).await?);
            if number == 0 {
                copy(&planes.replicas.first().ok_or("no replica")?.state_dir(), old.path())?;
            }
        }
        planes.control.kill()?;
        let replica = planes.replicas.first_mut().ok_or("no replica")?;
        replica.process.kill()?;
        nothing_in_clear(&planes.folder().join("replica-1"))?;
        let replica = planes.replicas.first_mut().ok_or("no replica")?;
        harm(&replica.state_dir(), old.path()).map_err(|error| format!("{what}: {error}"))?;
        replica.start_again()?;
        match serves.and_then(|place| versions.get(place)) {
            None => waits(replica, why).await.map_err(|error| format!("{what}: {error}"))?,
            Some(version) => {
                let (status, ready) = readyz(replica)?;
                let seen = (status, text(&ready, "/config_source"), text(&ready, "/snapshot"));
                assert_eq!(seen, (200, "disk", version.as_str()), "{what}: {ready}");
                assert!(text(&ready, "/last_good_error").contains(why), "{what}: {ready}");
                assert_eq!(ask(replica, "sim/m").await?.status, 200, "{what}");
            }
        }
        planes.start_control()?;
        let replica = planes.replicas.first_mut().ok_or("no replica")?;
        replica.until_ready()?;
        assert_eq!(ask(replica, "sim/m").await?.status, 200, "{what}");
    }
    settled(&admin(&planes)?, 1).await?;
    Ok(())
}

/// Asserts that no secret and no name that only a secret file may hold stands in any file below.
fn nothing_in_clear(folder: &Path) -> Outcome {
    let mut files = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path)?;
            for secret in [MAIN_KEY, TOKEN, "sk-sim"] {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{} holds {secret}", path.display());
            }
            files += 1;
        }
    }
    assert!(files >= 4, "looked at {files} files only");
    Ok(())
}

/// Kills it when its disk is being written to: at once, a moment later, or as soon as the coming file is there.
fn kill_while_it_writes(replica: &mut Replica, round: u64) -> Outcome {
    let end = Instant::now() + Duration::from_millis(200);
    match round % 3 {
        0 => std::thread::sleep(Duration::from_micros((round * 397) % 12_000)),
        rest => {
            let coming = replica.state_dir().join(COMING);
            // The second time that it is there it is the state itself.
            for _ in 0..rest {
                while !coming.exists() && Instant::now() < end {
                    std::thread::yield_now();
                }
                while rest == 2 && coming.exists() && Instant::now() < end {
                    std::thread::yield_now();
                }
            }
        }
    }
    replica.process.kill()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d5_killed_while_it_writes_the_old_or_the_new_state_is_whole() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 1)?;
    let (mut old, mut new, mut half) = (0, 0, 0);
    for round in 0..ROUNDS {
        let admin = admin(&planes)?;
        let before = settled(&admin, 1).await?;
        let changing = admin.clone();
        let change =
            async move { changing.post("/clients", json!({ "name": format!("client-{round}") })).await };
        let change = tokio::spawn(change);
        let replica = planes.replicas.first_mut().ok_or("no replica")?;
        tokio::task::block_in_place(|| kill_while_it_writes(replica, round))?;
        half += u64::from(replica.state_dir().join(COMING).exists());
        let made = change.await??;
        let after = text(&made, "/snapshot").to_owned();
        planes.control.kill()?;
        let replica = planes.replicas.first_mut().ok_or("no replica")?;
        replica.start_again()?;
        let (status, ready) = readyz(replica)?;
        assert_eq!((status, text(&ready, "/config_source")), (200, "disk"), "round {round}: {ready}");
        let serves = text(&ready, "/snapshot");
        assert!(serves == before || serves == after, "round {round}: {before} or {after}: {ready}");
        assert_eq!(ask(replica, "sim/m").await?.status, 200);
        if serves == after {
            new += 1
        } else {
            old += 1
        }
        planes.start_control()?;
    }
    println!(
        "{ROUNDS} kills: {old} times the old state was there, {new} times the new one; {half} times a file was half there"
    );
    settled(&admin(&planes)?, 1).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_ends_withholds_keys_until_the_control_plane_is_heard() -> Outcome {
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

    planes.start_control()?;
    let replica = planes.replicas.first().ok_or("no replica")?;
    let ready =
        || Ok(readyz(replica)?.1.get("secrets_unavailable").is_some_and(|is| is == false).then_some(()));
    until("keys may be used again", PATIENCE, ready).await?;
    assert_eq!(ask(replica, "sim/m").await?.status, 200);
    Ok(())
}
