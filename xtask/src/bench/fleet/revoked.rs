//! A client is disabled while it asks on every replica: how long until none of them admits it.

use super::{
    Outcome,
    row::{Row, Times},
    world::{TOKEN, address, load, token, until, yaml},
};
use keyway_testkit::{
    caller::{Caller, post},
    load::{Done, wants_ok},
    process::Keyway,
    provider::Provider,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const REPLICAS: u32 = 10;
const REACH: Duration = Duration::from_millis(100);
/// Connections of the client that is disabled.
const PROBES: usize = 30;
const PROBE_PAUSE: Duration = Duration::from_millis(2);
/// Others, who go on.
const CALLERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);

/// What the client's callers were told.
#[derive(Debug, Default)]
struct Told {
    admitted: Option<Instant>,
    latest: BTreeMap<usize, u16>,
}

pub(super) fn measure(revocations: u32, runtime: &Runtime) -> Outcome<Vec<Row>> {
    let provider = Provider::start()?;
    let clients = usize::try_from(revocations)?;
    let keyway = Keyway::up().config(yaml(&provider, clients)).replicas(REPLICAS).start()?;
    let to = address(keyway.base_url())?;
    let others = load(to, CALLERS, (TOKEN, false), Duration::from_millis(5), wants_ok());
    let others = {
        let _inside = runtime.enter();
        others.start()
    };
    let times: Outcome<Vec<Duration>> =
        (0..clients).map(|number| disable(&keyway, runtime, number)).collect();
    let counts = runtime.block_on(others.stop());
    let times = Times::of(times?);
    Ok(vec![Row {
        what: format!("revocation to last refusal, {REPLICAS} real replicas under load"),
        reach: "p99 under 100 ms",
        measured: format!("{}; {} requests of others failed", times.told(), counts.failures()),
        reached: Some(times.at(99) < REACH && counts.failures() == 0),
        command: format!("--only revoked --revocations {revocations}"),
    }])
}

/// From the call that disables it to the last request of the client that was sent and still admitted.
fn disable(keyway: &Keyway, runtime: &Runtime, number: usize) -> Outcome<Duration> {
    let told = Arc::new(Mutex::new(Told::default()));
    let noted = Arc::clone(&told);
    let check = move |done: &Done<'_>| {
        let mut told = noted.lock();
        told.latest.insert(done.caller, done.status.as_u16());
        match done.status.as_u16() {
            200 => told.admitted = told.admitted.max(Some(done.sent)),
            401 => {}
            other => return Err(format!("status {other}")),
        }
        Ok(())
    };
    let to = address(keyway.base_url())?;
    let probes = load(to, PROBES, (&token(number), false), PROBE_PAUSE, Arc::new(check));
    let probes = {
        let _inside = runtime.enter();
        probes.start()
    };
    let all = |status: u16| {
        let told = told.lock();
        told.latest.len() == PROBES && told.latest.values().all(|one| *one == status)
    };
    until(PATIENCE, "every caller is admitted", || Ok(all(200).then_some(())))?;
    let path = format!("/api/v1/clients/client-{number}/disable");
    let request = post(&path, &keyway.admin_token()?, "", b"");
    let admin = address(keyway.admin_url())?;
    let mut caller = runtime.block_on(Caller::connect(admin))?;
    let began = Instant::now();
    let answer = runtime.block_on(caller.ask(&request))?;
    if answer.status != 200 {
        return Err(format!("{path}: {} {}", answer.status, answer.text()).into());
    }
    until(PATIENCE, "every caller is refused", || Ok(all(401).then_some(())))?;
    let counts = runtime.block_on(probes.stop());
    if counts.failures() > 0 {
        return Err(format!("neither admitted nor refused: {:?}", counts.failed).into());
    }
    let last = told.lock().admitted.ok_or("nobody was admitted before")?;
    Ok(last.saturating_duration_since(began))
}
