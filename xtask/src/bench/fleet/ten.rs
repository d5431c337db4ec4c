//! Activation to last ACK with ten real replicas under light load.

use super::{
    Outcome,
    row::{Row, Times},
    world::{TOKEN, address, last_ack, load, rotation, secret, yaml},
};
use keyway_testkit::{load::wants_ok, process::Keyway, provider::Provider};
use std::time::Duration;
use tokio::runtime::Runtime;

const REPLICAS: u32 = 10;
const REACH: Duration = Duration::from_millis(50);
const CALLERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);

pub(super) fn measure(rotations: u32, runtime: &Runtime) -> Outcome<Vec<Row>> {
    let provider = Provider::start()?;
    let keyway = Keyway::up().config(yaml(&provider, 0)).replicas(REPLICAS).start()?;
    let callers = load(address(keyway.base_url())?, CALLERS, (TOKEN, false), PAUSE, wants_ok());
    let running = {
        let _inside = runtime.enter();
        callers.start()
    };
    let mut times = Vec::new();
    for number in 1..=rotations {
        let ran = keyway.cli_with(&rotation(&["--wait", "retired"]), &[("NEW_KEY", &secret(number))])?;
        times.push(last_ack(&ran)?);
    }
    let counts = runtime.block_on(running.stop());
    let times = Times::of(times);
    let failed = counts.failures();
    Ok(vec![Row {
        what: format!("activation to last ACK, {REPLICAS} real replicas"),
        reach: "p99 under 50 ms over 100 rotations",
        measured: format!("{}; {failed} of {} requests failed", times.told(), counts.ok + failed),
        reached: Some(times.at(99) < REACH && failed == 0),
        command: format!("--only ten --rotations {rotations}"),
    }])
}
