//! kill -9 of the control plane at every step of rotations, under load on three replicas: P11 of the list of faults, and
//! "always a working version, always the same end state after restart" of the design.
//!
//! Four keys are rotated in turn, so that a rotation is also interrupted while it waits for its end, by the kills that are
//! meant for the next ones. `KEYWAY_LONG`: a thousand rounds, with twenty fleets one after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyway_e2e::admin::{Admin, Answered};
use keyway_e2e::fleet::{admin, text};
use keyway_e2e::gateway::{Outcome, TOKEN};
use keyway_e2e::traffic::{Traffic, version};
use keyway_testkit::process::Planes;
use keyway_testkit::provider::Provider;
use reqwest::Method;
use serde_json::{Value, json};

const REPLICAS: usize = 3;
const KEYS: u64 = 4;
const ROUNDS: u64 = 50;
const FLEETS_LONG: u64 = 20;
/// Records that one rotation writes: staged, probed, active, withdrawn, confirmed, done.
const RECORDS: u64 = 6;
/// Old versions stay as standby so long.
const OVERLAP: &str = "20ms";
/// Until a rotation must have come to its end by itself, on a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// Until a moment to kill must have come.
const MOMENT_WITHIN: Duration = Duration::from_secs(3);

/// When the control plane is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// As soon as the journal has grown so often since the call.
    Record(u64),
    /// So long after the call.
    After(Duration),
}

/// What was begun, and what came of it.
#[derive(Debug, Default)]
struct Books {
    /// The secret of each key whose rotation is under way or was the last.
    newest: [Option<String>; KEYS as usize],
    answered: u64,
    whole: u64,
    none: u64,
    /// States of the versions of a key, and how often they were found so after a start.
    found: BTreeMap<String, u64>,
    /// From the start of a new process to its ready file, milliseconds.
    starts: Vec<u128>,
}

fn yaml(provider: &Provider) -> String {
    let keys = (0..KEYS).map(|key| format!("{{ name: k{key}, secret: {} }}", secret(key, 0)));
    format!(
        "providers:\n  sim: {{ dialect: openai-chat, base_url: \"{}\", keys: [{}] }}\n\
         clients:\n  tester: {{ token: {TOKEN}, models: [\"sim/*\"] }}\n",
        provider.base_url(),
        keys.collect::<Vec<_>>().join(", ")
    )
}

/// Its last four characters tell it from all others of its key.
fn secret(key: u64, round: u64) -> String {
    format!("sk-sim-rotated-{key}-abcdefgh-{round:04}")
}

/// A third of the rounds kill at each record in turn, the others at times that are spread over a whole rotation.
fn moment(round: u64) -> Moment {
    let spread = round.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    match round % 3 {
        0 => Moment::Record(1 + (round / 3) % RECORDS),
        1 => Moment::After(Duration::from_micros(spread % 30_000)),
        _ => Moment::After(Duration::from_micros(spread % 200_000)),
    }
}

/// Length of all segments of the journal.
fn length(journal: &Path) -> u64 {
    let files = std::fs::read_dir(journal).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum()
}

/// Waits for the moment on a thread that does nothing else, and kills.
fn kill_at(planes: &mut Planes, journal: PathBuf, moment: Moment) -> Outcome {
    let end = Instant::now() + MOMENT_WITHIN;
    match moment {
        Moment::After(time) => std::thread::sleep(time),
        Moment::Record(wanted) => {
            let (mut seen, mut last) = (0, length(&journal));
            while seen < wanted && Instant::now() < end {
                let now = length(&journal);
                seen += u64::from(now != last);
                last = now;
                std::thread::yield_now();
            }
        }
    }
    planes.control.kill()?;
    Ok(())
}

/// The versions of a key as the API shows them.
async fn versions(admin: &Admin, key: u64) -> Outcome<Vec<Value>> {
    let shown = admin.get(&format!("/keys/sim/k{key}")).await?;
    Ok(shown.get("versions").and_then(Value::as_array).cloned().ok_or("no versions")?)
}

fn state_of(versions: &[Value], secret: &str) -> Option<String> {
    let tail = secret.get(secret.len() - 4..)?;
    let shown =
        |one: &Value| one.get("secret").and_then(Value::as_str).is_some_and(|text| text.contains(tail));
    let found = versions.iter().find(|one| shown(one))?;
    Some(found.get("state")?.as_str()?.to_owned())
}

async fn rotate(admin: Admin, key: u64, secret: String) -> Outcome<Answered> {
    let body = json!({ "secret": secret, "overlap": OVERLAP });
    admin.call(Method::POST, &format!("/keys/sim/k{key}/rotate"), Some(&body)).await
}

/// Waits until the newest rotation of a key has ended with the old version retired.
async fn ended(admin: &Admin, key: u64) -> Outcome {
    let path = format!("/keys/sim/k{key}/rollout");
    let outcome = admin.until(ENDS_WITHIN, &path, |view| {
        let outcome = view.get("outcome")?.as_str()?;
        (outcome != "running").then(|| outcome.to_owned())
    });
    match outcome.await?.as_str() {
        "retired" => Ok(()),
        other => Err(format!("key {key} ended as {other}: {}", admin.get(&path).await?).into()),
    }
}

/// One round: a change that is acknowledged, a rotation that may be, a kill, a start, and what must hold then.
async fn round(planes: &mut Planes, admin: &Admin, books: &mut Books, number: u64) -> Outcome {
    let key = number % KEYS;
    let place = usize::try_from(key)?;
    if books.newest.get(place).is_some_and(Option::is_some) {
        ended(admin, key).await?;
    }
    let client = format!("client-{number}");
    admin.post("/clients", json!({ "name": client })).await?;
    let secret = secret(key, number);
    let calling = tokio::spawn(rotate(admin.clone(), key, secret.clone()));
    // The call is on its way before the moment is waited for.
    tokio::task::yield_now().await;
    let moment = moment(number);
    let journal = planes.data_dir().join("store/journal");
    tokio::task::block_in_place(|| kill_at(planes, journal, moment))?;
    let answer = calling.await?.ok();
    let began = Instant::now();
    tokio::task::block_in_place(|| planes.start_control())?;
    books.starts.push(began.elapsed().as_millis());

    admin.get(&format!("/clients/{client}")).await.map_err(|error| format!("acknowledged: {error}"))?;
    let verified = admin.post("/audit/verify", json!({})).await?;
    assert!(verified.get("records").and_then(Value::as_u64).is_some_and(|records| records > 0), "{verified}");
    let there = versions(admin, key).await?;
    assert!(there.iter().any(|one| text(one, "/state") == "active"), "no version works: {there:?}");
    let states = there.iter().map(|one| text(one, "/state"));
    let states: Vec<&str> = states.filter(|state| *state != "retired").collect();
    *books.found.entry(states.join("+")).or_default() += 1;
    match (answer.map(Answered::good), state_of(&there, &secret)) {
        (Some(Err(error)), _) => return Err(format!("refused at {moment:?}: {error}").into()),
        (Some(Ok(_)), None) => return Err(format!("acknowledged and gone, {moment:?}: {there:?}").into()),
        (Some(Ok(_)), Some(state)) => {
            assert_eq!(state, "active", "acknowledged, {moment:?}: {there:?}");
            books.answered += 1;
        }
        (None, Some(_)) => books.whole += 1,
        (None, None) => {
            books.none += 1;
            rotate(admin.clone(), key, secret.clone()).await?.good()?;
        }
    }
    books.newest.get_mut(place).into_iter().for_each(|newest| *newest = Some(secret.clone()));
    Ok(())
}

/// Nothing is left under way, and of each key exactly the newest version is in use.
async fn close(admin: &Admin, books: &Books) -> Outcome {
    for (key, secret) in (0..KEYS).zip(&books.newest) {
        let Some(secret) = secret else { continue };
        ended(admin, key).await?;
        let there = versions(admin, key).await?;
        assert_eq!(state_of(&there, secret).as_deref(), Some("active"), "{there:?}");
        let others = there.iter().filter(|one| text(one, "/state") != "active");
        assert!(others.clone().all(|one| text(one, "/state") == "retired"), "{there:?}");
        assert_eq!(others.count() + 1, there.len(), "one is active: {there:?}");
    }
    Ok(())
}

/// So many rounds with one fleet, counted from `first`, which decides when is killed. Gives its figures.
async fn rounds(first: u64) -> Outcome<String> {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider), REPLICAS)?;
    let admin = admin(&planes)?;
    let traffic = Traffic::on(&planes.replicas, "sim/m", 2, Duration::from_millis(10))?;
    traffic.more(30).await?;
    let (mut books, mut before) = (Books::default(), (0, 0));
    let began = Instant::now();
    for number in first..first + ROUNDS {
        let done = round(&mut planes, &admin, &mut books, number).await;
        done.map_err(|error| format!("round {number}: {error}\n{}", planes.control.stderr()))?;
        let status = admin.get("/status").await?;
        let now = status.get("version").and_then(Value::as_str).and_then(version).ok_or("no version")?;
        assert!(now > before && now >= traffic.newest(), "{now:?} after {before:?}");
        before = now;
    }
    close(&admin, &books).await?;
    traffic.more(30).await?;
    let took = began.elapsed();
    let saw = traffic.stop().await;
    books.starts.sort_unstable();
    let figures = format!(
        "{ROUNDS} kills in {took:?}: {} rotations acknowledged before, {} whole without an answer, {} not begun and sent again; \
         found after the start: {:?}; starts took {:?} ms at the median, {:?} at most; {} requests served, failed: {:?}",
        books.answered,
        books.whole,
        books.none,
        books.found,
        books.starts.get(books.starts.len() / 2),
        books.starts.last(),
        saw.ok,
        saw.failed
    );
    assert!(saw.failed.is_empty(), "{:?}", saw.failed);
    assert!(books.answered > 0 && books.whole > 0, "the moments do not spread: {books:?}");
    Ok(figures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn p11_killed_at_every_step_of_a_rotation_some_version_always_works() -> Outcome {
    let fleets = if std::env::var_os("KEYWAY_LONG").is_some() { FLEETS_LONG } else { 1 };
    for fleet in 0..fleets {
        println!("{}", rounds(1 + fleet * ROUNDS).await.map_err(|error| format!("fleet {fleet}: {error}"))?);
    }
    Ok(())
}
