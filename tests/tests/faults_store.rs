//! Files of the control plane's store that are damaged, torn, altered, or older than what replicas have seen: P12, P13
//! and P14 of the list of faults.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyway_e2e::admin::Admin;
use keyway_e2e::fleet::{PATIENCE, admin, ask, settled, text, yaml};
use keyway_e2e::gateway::Outcome;
use keyway_e2e::traffic::{Traffic, version};
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use reqwest::Method;
use serde_json::{Value, json};

/// A page of the index.
const PAGE: usize = 4096;
/// What a start says of an index that was put aside, that lost its end, that holds nothing.
const ANEW: &str = "index made anew from the journal";
const BEHIND: &str = "the index had lost ";
const EMPTY: &str = "the index held nothing";
/// A start that is refused ends within this time.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to)? } else { fs::copy(from, to).map(drop)? }
    }
    Ok(())
}

/// Changes the bytes of a file.
fn alter(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> std::io::Result<()> {
    let mut bytes = fs::read(path)?;
    change(&mut bytes);
    fs::write(path, bytes)
}

/// Where a text stands in a file.
fn places(bytes: &[u8], text: &str) -> Vec<usize> {
    let windows = bytes.windows(text.len()).enumerate();
    windows.filter(|(_, window)| *window == text.as_bytes()).map(|(at, _)| at).collect()
}

/// What is done to the index of a control plane that is away.
type Harm = fn(&Path) -> std::io::Result<()>;

const HARMS: [(&str, Harm); 4] = [
    ("a flipped byte in a document", |index| {
        alter(&index.join("db"), |bytes| {
            let found = places(bytes, "client-7");
            assert!(!found.is_empty(), "the index holds its documents");
            for at in found {
                bytes.get_mut(at + 3).into_iter().for_each(|byte| *byte ^= 0x04);
            }
        })
    }),
    ("cut in half", |index| {
        alter(&index.join("db"), |bytes| {
            // The file is longer than what stands in it.
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
            bytes.truncate(end / 2);
        })
    }),
    ("a zeroed page", |index| {
        alter(&index.join("db"), |bytes| {
            let at = places(bytes, "client-7").first().copied().unwrap_or_default() / PAGE * PAGE;
            bytes.iter_mut().skip(at).take(PAGE).for_each(|byte| *byte = 0);
        })
    }),
    ("its file gone", |index| fs::remove_file(index.join("db"))),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p12_a_damaged_index_is_named_and_nothing_is_lost() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 1)?;
    planes.configure(None)?;
    let admin = admin(&planes)?;
    for number in 0..20 {
        admin.post("/clients", json!({ "name": format!("client-{number}") })).await?;
    }
    let export = admin.get("/export").await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    for (what, harm) in HARMS {
        planes.control.kill()?;
        harm(&planes.data_dir().join("store/index"))?;
        planes.start_control().map_err(|error| format!("{what}: {error}"))?;
        assert_eq!(admin.get("/export").await?, export, "{what}");
        let log = planes.control.stderr();
        let said = [ANEW, BEHIND, EMPTY];
        let line = log.lines().find(|line| said.iter().any(|said| line.contains(said)));
        let line = line.ok_or_else(|| format!("{what}: not a word: {log}"))?;
        println!("{what}: {line}");
        let doctor = admin.get("/doctor").await?.to_string();
        assert!(said.iter().any(|said| doctor.contains(said)), "{what}: {doctor}");
        if let Some((_, aside)) = line.split_once("the old one is in ") {
            assert!(Path::new(aside.trim()).is_dir() && doctor.contains(aside.trim()), "{what}: {doctor}");
        }
        admin.post("/audit/verify", json!({})).await?;
        admin.call(Method::PUT, "/teams/red", Some(&json!({}))).await?.good()?;
        admin.call(Method::DELETE, "/teams/red", None).await?.good()?;
    }
    let saw = traffic.stop().await;
    assert!(saw.ok > 0 && saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}

fn newest_segment(planes: &Planes) -> Outcome<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(planes.data_dir().join("store/journal"))? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files.pop().ok_or("no segment")?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p13_a_torn_end_is_cut_off_and_an_altered_record_refuses_the_start() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 1)?;
    planes.configure(None)?;
    let admin = admin(&planes)?;
    for number in 0..20 {
        admin.post("/clients", json!({ "name": format!("client-{number}") })).await?;
    }
    let backup = planes.folder().join("backup");
    let ran = planes.cli(&["backup", &backup.display().to_string()])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let export = admin.get("/export").await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;

    // The beginning of a record, as a crash leaves it: the last one's own first half once more.
    planes.control.kill()?;
    let segment = newest_segment(&planes)?;
    let whole = fs::read(&segment)?;
    let at = places(&whole, "client-19").last().copied().ok_or("no such record")?;
    alter(&segment, |bytes| bytes.extend_from_within(at.saturating_sub(40)..at))?;
    planes.start_control()?;
    assert_eq!(admin.get("/export").await?, export);
    let doctor = admin.get("/doctor").await?.to_string();
    assert!(doctor.contains("was put right"), "{doctor}");
    admin.post("/audit/verify", json!({})).await?;
    println!(
        "torn: {}",
        planes.control.stderr().lines().find(|line| line.contains("WARN")).unwrap_or_default()
    );

    planes.control.kill()?;
    let segment = newest_segment(&planes)?;
    alter(&segment, |bytes| {
        let at = places(bytes, "client-7").first().copied().unwrap_or_default();
        bytes.iter_mut().skip(at + 7).take(1).for_each(|byte| *byte ^= 0x01);
    })?;
    let altered = fs::read(&segment)?;
    planes.spawn_control()?;
    let ended = planes.control.wait(REFUSED_WITHIN)?.ok_or("an altered journal is served")?;
    let said = planes.control.stderr();
    println!("altered: {said}");
    assert_eq!(ended.code(), Some(1), "{said}");
    let line = said.lines().find(|line| line.starts_with("keyway-controlplane: ")).ok_or("no line")?;
    assert!(line.contains(&segment.display().to_string()) && line.contains("keyway restore"), "{line}");
    assert!(line.contains("record "), "{line}");
    assert_eq!(fs::read(&segment)?, altered, "nothing is healed");
    traffic.more(50).await?;

    let ran = planes.cli(&["restore", &backup.display().to_string()])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    planes.start_control()?;
    assert_eq!(admin.get("/export").await?, export);
    let now = settled(&admin, 1).await?;
    assert!(now.starts_with("2."), "{now}");
    traffic.more(50).await?;
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}

async fn names(admin: &Admin) -> Outcome<Vec<String>> {
    let clients = admin.get("/clients").await?;
    let named = clients.as_array().into_iter().flatten().map(|one| text(one, "/name").to_owned());
    Ok(named.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p14_an_old_state_is_taken_only_when_it_was_restored() -> Outcome {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, ""), 2)?;
    planes.configure(None)?;
    let admin = admin(&planes)?;
    let backup = planes.folder().join("backup").display().to_string();
    let ran = planes.cli(&["backup", &backup])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    planes.control.stop()?;
    let by_hand = planes.folder().join("copy");
    copy(planes.data_dir(), &by_hand)?;
    planes.start_control()?;
    for number in 0..5 {
        admin.post("/clients", json!({ "name": format!("later-{number}") })).await?;
    }
    let newest = settled(&admin, 2).await?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(5))?;
    traffic.more(20).await?;

    // Put back by hand: the same epoch, so nobody takes it.
    planes.control.stop()?;
    fs::rename(planes.data_dir(), planes.folder().join("newest"))?;
    copy(&by_hand, planes.data_dir())?;
    planes.start_control()?;
    let ahead = |fleet: &Value| {
        let all = fleet.as_array()?;
        (all.len() == 2 && all.iter().all(|one| one["state"] == "ahead")).then_some(())
    };
    admin.until(PATIENCE, "/fleet", ahead).await?;
    let listed = planes.cli(&["fleet", "list"])?;
    assert!(listed.stdout.contains("ahead"), "{listed:?}");
    let doctor = admin.get("/doctor").await?.to_string();
    assert!(doctor.contains("keyway restore"), "{doctor}");
    admin.post("/clients", json!({ "name": "unheard" })).await?;
    traffic.more(50).await?;
    for replica in &planes.replicas {
        let answer = ask(replica, "sim/m").await?;
        assert_eq!((answer.status, answer.header("x-keyway-snapshot")), (200, Some(newest.as_str())));
    }

    // Restored: a new epoch, which counts more than any number of changes.
    planes.control.stop()?;
    let ran = planes.cli(&["restore", &backup])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    planes.start_control()?;
    let restored = settled(&admin, 2).await?;
    println!("{newest} before, {restored} restored");
    assert!(version(&restored) > version(&newest) && restored.starts_with("2."), "{restored}");
    let names = names(&admin).await?;
    assert!(
        names.contains(&"tester".to_owned()) && names.iter().all(|name| !name.starts_with("later")),
        "{names:?}"
    );
    for replica in &planes.replicas {
        let answer = ask(replica, "sim/m").await?;
        assert_eq!((answer.status, answer.header("x-keyway-snapshot")), (200, Some(restored.as_str())));
    }
    let audit = admin.get("/audit?limit=1000").await?.to_string();
    assert!(audit.contains("\"action\":\"restore\""), "{audit}");
    admin.post("/audit/verify", json!({})).await?;
    let saw = traffic.stop().await;
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    Ok(())
}
