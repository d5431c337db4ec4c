//! A client is disabled, or a key revoked, while it is used on every replica: how long until none of them admits it.

use super::{
    Outcome,
    row::{Row, Times},
    world::{TOKEN, address, chat, load, secret, token, until, yaml},
};
use keyway_testkit::{
    caller::{Caller, post},
    load::{Done, Load, wants_ok},
    process::Keyway,
    provider::Provider,
};
use parking_lot::Mutex;
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const REPLICAS: u32 = 10;
const REACH: Duration = Duration::from_millis(100);
/// Connections that use what is revoked.
const PROBES: usize = 30;
const PROBE_PAUSE: Duration = Duration::from_millis(2);
/// Others, who go on.
const CALLERS: usize = 8;
const OTHERS_PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(30);

/// What the client's callers were told.
#[derive(Debug, Default)]
struct Told {
    admitted: Option<Instant>,
    latest: BTreeMap<usize, u16>,
}

/// Revokes the thing of that number and says how long it was still of use.
type Revoke<'a> = dyn Fn(u32) -> Outcome<Duration> + 'a;

pub(super) fn measure(revocations: u32, runtime: &Runtime) -> Outcome<Vec<Row>> {
    let provider = Provider::start()?;
    let clients = usize::try_from(revocations)?;
    let keyway = Keyway::up().config(yaml(&provider, clients)).replicas(REPLICAS).start()?;
    let command = format!("--only revoked --revocations {revocations}");
    let mut rows = Vec::new();
    let client = |number: u32| {
        let path = format!("/clients/client-{number}/disable");
        withdraw(&keyway, runtime, (&token(usize::try_from(number)?), &path))
    };
    let key = |number: u32| {
        let took = withdraw(&keyway, runtime, (TOKEN, "/keys/sim/main/revoke"))?;
        let again = json!({ "secret": secret(number + 1), "verify": false, "overlap": "0s" });
        change(&keyway, runtime, "/keys/sim/main/rotate", &again.to_string())?;
        Ok(took)
    };
    let kinds: [(&str, &Revoke<'_>); 2] = [("client", &client), ("key", &key)];
    for (kind, revoke) in kinds {
        let body = chat(false).replace("sim/m", "other/m").into();
        let others = load(address(keyway.base_url())?, CALLERS, (TOKEN, false), OTHERS_PAUSE, wants_ok());
        let others = {
            let _inside = runtime.enter();
            Load { body, ..others }.start()
        };
        let times: Outcome<Vec<Duration>> = (0..revocations).map(revoke).collect();
        let counts = runtime.block_on(others.stop());
        let times = Times::of(times?);
        rows.push(Row {
            what: format!("revocation of a {kind} to last refusal, {REPLICAS} real replicas under load"),
            reach: "p99 under 100 ms",
            measured: format!("{}; {} requests of others failed", times.told(), counts.failures()),
            reached: Some(times.at(99) < REACH && counts.failures() == 0),
            command: command.clone(),
        });
    }
    Ok(rows)
}

/// From the call that withdraws something to the last request with that token that was sent and still admitted.
fn withdraw(keyway: &Keyway, runtime: &Runtime, (token, path): (&str, &str)) -> Outcome<Duration> {
    let told = Arc::new(Mutex::new(Told::default()));
    let noted = Arc::clone(&told);
    let check = move |done: &Done<'_>| {
        let (mut told, status) = (noted.lock(), done.status.as_u16());
        told.latest.insert(done.caller, status);
        match status {
            200 => told.admitted = told.admitted.max(Some(done.sent)),
            // A client that is known no more, or a provider without a key; 502 for an attempt that was cut.
            401 | 502 | 503 => {}
            other => return Err(format!("status {other}")),
        }
        Ok(())
    };
    let to = address(keyway.base_url())?;
    let probes = load(to, PROBES, (token, false), PROBE_PAUSE, Arc::new(check));
    let probes = {
        let _inside = runtime.enter();
        probes.start()
    };
    let all = |admitted: bool| {
        let told = told.lock();
        told.latest.len() == PROBES && told.latest.values().all(|one| (*one == 200) == admitted)
    };
    until(PATIENCE, "every caller is admitted", || Ok(all(true).then_some(())))?;
    let began = Instant::now();
    change(keyway, runtime, path, "")?;
    until(PATIENCE, "every caller is refused", || Ok(all(false).then_some(())))?;
    let counts = runtime.block_on(probes.stop());
    if counts.failures() > 0 {
        return Err(format!("neither admitted nor refused: {:?}", counts.failed).into());
    }
    let last = told.lock().admitted.ok_or("nobody was admitted before")?;
    Ok(last.saturating_duration_since(began))
}

/// One change by the admin API.
fn change(keyway: &Keyway, runtime: &Runtime, path: &str, body: &str) -> Outcome<()> {
    let request = post(&format!("/api/v1{path}"), &keyway.admin_token()?, "", body.as_bytes());
    let admin = address(keyway.admin_url())?;
    let answer = runtime.block_on(async { Caller::connect(admin).await?.ask(&request).await })?;
    if answer.status == 200 {
        Ok(())
    } else {
        Err(format!("{path}: {} {}", answer.status, answer.text()).into())
    }
}
