//! Control planes over three nodes of etcd: the leader is killed again and again, and writes must soon be back with none lost.

use super::{
    Outcome,
    row::{Row, Times},
    world::{address, get, yaml},
};
use keyway_testkit::{
    caller::{Caller, post},
    process::Shared,
    provider::Provider,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const WHAT: &str = "control plane fail-over with etcd";
const REACH: &str = "writes back in 5 s, 0 acknowledged writes lost in 100 kills";
const BACK: Duration = Duration::from_secs(5);
const CONTROLS: usize = 2;
const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);
/// One write: a control plane that lost its leader looks for another one for some seconds.
const CALL: Duration = Duration::from_secs(15);

pub(super) fn measure(kills: usize, runtime: &Runtime) -> Outcome<Vec<Row>> {
    let provider = Provider::start()?;
    let Some(mut all) = Shared::start(&yaml(&provider, 0), CONTROLS, 0)? else {
        return Ok(vec![Row::untested(WHAT, REACH, "etcd is not installed")]);
    };
    let token = all.admin_token()?;
    let (mut acknowledged, mut times) = (BTreeSet::new(), Vec::new());
    for kill in 0..kills {
        let before = format!("before-{kill}");
        write(&all, runtime, (&token, kill % CONTROLS), &before)?;
        let lead = leader(&all, runtime, &token)?;
        all.controls.get_mut(lead).ok_or("no such control plane")?.process.kill()?;
        let after = format!("after-{kill}");
        times.push(write(&all, runtime, (&token, (lead + 1) % CONTROLS), &after)?);
        acknowledged.extend([before, after]);
        all.spawn_control(lead)?;
        all.until_ready(lead)?;
    }
    let there = get(runtime, &url(&all, 0)?, &token, "/clients")?;
    let there: BTreeSet<&str> =
        there.as_array().into_iter().flatten().filter_map(|one| one.get("name")?.as_str()).collect();
    let lost = acknowledged.iter().filter(|name| !there.contains(name.as_str())).count();
    let times = Times::of(times);
    Ok(vec![Row {
        what: WHAT.to_owned(),
        reach: REACH,
        measured: format!("{}; {lost} of {} acknowledged writes lost", times.told(), acknowledged.len()),
        reached: Some(times.at(100) < BACK && lost == 0),
        command: format!("--only failover --kills {kills}"),
    }])
}

fn url(all: &Shared, at: usize) -> Outcome<String> {
    Ok(all.controls.get(at).ok_or("no such control plane")?.admin_url())
}

/// Makes a client, however often that takes; gives how long. One that is there already was taken before.
fn write(all: &Shared, runtime: &Runtime, (token, at): (&str, usize), name: &str) -> Outcome<Duration> {
    let body = json!({ "name": name, "models": ["sim/*"] }).to_string();
    let request = post("/api/v1/clients", token, "", body.as_bytes());
    let (to, began) = (address(&url(all, at)?)?, Instant::now());
    loop {
        let asked = async { Caller::connect(to).await?.ask(&request).await };
        let answer = runtime.block_on(async { tokio::time::timeout(CALL, asked).await });
        if matches!(&answer, Ok(Ok(answer)) if matches!(answer.status, 200..=299 | 409)) {
            return Ok(began.elapsed());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("no write within {PATIENCE:?}: {answer:?}").into());
        }
        std::thread::sleep(LOOK);
    }
}

fn leader(all: &Shared, runtime: &Runtime, token: &str) -> Outcome<usize> {
    super::world::until(PATIENCE, "somebody leads", || {
        let Ok(status) = get(runtime, &url(all, 0)?, token, "/status") else { return Ok(None) };
        let name = status.get("control_plane").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(all.controls.iter().position(|one| one.name == name))
    })
}
