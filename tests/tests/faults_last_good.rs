//! A replica whose last good state on disk is damaged, or that is killed while it writes it: D4 and D5 of the list of
//! faults.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use keyway_e2e::damage::{copy, flip_middle};
use keyway_e2e::fleet::{admin, ask, readyz, settled, text, waits, yaml};
use keyway_e2e::gateway::{MAIN_KEY, Outcome, TOKEN};
use keyway_testkit::process::{Planes, Replica};
use keyway_testkit::provider::Provider;
use serde_json::json;

const ROUNDS: u64 = 30;
const CURRENT: &str = "last-good";
const BEFORE: &str = "last-good.1";
const COMING: &str = "coming";

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
    Damage {
        what: "a flipped byte",
        harm: |dir, _| flip_middle(&dir.join(CURRENT)),
        serves: Some(1),
        why: CURRENT,
    },
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
        harm: |dir, _| flip_middle(&dir.join(CURRENT)).and_then(|()| flip_middle(&dir.join(BEFORE))),
        serves: None,
        why: BEFORE,
    },
    Damage {
        what: "another node key",
        harm: |dir, _| flip_middle(&dir.with_file_name("node-keys").join("replica-1.key")),
        serves: None,
        why: "newest",
    },
];

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
