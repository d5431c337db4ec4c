//! A replica starts from its last good state while there is no control plane.

use super::{
    Outcome,
    row::{Row, Times},
    world::{in_sync, yaml},
};
use keyway_testkit::{process::Planes, provider::Provider};
use std::time::{Duration, Instant};

const REACH: Duration = Duration::from_millis(500);
const STARTS: u32 = 10;
const LOOK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn measure(clients: usize) -> Outcome<Vec<Row>> {
    let provider = Provider::start()?;
    let mut planes = Planes::start(&yaml(&provider, clients), 1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    in_sync(&planes, &runtime, 1, true)?;
    planes.control.kill()?;
    let replica = planes.replicas.first_mut().ok_or("no replica")?;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        replica.process.kill()?;
        let began = Instant::now();
        replica.spawn_again()?;
        while !matches!(replica.ops("/readyz"), Ok((200, _))) {
            if began.elapsed() > PATIENCE {
                return Err(format!("never ready\n{}", replica.process.stderr()).into());
            }
            std::thread::sleep(LOOK);
        }
        times.push(began.elapsed());
    }
    let times = Times::of(times);
    Ok(vec![Row {
        what: format!("cold start from last good, {clients} clients"),
        reach: "ready in 500 ms with 10,000 clients",
        measured: times.told(),
        reached: Some(times.at(100) < REACH),
        command: format!("--only cold --clients {clients}"),
    }])
}
