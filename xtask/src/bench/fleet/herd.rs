//! A thousand simulated replicas in one process before a control plane in another: a rotation reaches them all, and they
//! all come back after its end.

use super::{
    Outcome,
    row::{Row, Times, ms},
    world::{in_sync, last_ack, memory, rotation, secret, yaml},
};
use keyway_testkit::{
    process::{Planes, Process, binary},
    provider::Provider,
};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const ROTATIONS: u32 = 20;
const CLIENTS: usize = 100;
const ACK_REACH: Duration = Duration::from_secs(1);
const RETURN_REACH: Duration = Duration::from_secs(10);
const MEMORY_REACH: u64 = 300 << 20;

pub(super) fn measure(replicas: usize, runtime: &Runtime) -> Outcome<Vec<Row>> {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, CLIENTS), 0)?;
    let mut command = Command::new(binary("keyway-herd")?);
    command.args(["--fleet", planes.fleet_addr(), "--replicas", &replicas.to_string(), "--token-file"]);
    let token = planes.folder().join("herd.join");
    planes.join_token(&token, &[])?;
    let _herd = Process::start("keyway-herd", command.arg(&token))?;
    in_sync(&planes, runtime, replicas, false)?;
    let mut times = Vec::new();
    for number in 1..=ROTATIONS {
        let args = rotation(&["--no-verify", "--wait", "retired"]);
        let command = planes.begin(&args, &[("NEW_KEY", &secret(number))])?;
        times.push(last_ack(&keyway_testkit::process::Ran::of(command)?)?);
    }
    let (now, most) = (memory(planes.control.pid(), "VmRSS:")?, memory(planes.control.pid(), "VmHWM:")?);
    planes.control.kill()?;
    let began = Instant::now();
    planes.start_control()?;
    let started = began.elapsed();
    let back = in_sync(&planes, runtime, replicas, false)?.duration_since(began);
    let most_again = memory(planes.control.pid(), "VmHWM:")?;
    let times = Times::of(times);
    let mib = |bytes: u64| bytes >> 20;
    let command = format!("--only herd --simulated {replicas}");
    Ok(vec![
        Row {
            what: format!("activation to last ACK, {replicas} simulated replicas (one process)"),
            reach: "under 1 s; control plane under 300 MiB",
            measured: format!("{}; control plane {} MiB, at most {} MiB", times.told(), mib(now), mib(most)),
            reached: Some(times.at(100) < ACK_REACH && most < MEMORY_REACH),
            command: command.clone(),
        },
        Row {
            what: format!("{replicas} replicas reconnect after SIGKILL of the control plane"),
            reach: "all in sync in 10 s",
            measured: format!(
                "{} after its start, of which {} until it was ready; control plane at most {} MiB",
                ms(back),
                ms(started),
                mib(most_again)
            ),
            reached: Some(back < RETURN_REACH),
            command,
        },
    ])
}
