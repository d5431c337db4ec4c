//! Requests without end while a key rotates every second and a replica restarts every ten: none may fail.

use super::{
    Outcome,
    row::Row,
    world::{TOKEN, address, load, rotation, said, secret, yaml},
};
use keyway_testkit::{
    load::{Check, Done, Running},
    process::{Keyway, Process, Ran},
    provider::Provider,
};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const REPLICAS: u32 = 3;
/// Of each kind: whole replies and streams.
const CALLERS: usize = 8;
const ROTATE_EVERY: Duration = Duration::from_secs(1);
const RESTART_EVERY: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);
/// How long a rotation that was begun last may take to end.
const PATIENCE: Duration = Duration::from_secs(70);

/// What happened beside the requests.
#[derive(Debug, Default)]
struct Changes {
    rotations: u32,
    /// Those that did not end proven: a replica was away.
    unproven: u32,
    restarts: usize,
}

pub(super) fn measure(requests: u64, runtime: &Runtime) -> Outcome<Vec<Row>> {
    let provider = Provider::start()?;
    provider.accept_only(&[&secret(0)]);
    let keyway = Keyway::up().config(yaml(&provider, 0)).replicas(REPLICAS).start()?;
    let served = Arc::<AtomicU64>::default();
    let running = callers(&keyway, runtime, &served)?;
    let began = Instant::now();
    let changes = change(&keyway, &provider, || served.load(Ordering::Relaxed) >= requests)?;
    let took = began.elapsed();
    let (mut ok, mut failed) = (0, Vec::new());
    for one in running {
        let counts = runtime.block_on(one.stop());
        ok += counts.ok;
        failed.extend(counts.failed);
    }
    let failures: u64 = failed.iter().map(|(_, times)| times).sum();
    let reasons = if failed.is_empty() { String::new() } else { format!(" ({failed:?})") };
    let refused: u64 = provider.keys().values().map(|key| key.refused).sum();
    Ok(vec![Row {
        what: "failed requests with a rotation every second and a replica restart every ten".to_owned(),
        reach: "0 in 1,000,000",
        measured: format!(
            "{failures} of {}{reasons} in {:.0} s; {} rotations ({} while a replica was away), {} restarts, {refused} uses of a \
             key after it was retired",
            ok + failures,
            took.as_secs_f64(),
            changes.rotations,
            changes.unproven,
            changes.restarts,
        ),
        reached: Some(failures == 0 && refused == 0),
        command: format!("--only requests --requests {requests}"),
    }])
}

fn callers(keyway: &Keyway, runtime: &Runtime, served: &Arc<AtomicU64>) -> Outcome<Vec<Running>> {
    let to = address(keyway.base_url())?;
    let _inside = runtime.enter();
    let start = |stream: bool, end: &'static [u8]| {
        let served = Arc::clone(served);
        let check: Check = Arc::new(move |done: &Done<'_>| {
            served.fetch_add(1, Ordering::Relaxed);
            match (done.status.as_u16(), done.body.ends_with(end)) {
                (200, true) => Ok(()),
                (200, false) => Err("without its end".to_owned()),
                (status, _) => Err(format!("status {status}")),
            }
        });
        load(to, CALLERS, (TOKEN, stream), Duration::ZERO, check).start()
    };
    Ok(vec![start(false, b"}"), start(true, b"data: [DONE]\n\n")])
}

/// Rotates and restarts until it is enough. From the moment when a rotation is proven the provider refuses the old key.
fn change(keyway: &Keyway, provider: &Provider, enough: impl Fn() -> bool) -> Outcome<Changes> {
    let mut changes = Changes::default();
    let mut under_way: Option<Process> = None;
    let (mut rotate_at, mut restart_at) = (Instant::now(), Instant::now() + RESTART_EVERY);
    while !enough() {
        std::thread::sleep(LOOK);
        let now = Instant::now();
        if under_way.as_mut().is_some_and(|one| matches!(one.wait(Duration::ZERO), Ok(Some(_)))) {
            ended(under_way.take(), provider, &mut changes)?;
        }
        if now >= rotate_at && under_way.is_none() {
            changes.rotations += 1;
            let new = secret(changes.rotations);
            provider.accept_key(&new);
            under_way = Some(keyway.begin(&rotation(&["--wait", "retired"]), &[("NEW_KEY", &new)])?);
            rotate_at += ROTATE_EVERY;
        }
        if now >= restart_at {
            restart(keyway, changes.restarts)?;
            changes.restarts += 1;
            restart_at += RESTART_EVERY;
        }
    }
    if let Some(last) = &mut under_way {
        last.wait(PATIENCE)?;
    }
    ended(under_way, provider, &mut changes)?;
    Ok(changes)
}

fn ended(rotation: Option<Process>, provider: &Provider, changes: &mut Changes) -> Outcome<()> {
    let Some(rotation) = rotation else { return Ok(()) };
    let ran = Ran::of(rotation)?;
    match ran.code {
        Some(0) if said(&ran).get("outcome").and_then(Value::as_str) == Some("retired") => {
            provider.refuse_key(&secret(changes.rotations - 1), 401);
        }
        Some(5) => changes.unproven += 1,
        _ => return Err(format!("a rotation failed: {ran:?}").into()),
    }
    Ok(())
}

/// One of the replicas drains and ends, and its host starts another.
fn restart(keyway: &Keyway, turn: usize) -> Outcome<()> {
    let ran = keyway.cli(&["fleet", "list", "--output", "json"])?;
    let fleet: Value = serde_json::from_str(&ran.stdout).map_err(|why| format!("{why}: {ran:?}"))?;
    let all = fleet.as_array().map(Vec::as_slice).unwrap_or_default();
    let one = all.get(turn % all.len().max(1)).ok_or("no replica is there")?;
    let text = |field: &str| one.get(field).and_then(Value::as_str).unwrap_or_default();
    let replicas = REPLICAS.to_string();
    for args in [
        &["fleet", "drain", text("id")][..],
        &["fleet", "scale", "--host", text("host"), "--replicas", &replicas],
    ] {
        let ran = keyway.cli(args)?;
        if ran.code != Some(0) {
            return Err(format!("{args:?}: {ran:?}").into());
        }
    }
    Ok(())
}
