//! A data plane that is killed under load takes only its own connections along, and comes back: D1 of the list of
//! faults, as far as requests go.

use std::time::{Duration, Instant};

use bytes::Bytes;
use keyway_e2e::gateway::{CHAT, Gateway, Outcome, TOKEN, chat, yaml};
use keyway_e2e::inspect::{children, connections};
use keyway_testkit::load::{Load, wants_ok};
use keyway_testkit::process::Keyway;
use keyway_testkit::provider::Provider;
use rustix::process::{Pid, Signal, kill_process};

const REPLICAS: u32 = 3;
const CALLERS: usize = 12;
/// Until a killed replica must have been replaced, on a busy machine.
const BACK_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d1_a_killed_replica_takes_only_its_own_connections_along_and_comes_back() -> Outcome {
    let provider = Provider::start()?;
    let gateway = Gateway::of(Keyway::up().config(yaml(&provider)).replicas(REPLICAS))?;
    let pid = gateway.keyway.pid();
    let running = Load {
        to: gateway.address,
        callers: CALLERS,
        path: CHAT.to_owned(),
        token: TOKEN.to_owned(),
        body: Bytes::from(chat("sim/m")),
        pause: Duration::from_millis(1),
        check: wants_ok(),
    }
    .start();
    let served = |more: usize| {
        let goal = provider.requests() + more;
        provider.until(BACK_WITHIN, move |seen| seen.len() >= goal)
    };
    served(200).await.map_err(|_| "no load")?;

    let before = children(pid)?;
    assert_eq!(before.len(), REPLICAS as usize);
    let mut busiest = (0, 0);
    for child in &before {
        busiest = busiest.max((connections(*child, gateway.address.port())?, *child));
    }
    let (held, victim) = busiest;
    let victim_pid = i32::try_from(victim).ok().and_then(Pid::from_raw).ok_or("no such process")?;
    kill_process(victim_pid, Signal::KILL)?;
    let killed = Instant::now();
    served(200).await.map_err(|_| "the others do not take over")?;
    loop {
        let now = children(pid)?;
        if now.len() == REPLICAS as usize && !now.contains(&victim) {
            break;
        }
        assert!(killed.elapsed() < BACK_WITHIN, "not replaced: {now:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("replaced {:?} after it was killed with {held} connections", killed.elapsed());
    served(200).await.map_err(|_| "no load after it came back")?;
    let counts = running.stop().await;
    println!("{} good, failed: {:?}", counts.ok, counts.failed);
    assert!(
        counts.failures() <= held as u64,
        "more failures than the {held} connections it held: {:?}",
        counts.failed
    );
    gateway.goes_on(None).await
}
